"""The two buffers that programs in the kernel write to, read from files that look like them."""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Iterator

import pytest

from ebpftop.kernel import event_buffer, perf_event
from ebpftop.kernel.event_buffer import RingBuffer
from ebpftop.kernel.maps import Map
from ebpftop.kernel.perf_event import CpuBuffer

PAGE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("buffer")
    yield fd
    os.close(fd)


class RingWriter:
    """What the kernel does (kernel/bpf/ringbuf.c): positions only grow, a record begins with its length and marks.

    The data is there twice.
    """

    def __init__(self, fd: int, size: int) -> None:
        os.ftruncate(fd, 2 * PAGE + 2 * size)
        self.size, self._memory, self.position = size, mmap.mmap(fd, 0), 0

    def put(self, data: bytes, marks: int = 0) -> int:
        """Write a record; return where it begins."""
        at = self.position
        self.mark(at, len(data) | marks)
        self._write(at + 8, data)
        self.position += (len(data) + 8 + 7) // 8 * 8
        struct.pack_into("=Q", self._memory, PAGE, self.position)
        return at

    def mark(self, at: int, header: int) -> None:
        self._write(at, struct.pack("=II", header, 0))

    def _write(self, at: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            for copy in (0, self.size):
                self._memory[2 * PAGE + copy + (at + i) % self.size] = byte

    @property
    def read_up_to(self) -> int:
        return int(struct.unpack_from("=Q", self._memory)[0])


@pytest.mark.parametrize("seed", range(5))
def test_a_ring_yields_each_event_once_and_whole_also_over_its_end(memory: int, seed: int) -> None:
    chance = random.Random(seed)
    writer, ring = RingWriter(memory, 2 * PAGE), RingBuffer(Map(memory, 2 * PAGE))
    for _ in range(300):
        written = [chance.randbytes(chance.choice((0, 1, 8, 77, 1000))) for _ in range(chance.randrange(4))]
        for data in written:
            writer.put(data)
            if chance.random() < 0.2:
                writer.put(b"not this one", DISCARDED)
        assert ring.read() == written
        assert writer.read_up_to == writer.position
    assert writer.position > 10 * PAGE
    ring.close()


def test_how_full_a_ring_was_at_most_is_remembered(memory: int) -> None:
    writer = RingWriter(memory, PAGE)
    ring = RingBuffer(Map(memory, PAGE))
    found = []
    for events in (1, 30, 2, 0):
        for _ in range(events):
            writer.put(bytes(56))
        ring.read()
        found.append(ring.fullest)
    ring.close()
    assert found == [64, 30 * 64, 30 * 64, 30 * 64]


def test_an_event_that_is_being_written_waits_and_so_do_those_behind_it(memory: int) -> None:
    writer, ring = RingWriter(memory, 2 * PAGE), RingBuffer(Map(memory, 2 * PAGE))
    writer.put(b"first")
    at = writer.put(b"unfinished", BUSY)
    writer.put(b"last")
    assert ring.read() == [b"first"]
    assert ring.read() == []
    assert writer.read_up_to == at
    writer.mark(at, len(b"unfinished"))
    assert ring.read() == [b"unfinished", b"last"]
    ring.close()


def test_one_read_of_a_ring_is_bounded(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_buffer, "_BATCH_MAX", 3)
    writer, ring = RingWriter(memory, 2 * PAGE), RingBuffer(Map(memory, 2 * PAGE))
    events = [bytes([number]) for number in range(7)]
    for data in events:
        writer.put(data)
    assert [ring.read() for _ in range(4)] == [events[:3], events[3:6], events[6:], []]
    ring.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_cpus_buffer_yields_each_event_once_and_whole_also_over_its_end(
    memory: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_event, "_open", lambda *_, **__: os.dup(memory))
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    os.ftruncate(memory, 2 * PAGE)
    chance, head = random.Random(seed), 0
    buffer, kernels = CpuBuffer(0, 1), mmap.mmap(memory, 0)
    for _ in range(300):
        written = []
        for _ in range(chance.randrange(4)):
            # perf fills up to eight bytes, and says so in the length.
            data = chance.randbytes(chance.choice((4, 12, 84, 996)))
            written.append(data)
            record = struct.pack("=IHHI", 9, 0, 12 + len(data), len(data)) + data
            if chance.random() < 0.2:
                record += struct.pack("=IHHQQ", 2, 0, 24, 0, 5)  # PERF_RECORD_LOST
            for byte in record:
                kernels[PAGE + head % PAGE] = byte
                head += 1
        struct.pack_into("=Q", kernels, 1024, head)
        assert buffer.read() == written
        assert struct.unpack_from("=Q", kernels, 1032) == (head,)
    assert head > 10 * PAGE
    buffer.close()
    buffer.close()


SEEN, STOP = 5 * PAGE, 5 * PAGE + 8


def smallest_seen(memory: int, at: int) -> int:
    """Return the smallest number that the word *at* of *memory* shows until STOP; count its changes in SEEN."""
    words, smallest, last, seen = memoryview(mmap.mmap(memory, 0)).cast("Q"), 1 << 63, 0, 0
    while not words[STOP // 8]:
        now = words[at // 8]
        if now != last:
            smallest, last, seen = min(smallest, now), now, seen + 1
            words[SEEN // 8] = seen
    return smallest


@pytest.mark.parametrize("kind", ["ring", "perf"])
def test_the_kernel_never_sees_a_position_that_is_half_written(
    memory: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another processor, it would drop events, or write over some that are not read: 0 is a position too."""
    monkeypatch.setattr(perf_event, "_open", lambda *_, **__: os.dup(memory))
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    os.ftruncate(memory, 6 * PAGE)
    begin, event = 1 << 40, struct.pack("=IHHI", 9, 0, 16, 4) + b"data" if kind == "perf" else bytes(8)
    data, head_at, tail_at, size = (PAGE, 1024, 1032, PAGE) if kind == "perf" else (2 * PAGE, PAGE, 0, 2 * PAGE)
    kernels = mmap.mmap(memory, 0)
    kernels[data : data + size] = event * (size // len(event))
    for at in (head_at, tail_at):
        struct.pack_into("=Q", kernels, at, begin)
    buffer = CpuBuffer(0, 1) if kind == "perf" else RingBuffer(Map(memory, size))
    out, watcher = os.pipe(), os.fork()
    if watcher == 0:  # another process, as only one thread of this one runs at a time
        os.write(out[1], struct.pack("=Q", smallest_seen(memory, tail_at)))
        os._exit(0)
    for number in range(1, 100_000):
        struct.pack_into("=Q", kernels, head_at, begin + number * len(event))
        assert len(buffer.read()) == 1
        if kernels[SEEN + 1] > 3:  # it has seen 1024 changes, so the two really run side by side
            break
    kernels[STOP] = 1
    os.waitpid(watcher, 0)
    assert struct.unpack("=Q", os.read(out[0], 8)) >= (begin,)
    buffer.close()
    for fd in out:
        os.close(fd)


def test_cpus_are_read_as_the_kernel_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda _: "0-2,5,8-9\n")
    assert perf_event.online_cpus() == [0, 1, 2, 5, 8, 9]
