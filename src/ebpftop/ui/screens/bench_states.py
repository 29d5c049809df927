"""What the panes of the workbench say where they have nothing to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ebpftop.core.clock import time_text
from ebpftop.models.load import LoadModel
from ebpftop.models.load_maps import MapTable
from ebpftop.models.load_writes import nothing_yet
from ebpftop.ui.panes.load_output import PRINTED_NAME
from ebpftop.ui.screens import feed_screen
from ebpftop.ui.screens.bench_panes import BenchScreen
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.widgets.columns import Span

_HINTS = {
    "syscall:execve": "ls",
    "syscall:openat": "cat /etc/hostname",
    "syscall:mkdir": "mkdir /tmp/x",
    "syscall:kill": "kill -0 $$",
}
"""What makes a program run, by where it hangs."""


class Below(feed_screen.Below, Protocol):
    """What this screen asks of the main one, which is below it."""

    load: ProbeFeed

    def run_feeding(self, work: Callable[[], None]) -> None:
        """Run *work* in a thread."""

    def post(self, do: Callable[[], None]) -> None:
        """Have *do* called on the screen's thread."""


class BenchStates(BenchScreen):
    """The panes of a file that may be loaded, not yet, or never; that the main screen has."""

    log_name: str

    def __init__(self) -> None:
        super().__init__()
        self._main: Below

    @property
    def feed(self) -> ProbeFeed:
        return self._main.load

    @property
    def loaded_file(self) -> LoadModel:
        """The file at the moment that is shown."""
        model = self._main.load.model
        assert isinstance(model, LoadModel)
        return model

    @property
    def _is_live(self) -> bool:
        return self._main.source.live and not self._main.playback.piped

    @property
    def not_loaded_yet(self) -> str:
        """What the panes say of a moment before the program was loaded; empty if it was loaded, or never is."""
        playback = self._main.playback
        is_recorded = not self._is_live and self.feed.state(playback.overview) is not None
        if self.loaded_file.latest is not None or not (playback.is_past or is_recorded):
            return ""
        when = playback.moment_or_shown
        return f"The program was not loaded yet{f' at {time_text(when)}' if when else ''}"

    def message(self) -> list[Span]:
        """Return why there is no source."""
        if early := self.not_loaded_yet:
            on = "l: back to live" if self._is_live else "Space: play on" if self._main.playback.paused else ""
            return [Span(early, "strong"), Span(f". or ]: a second or a minute on{f'   {on}' if on else ''}", "dim")]
        if not self._is_live:
            return [
                Span("The recording has no program of your own so far. To record one:", "dim"),
                Span("ebpftop record FILE --load FILE.c", "strong"),
            ]
        if self.feed.is_available and (self.feed.doing or self.feed.trouble):
            return super().message()
        return [
            Span("No program of your own is loaded. This compiles one, runs it, and shows it here:", "dim"),
            Span("ebpftop load FILE.c", "strong"),
        ]

    def no_entry(self, table: MapTable | None) -> str:
        if table is None:
            return "it has no map with entries" if self.loaded_file.latest is not None else self.not_loaded_yet
        return nothing_yet(table)

    def no_output(self, model: LoadModel) -> list[Span]:
        if model.latest is None:
            return [Span(early, "dim")] if (early := self.not_loaded_yet) else []
        if not model.is_running:
            return [Span("nothing runs yet", "dim")]
        where = next((place for one in model.programs for place in one.attached), "")
        hint = next((_HINTS[one.event] for one in model.programs if one.event in _HINTS), "")
        if self.log_name == PRINTED_NAME:
            what = "no line yet" if any("printk" in line for line in model.running) else "it prints nothing"
        else:
            what = "no event yet"
        said = [f"{what}{f'; attached to {where}' if where else ''}", *([f"try: {hint}"] if hint else [])]
        return [Span(text, "strong" if at else "dim") for at, text in enumerate(said)]
