"""The threads of the panes rest while nothing is wanted of them, and end at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from types import FrameType

import pytest

from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes import polling
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.frames import FramePace

from .conftest import until
from .scene import FakeSource, batch, minute, ran


class Flowing(FakeSource):
    """Something comes with each reading of the exec log's probe."""

    def __init__(self, *, records: int = 1) -> None:
        super().__init__(minute())
        self.reads_all = True
        self.polls: Counter[ProbeName] = Counter()
        self._one = next(batch for batch in minute() if batch.probe == "execs")
        self._records = records

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        self.polls[probe] += 1
        batch = super().poll(probe, min(timeout_s, 0.02) if probe == "execs" else timeout_s)
        if batch is None and probe == "execs":
            return Batch("execs", self._one.time, self._one.records[:1] * self._records)
        return batch


async def shown_frames(source: Flowing, monkeypatch: pytest.MonkeyPatch, wanted: int) -> int:
    """Return how often the exec log's probe was polled until so many frames of it were shown."""
    monkeypatch.setattr("ebpftop.ui.panes.frames.FRAME_S", 0.3)
    frames = 0
    show = ExecsPane.show

    def counted(pane: ExecsPane) -> None:
        nonlocal frames
        frames += 1
        show(pane)

    monkeypatch.setattr(ExecsPane, "show", counted)
    async with EbpftopApp(source).run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: frames >= 8)  # at first they come fast
        before, source.polls["execs"] = frames, 0
        await until(pilot, lambda: frames >= before + wanted)
        return source.polls["execs"]


async def test_events_are_read_when_the_next_frame_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await shown_frames(Flowing(), monkeypatch, 6) <= 3 * 6  # without rests it would be fifteen for each


async def test_a_buffer_that_fills_fast_is_read_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "REST_RECORDS", 10)
    assert await shown_frames(Flowing(records=50), monkeypatch, 6) > 3 * 6


async def test_what_a_recording_yields_piece_by_piece_is_read_without_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """At thirty times its speed each of its moments would else wait for a frame of its own."""
    monkeypatch.setattr(polling, "REST_S", 600.0)
    monkeypatch.setattr(FramePace, "next_wanted_s", lambda _: float("inf"))
    app = EbpftopApp(FakeSource(batch("execs", at, ran(at, 5000 + at, "program", str(at))) for at in range(1, 41)))
    async with app.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: app.main.execs.log_lines.end >= 40)


async def test_the_threads_end_with_the_screen_although_they_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PATIENCE_S", 600.0)
    monkeypatch.setattr(polling, "AGAIN_S", 600.0)
    monkeypatch.setattr(Pane, "is_log", False)
    source = FakeSource(minute())
    async with EbpftopApp(source).run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: source.given)
    assert source.interrupted
    until_s = time.monotonic() + 30
    while any(is_in("collect", frame) for frame in sys._current_frames().values()):
        assert time.monotonic() < until_s
        await asyncio.sleep(0.01)


def is_in(function: str, frame: FrameType | None) -> bool:
    """Return whether a thread is inside a function of that name."""
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None
