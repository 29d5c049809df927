"""The controller of time, without a screen: freezing, looking back, playing on; and the intake of batches."""

from __future__ import annotations

import time as clock
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar, cast

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Cost, Probe, ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.core.trace_records import Trace
from ebpftop.filters.spec import Filter
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.overview import Overview
from ebpftop.models.tracelog import TraceLog
from ebpftop.sources.history import HistorySource
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.panes import frames
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.polling import FRAME_RECORDS
from ebpftop.ui.screens import frames as screen_frames
from ebpftop.ui.screens import intake
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
    message_is_late = False

    def __init__(self, model: ExecLog | TraceLog) -> None:
        self.model = model
        self.lines = Lines()
        self.past = self.newest_only = False
        self.view_filter = ViewFilter()
        self.shown_at: list[float] = []
        self.acknowledged = 0
        self.breaks = False
        self.titles = 0
        self.counts = 0
        """How often it was shown when its title was updated last."""
        self.described = 0

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

    def describe(self) -> None:
        self.counts = len(self.shown_at)
        self.described += 1

    def update_overview(self, overview: Overview) -> None:
        self.overview = overview
        self.titles += 1

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
        self.is_covered = self.is_hidden = False
        self.described = self.frames = 0

    def describe(self) -> None:
        self.described += 1

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

    def one_frame(self) -> AbstractContextManager[None]:
        self.frames += 1
        return nullcontext()

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
        return [row.exec.pid for row in self.execs.model.view.all_rows()]


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
    assert screen.time.position - screen.time.moment == 2


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


def test_rates_of_a_short_history_are_there_at_once() -> None:
    screen, _ = live(*range(1, 20))
    screen.time.ask_rates(7)
    assert len(screen.host.rates) == 7


def test_rates_are_read_in_a_thread_as_many_as_were_asked_for_last(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, _ = live(*range(1, 20))
    monkeypatch.setattr("ebpftop.recording.timeline.FEW_CHUNKS", 1)
    for buckets in (5, 6, 7):
        screen.time.ask_rates(buckets)
    screen.host.run()
    assert len(screen.host.rates) == 7


# ---- Frames ----


class FramedScreen(Screen):
    """A controller whose clock and timers the test moves. No probe has reported a state, no pane has a message."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(screen_frames, "monotonic", lambda: self.now_s)
        super().__init__(FakeSource())
        self.host.call_after = lambda delay_s, do: self.timers.append((self.now_s + delay_s, do))  # type: ignore[method-assign]

    def send(self, *batches: Batch) -> None:
        panes: dict[ProbeName, FakePane] = {"execs": self.execs, "trace": self.trace}
        for batch in batches:
            self.time.intake.put(cast(Pane, panes[batch.probe]), [batch])

    def pass_time(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer[0] <= until_s]:
            timer = min(due, key=lambda one: one[0])
            self.timers.remove(timer)
            self.now_s = max(self.now_s, timer[0])
            timer[1]()
        self.now_s = until_s

    @property
    def shown(self) -> tuple[int, int]:
        return len(self.execs.shown_at), len(self.trace.shown_at)


@pytest.fixture
def framed(monkeypatch: pytest.MonkeyPatch) -> FramedScreen:
    return FramedScreen(monkeypatch)


def lines(*times: int) -> list[Batch]:
    return [Batch("trace", START + at, (trace_at(START + at, at),)) for at in times]


def test_all_that_comes_in_a_frame_is_shown_once_and_described_once(framed: FramedScreen) -> None:
    framed.send(*programs(*range(20)), *lines(*range(20)))
    assert (framed.shown, framed.host.described) == ((0, 0), 0)
    framed.pass_time(screen_frames.GATHER_S)
    assert (framed.shown, framed.host.described) == ((1, 1), 1)
    assert framed.execs.titles == framed.trace.titles == 1
    assert framed.pids == list(range(20))


def test_what_comes_all_the_time_is_shown_rarely_and_what_is_around_it_more_rarely(framed: FramedScreen) -> None:
    for at in range(100):
        framed.send(*programs(at))
        framed.pass_time(0.1)
        assert framed.execs.counts == len(framed.execs.shown_at)  # a title is never older than its rows
        assert framed.trace.described >= framed.execs.described  # nor than those of another pane that it learns from
    assert 10 / frames.FRAME_S * 0.8 < framed.shown[0] <= 10 / frames.FRAME_S + frames.QUICK_FRAMES
    assert 8 <= framed.host.described <= 14
    assert 8 <= framed.trace.titles <= 14


@pytest.mark.parametrize("burst_s", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_all_of_a_burst_after_a_quiet_moment_is_shown_soon(framed: FramedScreen, burst_s: float) -> None:
    framed.send(*programs(0))
    framed.pass_time(10.0)
    begin_s = framed.now_s
    while framed.now_s < begin_s + burst_s:
        framed.send(*programs(1))
        framed.pass_time(0.1)  # the collector reads this often
    before = framed.shown[0]
    framed.send(*programs(2))
    framed.pass_time(0.2)
    assert framed.shown[0] > before


def test_a_frame_that_is_as_rare_as_that_brings_what_is_around_it(framed: FramedScreen) -> None:
    framed.send(*lines(0))
    framed.pass_time(frames.AROUND_S / 2)
    framed.send(*lines(1))
    framed.pass_time(frames.AROUND_S)  # from here on what is around the rows changes between two frames
    shown, described, drawn = framed.shown[1], framed.host.described, framed.host.frames
    for at in range(2, 12):
        framed.send(*lines(at))
        framed.pass_time(frames.AROUND_S)
    assert framed.shown[1] == shown + 10
    assert framed.host.described == described + 10
    assert framed.host.frames == drawn + 10  # not another one for what is around
    assert framed.trace.overview.time == START + 11
    assert framed.timers == []


def test_the_last_that_came_is_described_too(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    framed.send(*programs(1))
    framed.pass_time(2 * frames.AROUND_S)
    assert framed.execs.overview.time == START + 1
    described = framed.host.described
    framed.pass_time(60.0)
    assert (framed.host.described, framed.timers) == (described, [])  # nothing wakes it while nothing comes


def test_what_ebpftop_costs_is_described_and_no_pane_shown_for_it(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    shown = framed.shown
    cost = Cost(time=START, kernel=0.1, user=0.2, runs=3)
    framed.send(Batch("execs", START, (cost,)))
    framed.pass_time(frames.AROUND_S)
    assert framed.shown == shown
    assert framed.execs.overview.cost is cost
    assert framed.host.described == 2


def test_nothing_is_wanted_for_a_frame_that_is_planned_already() -> None:
    pace = frames.FramePace()
    now_s = 100.0
    for _ in range(50):  # events come all the time, and a frame is shown a moment after it was asked for
        now_s = max(now_s, pace.next_s())
        pace.planned(now_s)
        assert pace.next_wanted_s() >= now_s + frames.QUICK_S or pace._saved >= 1.0
        now_s += screen_frames.GATHER_S
        pace.shown(now_s - screen_frames.GATHER_S)
    assert pace.next_wanted_s() == pytest.approx(pace.next_s())


def test_a_new_state_of_a_probe_is_described_at_once(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    off = Probe(time=START, probe="execs", state="off", via=None, reason=None)
    framed.send(Batch("execs", START, (off,)))
    framed.pass_time(frames.QUICK_S)
    assert framed.execs.overview.probes["execs"] is off
    assert framed.host.described == 2


def test_no_pane_is_shown_while_they_are_frozen_and_all_is_shown_after(framed: FramedScreen) -> None:
    framed.time.toggle_pause()
    for at in range(50):
        framed.send(*programs(at))
        framed.pass_time(0.1)
    assert framed.shown == (0, 0)
    assert framed.host.described <= 5 / frames.FROZEN_S + 1
    framed.time.toggle_pause()
    while framed.host.soon:
        framed.host.soon.popleft()()
    assert framed.pids == list(range(50))
    assert framed.shown[0] >= 1


def test_covered_panes_are_shown_rarely_and_at_once_when_they_are_uncovered(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    framed.host.is_covered = True
    for at in range(1, 200):
        framed.send(*programs(at))
        framed.pass_time(0.1)
    assert 1 < framed.shown[0] <= 20 / frames.COVERED_S + 2
    assert framed.host.described <= 20 / frames.COVERED_S + 2
    before = framed.shown[0]
    framed.send(*programs(200))
    framed.host.is_covered = False
    framed.time.frames.show_when_due()  # the screen calls it when it is uncovered
    framed.pass_time(frames.FRAME_S)
    assert framed.shown[0] == before + 1


def test_panes_below_an_opaque_screen_are_not_shown_until_it_closes(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    framed.send(*programs(1))  # its frame is on its way
    framed.host.is_covered = framed.host.is_hidden = True
    before = framed.shown[0]
    for at in range(2, 100):
        framed.send(*programs(at))
        framed.pass_time(0.1)
    assert framed.shown[0] == before
    planned = len(framed.timers)
    framed.send(*programs(100))
    assert len(framed.timers) == planned, "a frame is planned that would not be drawn"
    framed.host.is_covered = framed.host.is_hidden = False
    framed.time.frames.show_when_due()
    framed.pass_time(frames.FRAME_S)
    assert framed.shown[0] == before + 1


def test_what_comes_after_a_frame_that_was_early_is_shown_around_the_rows_too(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(screen_frames.GATHER_S)
    framed.time.frames.fed_around()
    framed.pass_time(0.7 * frames.AROUND_S)
    framed.time.frames._show_around()  # as a frame that is urgent does
    described = framed.host.described
    framed.time.frames.fed_around()
    framed.pass_time(2 * frames.AROUND_S)
    assert (framed.host.described, framed.timers) == (described + 1, [])


def test_what_is_around_covered_panes_waits_until_they_are_uncovered(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(frames.QUICK_S)
    framed.send(*programs(1))
    framed.pass_time(frames.QUICK_S)
    framed.host.is_covered = True
    framed.pass_time(60.0)
    described = framed.host.described
    framed.host.is_covered = False
    framed.time.frames.show_when_due()
    assert framed.host.described == described + 1


def test_panes_that_learn_from_another_probe_are_shown_later_and_only_once(framed: FramedScreen) -> None:
    framed.send(*programs(0))
    framed.pass_time(screen_frames.GATHER_S)
    assert framed.shown == (1, 1)  # the first frame shows all
    framed.pass_time(frames.QUICK_S)
    framed.send(*programs(1))
    framed.pass_time(frames.QUICK_S)
    assert framed.shown == (2, 1)
    framed.pass_time(2 * frames.AROUND_S)
    assert framed.shown == (2, 2)
    framed.pass_time(60.0)
    assert (framed.shown, framed.timers) == ((2, 2), [])


def test_a_pane_whose_own_probe_sends_is_not_shown_once_more_for_another(framed: FramedScreen) -> None:
    for at in range(20):
        framed.send(*programs(at), *lines(at))
        framed.pass_time(frames.AROUND_S / 2)
        framed.send(*programs(at))
        framed.pass_time(frames.AROUND_S / 2)
    assert framed.shown == (40, 20)


# ---- The intake ----


class Taken:
    def __init__(self) -> None:
        self.host = FakeHost()
        self.batches: list[Batch] = []
        self.shown: list[object] = []
        self.intake = Intake(self.host, self._take, self.shown.append)
        self.now_s = 0.0

    def _take(self, pane: Pane, batch: Batch) -> None:
        self.now_s += 0.011  # two of them are more than a slice
        if any(isinstance(record, Trace) for record in batch.records):
            raise ValueError("broken")
        self.batches.append(batch)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    it = Taken()
    monkeypatch.setattr(intake, "monotonic", lambda: it.now_s)
    return it


def test_all_panes_share_a_table_of_processes_and_those_of_the_past_another() -> None:
    screen, _ = live(1, 2, 3)
    assert screen.execs.model.processes is screen.trace.model.processes
    present = screen.execs.model.processes
    assert 3 in present.running
    screen.time.seek(START + 2)
    screen.host.run()
    assert screen.execs.model.processes is screen.trace.model.processes
    assert screen.execs.model.processes is not present
    assert 3 not in screen.execs.model.processes.running


def test_many_batches_are_taken_in_slices_and_the_pane_is_shown_when_all_are(taken: Taken) -> None:
    pane = ExecLogPane(ExecLog())
    taken.intake.put(cast(Pane, pane), programs(1, 2, 3))
    assert (len(taken.batches), taken.shown, pane.acknowledged) == (2, [], 0)
    taken.host.soon.popleft()()
    assert (len(taken.batches), taken.shown, pane.acknowledged) == (3, [pane], 1)
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
