"""Breaking the text of a cell into lines: after blanks, if that leaves lines at least half full."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from ebpftop.ui.widgets.columns import Cell, Span

_CHARACTERS = 8
"""Characters of a line at most, for each of its cells: some have no width, and a text may be nothing but these."""


def wrapped(cell: Cell, width: int) -> list[Cell]:
    """Return the lines of *cell*, each in at most *width* cells; at least one."""
    width = max(1, width)
    text = "".join(span.text for span in cell)
    if len(text) <= width and cell_len(text) <= width:
        return [cell]
    return list(_sliced(cell, _breaks(text, width)))


def _breaks(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Yield where each line starts and ends."""
    start = 0
    while start < len(text):
        end = _end_of(text, start, width)
        if end < len(text) and text[end] != " ":
            blank = text.rfind(" ", start + (end - start) // 2, end)
            end = blank if blank > start else end
        yield start, end
        # The blank is where the line ends; the text before it may end in more of them.
        start = end + 1 if end < len(text) and text[end] == " " else end


def _end_of(text: str, start: int, width: int) -> int:
    """Return where the line from *start* on ends, if it is as full as can be: at least one character on."""
    if text[start : start + width].isascii():
        return min(len(text), start + width)
    end, cells, limit = start, 0, min(len(text), start + _CHARACTERS * width)
    while end < limit:
        cells += cell_len(text[end])
        if cells > width:
            break
        end += 1
    # Some characters are wider together than alone.
    while end > start + 1 and cell_len(text[start:end]) > width:
        end -= 1
    return max(end, start + 1)


def _sliced(cell: Cell, lines: Iterator[tuple[int, int]]) -> Iterator[Cell]:
    """Yield the part of *cell* between each start and end; they come in their order."""
    spans = iter(cell)
    span, at = next(spans), 0
    for start, end in lines:
        line: list[Span] = []
        while True:
            ends = at + len(span.text)
            if part := span.text[max(0, start - at) : end - at]:
                line.append(Span(part, span.style))
            if ends >= end:
                break
            span, at = next(spans), ends
        yield line
