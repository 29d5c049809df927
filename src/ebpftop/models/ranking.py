"""The exec log in another order than time: the longest, the programs that fail most, those that start most often."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ebpftop.models.exec_row import ExecRow, is_hidden_attempt
from ebpftop.models.ring import Ring, View

Order: TypeAlias = Literal["time", "longest", "failing", "often"]

ORDERS: tuple[Order, ...] = get_args(Order)
"""``time`` is the log as it comes. ``longest`` has all rows, the last two one of each program: its newest. A search in
PATH counts once."""

RANKED_MAX = 1000
"""Rows that are listed at most."""


@dataclass(frozen=True)
class Ranking:
    """Rows in their order, and for how many each stands, by its number in the ring."""

    rows: Sequence[ExecRow]
    times: dict[int, int]


NOTHING = Ranking((), {})


def rank(rows: Iterable[ExecRow], order: Order, now: float, *, ascending: bool = False) -> Ranking:
    """Return the first `RANKED_MAX` of *rows*, which are in their order of time; of equals, the newest first."""
    pick = heapq.nsmallest if ascending else heapq.nlargest
    sign = -1 if ascending else 1
    if order == "longest":
        timed = [(seconds, sign * row.sequence, row) for row in rows if (seconds := row.seconds(now)) is not None]
        return Ranking([row for _, _, row in pick(RANKED_MAX, timed)], {})
    counts: dict[str, int] = {}
    newest: dict[str, ExecRow] = {}
    for row in rows:
        if (order == "failing" and not row.went_wrong) or is_hidden_attempt(row):
            continue
        program = row.exec.file.rpartition("/")[2]
        counts[program] = counts.get(program, 0) + 1
        newest[program] = row
    ranked = pick(RANKED_MAX, [(n, sign * newest[program].sequence, newest[program]) for program, n in counts.items()])
    return Ranking([row for _, _, row in ranked], {row.sequence: n for n, _, row in ranked})


class RankedView(View[ExecRow]):
    """Rows as they were ranked last. Their positions are those of the ranking."""

    in_time_order = False

    def __init__(self, ring: Ring[ExecRow]) -> None:
        super().__init__(ring)
        self._ranking = NOTHING
        self._positions: dict[int, int] = {}

    def show(self, ranking: Ranking) -> None:
        """Show *ranking* from now on."""
        self._ranking = ranking
        self._positions = {row.sequence: at for at, row in enumerate(ranking.rows)}

    def times(self, row: ExecRow) -> int:
        """Return for how many rows *row* stands; 0 if it stands for itself alone."""
        times = self._ranking.times.get(row.sequence, 0)
        return times if times > 1 else 0

    @property
    def first(self) -> int:
        return 0

    @property
    def end(self) -> int:
        return len(self._ranking.rows)

    def sequence(self, position: int) -> int:
        return self[position].sequence

    def position(self, sequence: int) -> int:
        return self._positions.get(sequence, 0)

    def find(self, row: ExecRow) -> int | None:
        return self._positions.get(row.sequence)

    def __getitem__(self, position: int) -> ExecRow:
        if not 0 <= position < self.end:
            raise IndexError(position)
        return self._ranking.rows[position]

    def rows(self) -> list[ExecRow]:
        return list(self._ranking.rows)
