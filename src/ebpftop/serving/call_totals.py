"""Totals of system calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

from ebpftop.core.syscall_records import SyscallRow
from ebpftop.serving.counters import Counters, Labels
from ebpftop.serving.reading import OTHER, CallTotals

CALLS_MAX = 512
"""Calls with a row of their own, of all ABIs together. One has about 380."""
ERRORS_MAX = 1024
"""Pairs of a call and an error with a row of their own."""

_EXECS = frozenset(("execve", "execveat"))
_OTHER_CALL = OTHER, OTHER


class CallsTotal:
    """What the rows of `syscalls` come to. An update costs by what changed: rows that did not are the same objects.

    Numbers beyond the kernel's table count as "other": a program could call a million of them.
    """

    def __init__(self) -> None:
        self._labels = Labels(CALLS_MAX, _OTHER_CALL)
        self._rows: dict[tuple[str, int], SyscallRow] = {}
        self._own: dict[tuple[str, str], CallTotals] = {}
        self._others: dict[tuple[str, int], SyscallRow] = {}
        self._errors = Counters(Labels(ERRORS_MAX, (OTHER, OTHER, OTHER)))
        self._exec_errors = Counters(Labels(ERRORS_MAX, OTHER))

    @property
    def errors(self) -> dict[tuple[str, str, str], int]:
        """How often each call (abi, name) failed, by error."""
        return self._errors.by_label

    @property
    def exec_errors(self) -> dict[str, int]:
        """How often execve and execveat failed, of all ABIs, by error."""
        return self._exec_errors.by_label

    def update(self, rows: Iterable[SyscallRow]) -> None:
        """Note rows with totals since the start. One with a lower count than before is passed over."""
        others = execs = False
        for row in rows:
            key = row.abi, row.nr
            known = self._rows.get(key)
            if row is known or (known is not None and row.count < known.count):
                continue
            self._rows[key] = row
            execs |= row.name in _EXECS
            label = _OTHER_CALL if row.slot is None else self._labels.label((row.abi, row.name))
            if label == _OTHER_CALL:
                self._others[key] = row
                others = True
                continue
            self._own[label] = _totals(label, row)
            if known is None or row.errnos != known.errnos:
                for errno, count in row.errnos.items():
                    self._errors.set((*label, errno), count)
        if others:
            self._add_others()
        if execs:
            for errno, count in _sum_of_errors(row for row in self._rows.values() if row.name in _EXECS).items():
                self._exec_errors.set(errno, count)

    def _add_others(self) -> None:
        rows = self._others.values()
        self._own[_OTHER_CALL] = CallTotals(
            *_OTHER_CALL,
            sum(row.count for row in rows),
            sum(row.total_ns for row in rows),
            tuple(map(sum, zip_longest(*(row.histogram_ns for row in rows), fillvalue=0))),
        )
        for errno, count in _sum_of_errors(rows).items():
            self._errors.set((*_OTHER_CALL, errno), count)

    def calls(self) -> tuple[CallTotals, ...]:
        """Return the totals of each call."""
        return tuple(self._own.values())


def _totals(label: tuple[str, str], row: SyscallRow) -> CallTotals:
    return CallTotals(*label, row.count, row.total_ns, row.histogram_ns)


def _sum_of_errors(rows: Iterable[SyscallRow]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.errnos)
    return total
