"""Text whose width terminals disagree about does not move what is beside it.

Rich counts no cell for a vowel sign of Devanagari and two for a hexagram; a terminal may count one for each. Then all
that is written behind such text on its line is in the wrong place, and a partial frame leaves it there. So the cells
for such text are erased before it is written, the cursor is placed again behind it, and what is there is written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.segment import Segment
from textual._compositor import LayoutUpdate
from textual.strip import Strip

_DOUBTFUL = re.compile(r"[\u0300-\u1fff\u2630-\u2637\u268a-\u268f\u2e80-\U0010ffff]")
"""Marks, all scripts but Latin, symbols and emoji: not what ebpftop itself writes."""


def is_doubtful(strip: Strip) -> bool:
    """Return whether terminals may disagree about the width of *strip*."""
    return any(_is_doubtful(text) for text, _, _ in strip)


def _is_doubtful(text: str) -> bool:
    return not text.isascii() and _DOUBTFUL.search(text) is not None


def written(spans: Iterable[tuple[int, int, Strip]], console: Console) -> Iterator[str]:
    """Yield *spans* (line, column, strip), in their order, as text for the terminal."""
    at = (-1, -1)
    for y, x, strip in spans:
        if at != (y, x):
            yield _move(y, x)
        if is_doubtful(strip):
            yield f"\x1b[{strip.cell_length}X"
            for start, part in _parts(strip):
                yield _move(y, x + start) + part.render(console)
            at = (-1, -1)
        else:
            yield strip.render(console)
            at = (y, x + strip.cell_length)


def _move(y: int, x: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def _parts(strip: Strip) -> Iterator[tuple[int, Strip]]:
    """Yield pieces of *strip* that end where a doubtful text does, and the column where each starts."""
    start = 0
    segments: list[Segment] = []
    for segment in strip:
        segments.append(segment)
        if _is_doubtful(segment.text):
            part = Strip(segments)
            yield start, part
            start += part.cell_length
            segments = []
    if segments:
        yield start, Strip(segments)


def _whole_frame(frame: LayoutUpdate, console: Console) -> str:
    return "".join(written(_placed(frame), console))


def _placed(frame: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, line in enumerate(frame.strips, frame.region.y):
        x = frame.region.x
        for strip in line:
            yield y, x, strip
            x += strip.cell_length


def install() -> None:
    """Write every whole frame in this way; partial ones are those of changed_spans."""
    LayoutUpdate.render_segments = _whole_frame  # type: ignore[assignment, method-assign]  # ours in its place
