"""The counters of each call as rows of a record; those that did not change stay the same objects."""

from __future__ import annotations

from ebpftop.core.syscall_records import SyscallRow
from ebpftop.kernel.loader import Module
from ebpftop.probes.syscall_counters import CallCounters, Totals
from ebpftop.probes.syscall_handlers import HandlerTable
from ebpftop.probes.syscall_slots import Call, Slots
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.errno_names import error_name

LISTED_MAX = 64
"""Calls that are ignored or traced and have a row before the first one is made; not all of `--trace all`."""


class Rows:
    """The rows of a reading."""

    def __init__(self, slots: Slots, table: HandlerTable, counters: CallCounters) -> None:
        self._slots = slots
        self._table = table
        self._counters = counters
        self._rows: dict[Call, SyscallRow] = {}
        self._in_order: tuple[SyscallRow, ...] | None = None

    def read(self, module: Module) -> tuple[SyscallRow, ...]:
        """Return the row of each call, in the order of their keys."""
        for call in self._counters.read(module):
            self.forget(call)
        if self._in_order is None:
            totals = self._counters.totals
            chosen = self._table.chosen.keys() if len(self._table.chosen) <= LISTED_MAX else ()
            for call in totals.keys() | chosen:
                total = totals.get(call, Totals())
                if call not in self._rows and (call in chosen or total.count):
                    self._rows[call] = self._row(call, total)
            self._in_order = tuple(self._rows[call] for call in sorted(self._rows))
        return self._in_order

    def forget(self, call: Call) -> None:
        """Make the row of *call* anew: its counters have changed, or its handler."""
        self._rows.pop(call, None)
        self._in_order = None

    def _row(self, call: Call, total: Totals) -> SyscallRow:
        abi, nr = call
        return SyscallRow(
            abi=abi,
            nr=nr,
            name=abis.name(abi, nr),
            count=total.count,
            errors=sum(total.errors.values()),
            histogram_ns=_trimmed(total.ns),
            failed_histogram_ns=_trimmed(total.failed_ns),
            total_ns=total.total_ns,
            max_ns=total.max_ns,
            errnos={error_name(code): count for code, count in sorted(total.errors.items())},
            handler=self._table.handler(call),
            slot=self._slots.slot(call),
        )


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    """Return *counts* without the zeros at its end."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])
