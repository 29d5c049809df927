"""What may be typed to filter what changed: the fields of its rows."""

from __future__ import annotations

import math

from ebpftop.filters.kinds import AnyOf, Choice, Number, Text, share
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.changed_rows import Row

MOVES = {"+": "new", "-": "gone", "up": "more", "down": "less", "same": "same"}
"""What a mark means, in a word."""


def _times(row: Row, _: float) -> float | None:
    if row.factor is None:  # it is in one of the two only
        return math.inf if row.mark in ("+", "-") else None
    return max(row.factor, 1 / row.factor)


CHANGED: Language[Row] = Language(
    (
        Field("what", AnyOf(Text(hint="errno or p99")), lambda r, _: (r.what,), "what it counts"),
        text_field("name", lambda r: r.name),
        Field("move", Choice(tuple(MOVES.values())), lambda r, _: MOVES[r.mark], "how it moved"),
        Field("times", Number(hint=">2"), _times, "by how much it moved, up or down; new and gone: beyond all"),
        Field("sure", Number(hint=">2"), lambda r, _: r.at_least, "by how much it moved at least"),
        Field("share", share(), lambda r, _: r.share, "of all of its kind"),
        text_field("program", lambda r: r.program),
        text_field("user", lambda r: r.user),
        text_field("unit", lambda r: r.unit),
        text_field("call", lambda r: r.call),
        text_field("error", lambda r: r.error),
    ),
    lambda r: f"{r.what} {r.name}",
    lambda r: r.name,
)
