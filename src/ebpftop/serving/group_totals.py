"""Totals of units or containers, from those of cgroups."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.group_records import OTHER_ID, CgroupRow
from ebpftop.serving.counters import Growth, Labels
from ebpftop.serving.reading import NO_GROUP, OTHER, By, GroupTotals

GROUPS_MAX = 100
"""Units, or containers, with a row of their own."""

_SHORT_ID = 12
_FIGURES = ("execs", "failed", "calls", "errors", "total_ns")
_Key = tuple[str, int]


class GroupsTotal:
    """What the rows of `cgroups` come to.

    A unit has many cgroups, one after the other. One that was removed is counted with the others at some time, by the
    source of the records, and has no row any more: it stays in the total of its unit.
    """

    def __init__(self, by: By) -> None:
        self.by: By = by
        self._labels: Labels[str] = Labels(GROUPS_MAX, OTHER)
        self._figures: dict[str, Growth[_Key]] = {name: Growth() for name in _FIGURES}
        self._by_group: dict[str, dict[str, int]] = {name: {} for name in _FIGURES}
        self._folded: dict[str, int] = dict.fromkeys(_FIGURES, 0)
        self._names: dict[_Key, str] = {}
        self._gone: set[_Key] = set()

    def update(self, rows: Iterable[CgroupRow]) -> None:
        """Note all rows of a reading, with totals since the start."""
        here = {(row.hierarchy, row.id): row for row in rows}
        for key in self._gone - here.keys():
            for name, figure in self._figures.items():
                self._folded[name] += figure.forget(key)
            self._names.pop(key, None)
        self._gone = {key for key, row in here.items() if row.gone}
        for key, row in here.items():
            is_rest = row.id == OTHER_ID
            group = OTHER if is_rest else self._names.get(key) or self._group_of(key, row)
            for name, figure in self._figures.items():
                total = getattr(row, name)
                # The rest has what was counted here under its own name before.
                grown = figure.of(key, total - self._folded[name] if is_rest else total)
                groups = self._by_group[name]
                groups[group] = groups.get(group, 0) + grown

    def _group_of(self, key: _Key, row: CgroupRow) -> str:
        if self.by == "unit":
            name = row.unit
        else:
            name = row.container_name or (row.container[:_SHORT_ID] if row.container else None)
        group = self._labels.label(name or NO_GROUP)
        if row.path is not None:  # else it may be known at the next reading
            self._names[key] = group
        return group

    def groups(self) -> tuple[GroupTotals, ...]:
        """Return the totals of each group."""
        return tuple(
            GroupTotals(group, *(self._by_group[name][group] for name in _FIGURES)) for group in self._by_group["calls"]
        )
