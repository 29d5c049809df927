"""What was lost, in words: of each kind how much, when last, what it means and what helps."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from functools import partial

from ebpftop.core import format
from ebpftop.core.clock import time_text
from ebpftop.core.records import Fullest, ProbeName, Where
from ebpftop.models.overview import Overview
from ebpftop.ui.widgets.sheet import Details, Piece, Sheet
from ebpftop.ui.words import LOSSES

_HEAD = f"{'WHERE':<10}{'COUNT':>7} {'LAST':<9}"
_BAR_CELLS = 6
_TEXT_CELLS = range(24, 80)
"""How wide the sentences are, as far as the screen has room."""

RECENT_S = 5.0


LOST = "Lost"
"""The title of the sheet."""


def losses(overview: Callable[[], Overview]) -> Details:
    """Build the sheet of all kinds of loss; what was lost comes first."""
    return Details(
        title=LOST,
        sheet=lambda: _sheet(overview()),
    )


def _sheet(overview: Overview) -> Sheet:
    sheet = Sheet()
    total = overview.total_lost
    if not total:
        sheet.line(("Nothing was lost: what is shown is all that happened.", "$success"))
    else:
        newest = max(overview.lost_last.values(), default=0.0)
        now = overview.time - newest < RECENT_S
        sheet.line(
            (f"{total:,} lost in all", "$warning bold"),
            (" · still going on" if now else f" · nothing since {_time(newest)}", "$warning" if now else "$dim"),
            (" · delivered + lost = what happened", "$dim"),
        )
    sheet.line(("", ""))
    sheet.line((f"{_HEAD}WHAT IT MEANS, WHAT HELPS", "$dim bold"))
    kinds = overview.lost_by_kind()
    for where in sorted(kinds, key=lambda kind: -sum(kinds[kind].values())):
        sheet.laid_out(partial(_kind, overview, where, kinds[where]))
    return sheet


def _kind(overview: Overview, where: Where, probes: Mapping[ProbeName, int], width: int) -> list[list[Piece]]:
    """Return what is said of one kind of loss, in *width* cells."""
    count = sum(probes.values())
    loss = LOSSES[where]
    cells = min(max(width - len(_HEAD), _TEXT_CELLS.start), _TEXT_CELLS.stop)
    texts = [*textwrap.wrap(loss.missing, cells), *textwrap.wrap(f"Helps: {loss.helps}", cells)]
    if len(probes) > 1 or (probes and len(overview.lost) > 1):
        texts.insert(0, "of " + ", ".join(f"{probe}: {n:,}" for probe, n in probes.items()))
    if where == "ring" and overview.fullest:
        texts += ["How full the buffer was at most:", *(_fullest(one) for one in overview.fullest.values())]
    last = _time(overview.lost_last[where]) if where in overview.lost_last else "–"
    head = f"{where:<10}{format.count(count) if count else '·':>7} {last if count else '–':<9}"
    lines: list[list[Piece]] = []
    for i, text in enumerate(texts):
        before = (head, "$warning bold" if count else "$dim") if i == 0 else (" " * len(head), "")
        lines.append([before, (text, "" if count else "$dim")])
    return lines


def _fullest(buffer: Fullest) -> str:
    """Return how full a buffer was at most, as a line."""
    filled = format.bar(buffer.share, _BAR_CELLS).ljust(_BAR_CELLS, "─")
    return f"{buffer.probe:<8} {filled} {format.share(buffer.share):>5} at {_time(buffer.time)}"


def _time(time: float) -> str:
    return time_text(time)
