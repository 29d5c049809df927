"""The controller of time, without a screen: freezing, looking back, playing on; and the intake of batches."""

from __future__ import annotations

import time as clock
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

import pytest

from ebpftop.core.records import Exec, ProbeName, Trace
from ebpftop.core.source import Batch, Source
from ebpftop.filters.spec import Filter
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.overview import Overview
from ebpftop.models.tracelog import TraceLog
from ebpftop.sources.history import HistorySource
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.panes.base import FRAME_RECORDS, Pane
from ebpftop.ui.screens import intake, playback
from ebpftop.ui.screens.intake import Intake
from ebpftop.ui.screens.playback import Group, PlaybackController, Rates
from tests.screens.scene import FakeSource
from tests.unit.recording_samples import START, exec_at, story, trace_at, write


class Lines:
    now = 0.0


class FakePane:
    """A pane without widgets."""

    probe: ClassVar[ProbeName]
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ()
    label = "a pane"

    def __init__(self, model: ExecLog | TraceLog) -> None:
        self.model = model
        self.lines = Lines()
        self.past = self.newest_only = False
        self.view_filter = ViewFilter()
        self.shown_at: list[float] = []
        self.acknowledged = 0
        self.breaks = False

    def feed(self, batch: Batch) -> None:
        if self.breaks:
            raise ValueError("broken")
        self.model.feed(batch)

    def set_model(self, model: ExecLog | TraceLog, view_filter: ViewFilter) -> None:
        self.model = model

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self.view_filter = view_filter

    def show(self) -> None:
        self.shown_at.append(self.lines.now)

    def update_overview(self, overview: Overview) -> None:
        self.overview = overview

    def acknowledge(self) -> None:
        self.acknowledged += 1


class ExecLogPane(FakePane):
    probe = "execs"


class TraceLogPane(FakePane):
    probe = "trace"
    extra_probes = ("execs",)


class FakeHost:
    """A screen whose threads and messages run when the test says so."""

    def __init__(self) -> None:
        self.keys_waiting = 0
        self.threads: deque[tuple[Group, Callable[[], None]]] = deque()
        self.posted: deque[Callable[[], None]] = deque()
        self.soon: deque[Callable[[], None]] = deque()
        self.later: deque[tuple[float, Callable[[], None]]] = deque()
        self.messages: list[str] = []
        self.rates: Rates = ()

    def describe(self) -> None: ...

    def describe_time(self) -> None: ...

    def show_rates(self, rates: Rates) -> None:
        self.rates = rates

    def notify_of(self, message: str, *, is_warning: bool = False) -> None:
        self.messages.append(message)

    def run_in_thread(self, group: Group, work: Callable[[], None]) -> None:
        self.threads.append((group, work))

    def post(self, do: Callable[[], None]) -> None:
        self.posted.append(do)

    def call_soon(self, do: Callable[[], None]) -> None:
        self.soon.append(do)

    def call_after(self, delay_s: float, do: Callable[[], None]) -> None:
        self.later.append((delay_s, do))

    def run(self) -> None:
        """Let threads end, and what they posted be done."""
        while self.threads or self.posted:
            while self.threads:
                self.threads.popleft()[1]()
            while self.posted:
                self.posted.popleft()()


class Screen:
    """A controller with two panes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.execs, self.trace = ExecLogPane(ExecLog()), TraceLogPane(TraceLog())
        self.host = FakeHost()
        panes = cast("tuple[Pane, ...]", (self.execs, self.trace))
        self.time = PlaybackController(source, panes, self.host)

    def take_all(self) -> None:
        """Deliver what the source has now."""
        panes: dict[ProbeName, FakePane] = {"execs": self.execs, "trace": self.trace}
        for probe in self.source.probes:
            while (batch := self.source.poll(probe, 0)) is not None:
                if probe in panes:
                    self.time.intake.put(cast(Pane, panes[probe]), [batch])

    def take_until(self, holds: Callable[[], bool]) -> None:
        """Deliver what the source has until *holds* is true: a recording is read by a thread."""
        until_s = clock.monotonic() + 30
        while not holds():
            assert clock.monotonic() < until_s
            self.take_all()

    @property
    def pids(self) -> list[int]:
        assert isinstance(self.execs.model, ExecLog)
        return [row.exec.pid for row in self.execs.model.view.rows()]


def programs(*times: int) -> list[Batch]:
    return [Batch("execs", START + at, (exec_at(START + at, at),)) for at in times]


def live(*times: int) -> tuple[Screen, FakeSource]:
    """A live source that remembers, with a program for each of *times*, whose pid is its second."""
    source = FakeSource(programs(*times))
    screen = Screen(HistorySource(source))
    screen.take_all()
    return screen, source


@pytest.fixture
def recorded(tmp_path: Path) -> Screen:
    return Screen(ReplaySource(str(write(tmp_path / "r.jsonl", list(story(40)))), speed=0))


def test_what_comes_while_frozen_is_held_and_released_so_that_keys_come_between() -> None:
    screen, source = live(1, 2)
    screen.time.toggle_pause()
    many = tuple(exec_at(START + 3, 1000 + n) for n in range(2 * FRAME_RECORDS))
    source.give(*(Batch("execs", START + 3, many[n : n + 500]) for n in range(0, len(many), 500)))
    screen.take_all()
    assert screen.pids == [1, 2]
    assert screen.time.held.weight == len(many)
    assert screen.time.overview.time == START + 3, "the state of the probes takes effect at once"
    screen.time.toggle_pause()
    assert 2 < len(screen.pids) < 2 + len(many)
    source.give(*programs(4))
    screen.take_all()
    assert screen.pids[-1] != 4, "what is released goes before what comes now"
    while screen.host.soon:
        screen.host.soon.popleft()()
    assert len(screen.pids) == 2 + len(many) + 1
    assert screen.pids[-1] == 4


def test_a_moment_of_the_past_has_its_own_models_and_the_present_goes_on() -> None:
    screen, source = live(*range(1, 20))
    present = screen.execs.model
    screen.time.seek(START + 5.5)
    assert screen.time.paused
    assert screen.execs.model is present, "until the moment has been read"
    screen.host.run()
    assert (screen.pids, screen.execs.past, screen.time.shown_time) == ([1, 2, 3, 4, 5], True, START + 5.5)
    source.give(*programs(30))
    screen.take_all()
    assert screen.pids[-1] == 5
    screen.time.return_to_present()
    assert screen.execs.model is present
    assert (screen.pids[-1], screen.execs.past, screen.time.paused) == (30, False, False)


def test_a_moment_is_one_of_those_that_are_kept() -> None:
    screen, _ = live(1, 9)
    for moment, shown in ((0.0, START + 1), (START + 99, START + 9)):
        screen.time.seek(moment)
        screen.host.run()
        assert screen.time.moment == shown
    screen.time.step(-2)
    assert screen.time.moment == START + 7
    assert screen.time.back_text == "-0:02"


def test_of_many_moments_that_are_asked_for_the_last_is_shown_and_few_are_read() -> None:
    screen, _ = live(*range(1, 20))
    for moment in range(2, 15):
        screen.time.seek(START + moment)
    assert len(screen.host.threads) == 1
    reads = 0
    while screen.host.threads:
        reads += 1
        screen.host.threads.popleft()[1]()
        screen.host.posted.popleft()()
    assert reads == 2
    assert (screen.pids[-1], screen.time.seeking) == (14, False)


def test_a_moment_that_is_left_before_it_was_read_is_not_shown() -> None:
    screen, _ = live(1, 2, 3)
    screen.time.seek(START + 1)
    screen.time.return_to_present()
    screen.host.run()
    assert (screen.pids, screen.execs.past) == ([1, 2, 3], False)


def test_a_moment_that_cannot_be_read_does_not_prevent_the_next() -> None:
    screen, _ = live(1, 2, 3)
    screen.time.seek(START + 1)
    screen.host.threads.clear()
    screen.time.failed(OSError("no such file"))
    screen.time.seek(START + 2)
    screen.host.run()
    assert screen.pids == [1, 2]


def test_a_filter_that_changes_while_looking_back_is_that_of_the_present_too() -> None:
    screen, _ = live(1, 2, 3)
    screen.time.seek(START + 2)
    screen.host.run()
    mine = ViewFilter(Filter(uids=(7,)))
    screen.time.apply_filter(mine)
    screen.execs.view_filter = ViewFilter()
    screen.time.return_to_present()
    assert screen.execs.view_filter == mine


def test_a_source_without_a_history_says_so() -> None:
    screen = Screen(FakeSource(programs(1)))
    screen.take_all()
    screen.time.seek(START)
    assert (screen.host.messages, screen.time.paused) == (["There is no history to go back to"], False)


def test_a_recording_plays_on_from_the_moment_shown_and_drops_what_it_played_before(recorded: Screen) -> None:
    time, player = recorded.time, recorded.time.player
    assert player is not None
    recorded.take_all()
    time.toggle_pause()
    time.seek(START + 10)
    recorded.host.run()
    at_ten = recorded.pids
    time.toggle_pause()
    assert (time.moment, time.paused) == (None, False)
    old = Batch("execs", START + 39, (exec_at(START + 39, 4711),))
    time.take(cast(Pane, recorded.execs), old)
    assert recorded.pids == at_ten, "it comes from before the jump"
    recorded.host.run()
    recorded.take_until(lambda: len(recorded.pids) > len(at_ten))
    assert recorded.pids[: len(at_ten)] == at_ten
    assert 4711 not in recorded.pids


def test_a_recording_that_is_paused_before_it_has_jumped_stands_still(
    recorded: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.take_all()
    recorded.time.toggle_pause()
    recorded.time.seek(START + 10)
    recorded.host.run()
    recorded.time.toggle_pause()
    recorded.time.toggle_pause()
    resumed: list[bool] = []
    monkeypatch.setattr(recorded.time.player, "resume", lambda: resumed.append(True))
    recorded.host.run()
    assert not resumed


def test_the_end_of_a_recording_is_reported_once_and_again_after_a_jump(recorded: Screen) -> None:
    def reported() -> int:
        for _ in range(3):
            recorded.time.pulse()
        return len(recorded.host.messages)

    recorded.take_until(lambda: recorded.time.ended)
    assert (reported(), recorded.time.speed_text) == (1, "ended")
    recorded.time.seek(START + 10)
    recorded.host.run()
    assert not recorded.time.ended or not recorded.time.paused
    recorded.take_until(lambda: recorded.time.ended)
    assert reported() == 2


def test_rates_are_read_in_a_thread_as_many_as_were_asked_for_last() -> None:
    screen, _ = live(*range(1, 20))
    for buckets in (5, 6, 7):
        screen.time.ask_rates(buckets)
    screen.host.run()
    assert len(screen.host.rates) == 7


def test_panes_that_learn_from_another_probe_are_shown_later_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "ALSO_S", 1.0)
    screen, _ = live(1, 2, 3)
    assert (len(screen.execs.shown_at), screen.trace.shown_at) == (3, [])
    ((delay_s, show),) = screen.host.later
    show()
    assert (delay_s, len(screen.trace.shown_at)) == (1.0, 1)


# ---- The intake ----


class Taken:
    def __init__(self) -> None:
        self.host = FakeHost()
        self.batches: list[Batch] = []
        self.shown: list[object] = []
        self.described = 0
        self.intake = Intake(self.host, self._take, self.shown.append, self._describe)
        self.now_s = 0.0

    def _take(self, pane: Pane, batch: Batch) -> None:
        self.now_s += 0.011  # two of them are more than a slice
        if any(isinstance(record, Trace) for record in batch.records):
            raise ValueError("broken")
        self.batches.append(batch)

    def _describe(self) -> None:
        self.described += 1


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    it = Taken()
    monkeypatch.setattr(intake, "monotonic", lambda: it.now_s)
    return it


def test_many_batches_are_taken_in_slices_and_the_pane_is_shown_when_all_are(taken: Taken) -> None:
    pane = ExecLogPane(ExecLog())
    taken.intake.put(cast(Pane, pane), programs(1, 2, 3))
    assert (len(taken.batches), taken.shown, pane.acknowledged) == (2, [], 0)
    taken.host.soon.popleft()()
    assert (len(taken.batches), taken.shown, pane.acknowledged, taken.described) == (3, [pane], 1, 1)
    assert not taken.intake


def test_keys_go_first_but_not_for_ever(taken: Taken) -> None:
    pane = cast(Pane, ExecLogPane(ExecLog()))
    taken.host.keys_waiting = 1
    taken.intake.put(pane, programs(*range(10)))
    assert not taken.host.soon
    assert taken.host.later[0][0] == intake.FEED_SLICE_S
    taken.now_s += intake.KEYS_FIRST_MAX_S
    taken.host.later.popleft()[1]()
    assert taken.host.soon


def test_what_breaks_is_acknowledged_and_what_waits_behind_it_is_taken(taken: Taken) -> None:
    first, second = TraceLogPane(TraceLog()), ExecLogPane(ExecLog())
    taken.intake.put(cast(Pane, second), programs(1, 2, 3))  # waits for its second slice
    taken.intake.put(cast(Pane, first), [Batch("trace", START, (trace_at(START, 1),))])
    taken.intake.put(cast(Pane, second), programs(4))
    with pytest.raises(ValueError, match="broken"):
        taken.host.soon.popleft()()
    assert first.acknowledged == 1
    taken.host.soon.popleft()()
    assert [cast(Exec, batch.records[0]).pid for batch in taken.batches] == [1, 2, 3, 4]
    assert second.acknowledged == 2
