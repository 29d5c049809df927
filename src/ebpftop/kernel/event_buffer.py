"""Events out of the kernel: the ring buffer of Linux 5.8, or the perf buffer of older kernels.

Nothing is decoded here: the bytes of each event are copied out of the memory that the kernel writes to.
"""

from __future__ import annotations

import mmap
import struct
import sys
from bisect import bisect_right
from collections.abc import Mapping
from typing import Literal

from ebpftop.kernel import clocks, maps
from ebpftop.kernel.barrier import fence, shared_words
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.kernel.maps import Map
from ebpftop.kernel.perf_event import CpuBuffer, online_cpus

Buffer = Literal["ring", "perf"]

RING_BYTES_MAX = 16 << 20  # a power of two
PERF_PAGES = 256  # for each CPU
_BATCH_MAX = 20_000
_EVENT_BYTES_MIN = 64
# The number of rounds that empty a full buffer, whatever arrives meanwhile.
_ROUNDS_MAX = RING_BYTES_MAX // _EVENT_BYTES_MIN // _BATCH_MAX + 1


def parameters(buffer: Buffer) -> Mapping[str, int]:
    """Return the parameters of bpf/events.h."""
    return {"USE_RING": buffer == "ring"}


def map_entries(buffer: Buffer, ring_bytes: int) -> Mapping[str, int]:
    """Return the sizes of the maps of bpf/events.h that are used."""
    return {"ring_events": ring_bytes} if buffer == "ring" else {"perf_events": maps.CPUS}


class RingBuffer:
    """One buffer for all CPUs: a page that we write, one that the kernel writes, and the data.

    Documentation/bpf/ringbuf.rst and kernel/bpf/ringbuf.c. Only the data that is read is mapped, and only meanwhile:
    all that is mapped counts as our memory. The kernel offers the data twice, one behind the other, so an event that
    runs over the end is in one piece.
    """

    _BUSY, _DISCARDED, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1  # include/uapi/linux/bpf.h
    _HEADER_BYTES = 8

    def __init__(self, table: Map) -> None:
        self._map_fd = table.map_fd
        self._size = table.max_entries
        self.fullest = 0
        """The most bytes that ever waited: between two reads it only grows, so it is what a read finds."""
        self._ours: mmap.mmap | None = None
        self._kernels: mmap.mmap | None = None
        try:
            self._ours = mmap.mmap(table.map_fd, mmap.PAGESIZE)
            self._kernels = mmap.mmap(table.map_fd, mmap.PAGESIZE, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        except OSError as error:
            self.close()
            raise LoadError(f"the ring buffer cannot be opened: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._size

    def read(self) -> list[bytes]:
        """Return at most `_BATCH_MAX` events, oldest first. The first that is not written to its end waits."""
        assert self._ours is not None
        assert self._kernels is not None
        with shared_words(self._ours) as ours, shared_words(self._kernels) as kernels:
            begin, end = ours[0], kernels[0]
        if begin == end:
            return []
        self.fullest = max(self.fullest, end - begin)
        fence()
        page = begin % self._size & -mmap.PAGESIZE
        offset = begin % self._size - page
        with mmap.mmap(
            self._map_fd, offset + end - begin, prot=mmap.PROT_READ, offset=2 * mmap.PAGESIZE + page
        ) as data:
            spans, stop = self._spans(data, offset, offset + end - begin)
            fence()
            events = [data[start : start + length] for start, length in spans]
        fence()
        with shared_words(self._ours) as ours:
            ours[0] = begin + stop - offset
        return events

    def _spans(self, data: mmap.mmap, at: int, end: int) -> tuple[list[tuple[int, int]], int]:
        """Return where events between *at* and *end* begin and how long they are, and where the next one is."""
        length_at = struct.Struct("=I").unpack_from
        spans: list[tuple[int, int]] = []
        while at < end and len(spans) < _BATCH_MAX:
            (header,) = length_at(data, at)
            if header & self._BUSY:
                break
            length = header & self._LENGTH
            if not header & self._DISCARDED:
                spans.append((at + self._HEADER_BYTES, length))
            at += (length + 2 * self._HEADER_BYTES - 1) & -self._HEADER_BYTES
        return spans, at

    def close(self) -> None:
        for mapped in (self._ours, self._kernels):
            if mapped is not None:
                mapped.close()
        self._ours = self._kernels = None


class _Perf:
    """One buffer for each CPU. The programs count failed outputs exactly; what perf reports as lost is too low."""

    def __init__(self, table: Map) -> None:
        self._buffers: list[CpuBuffer] = []
        for cpu in online_cpus():
            try:
                self._buffers.append(CpuBuffer(cpu, PERF_PAGES))
                maps.update(table, struct.pack("=I", cpu), struct.pack("=i", self._buffers[-1].fd))
            except OSError as error:
                self.close()
                raise LoadError(f"the perf buffer of CPU {cpu} cannot be opened: {error.strerror}") from error

    @property
    def size(self) -> int:
        """The bytes of each."""
        return PERF_PAGES * mmap.PAGESIZE

    @property
    def fullest(self) -> int:
        """The most bytes that ever waited in one of them."""
        return max((buffer.fullest for buffer in self._buffers), default=0)

    def read(self) -> list[bytes]:
        """Return the events of one CPU after the other's."""
        return [event for buffer in self._buffers for event in buffer.read()]

    def close(self) -> None:
        while self._buffers:
            self._buffers.pop().close()


class Events:
    """The buffer of one module that includes bpf/events.h, drained on demand."""

    def __init__(self, module: Module, buffer: Buffer, time_at: int) -> None:
        """Open it before the programs that fill it are attached. *time_at*: offset of an event's time (u64, ns)."""
        self._per_cpu = buffer == "perf"
        self._time_at = time_at
        self._module = module
        self._raw: list[bytes] = []
        table = module.table(f"{buffer}_events")
        self._buffer = RingBuffer(table) if buffer == "ring" else _Perf(table)

    @property
    def size(self) -> int:
        """Its bytes; of a perf buffer, those for one CPU."""
        return self._buffer.size

    @property
    def fullest(self) -> int:
        """The most bytes that ever waited to be read; of perf buffers, in one of them."""
        return self._buffer.fullest

    def close(self) -> None:
        """Free its memory. Call it before the module is closed. Safe to call twice."""
        self._buffer.close()

    def drain(self, *, everything: bool = False) -> list[bytes]:
        """Return the events in the buffer, oldest first; if there are very many, only the first, unless *everything*.

        There is one perf buffer for each CPU, and they are read one after another. So events younger than the beginning
        of the read wait for the next one, unless *everything* is set: a process's exit never comes before its exec.
        """
        if not self._per_cpu:
            drained: list[bytes] = []
            for _ in range(_ROUNDS_MAX if everything else 1):
                raw = self._buffer.read()
                drained += raw
                if len(raw) < _BATCH_MAX:
                    break
            return drained
        horizon_ns = clocks.monotonic_ns()
        self._raw += self._buffer.read()
        self._raw.sort(key=self._time_ns)
        ready = len(self._raw) if everything else bisect_right(self._raw, horizon_ns, key=self._time_ns)
        raw, self._raw = self._raw[:ready], self._raw[ready:]
        return raw

    def _time_ns(self, raw: bytes) -> int:
        return int.from_bytes(raw[self._time_at : self._time_at + 8], sys.byteorder)
