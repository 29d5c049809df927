"""The app: a source on a screen."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

# The first import: Textual reads its settings when it is imported.
import ebpftop.ui.textual_fixes.settings  # noqa: F401

# isort: split
from rich.console import RenderableType
from textual.binding import Binding
from textual.command import Provider

from ebpftop.core.glyphs import Glyphs, key_name
from ebpftop.core.source import Source
from ebpftop.filters.spec import Filter
from ebpftop.lifecycle import malloc, stdio
from ebpftop.lifecycle.attended import AttendedCommand
from ebpftop.lifecycle.priority import keep_lock, stand_back
from ebpftop.lifecycle.process import INTERRUPTED, process
from ebpftop.probes.registry import registry
from ebpftop.settings.rows import CONFIRM, MOUSE
from ebpftop.settings.store import Settings
from ebpftop.ui.panes.output import OutputPane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.app_keys import AppKeys
from ebpftop.ui.screens.journal import Journal
from ebpftop.ui.screens.kept import KeptSettings
from ebpftop.ui.screens.key_places import KeyPlacesApp
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.notices import NoticeApp
from ebpftop.ui.screens.ready import prepare, ready
from ebpftop.ui.screens.watching import WatchOptions
from ebpftop.ui.textual_fixes import corrections
from ebpftop.ui.textual_fixes.app_errors import SurvivingApp
from ebpftop.ui.textual_fixes.key_order import OrderedKeysApp
from ebpftop.ui.textual_fixes.key_parser import BackgroundReported
from ebpftop.ui.textual_fixes.terminal_driver import TerminalDriver
from ebpftop.ui.themes import is_light_colour

if TYPE_CHECKING:
    from ebpftop.ui.screens.leaving import Choice

log = logging.getLogger("ebpftop")

corrections.install()

# Each pane has one as long as the screen exists; the others attach, filter, save and seek.
_THREADS = 16

_PREPARE_AFTER_S = 0.5
"""Seconds after the first frame, which nothing may delay."""

COLLECT_EVERY = 50_000
"""Objects that are made, and not freed by their reference counts, between two garbage collections. Python's 700 are
reached by each reading of many counters. Its rows looked as if they would live long, and every few seconds all rows of
all logs were searched for garbage, 60 ms at a time. Of real garbage Textual makes some hundred objects a second."""

_GIVE_BACK_EVERY_S = 10.0
"""Seconds after which memory that a burst of events needed for a moment is given back."""

_PROBLEM_S = 15.0
"""Seconds for which a notice of a wrong setting is shown: it names a line to be looked up."""


def _commands() -> type[Provider]:
    from ebpftop.ui.screens.palette import Commands

    return Commands


class EbpftopApp(KeyPlacesApp, OrderedKeysApp, SurvivingApp, AppKeys, NoticeApp):
    """Shows the records of a source. Knows neither kernel nor recording."""

    COMMANDS: ClassVar[set[Callable[[], type[Provider]]]] = {_commands}  # type: ignore[assignment]
    CSS_PATH = "app.tcss"
    TITLE = "ebpftop"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_DISPLAY = "^P"
    MOVES = frozenset(
        {
            "move",
            "page",
            "top",
            "bottom",
            "scroll_left",
            "scroll_right",
            "slide",
            "follow",
            "pane",
            "seek",
            "present",
            "pause",
        }
    )

    def __init__(
        self,
        source: Source,
        *,
        interval_s: float = 1.0,
        log_path: Path | None = None,
        initial_filter: Filter | None = None,
        notes: tuple[str, ...] = (),
        unread: Callable[[], Iterable[str]] = tuple,
        watch_options: WatchOptions | None = None,
        settings: Settings | None = None,
        command: AttendedCommand | None = None,
        workbench: bool = False,
    ) -> None:
        """*workbench*: begin with the file that the source runs, or that was recorded."""
        super().__init__(driver_class=TerminalDriver)
        self.source = source
        self.interval_s = interval_s
        self.initial_filter = initial_filter
        self.watch_options = watch_options
        self.command = command
        """The command that the screen is about, if it is about one."""
        self.begins_with_workbench = workbench
        self.notes = notes
        self._unread = unread
        self.log_path = log_path
        self.palette_uses: Counter[str] = Counter()
        """How often each command of the palette was run."""
        self.journal: deque[str] = deque(maxlen=500)
        self._journal = Journal(self.journal)
        self._share_lock: Callable[[], None] = lambda: None
        self.main_screen: MainScreen | None = None
        self._problems_reported = 0
        self.crash: Exception | None = None
        """The exception that ended the app, if any."""
        self.kept = KeptSettings(self, Settings() if settings is None else settings, lambda: self.main)
        self.kept.start()

    def get_default_screen(self) -> MainScreen:
        screen = MainScreen(self.source, self.interval_s, self.initial_filter, self.watch_options)
        screen.lists_made = self.kept.arrange
        screen.begins_with_workbench = self.begins_with_workbench
        screen.probes.asks_first = lambda: self.kept.settings[CONFIRM]
        self.main_screen = screen
        if self.command is not None:
            self.command.notify = lambda text: screen.post(lambda: screen.notify_of(text))
            for pane in screen.panes:
                if isinstance(pane, OutputPane):
                    pane.sized = self.command.started.set_size
        return screen

    def on_mount(self) -> None:
        threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="work", initializer=stand_back)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(threads)
        self._share_lock = keep_lock(loop)
        log.addHandler(self._journal)
        for note in self.notes:
            self.notify(note, severity="warning")
        self.call_after_refresh(self._report_settings)
        self.call_after_refresh(self._collect)
        self.set_timer(_PREPARE_AFTER_S, self._prepare)
        self.set_interval(_GIVE_BACK_EVERY_S, self._now_and_then)

    def _now_and_then(self) -> None:
        malloc.give_back()
        self.kept.now_and_then()

    def _report_settings(self) -> None:
        """Say what is wrong in the settings, once; end if they were named on the command line, as other commands do."""
        if self.kept.settings.is_refused:
            self.exit(2, return_code=2)
            return
        for problem in self.kept.settings.problems[self._problems_reported :]:
            self.notify(str(problem), title="Settings", severity="warning", timeout=_PROBLEM_S, markup=False)
        self._problems_reported = len(self.kept.settings.problems)

    def _prepare(self) -> None:
        """Import and make the screens that a key opens."""
        from ebpftop.ui.screens.opened import MADE_IN_ADVANCE

        prepare(self, MADE_IN_ADVANCE)
        self.kept.check_keys()
        self._report_settings()

    def _collect(self) -> None:
        """Begin to collect garbage (`__main__`), but not among what was made so far: it lives as long as the app."""
        gc.freeze()
        gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
        gc.enable()

    def on_unmount(self) -> None:
        self._share_lock()
        log.removeHandler(self._journal)

    async def action_quit(self) -> None:
        """Leave: with the status of the command, if the screen is about one. If that runs, ask what becomes of it."""
        command = self.command
        if command is None:
            self.exit()
        elif not command.is_running:
            self.exit(command.status, return_code=command.status)
        else:
            from ebpftop.ui.screens.leaving import LeaveScreen

            self.push_screen(ready(self, LeaveScreen).fill(command), self._leave)

    def _leave(self, choice: Choice | None) -> None:
        assert self.command is not None
        if choice == "leave":
            self.exit()
        elif choice is not None:
            self.command.end(kill=choice == "kill")

    def end(self) -> None:
        """Quit, on request of a signal or another thread."""
        loop = self._loop
        if loop is None:
            process.leave(process.asked or 0)
        loop.call_soon_threadsafe(self.exit, process.asked)

    def exit(self, result: int | None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        super().exit(result, return_code, message)
        if self._screen_stack:
            self.kept.notice()
            self.main.end_collecting()
        process.ask_to_end(return_code or result or 0)  # nothing may delay the end by more than two seconds

    def _fatal_error(self) -> None:
        # Textual draws a traceback; here `run` raises the error, and the log of the crash gets it.
        self._note_crash()
        self._close_messages_no_wait()

    def panic(self, *renderables: RenderableType) -> None:
        self._fatal_error()

    def _note_crash(self) -> None:
        # Errors while the screen closes on request are a consequence of closing.
        if process.asked is None and self._exception is not None:
            self.crash = self._exception
            process.crashed(self.crash)
        process.ask_to_end(1)

    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()

    def on_background_reported(self, event: BackgroundReported) -> None:
        event.stop()
        self.background_known(light=is_light_colour(event.colour))

    @property
    def glyphs(self) -> Glyphs:
        """The signs that the terminal can show."""
        return self.kept.glyphs

    def get_key_display(self, binding: Binding) -> str:
        return key_name(super().get_key_display(binding), self.glyphs)

    def action_interrupt(self) -> None:
        if self.command is not None:
            process.interrupt()
        else:
            self.exit(INTERRUPTED, return_code=INTERRUPTED)


def run(
    source: Source,
    *,
    interval: float = 1.0,
    log_path: Path | None = None,
    initial_filter: Filter | None = None,
    notes: tuple[str, ...] = (),
    unread: Callable[[], Iterable[str]] = tuple,
    watch_options: WatchOptions | None = None,
    settings: Settings | None = None,
    command: AttendedCommand | None = None,
    workbench: bool = False,
) -> int:
    """Show *source* until the user leaves; close it; return the exit status.

    *interval* is in seconds; *log_path* is the file that BCC, clang and libbpf write to, for the diagnostics screen;
    *given* is the filter that the source applies already, *notes* are shown at the start, *unread* returns what
    cannot be read of a recording. *watch_options* are what to look out for, *settings* those of the user. *command* is
    what the screen is about: it leaves with the status of that. *workbench*: begin with the file that was recorded.
    """
    disabled = map(str, (*registry().disabled, *panes().disabled))
    notes = tuple(dict.fromkeys((*notes, *disabled)))
    app = EbpftopApp(
        source,
        interval_s=interval,
        log_path=log_path,
        initial_filter=initial_filter,
        notes=notes,
        unread=unread,
        watch_options=watch_options,
        settings=settings,
        command=command,
        workbench=workbench,
    )
    return run_app(app)


def run_app(app: EbpftopApp) -> int:
    """Run *app* until the user leaves; close its source; return the exit status."""
    process.end_by(app.end)
    try:
        status = app.run(mouse=app.kept.settings[MOUSE])
    except Exception:  # whatever Textual raises when the terminal disappears
        # Closing what was half open may fail too, but that did not end the app.
        if app.crash is None and process.asked is None:
            raise
        status = None
    finally:
        app.source.close()
    if app.main_screen is not None:
        app.main_screen.watching.finish()
    if app.crash is not None:
        raise app.crash
    if app.kept.settings.is_named:
        for problem in app.kept.settings.problems:
            stdio.report(str(problem))
    if trouble := app.kept.settings.save():
        stdio.report(trouble)
    return status if status is not None else app.return_code or 0
