"""The app: a source on a screen."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

# Twice the default halves what a key waits for its frame, at the same load (measured); read when Textual is imported.
os.environ.setdefault("TEXTUAL_FPS", "120")

# isort: split
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from ebpftop.filters import Filter
from ebpftop.screens.diagnostics import diagnostics
from ebpftop.screens.help import help_sheet
from ebpftop.screens.main import WIDTHS, MainScreen
from ebpftop.screens.sheets import SheetScreen
from ebpftop.source import Source
from ebpftop.themes import THEMES, fitting_theme, shades

log = logging.getLogger("ebpftop")

# How long restoring a terminal may take after SIGTERM or SIGHUP.
_GRACE_S = 2.0


class _Journal(logging.Handler):
    """Keeps what was logged for the diagnostics screen."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self.lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.extend(self.format(record).splitlines())


class EbpftopApp(App[int]):
    """Shows what a source yields. Knows neither kernel nor recording."""

    CSS_PATH = "app.tcss"
    TITLE = "ebpftop"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "Help", key_display="?", tooltip="All keys", id="help"),
        Binding(
            "D",
            "diagnostics",
            "Diagnostics",
            show=False,
            tooltip="What each probe tried, what BCC printed",
            id="diagnostics",
        ),
        Binding("q", "quit", "Quit", tooltip="Detach everything and leave", id="quit"),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, system=True, id="interrupt"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        interval_s: float = 1.0,
        log_path: Path | None = None,
        given: Filter | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.interval_s = interval_s
        self.given = given
        self.log_path = log_path
        self.ended = threading.Event()
        self.journal: deque[str] = deque(maxlen=500)
        self._handlers_before: dict[int, Any] = {}
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = fitting_theme(os.environ)

    def get_css_variables(self) -> dict[str, str]:
        variables = super().get_css_variables()
        return {**variables, **shades(variables)}

    def get_default_screen(self) -> MainScreen:
        screen = MainScreen(self.source, self.interval_s, self.given)
        # Known already, so that the styles of the whole screen are worked out once and not twice.
        fitting = [name for width, name in WIDTHS or () if self.size.width >= width]
        screen.set_classes([*screen.classes, *fitting[-1:]])
        return screen

    def on_mount(self) -> None:
        # Asked to end from outside, or the terminal is gone: detach and restore it as q does.
        # Not by the event loop's own handlers: it may be waiting for a terminal that takes nothing any more.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers_before[number] = signal.signal(number, lambda *_: self._end(loop))
        self._journal = _Journal(self.journal)
        log.addHandler(self._journal)
        # What start-up left will live as long as the app: no collection needs to look at it again.
        self.call_after_refresh(gc.freeze)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        threading.Thread(target=self._end_anyway, name="end-anyway", daemon=True).start()
        loop.call_soon_threadsafe(self.exit, 0)

    def _end_anyway(self) -> None:
        """Leave nothing in the kernel where the terminal cannot be restored.

        Textual's queue to a terminal that is gone, or that nobody reads, is full after 30 writes, and then all of it
        waits for ever. A terminal that hangs up also sends SIGCONT, on which Textual begins to write anew.
        """
        if not self.ended.wait(_GRACE_S):
            self.source.close()
            os._exit(0)

    def on_unmount(self) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        log.removeHandler(self._journal)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield SystemCommand(
            "Diagnostics", "What each probe tried, and what BCC and clang printed", self.action_diagnostics
        )
        main = self.main
        for pane in main.panes:
            yield SystemCommand(f"Probe {pane.probe}", f"{pane.label}: turn its probe on or off", pane.turn)
        yield SystemCommand("Save", "Everything that is kept, as a recording", lambda: main.action_save("recording"))
        yield SystemCommand("Export as CSV", f"The rows of {main.pane.label}", lambda: main.action_save("csv"))
        yield SystemCommand("Export as JSON", f"The rows of {main.pane.label}", lambda: main.action_save("json"))
        if main.player is not None:
            yield SystemCommand("Faster", "Play the recording faster", lambda: main.change_speed(1))
            yield SystemCommand("Slower", "Play the recording slower", lambda: main.change_speed(-1))
        yield SystemCommand("Back to live", "Or to where the recording plays", main.action_present)
        yield SystemCommand("Pause", "Freeze what is shown, or go on", main.action_pause)

    @property
    def main(self) -> MainScreen:
        """The screen below all others."""
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def action_help(self) -> None:
        self.push_screen(SheetScreen(help_sheet(self)))

    def action_diagnostics(self) -> None:
        overview = self.main.overview
        self.push_screen(SheetScreen(diagnostics(overview.probes, self.log_path, self.journal)))

    def action_interrupt(self) -> None:
        self.exit(130, return_code=130)


def run(source: Source, *, interval: float = 1.0, log_path: Path | None = None, given: Filter | None = None) -> int:
    """Show *source* until the user leaves; close it; return the exit status.

    *interval* is in seconds; *log_path* is the file that BCC, clang and libbpf write to, for the diagnostics screen;
    *given* the filter that is in force already.
    """
    app = EbpftopApp(source, interval_s=interval, log_path=log_path, given=given)
    try:
        status = app.run()
    finally:
        app.ended.set()
        source.close()
    return status if status is not None else app.return_code or 0
