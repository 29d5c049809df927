"""The line of tabs above a pane that is alone because the terminal is small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine

_GAP = 2
_NOTHING = Span("")


@dataclass(frozen=True)
class Tab:
    """A pane by its number: its label, the mark of its probe if that is not on, a figure."""

    number: int
    label: str
    mark: Span | None = None
    count: Span = _NOTHING
    chosen: bool = False

    def spans(self) -> list[Span]:
        look = "focus" if self.chosen else ""
        return [
            Span("▸" if self.chosen else " ", "focus"),
            Span(str(self.number), "number"),
            self.mark or Span(""),
            Span(f" {self.label}" if self.label else "", look),
            Span(f" {self.count.text}" if self.count.text else "", self.count.style),
        ]

    @property
    def width(self) -> int:
        return sum(cell_len(span.text) for span in self.spans())


class TabsLine(SpanLine):
    """The tabs. A click chooses one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("tabs--focus", "tabs--number", "tabs--dim", "tabs--good", "tabs--warn", "tabs--bad"),
    }
    prefix = "tabs"

    class Chosen(Message):
        """A click on the tab of this number."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tabs: tuple[Tab, ...] = ()

    @property
    def tabs(self) -> tuple[Tab, ...]:
        return self._tabs

    @tabs.setter
    def tabs(self, tabs: tuple[Tab, ...]) -> None:
        if tabs != self._tabs:
            self._tabs = tabs
            self.refresh()

    def fitting(self, width: int) -> tuple[Tab, ...]:
        """Return the tabs as they fit into *width* cells: without figures, then without labels but the chosen one's."""
        if _width(self._tabs) <= width:
            return self._tabs
        plain = tuple(replace(tab, count=_NOTHING) for tab in self._tabs)
        if _width(plain) <= width:
            return plain
        return tuple(tab if tab.chosen else replace(tab, label="") for tab in plain)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        spans: list[Span] = []
        for at, tab in enumerate(self.fitting(width)):
            spans += [*([Span(" " * _GAP)] if at else []), *tab.spans()]
        return self.line_of(layout_cell(spans, width))

    def tab_at(self, x: int) -> Tab | None:
        """Return the tab at cell *x*."""
        end = 0
        for tab in self.fitting(self.size.width):
            start, end = end, end + tab.width + _GAP
            if start <= x < end:
                return tab
        return None

    def on_click(self, event: events.Click) -> None:
        tab = self.tab_at(event.x)
        if tab is not None:
            self.post_message(self.Chosen(tab.number))


def _width(tabs: tuple[Tab, ...]) -> int:
    return sum(tab.width for tab in tabs) + _GAP * max(0, len(tabs) - 1)
