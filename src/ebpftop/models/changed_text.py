"""What changed between two spans, as cells of a table and as lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from ebpftop.core import format
from ebpftop.core.clock import day, whole_text
from ebpftop.models.changed_rows import MOVED, Changed, Row, Span

MARKS = {"+": "+", "-": "-", "up": "↑", "down": "↓", "same": "="}

FEW_MAX = 20
"""Rows of what is not sure that are printed."""

BAR_CELLS = 5
_BAR_FULL = 1024.0
"""A bar is full if it moved by so much, and for what appeared or vanished."""

_TIMES = ("p50", "p90", "p99", "mean")
_LEAST_NAME = 12
_WHOLE = 100_000
"""Values below it are written as they are."""


def is_time(row: Row) -> bool:
    """Whether the figures of a row are times, not rates."""
    return row.what in _TIMES


def figure_text(row: Row, value: float | None) -> str:
    """Return a figure of a row in at most seven characters: 2.3ms, 0.4/s, 3.1/m, of a value 12k; nothing is a dot."""
    if value is None:
        return "·"
    if row.what == "value":
        sign, value = ("-", -value) if value < 0 else ("", value)
        return sign + (f"{value:.0f}" if value.is_integer() and value < _WHOLE else format.brief(value))
    return format.nanoseconds(value) if is_time(row) else rate_text(value)


def rate_text(rate: float) -> str:
    """Return a rate; what is rare, by the minute or the hour.

    >>> [rate_text(rate) for rate in (0, 4.2, 0.4, 0.02, 0.0004)]
    ['·', '4.2/s', '0.4/s', '1.2/m', '1.4/h']
    """
    for unit, seconds in (("s", 1), ("m", 60), ("h", 3600)):
        if rate * seconds >= 0.0995 or unit == "h":
            return f"{format.brief(rate * seconds)}/{unit}" if rate > 0 else "·"
    raise AssertionError


def times_text(row: Row) -> str:
    """Return by how much a row moved: ×19, ÷4.2; new or gone, with a question mark if that is not sure."""
    if row.factor is None:
        text = {"+": "new", "-": "gone"}.get(row.mark, "·")
        return text if row.mark == "same" or row.at_least >= MOVED else f"{text}?"
    sign, factor = ("×", row.factor) if row.factor >= 1 else ("÷", 1 / row.factor)
    return f"{sign}{format.brief(factor)}"


def bar_share(row: Row) -> float:
    """Return how long the bar of a row is, 0 to 1: by what it moved at least, on a logarithmic scale."""
    return 1.0 if row.factor is None and row.at_least > 1 else min(1.0, math.log(row.at_least) / math.log(_BAR_FULL))


def line_of(row: Row) -> str:
    """Return a row as one line, for a ticket."""
    before, after = figure_text(row, row.before), figure_text(row, row.after)
    return f"{MARKS[row.mark]} {row.what} {row.name}: {before} → {after} ({times_text(row)})"


def span_text(span: Span) -> str:
    """Return when a span was: 27 Nov 22:40:00-22:44:00 UTC (4m00s)."""
    length = format.duration(span.end - span.begin)
    end = whole_text(span.end, date=day(int(span.end)) != day(int(span.begin)))
    return f"{whole_text(span.begin).rpartition(' ')[0]}–{end} ({length})"


def lines(changed: Changed, width: int) -> Iterator[str]:
    """Yield the lines of the table, without line breaks, none longer than *width*."""
    for letter, span in (("A", changed.a), ("B", changed.b)):
        yield _cut(f"{letter}  {span.name}  {span_text(span)}", width)
    yield _cut(_totals(changed), width)
    for note in changed.notes:
        yield from _folded(f"! {note}", width)
    yield ""
    yield from _table(changed.rows, width)
    if not changed.rows:
        yield "  nothing moved by more than chance"
    if changed.few:
        yield ""
        yield _cut("In one of the two only, too rarely or at too few times to be sure:", width)
        yield from _table(changed.few[:FEW_MAX], width, head=False)
        if len(changed.few) > FEW_MAX:
            yield f"  and {len(changed.few) - FEW_MAX:,} more: --json has them"
    if changed.same:
        yield ""
        yield _cut(
            f"= {format.counted(len(changed.same), 'other', whole=True)} within 20 %, or too few to be sure", width
        )


def _totals(changed: Changed) -> str:
    parts = [
        f"{what} {_known(before)} → {_known(after)}"
        for what, before, after in (
            ("programs", changed.a.programs, changed.b.programs),
            ("calls", changed.a.calls, changed.b.calls),
            ("failed calls", changed.a.failed_calls, changed.b.failed_calls),
            ("events", changed.a.events, changed.b.events),
            ("runs", changed.a.runs, changed.b.runs),
        )
        if before is not None or after is not None
    ]
    return "per second: " + ", ".join(parts) if parts else "per second"


def _known(rate: float | None) -> str:
    return "?" if rate is None else format.brief(rate)


def _table(rows: Sequence[Row], width: int, *, head: bool = True) -> Iterator[str]:
    names = max(_LEAST_NAME, width - 2 - 8 - 1 - 8 - 1 - 8 - 1 - 7 - 1 - BAR_CELLS)
    longest = max([_LEAST_NAME, *(cell_len(row.name) for row in rows)])
    names = min(names, longest)
    if head and rows:
        yield _cut(f"  {'WHAT':<8}{'NAME':<{names}} {'BEFORE':>8} {'AFTER':>8} {'TIMES':>7}", width)
    for row in rows:
        before, after = figure_text(row, row.before), figure_text(row, row.after)
        bar = "█" * max(1, round(bar_share(row) * BAR_CELLS)) if head else ""
        line = f"{MARKS[row.mark]} {row.what:<8}{_fitted(row.name, names)} {before:>8} {after:>8} {times_text(row):>7}"
        yield _cut(f"{line} {bar}".rstrip(), width)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, max(0, width - 1))}…"


def _fitted(text: str, width: int) -> str:
    return set_cell_size(_cut(text, width), width)


def _folded(text: str, width: int) -> Iterator[str]:
    while len(text) > width:
        at = text.rfind(" ", 3, width)
        at = width if at < 0 else at
        yield text[:at]
        text = f"  {text[at:].lstrip()}"
    yield text
