"""Help: what the focused pane shows, and everything else, in one text that can be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from ebpftop.ui.screens import help_text
from ebpftop.ui.screens.changed import ChangedScreen
from ebpftop.ui.screens.children import ChildrenScreen
from ebpftop.ui.screens.fleet import FleetScreen
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.manual_screen import ManualScreen
from ebpftop.ui.screens.programs import ProgramsScreen
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.screens.syscall_lists import ProcessScreen, TracedScreen, WaitingScreen
from ebpftop.ui.screens.tail_call_table import TableScreen
from ebpftop.ui.screens.waits import WaitsScreen
from ebpftop.ui.screens.workbench import WorkbenchScreen

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
    WorkbenchScreen,
    ChangedScreen,
)
"""The sheets that the help explains, in its order."""


class HelpScreen(ManualScreen):
    """All of the help, opened at what has the focus."""

    label = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,h,question_mark,f1", "back", "Back", key_display="Esc", tooltip="Close the help", id="help.back"
        ),
    ]

    def fill(self, key: str = "") -> Self:
        """Show the help, beginning at the section *key*, when this screen is pushed the next time."""
        main = self.app.screen_stack[0]
        assert isinstance(main, MainScreen)
        # The list of hosts is only there if there are hosts.
        screens = (screen for stack in self.app._screen_stacks.values() for screen in stack)
        fleet = [one for one in screens if isinstance(one, FleetScreen)]
        self.sections = help_text.sections(self.app, main.panes, (*fleet, *map(self._sheet, SHEETS)))
        self.first = key
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
            self.manual.lay_out()
