"""Keys are answered while collectors read the kernel and hold the locks of their probes, or pack what is kept."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ebpftop.core.records import Header
from ebpftop.filters.spec import Filter
from ebpftop.probes.registry import registry
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.recording import zstd_frames
from ebpftop.sources.history import History, HistorySource
from ebpftop.sources.live import KernelSource
from ebpftop.sources.reading_pace import ReadingPace
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.main import MainScreen
from tests.unit.recording_samples import story, write

from .scene import START, ran


class StuckProbe:
    """A probe whose reading takes until the test ends."""

    on = True
    module = None
    expects_events = True

    def __init__(self, reading: threading.Semaphore, go: threading.Event) -> None:
        self.reading, self.go = reading, go

    def read_events(self, now: float, *, everything: bool = False) -> list[Any]:
        self.reading.release()
        assert self.go.wait(60), "a key waited for a collector"
        return []

    def read_counters(self, now: float) -> list[Any]:
        return []

    def lost(self, now: float) -> list[Any]:
        return []

    def detach(self) -> None:
        pass

    def stop(self) -> None:
        self.on = False


def stuck_source(reading: threading.Semaphore, go: threading.Event) -> KernelSource:
    """The live source with its own locks, on probes that are stuck."""
    source = KernelSource.__new__(KernelSource)
    fields: dict[str, Any] = {
        "_probes": {name: StuckProbe(reading, go) for name in registry().names},
        "_locks": {name: threading.Lock() for name in registry().names},
        "_news": {name: [] for name in registry().names},
        "_pace": ReadingPace(registry().names, 1.0),
        "_starting": set(),
        "_attaching": None,
        "_closed": threading.Event(),
        "_is_interrupted": False,
        "_cost": SimpleNamespace(poll=lambda *_: None),
        "_filter": SimpleNamespace(refresh=tuple, gone=()),
        "_gone_reported": dict.fromkeys(registry().names, ()),
        "filter": Filter(),
        "header": Header(schema=2, version="0", host="web1", kernel="6.18", abi="x86_64", started=START),
    }
    for name, value in fields.items():
        setattr(source, name, value)
    source.close = lambda: None  # type: ignore[method-assign]
    return source


@pytest.mark.usefixtures("threads_hang")
async def test_keys_are_answered_while_every_collector_holds_its_lock() -> None:
    reading, go = threading.Semaphore(0), threading.Event()
    source = HistorySource(stuck_source(reading, go))
    app = EbpftopApp(source)
    try:
        async with app.run_test(size=(120, 35)) as pilot:
            try:
                for _ in registry().names:
                    while not reading.acquire(blocking=False):
                        await pilot.pause(0.01)
                await pilot.press("question_mark")
                assert isinstance(app.screen, HelpScreen)
                await pilot.press("escape", "plus", "1", "2", "3", "4", "5", "space")
                assert isinstance(app.screen, MainScreen)
                assert app.main.interval_s == 2.0
                assert app.main.playback.paused
                assert all(pane.state == "busy" for pane in app.main.panes)
                await pilot.press(
                    "comma", "l", "slash", "a", "escape", "ctrl+s", "escape", "tab", "c", "escape", "exclamation_mark"
                )
                assert isinstance(app.screen, SheetScreen)
                assert not go.is_set()
            finally:
                go.set()
    finally:
        go.set()


def test_who_makes_the_calls_can_be_looked_at_without_the_probe_of_calls() -> None:
    source = stuck_source(threading.Semaphore(0), threading.Event())
    source.watch(frozenset({"callers"}))
    with pytest.raises(LookupError):
        source.find(SyscallsProbe)


def test_what_is_kept_can_be_asked_while_a_collector_packs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packing, go = threading.Event(), threading.Event()
    pack = zstd_frames.pack

    def slowly(*args: Any) -> bytes:
        packing.set()
        assert go.wait(60)
        return pack(*args)

    monkeypatch.setattr(zstd_frames, "pack", slowly)
    history = History()
    history.add([ran(1, 9, "one")])
    adding = threading.Thread(target=history.add, args=([ran(5, 9, "two")],))
    adding.start()
    answered = threading.Event()
    try:
        assert packing.wait(60)

        def ask() -> None:
            assert history.stop == 1
            history.load(0)
            answered.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert answered.wait(30), "the screen waits for the one that packs"
    finally:
        go.set()
        adding.join()


async def test_keys_are_answered_while_a_recording_jumps_on_a_slow_disk(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(story(60)))), speed=0)
    jump, rates, go, begun = source.jump, source.timeline.rates, threading.Event(), threading.Event()

    def slow_jump(time: float, number: int) -> None:
        begun.set()
        assert go.wait(60), "a key waited for the disk"
        jump(time, number)

    def slow_rates(buckets: int) -> tuple[float | None, ...]:
        assert go.wait(60), "a key waited for the whole recording"
        return rates(buckets)

    source.jump, source.timeline.rates = slow_jump, slow_rates  # type: ignore[method-assign]
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        while not source.finished:
            await pilot.pause(0.05)
        await pilot.press("space", "left_square_bracket")
        while app.main.playback.seeking or app.main.playback.moment is None:
            await pilot.pause(0.05)
        await pilot.press("space")
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        assert not go.is_set()
        go.set()
        while not begun.is_set() or not app.main.playback.ended:
            await pilot.pause(0.05)
        assert not source.paused
