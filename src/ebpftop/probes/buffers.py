"""Events out of the kernel: the ring buffer of Linux 5.8, or the perf buffer of older kernels.

Nothing is decoded in the callback: it copies the bytes and returns, since whatever it raises would be swallowed and the
memory that it sees is reused.
"""

from __future__ import annotations

import ctypes
import sys
import time
from bisect import bisect_right
from collections.abc import Callable

from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Buffer

RING_PAGES = 4096  # 16 MiB of 4 KiB pages
PERF_PAGES = 256  # for each CPU
_BATCH_MAX = 20_000


class Events:
    """The buffer called ``events`` of one module, drained on demand."""

    def __init__(self, module: Module, buffer: Buffer, time_at: int) -> None:
        """Open it, before the programs that fill it are attached. At *time_at* an event has its time (u64, ns)."""
        self._per_cpu = buffer == "perf"
        self._time_at = time_at
        self._module = module
        self._raw: list[bytes] = []
        table = module.table("events")
        if buffer == "ring":
            table.open_ring_buffer(self._take_ring)
            self._consume: Callable[[], None] = module.bpf.ring_buffer_consume
        else:
            # Never woken by the kernel: it is consumed on a timer, like the ring.
            table.open_perf_buffer(self._take_perf, page_cnt=PERF_PAGES, lost_cb=self._perf_lost, wakeup_events=1 << 20)
            self._consume = module.bpf.perf_buffer_consume

    def _take_ring(self, _context: object, data: int, size: int) -> int:
        self._raw.append(ctypes.string_at(data, size))
        # A negative answer ends this round; the event itself is taken.
        return -1 if len(self._raw) >= _BATCH_MAX else 0

    def _take_perf(self, _cpu: int, data: int, size: int) -> None:
        self._raw.append(ctypes.string_at(data, size))

    def _perf_lost(self, _count: int) -> None:
        # Failed outputs are counted in the kernel, exactly; what perf reports here falls short of that.
        return

    def drain(self, *, everything: bool = False) -> list[bytes]:
        """Return the events that lie in the buffer now, oldest first.

        Perf buffers are one for each CPU and are read one after another, so what is younger than the beginning of the
        reading waits for the next, unless *everything* is asked for: a process's exit never comes before its exec.
        """
        if not self._per_cpu:
            self._consume()
            raw, self._raw = self._raw, []
            return raw
        horizon_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._consume()
        self._raw.sort(key=self._time_ns)
        ready = len(self._raw) if everything else bisect_right(self._raw, horizon_ns, key=self._time_ns)
        raw, self._raw = self._raw[:ready], self._raw[ready:]
        return raw

    def _time_ns(self, raw: bytes) -> int:
        return int.from_bytes(raw[self._time_at : self._time_at + 8], sys.byteorder)
