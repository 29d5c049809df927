"""Events out of the kernel: the ring buffer of Linux 5.8, or the perf buffer of older kernels.

Nothing is decoded in the callback: it copies the bytes and returns. An exception in it would be lost, and the memory
that it sees is reused.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Literal

from bcc import libbcc
from bcc.libbcc import lib
from bcc.utils import get_online_cpus

from ebpftop.kernel import clocks, maps
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.kernel.maps import Map

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


class _Ring:
    """One buffer for all CPUs."""

    def __init__(self, table: Map, take: Callable[[int, int], int]) -> None:
        # Kept: C code calls it as long as the buffer is open.
        self._callback = libbcc._RINGBUF_CB_TYPE(lambda _context, data, size: take(data, size))
        self._ring = lib.bpf_new_ringbuf(table.map_fd, self._callback, None)
        if not self._ring:
            raise LoadError("the ring buffer cannot be opened")

    def consume(self) -> None:
        lib.bpf_consume_ringbuf(self._ring)

    def close(self) -> None:
        if self._ring:
            lib.bpf_free_ringbuf(self._ring)
            self._ring = None


class _Perf:
    """One buffer for each CPU."""

    def __init__(self, table: Map, take: Callable[[int, int], int]) -> None:
        self._callback = libbcc._RAW_CB_TYPE(lambda _context, data, size: take(data, size))
        # The programs count failed outputs exactly; the count that perf reports here is too low.
        self._lost_callback = libbcc._LOST_CB_TYPE(lambda _context, _count: None)
        self._readers: list[int] = []
        for cpu in get_online_cpus():
            # The kernel never wakes us: the buffer is read on a timer, like the ring.
            options = libbcc.bcc_perf_buffer_opts(pid=-1, cpu=cpu, wakeup_events=1 << 20)
            reader = lib.bpf_open_perf_buffer_opts(
                self._callback, self._lost_callback, None, PERF_PAGES, ctypes.byref(options)
            )
            if not reader:
                self.close()
                raise LoadError(f"the perf buffer of CPU {cpu} cannot be opened")
            self._readers.append(reader)
            maps.update(table, struct.pack("=I", cpu), struct.pack("=i", lib.perf_reader_fd(reader)))

    def consume(self) -> None:
        lib.perf_reader_consume(len(self._readers), (ctypes.c_void_p * len(self._readers))(*self._readers))

    def close(self) -> None:
        while self._readers:
            lib.perf_reader_free(self._readers.pop())


class Events:
    """The buffer of one module that includes bpf/events.h, drained on demand."""

    def __init__(self, module: Module, buffer: Buffer, time_at: int) -> None:
        """Open it before the programs that fill it are attached. *time_at*: offset of an event's time (u64, ns)."""
        self._per_cpu = buffer == "perf"
        self._time_at = time_at
        self._module = module
        self._raw: list[bytes] = []
        table = module.table(f"{buffer}_events")
        self._buffer = _Ring(table, self._on_event) if buffer == "ring" else _Perf(table, self._on_event)

    def close(self) -> None:
        """Free its memory. Call it before the module is closed. Safe to call twice."""
        self._buffer.close()

    def _on_event(self, data: int, size: int) -> int:
        self._raw.append(ctypes.string_at(data, size))
        # A negative return value ends this round of the ring; the event itself counts as read.
        return -1 if len(self._raw) >= _BATCH_MAX else 0

    def drain(self, *, everything: bool = False) -> list[bytes]:
        """Return the events in the buffer, oldest first; if there are very many, only the first, unless *everything*.

        There is one perf buffer for each CPU, and they are read one after another. So events younger than the beginning
        of the read wait for the next one, unless *everything* is set: a process's exit never comes before its exec.
        """
        if not self._per_cpu:
            drained: list[bytes] = []
            for _ in range(_ROUNDS_MAX if everything else 1):
                self._buffer.consume()
                raw, self._raw = self._raw, []
                drained += raw
                if len(raw) < _BATCH_MAX:
                    break
            return drained
        horizon_ns = clocks.monotonic_ns()
        self._buffer.consume()
        self._raw.sort(key=self._time_ns)
        ready = len(self._raw) if everything else bisect_right(self._raw, horizon_ns, key=self._time_ns)
        raw, self._raw = self._raw[:ready], self._raw[ready:]
        return raw

    def _time_ns(self, raw: bytes) -> int:
        return int.from_bytes(raw[self._time_at : self._time_at + 8], sys.byteorder)
