"""The panes: a row for each. Keys, layout, help and palette derive from these rows, in their order.

`ebpftop.probes.registry` has the probes. docs/adding-a-probe.md shows how to add one of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias

from textual.compose import compose

from ebpftop.core.records import ProbeName
from ebpftop.core.source import Source
from ebpftop.probes.registry import Disabled, RowError, add_plugins, load, registry
from ebpftop.ui.panes.base import Pane

GROUP = "ebpftop.panes"
"""The entry points by which other distribution packages bring their rows."""

Form: TypeAlias = Literal["narrow", "medium", "wide"]

FORMS: tuple[tuple[int, Form], ...] = ((0, "narrow"), (100, "medium"), (160, "wide"))
"""Widths of the terminal, in cells, from which another arrangement of the panes fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaneRow:
    """A pane.

    *pane* is its class, a `ebpftop.ui.panes.base.Pane`, in a module that imports without bcc. A *log* has lines too
    long for half a narrow terminal; other panes stand in pairs. The room is shared in proportion to *heights*: in a
    narrow terminal, in a medium one, and in a wide one, where logs stand on the left and the others on the right.
    *presets* are those of `PRESETS` that show it, besides ``all``; None: ``logs`` if it is a log.
    """

    pane: str
    log: bool
    heights: tuple[int, int, int]
    presets: tuple[str, ...] | None = None

    def is_in(self, preset: str) -> bool:
        """Return whether *preset* shows it."""
        of = (("logs",) if self.log else ()) if self.presets is None else self.presets
        return preset not in PRESETS or preset == "all" or preset in of


PANES = (
    PaneRow(pane="ebpftop.ui.panes.execs:ExecsPane", log=True, heights=(10, 14, 6), presets=("logs", "calls", "users")),
    PaneRow(pane="ebpftop.ui.panes.users:UsersPane", log=False, heights=(7, 11, 3), presets=("users",)),
    PaneRow(pane="ebpftop.ui.panes.syscalls:SyscallsPane", log=False, heights=(7, 11, 5), presets=("calls",)),
    PaneRow(pane="ebpftop.ui.panes.trace:TracePane", log=True, heights=(4, 6, 2)),
    PaneRow(pane="ebpftop.ui.panes.opens:OpensPane", log=True, heights=(7, 8, 3)),
    PaneRow(pane="ebpftop.ui.panes.output:OutputPane", log=True, heights=(7, 8, 4), presets=("logs", "calls", "users")),
)


class Panes:
    """The rows in use, in their order, with their classes."""

    def __init__(self, rows: Sequence[PaneRow] = PANES) -> None:
        """Use *rows*, then those of other distribution packages."""
        self.rows: dict[ProbeName, PaneRow] = {}
        self.classes: dict[ProbeName, type[Pane]] = {}
        for row in rows:
            self._add(row)
        own = frozenset(self.rows)
        self.disabled: tuple[Disabled, ...] = add_plugins(GROUP, PaneRow, self._add)
        self._plugins = self.rows.keys() - own

    def make(self, source: Source) -> tuple[tuple[Pane, ...], tuple[Disabled, ...]]:
        """Return the panes that show *source*, in their order, and those of other packages that cannot be made.

        What comes from no probe has a pane only if *source* has it.

        There must be an app, in which a pane of another package is composed once before it is used.
        """
        made, disabled = [], []
        for probe, kind in self.classes.items():
            if probe not in registry().names and probe not in source.probes:
                continue
            try:
                if probe in self._plugins:
                    compose(kind(source, self.number(probe)))
                made.append(kind(source, self.number(probe)))
            except Exception as error:
                if probe not in self._plugins:
                    raise
                package = kind.__module__.partition(".")[0]
                disabled.append(Disabled(f"the pane of {probe}", package, f"{type(error).__name__}: {error}"))
        return tuple(made), tuple(disabled)

    def number(self, probe: ProbeName) -> int:
        """Return the number of a pane, which is its key up to 9; the first is 1, and 0 is that which has no probe."""
        with_probe = [one for one in self.rows if one in registry().names]
        return 1 + with_probe.index(probe) if probe in with_probe else 0

    def _add(self, row: PaneRow) -> None:
        kind = load(row.pane)
        if not (isinstance(kind, type) and issubclass(kind, Pane)):
            raise RowError(f"{row.pane} is not a Pane")
        if kind.probe not in registry().channels:
            raise RowError(f"there is no probe {kind.probe}")
        if kind.probe in self.rows:
            raise RowError(f"the probe {kind.probe} has a pane already")
        for name in ("label", "empty_text"):
            if not isinstance(getattr(kind, name, None), str):
                raise RowError(f"{row.pane} has no {name}")
        if len(row.heights) != len(FORMS) or not all(isinstance(height, int) and height > 0 for height in row.heights):
            raise RowError("heights are three whole numbers from 1")
        self.rows[kind.probe] = row
        self.classes[kind.probe] = kind


@cache
def panes() -> Panes:
    """Return the panes of this process."""
    return Panes()


# Layout.

PRESETS: Mapping[str, str] = {
    "all": "All panes",
    "logs": "The logs alone",
    "calls": "System calls, and the exec log below",
    "users": "Users, and the exec log below",
}
"""Choices of panes, in the order in which the key goes through them."""

SMALLEST, LARGEST = 0.25, 4.0
_STEP = math.sqrt(2.0)
_FINE = 24
"""Parts of a height: a weight may be a fraction."""


@dataclass(frozen=True)
class PaneLayout:
    """Which panes are shown, and how much of the room each gets. Settings may keep it.

    *preset*: one of `PRESETS`; *hidden*: panes that are hidden besides; *weights*: factors of heights, of panes that
    are not as high as their row says.
    """

    preset: str = "all"
    hidden: frozenset[ProbeName] = frozenset()
    weights: Mapping[ProbeName, float] = field(default_factory=dict)

    def shows(self, probe: ProbeName, row: PaneRow) -> bool:
        return probe not in self.hidden and row.is_in(self.preset)

    def next_preset(self) -> PaneLayout:
        """Return the next preset, with nothing hidden in it."""
        names = list(PRESETS)
        at = names.index(self.preset) if self.preset in names else -1
        return replace(self, preset=names[(at + 1) % len(names)], hidden=frozenset())

    def with_hidden(self, probe: ProbeName, hidden: bool) -> PaneLayout:
        return replace(self, hidden=self.hidden | {probe} if hidden else self.hidden - {probe})

    def grown(self, probe: ProbeName, steps: int) -> PaneLayout:
        """Return the layout with *probe* so many steps higher."""
        weight = min(max(self.weights.get(probe, 1.0) * _STEP**steps, SMALLEST), LARGEST)
        return replace(self, weights={**self.weights, probe: round(weight, 3)})

    def weight(self, probe: ProbeName) -> float:
        return min(max(self.weights.get(probe, 1.0), SMALLEST), LARGEST)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A grid: the widths of its columns and the heights of its rows, in parts of the whole.

    *spans*: how many columns and rows each pane takes, in the order in which the panes find their places; *beside*:
    those with another pane at their left.
    """

    columns: tuple[int, ...]
    rows: tuple[int, ...]
    spans: Mapping[ProbeName, tuple[int, int]]
    beside: frozenset[ProbeName] = frozenset()


_BANDS, _LEVELLED = 3, 6
_FOCUS = 3
_COLUMNS: Mapping[Form, tuple[int, int]] = {"narrow": (3, 4), "medium": (5, 7), "wide": (7, 5)}


def arrange(rows: Mapping[ProbeName, PaneRow], form: Form, layout: PaneLayout | None = None) -> Arrangement:
    """Return the grid of the panes in *rows*, with the weights of *layout*."""
    layout = layout or PaneLayout()
    at = [name for _, name in FORMS].index(form)
    # With another preset than all, what it is about has the most room: not the exec log, which is in each.
    heights = {
        probe: row.heights[at] * (_FOCUS if layout.preset not in ("all", "logs") and not row.log else 1)
        for probe, row in rows.items()
    }
    weights = {probe: layout.weight(probe) for probe in rows}
    logs = [probe for probe, row in rows.items() if row.log]
    tables = [probe for probe, row in rows.items() if not row.log]
    if not (logs and tables) and (form == "wide" or len(tables) < 2):
        parts = [_weighted(heights[probe], weights[probe]) for probe in rows]
        return Arrangement((1,), tuple(parts), dict.fromkeys(rows, (1, 1)))
    if form == "wide":
        return _side_by_side(logs, tables, {probe: _weighted(heights[probe], weights[probe]) for probe in rows})
    bands: list[list[ProbeName]] = []
    for probe, row in rows.items():
        if not row.log and bands and len(bands[-1]) == 1 and bands[-1][0] in tables:
            bands[-1].append(probe)
        else:
            bands.append([probe])
    spans = {probe: (1 if len(band) == 2 else 2, 1) for band in bands for probe in band}
    parts = [max(heights[probe] for probe in band) for band in bands]
    if form == "narrow" and len(bands) > _BANDS:
        # Such a terminal is low too, and the smallest would have no row left.
        parts = [part + _LEVELLED for part in parts]
    # Whichever of two neighbours grows or shrinks, both do.
    parts = [
        _weighted(part, math.prod(weights[probe] for probe in band)) for part, band in zip(parts, bands, strict=True)
    ]
    beside = frozenset(band[1] for band in bands if len(band) > 1)
    return Arrangement(_COLUMNS[form], tuple(parts), spans, beside)


def _weighted(height: int, weight: float) -> int:
    return max(1, round(height * weight * _FINE))


def _side_by_side(left: list[ProbeName], right: list[ProbeName], heights: Mapping[ProbeName, int]) -> Arrangement:
    """Return a grid of two columns whose panes end at different heights: it has a row between each two ends."""
    ends: dict[ProbeName, tuple[Fraction, Fraction]] = {}
    for column in (left, right):
        total, top = sum(heights[probe] for probe in column), Fraction(0)
        for probe in column:
            bottom = top + Fraction(heights[probe], total)
            ends[probe], top = (top, bottom), bottom
    cuts = sorted({cut for pair in ends.values() for cut in pair})
    whole = math.lcm(*(cut.denominator for cut in cuts))
    parts = tuple(int((after - before) * whole) for before, after in pairwise(cuts))
    side = dict.fromkeys(left, 0) | dict.fromkeys(right, 1)
    spans = {
        probe: (1, cuts.index(ends[probe][1]) - cuts.index(ends[probe][0]))
        for probe in sorted(ends, key=lambda probe: (ends[probe][0], side[probe]))
    }
    return Arrangement(_COLUMNS["wide"], parts, spans, frozenset(right))
