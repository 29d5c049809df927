"""Help: what the focused pane shows, and everything else, in one text that can be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.ui.screens import help_text
from ebpftop.ui.screens.changed import ChangedScreen
from ebpftop.ui.screens.children import ChildrenScreen
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.programs import ProgramsScreen
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, TracedScreen, WaitingScreen
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.screens.waits import WaitsScreen
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.manual import ManualView, Section
from ebpftop.ui.widgets.search_bar import SearchBar
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self

SHEETS: tuple[type[LiveScreen], ...] = (
    SyscallScreen,
    WaitingScreen,
    TracedScreen,
    ProcessScreen,
    ChildrenScreen,
    TableScreen,
    WaitsScreen,
    ProgramsScreen,
    ChangedScreen,
)
"""The sheets that the help explains, in its order."""


class HelpScreen(ReadyScreen[None]):
    """All of the help, opened at what has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "step(1)", "Next", key_display="Tab", tooltip="To the next section", id="help.next"),
        Binding("shift+tab", "step(-1)", "Previous", show=False, tooltip="To the section before", id="help.previous"),
        Binding("slash", "search", "Search", key_display="/", tooltip="Find a word", id="help.search"),
        Binding("n", "match(1)", "Next match", show=False, tooltip="To the next match", id="match.next"),
        Binding("N", "match(-1)", "Previous match", show=False, tooltip="To the one before", id="match.previous"),
        Binding(
            "escape,h,question_mark,f1", "back", "Back", key_display="Esc", tooltip="Close the help", id="help.back"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sections: tuple[Section, ...] = ()
        self._key = ""

    def fill(self, key: str = "") -> Self:
        """Show the help, beginning at the section *key*, when this screen is pushed the next time."""
        main = self.app.screen_stack[0]
        assert isinstance(main, MainScreen)
        self._sections = help_text.sections(self.app, main.panes, map(self._sheet, SHEETS))
        self._key = key
        self.filled()
        return self

    def _sheet(self, kind: type[LiveScreen]) -> LiveScreen:
        """Return the open screen of *kind*, or one that is made."""
        opened = (screen for screen in self.app.screen_stack if isinstance(screen, kind))
        return next(opened, None) or ready(self.app, kind)

    def on_mount(self) -> None:
        if self.is_closed:
            # Laid out before it is asked for.
            self.call_later(self._fill_ahead)

    def _fill_ahead(self) -> None:
        if self.is_closed:
            self.fill()
            self.show_filled()
            self._refresh_layout(self.app.size)
            self._manual.lay_out()

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        self._manual = ManualView()
        yield self._manual
        self._bar = SearchBar()
        self._bar.display = False
        yield self._bar
        yield KeyLine()

    def show_filled(self) -> None:
        self._bar.close()
        self._manual.show(self._sections, self._key)
        self.set_focus(self._manual)
        self._entitle()

    @on(ManualView.Moved)
    def _entitle(self) -> None:
        if self._sections:
            number, sections = self._manual.place
            self._title.set_name(f"Help  {self._manual.section.title}  ({number} of {sections})")

    def action_step(self, sections: int) -> None:
        self._manual.step(sections)

    # Searching.

    def action_search(self) -> None:
        self._bar.open()

    def action_match(self, step: int) -> None:
        self._manual.go_to_match(step)

    @on(SearchBar.Changed)
    def _typed(self, event: SearchBar.Changed) -> None:
        event.stop()
        found = self._manual.search(event.text)
        self._bar.note(f"{found} found" if event.text else "", bad=bool(event.text) and not found)
        self._manual.go_to_match(0)

    @on(SearchBar.Done)
    def _typed_all(self, event: SearchBar.Done) -> None:
        event.stop()
        self._bar.close(keep=not event.cleared)
        self.set_focus(self._manual)

    def action_back(self) -> None:
        """Leave the search, or the help."""
        if self._manual.is_searched:
            self._bar.close()
            self._manual.search("")
        else:
            self.dismiss()
