"""Where the panes of the workbench are: two beside two, or one at a time with tabs, or one alone."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from ebpftop.ui.panes.bench_pane import BenchPane
from ebpftop.ui.screens.feed_screen import FeedScreen
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.span_line import SpanLine

TABS_BELOW = Size(100, 20)
"""In a terminal that is smaller in one direction, one pane is shown, and tabs for the others."""

_GAP = 2


class BenchTabs(SpanLine):
    """The labels of the panes, if one of them is shown. A click chooses one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tabs--focus", "tabs--dim", "tabs--bad"}
    prefix = "tabs"

    class Chosen(Message):
        """A click on the tab of the pane with this number, from 0."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self) -> None:
        super().__init__()
        self._tabs: tuple[tuple[str, str], ...] = ()
        self._chosen = 0

    def show_tabs(self, tabs: tuple[tuple[str, str], ...], chosen: int) -> None:
        """Show the labels, each with a figure."""
        if (tabs, chosen) != (self._tabs, self._chosen):
            self._tabs, self._chosen = tabs, chosen
            self.refresh()

    def _spans(self, at: int) -> list[Span]:
        label, figure = self._tabs[at]
        chosen = at == self._chosen
        bad = figure.startswith("✗")
        return [
            Span("▸" if chosen else " ", "focus"),
            Span(label, "focus" if chosen else ""),
            Span(f" {figure}" if figure else "", "bad" if bad else "dim"),
            Span(" " * _GAP),
        ]

    def render_line(self, y: int) -> Strip:
        spans = [span for at in range(len(self._tabs)) for span in self._spans(at)]
        return self.line_of(layout_cell(spans, self.size.width))

    def on_click(self, event: events.Click) -> None:
        end = 0
        for at in range(len(self._tabs)):
            end += sum(len(span.text) for span in self._spans(at))
            if event.x < end:
                self.post_message(self.Chosen(at))
                return


class BenchScreen(FeedScreen):
    """A screen of `panes` in `rows`. A subclass makes them, and `tabs`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Next pane", key_display="⇥", id="pane.next"),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False, id="pane.previous"),
        Binding("m", "maximise", "Max", show=False, tooltip="This pane alone, and back", id="pane.maximise"),
    ]

    panes: tuple[BenchPane, ...]
    rows: tuple[Horizontal, ...]
    tabs: BenchTabs

    def __init__(self) -> None:
        super().__init__()
        self.front = 0
        """The pane that has, or last had, the focus."""
        self._is_alone = False
        self._placed: tuple[bool, bool, list[int]] | None = None

    @property
    def is_tabbed(self) -> bool:
        """Whether there is room for one pane only."""
        size = self.app.size
        return size.width < TABS_BELOW.width or size.height < TABS_BELOW.height

    @property
    def pane(self) -> BenchPane:
        """The pane that has, or last had, the focus."""
        return self.panes[self.front]

    def place_panes(self) -> None:
        """Show the panes that there is room for."""
        if not self.is_available(self.front):
            self.front -= 1
            self.set_focus(self.pane.lines)
        one = self.is_tabbed or self._is_alone
        shown = [at for at in range(len(self.panes)) if self.is_available(at) and (not one or at == self.front)]
        placed = self.is_tabbed, one, shown
        if placed != self._placed:
            self._placed = placed
            self.tabs.display = self.is_tabbed
            self.set_class(one, "-one")
            for at, pane in enumerate(self.panes):
                pane.display = at in shown
                pane.is_below_tabs = self.is_tabbed
            for row in self.rows:
                panes = [pane for pane in self.panes if pane.display and pane in row.children]
                row.display = bool(panes)
                for pane in panes:
                    pane.set_class(pane is not panes[0], "-beside")
        self.show_tabs()

    def show_tabs(self) -> None:
        """Bring the tabs up to date."""
        if self.is_tabbed:
            offered = [at for at in range(len(self.panes)) if self.is_available(at)]
            tabs = tuple((self.panes[at].label, self.figure_of(self.panes[at])) for at in offered)
            self.tabs.show_tabs(tabs, offered.index(self.front))

    def is_available(self, at: int) -> bool:
        """Return whether there is something to show in a pane, and room for it."""
        return True

    def figure_of(self, pane: BenchPane) -> str:
        """Return what stands behind the label of a tab."""
        return ""

    def begin_panes(self) -> None:
        """Begin with the first pane, and all of them."""
        self._is_alone, self.front, self._placed = False, 0, None
        self.place_panes()
        self.set_focus(self.pane.lines)

    def go_to_pane(self, at: int) -> None:
        """Give a pane the focus, and room if it has none."""
        self.front = at
        self.place_panes()
        self.set_focus(self.pane.lines)

    def action_pane(self, step: int) -> None:
        offered = [at for at in range(len(self.panes)) if self.is_available(at)]
        self.go_to_pane(offered[(offered.index(self.front) + step) % len(offered)])

    def action_maximise(self) -> None:
        self._is_alone = not self._is_alone
        self.place_panes()
        self.set_focus(self.pane.lines)

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        for at, pane in enumerate(self.panes):
            is_in = self.focused is not None and pane in self.focused.ancestors
            if is_in and at != self.front and self.is_available(at):
                self.front = at
                self.place_panes()

    @on(BenchTabs.Chosen)
    def _tab_chosen(self, event: BenchTabs.Chosen) -> None:
        event.stop()
        offered = [at for at in range(len(self.panes)) if self.is_available(at)]
        self.go_to_pane(offered[event.number])

    def _of_lines(self, lines: RowView[Any]) -> BenchPane | None:
        return next((pane for pane in self.panes if pane.lines is lines), None)
