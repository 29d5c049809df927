"""The screen under test: no clock, no time zone, no animation of the machine that tests it."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import textual.constants
from textual.pilot import Pilot

from ebpftop.ui.answers import answer_to
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes import polling
from ebpftop.ui.panes.base import Pane

from . import rest
from .scene import FakeSource, Remembered


@pytest.fixture(autouse=True, scope="session")
def small_collections() -> None:
    """The garbage of a test is found without a look at all that the tests have imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test saves under the name that is offered goes there, and not into the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin imports Textual before this runs, so constants are patched where Textual reads them."""
    monkeypatch.setenv("TZ", "UTC")
    for variable in ("NO_COLOR", "COLORFGBG", "TEXTUAL_THEME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(
        "ebpftop.ui.screens.applied_settings.environment_at_start", lambda: {"LANG": "C.UTF-8", **os.environ}
    )
    monkeypatch.setattr(textual.constants, "TEXTUAL_ANIMATIONS", "none")
    # An app keeps all that there is out of the collector's sight as long as it lives: with a second app, for good.
    monkeypatch.setattr("ebpftop.ui.app.gc.freeze", lambda: None)
    # Whether that time is over would decide what a test sees: see `made_in_advance`.
    monkeypatch.setattr("ebpftop.ui.app._PREPARE_AFTER_S", 1e6)
    monkeypatch.setattr("ebpftop.ui.panes.frames.FRAME_S", 0)
    monkeypatch.setattr("ebpftop.ui.panes.frames.AROUND_S", 0)
    monkeypatch.setattr("ebpftop.ui.panes.frames.COVERED_S", 0)
    # What comes without a pause is one frame; a test waits for it, because it is due so soon.
    monkeypatch.setattr("ebpftop.ui.screens.frames.GATHER_S", rest.NEAR_S / 2)
    rest.install(monkeypatch)
    # Half a second is short for a machine that runs other tests too.
    monkeypatch.setattr(answer_to, "__defaults__", (30.0,))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def made_in_advance(same_everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The screens that a key opens are made at once, and not when they are opened."""
    monkeypatch.setattr("ebpftop.ui.app._PREPARE_AFTER_S", 0.001)
    monkeypatch.setattr("ebpftop.ui.screens.ready._APART_S", 0.001)


@pytest.fixture
def threads_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test lets threads hang, so that nobody need wait for them."""
    monkeypatch.setattr(rest, "HANGS_S", 0.05)


class ErrorLog(logging.Handler):
    """What the screen's own code raised, and the screen survived."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])


@pytest.fixture
def survived_errors() -> list[BaseException]:
    """The errors that a test made happen: to be emptied by the test that expects them."""
    return []


@pytest.fixture(autouse=True)
def nothing_survived(survived_errors: list[BaseException]) -> Iterator[None]:
    """An error that the screen survives is still an error: the test in which it happens fails."""
    handler = ErrorLog()
    handler.errors = survived_errors
    log = logging.getLogger("ebpftop.ui.textual_fixes.app_errors")
    log.addHandler(handler)
    yield
    log.removeHandler(handler)
    for error in survived_errors:
        raise AssertionError(f"the screen's own code raised {error!r}") from error


async def until(pilot: Pilot[int], wanted: Callable[[], object]) -> None:
    """Wait until *wanted* is true."""
    until_s = time.monotonic() + 100
    while not wanted():
        assert time.monotonic() < until_s, "it never happened"
        await pilot.pause(0.002)


async def settle(pilot: Pilot[int], source: FakeSource | Remembered) -> None:
    """Wait until the screen has taken in everything that *source* was given."""
    app = pilot.app
    assert isinstance(app, EbpftopApp)
    deadline = time.monotonic() + 100
    while app.main.playback.present.batches < source.given or app.main.playback.intake or app.main.playback.seeking:
        assert app.is_running, "the app crashed"
        assert time.monotonic() < deadline, f"{app.main.playback.present.batches} of {source.given} batches arrived"
        await pilot.pause(0.002)
    await pilot.pause()
    await pilot.pause()
    bar = app.main.time_row.widget
    app.main.time_row.update()
    while bar.size.width and app.main.playback.timeline is not None and len(bar.moments.rates) != bar.buckets:
        assert time.monotonic() < deadline, "the rates of the timeline never came"
        await pilot.pause(0.002)
    while app.main.playback._slow_requests.last("rates") is not None:
        assert time.monotonic() < deadline, "the rates of the timeline are read for ever"
        await pilot.pause(0.002)


Look = Callable[..., bool]


@pytest.fixture
def looks_the_same(snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> Look:
    """Compare the screen with its snapshot, and see that the app raised nothing: a crashed one has a screenshot too."""

    monkeypatch.setattr(polling, "waited_s", lambda _: 0.4)

    def compare(
        source: FakeSource | Remembered,
        size: tuple[int, int],
        *keys: str,
        before: Callable[[Pilot[Any]], Awaitable[None]] | None = None,
        theme: str = "",
    ) -> bool:
        app = EbpftopApp(source)
        if theme:
            app.choose_theme(theme)

        async def run(pilot: Pilot[int]) -> None:
            await settle(pilot, source)
            for key in keys:
                await pilot.press(key)
                await settle(pilot, source)
            if before is not None:
                await before(pilot)
                await settle(pilot, source)

        same = snap_compare(app, terminal_size=size, run_before=run)
        assert not app.return_code, "the app crashed"
        return same

    return compare


def pane(app: EbpftopApp, probe: str) -> Pane:
    """The pane of a probe."""
    return app.main.query_one(f"#{probe}", Pane)
