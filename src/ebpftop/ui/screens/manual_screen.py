"""A screen that shows a text in sections, which can be searched: the help, and the pages of the lesson."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.manual import ManualView, Section
from ebpftop.ui.widgets.search_bar import SearchBar
from ebpftop.ui.widgets.sheet_title import SheetTitle


class ManualScreen(ReadyScreen[None]):
    """A subclass gives it the sections in `fill`, and has a binding of the action `back`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "step(1)", "Next", key_display="Tab", tooltip="To the next section", id="help.next"),
        Binding("shift+tab", "step(-1)", "Previous", show=False, tooltip="To the section before", id="help.previous"),
        Binding("slash", "search", "Search", key_display="/", tooltip="Find a word", id="help.search"),
        Binding("n", "match(1)", "Next match", show=False, tooltip="To the next match", id="match.next"),
        Binding("N", "match(-1)", "Previous match", show=False, tooltip="To the one before", id="match.previous"),
    ]

    label: str
    """The first word of its title."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: tuple[Section, ...] = ()
        self.first = ""
        """The key of the section that it is opened at."""

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        self.manual = ManualView()
        yield self.manual
        self._bar = SearchBar()
        self._bar.display = False
        yield self._bar
        yield KeyLine()

    def show_filled(self) -> None:
        self._bar.close()
        self.manual.show(self.sections, self.first)
        self.set_focus(self.manual)
        self._entitle()

    @on(ManualView.Moved)
    def _entitle(self) -> None:
        if self.sections:
            number, sections = self.manual.place
            self._title.set_name(f"{self.label}  {self.manual.section.title}  ({number} of {sections})")

    def action_step(self, sections: int) -> None:
        self.manual.step(sections)

    # Searching.

    def action_search(self) -> None:
        self._bar.open()

    def action_match(self, step: int) -> None:
        self.manual.go_to_match(step)

    @on(SearchBar.Changed)
    def _typed(self, event: SearchBar.Changed) -> None:
        event.stop()
        found = self.manual.search(event.text)
        self._bar.note(f"{found} found" if event.text else "", bad=bool(event.text) and not found)
        self.manual.go_to_match(0)

    @on(SearchBar.Done)
    def _typed_all(self, event: SearchBar.Done) -> None:
        event.stop()
        self._bar.close(keep=not event.cleared)
        self.set_focus(self.manual)

    def action_back(self) -> None:
        """Leave the search, or the screen."""
        if self.manual.is_searched:
            self._bar.close()
            self.manual.search("")
        else:
            self.dismiss()
