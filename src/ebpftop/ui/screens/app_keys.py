"""What the keys do that work on every screen: help, diagnostics, palette, and what the screen on top is about."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from ebpftop.core.escape import escape
from ebpftop.core.source import Source, SourceError
from ebpftop.models.subject import Subject
from ebpftop.ui.screens.applied_settings import SettableApp
from ebpftop.ui.screens.kept import KeptSettings
from ebpftop.ui.screens.key_actions import Command
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.textual_fixes.terminal_driver import TerminalDriver

# The palette in which a screenshot is requested is not part of the picture.
_PALETTE_GONE_S = 0.1


class AppKeys(SettableApp):
    """The keys of the app, which screens above the main one offer, too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,h,f1",
            "help",
            "Help",
            key_display="?",
            tooltip="What is shown, and every key",
            id="help",
        ),
        Binding(
            "exclamation_mark",
            "diagnostics",
            "Diagnostics",
            show=False,
            key_display="!",
            tooltip="What each probe tried, what BCC printed",
            id="diagnostics",
        ),
        Binding("X", "losses", "Lost", show=False, tooltip="What was lost, and what helps", id="losses"),
        Binding(
            "Y",
            "mouse",
            "Mouse",
            show=False,
            tooltip="Give the mouse to the terminal, which selects text with it; take it back",
            id="mouse",
        ),
        Binding("f2", "settings", "Settings", show=False, tooltip="Change settings, and keep them", id="settings"),
        Binding("q", "quit", "Quit", tooltip="Detach everything and leave", id="quit"),
        # The driver handles these two first, whatever has the focus.
        Binding("ctrl+c", "interrupt", "Quit from anywhere", show=False, system=True, id="interrupt"),
        Binding("ctrl+z", "suspend_process", "Suspend; fg in the shell returns", show=False, system=True, id="suspend"),
    ]

    source: Source
    kept: KeptSettings
    log_path: Path | None
    journal: deque[str]
    _unread: Callable[[], Iterable[str]]

    def commands(self) -> Iterator[Command]:
        """Yield what the palette offers."""
        from ebpftop.ui.screens.offered import offered

        yield from offered(self, self.main, self.kept, self._picture_soon)

    def action_command_palette(self) -> None:
        from ebpftop.ui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        from ebpftop.ui.screens.palette import Palette, ThemeChoices

        self.push_screen(Palette([ThemeChoices], placeholder="Search for themes…"))

    def _picture_soon(self) -> None:
        self.set_timer(_PALETTE_GONE_S, self._picture_screen)

    def _picture_screen(self) -> None:
        self._save_screenshot(self.export_screenshot(), self.main.source.header.host)

    @work(thread=True, group="screenshot", exit_on_error=False)
    def _save_screenshot(self, svg: str, host: str) -> None:
        from ebpftop.ui.screens.save_actions import save_screenshot

        try:
            said = save_screenshot(svg, host, time.time())
        except SourceError as error:
            self.call_from_thread(self.notify, str(error), severity="error")
        else:
            self.call_from_thread(self.notify, escape(said))

    @property
    def main(self) -> MainScreen:
        """The screen below all others."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def action_help(self) -> None:
        from ebpftop.ui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            on_top = type(self.screen).__name__ if self.screen is not self.main else self.main.pane.probe
            self.push_screen(ready(self, HelpScreen).fill(on_top))

    def action_toggle_probe(self, number: int) -> None:
        self.main.action_probe(next(pane.probe for pane in self.main.panes if pane.number == number))

    def action_tree(self) -> None:
        """Close what is open above the panes, and show its process in the tree."""
        self.main.going.tree(self._subject_on_top)

    def action_go_to(self) -> None:
        """Offer where to go to from what the screen on top is about."""
        self.main.going.ask(self._subject_on_top)

    def action_copy_as(self) -> None:
        """Offer what the screen on top is about as command lines."""
        if isinstance(self.screen, ReadyScreen):
            subject, title = self.screen.topic
            self.main.rows.copy_subject(subject, title, is_row=subject is not None)

    def action_watch(self) -> None:
        """Offer what can be watched for of what the screen on top is about."""
        if isinstance(self.screen, ReadyScreen):
            self.main.rows.watch_subject(self.screen.topic[0])

    def action_trace(self) -> None:
        """Ask which calls to trace of what the screen on top is about."""
        screen = self.screen
        self.main.tracing.ask(screen.traceable if isinstance(screen, ReadyScreen) else self._subject_on_top)

    def action_stop_tracing(self) -> None:
        self.main.tracing.stop_all()

    def action_undo_asked(self) -> None:
        self.main.tracing.undo()

    @property
    def _subject_on_top(self) -> Subject | None:
        screen = self.screen
        return screen.subject if isinstance(screen, (MainScreen, ReadyScreen)) else None

    def action_settings(self) -> None:
        from ebpftop.ui.screens.settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(ready(self, SettingsScreen).fill(self.kept))

    def _closes(self, title: str) -> bool:
        """Close the sheet on top if it has this title, as its key closes a screen; False if it is another one."""
        from ebpftop.ui.screens.details import SheetScreen

        screen = self.screen
        if not isinstance(screen, SheetScreen) or screen.details.title != title:
            return False
        screen.action_back()
        return True

    def action_diagnostics(self) -> None:
        from ebpftop.ui.screens.details import open_sheet
        from ebpftop.ui.screens.diagnostics import DIAGNOSTICS, diagnostics

        if self._closes(DIAGNOSTICS):
            return
        overview = self.main.playback.overview
        open_sheet(self, diagnostics(overview.probes, self.log_path, self.journal, self._unread))

    def action_losses(self) -> None:
        """Show what was lost, in words."""
        from ebpftop.ui.screens.details import open_sheet
        from ebpftop.ui.screens.losses import LOST, losses

        if self._closes(LOST):
            return
        open_sheet(self, losses(lambda: self.main.playback.overview))

    def action_mouse(self) -> None:
        driver = self._driver
        if isinstance(driver, TerminalDriver):
            driver.set_mouse(not driver.has_mouse)
            self.notify(
                "Clicks, the wheel and drags are ebpftop's again"
                if driver.has_mouse
                else "The mouse is the terminal's: drag selects text. The same key takes it back"
            )
