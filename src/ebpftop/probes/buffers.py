"""Events out of the kernel: the ring buffer of Linux 5.8, or the perf buffer of older kernels.

Nothing is decoded in the callback: it copies the bytes and returns, since whatever it raises would be swallowed and the
memory that it sees is reused.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Buffer

RING_PAGES = 4096  # 16 MiB of 4 KiB pages
PERF_PAGES = 256  # for each CPU
_BATCH_MAX = 20_000


class Events:
    """The buffer called ``events`` of one module, drained on demand."""

    def __init__(self, module: Module, buffer: Buffer) -> None:
        """Open it, before the programs that fill it are attached."""
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

    def drain(self) -> list[bytes]:
        """Return the events that lie in the buffer now, oldest first for each CPU."""
        self._consume()
        raw, self._raw = self._raw, []
        return raw
