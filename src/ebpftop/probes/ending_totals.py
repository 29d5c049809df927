"""How processes ended: a small array in the kernel (bpf/execs_ended.h), polled."""

from __future__ import annotations

import struct
from operator import attrgetter

from ebpftop.core.ending_records import EndingRow, Endings
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Module
from ebpftop.syscalls.errno_names import signal_name

_ERROR = 65  # ENDINGS_ERROR
_SIZE = _ERROR + 1


class EndingTotals:
    """Totals since the start, through all toggles."""

    def __init__(self) -> None:
        self._before = [0] * _SIZE

    def read(self, module: Module, now: float) -> Endings:
        """Return the reading at *now* (Unix seconds)."""
        rows = [_row(how, count) for how, count in enumerate(self._now(module)) if count]
        return Endings(time=now, rows=tuple(sorted(rows, key=attrgetter("reason", "signal"))))

    def save(self, module: Module) -> None:
        """Save them before the map is closed."""
        self._before = self._now(module)

    def _now(self, module: Module) -> list[int]:
        now = list(self._before)
        for key, value in maps.items(module.table("endings"), 4, 8 * maps.CPUS):
            now[struct.unpack("=I", key)[0]] += sum(struct.unpack(f"={maps.CPUS}Q", value))
        return now


def _row(how: int, count: int) -> EndingRow:
    if how in (0, _ERROR):
        return EndingRow(reason="error" if how else "ok", signal="", count=count)
    return EndingRow(reason="signal", signal=signal_name(how), count=count)
