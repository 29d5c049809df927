"""A sheet of labelled facts, as details and diagnostics show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.content import Content

from ebpftop.filters.stack import FilterLevel
from ebpftop.models.subject import Subject

LABEL_WIDTH = 14


class Sheet:
    """Lines of text, built one fact at a time. Nothing in them is read as markup."""

    def __init__(self) -> None:
        self._lines: list[Content] = []

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

    def content(self) -> Content:
        return Content("\n").join(self._lines)


@dataclass(frozen=True)
class Details:
    """What Enter opens: a title, a sheet that is rebuilt while it is open; what `y` copies.

    `narrows` returns what it can filter to, called `narrows_what`, or None if that has ended meanwhile. `subject`: what
    it is about, and can go on from, unless to the `place` that it is itself. `when`: the time of it, if it has one.
    """

    title: str
    sheet: Callable[[], Sheet]
    copies: str = ""
    copies_what: str = ""
    narrows: Callable[[], FilterLevel | None] | None = None
    narrows_what: str = ""
    subject: Subject | None = None
    place: str = ""
    when: str = ""
