"""A sheet of labelled facts, as details and diagnostics show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from textual.content import Content

from ebpftop.filters.stack import FilterLevel
from ebpftop.models.seccomp import CallsSeen
from ebpftop.models.subject import Subject
from ebpftop.ui.widgets.columns import Span

LABEL_WIDTH = 14
PART_WIDTH = 9
"""Cells of the label of a part."""

WIDTH = 78
"""Cells that a sheet is laid out in if it is not known how many there are."""

Piece = tuple[str, str]
"""A text, and its style."""


class Sheet:
    """Lines of text, built one fact at a time. Nothing in them is read as markup."""

    def __init__(self) -> None:
        self._lines: list[Content | Callable[[int], Content]] = []

    def heading(self, text: str) -> None:
        if self._lines:
            self._lines.append(Content(""))
        self._lines.append(Content.styled(text, "$primary bold"))

    def fact(self, label: str, value: object, style: str = "", note: str = "") -> None:
        """One labelled value; nothing if the value is None or empty."""
        if value is None or value == "":
            return
        parts = [(f"{label:<{LABEL_WIDTH}} ", "$dim"), (str(value), style)]
        if note:
            parts.append((f"  {note}", "$dim"))
        self._lines.append(Content.assemble(*parts))

    def line(self, *parts: tuple[str, str]) -> None:
        """A line of pieces of text, each with its style."""
        self._lines.append(Content.assemble(*parts))

    def gap(self) -> None:
        """An empty line, if there is anything above it."""
        if self._lines:
            self._lines.append(Content(""))

    def part(self, label: str, *items: Sequence[Piece], apart: str = " · ") -> None:
        """Items side by side behind a label, on as many lines as they need; nothing if there are none."""
        contents = [Content.assemble(*item) for item in items if any(text for text, _ in item)]
        if contents:
            self._lines.append(lambda width: _part(label, contents, apart, width))

    def laid_out(self, lay_out: Callable[[int], Sequence[Sequence[Piece]]]) -> None:
        """Lines that *lay_out* returns for a width."""
        self._lines.append(lambda width: Content("\n").join(Content.assemble(*line) for line in lay_out(width)))

    def content(self, width: int = WIDTH) -> Content:
        """Return all of it, laid out in *width* cells."""
        return Content("\n").join(line if isinstance(line, Content) else line(width) for line in self._lines)


def _part(label: str, items: Sequence[Content], apart: str, width: int) -> Content:
    room = max(1, width - PART_WIDTH - 1)
    lines = [Content("")]
    for item in items:
        joined = lines[-1] + Content.styled(apart, "$dim") + item if lines[-1] else item
        if joined.cell_length <= room:
            lines[-1] = joined
        else:
            lines[len(lines) - (not lines[-1]) :] = item.wrap(room)
    head = Content.styled(f"{label:<{PART_WIDTH}} ", "$dim")
    indent = Content(" " * (PART_WIDTH + 1))
    return Content("\n").join([head + lines[0], *(indent + line for line in lines[1:])])


@dataclass(frozen=True)
class Details:
    """What Enter opens: a title, a sheet that is rebuilt while it is open; what `y` copies in the list.

    `narrows` returns what it can filter to, called `narrows_what`, or None if that has ended meanwhile. `subject`: what
    it is about, and can go on from, unless to the `place` that it is itself. `when`: the time of it, if it has one.
    `finds`: what finds it in the exec log, and in the list of system calls, if the kernel cannot filter to it; that is
    called `narrows_what` too. `calls_seen` returns the system calls that were seen of it, None if they are not known.
    `headline`: what the line on top says in place of the title, as long as it is open.
    """

    title: str
    sheet: Callable[[], Sheet]
    copies: str = ""
    copies_what: str = ""
    narrows: Callable[[], FilterLevel | None] | None = None
    narrows_what: str = ""
    finds: tuple[str, str] | None = None
    calls_seen: Callable[[], CallsSeen | None] | None = None
    subject: Subject | None = None
    place: str = ""
    when: str = ""
    headline: Callable[[], tuple[Span, ...]] | None = None


Beside: TypeAlias = Callable[[int], Details | None]
"""What returns the details of the next row (1) of a list, or of the one before (-1); None if there is none."""
