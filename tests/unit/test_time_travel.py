"""Looking back: the models at a moment are what they were when it was now; how the way there is told."""

from __future__ import annotations

import random
import time as clock
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from ebpftop.core.format import bars, clock_text, history_text, speed_text
from ebpftop.core.records import Header, ProbeName, Record
from ebpftop.core.snapshot import EventCounts, Snapshot
from ebpftop.core.source import Batch
from ebpftop.models.base import Model, rebuild
from ebpftop.models.bounded import Bounded
from ebpftop.models.execlog import ExecLog
from ebpftop.models.overview import Overview
from ebpftop.models.seeking import SPEEDS, clamp, other_speed
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.tree import grow
from ebpftop.models.users import UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording.grouping import group
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import HistorySource
from ebpftop.sources.replay import ReplaySource
from tests.screens.scene import FakeSource, minute
from tests.unit.recording_samples import START, exec_at, story, trace_at, write

SECONDS = 60
STORY = list(story(SECONDS))
Models: TypeAlias = Mapping[str, Model]


def time_of(record: Record) -> float:
    return record.started if isinstance(record, Header) else record.time


def fresh() -> tuple[dict[str, Model], dict[ProbeName, list[Model]]]:
    """Empty models, and which of them take the batches of which probe."""
    execs, users, syscalls, trace = ExecLog(), UsersModel(), SyscallsModel(), TraceLog()
    models: dict[str, Model] = {"execs": execs, "users": users, "syscalls": syscalls, "trace": trace}
    takers: dict[ProbeName, list[Model]] = {
        "execs": [execs, users, trace],
        "users": [users],
        "syscalls": [users, syscalls],
        "trace": [trace],
    }
    return models, takers


UNCOMPARED = frozenset(("batches", "on_evict", "_ring", "_view", "language"))
"""How often a model was fed; a method, which is another one of each model; compared elsewhere; what may be typed."""


def state(thing: object, seen: frozenset[int] = frozenset()) -> object:
    """All that an object holds, down to what can be compared."""
    if id(thing) in seen:
        return "…"
    seen |= {id(thing)}
    if type(thing) is dict or isinstance(thing, Bounded):
        # The order of keys is not to be seen; where it is, the dictionary is an ordered one.
        return sorted(((repr(key), state(value, seen)) for key, value in thing.items()), key=lambda item: item[0])
    if isinstance(thing, dict):
        return [(state(key, seen), state(value, seen)) for key, value in thing.items()]
    if isinstance(thing, (list, tuple, deque)):
        return [state(item, seen) for item in thing]
    names = [*getattr(thing, "__dict__", ()), *(n for c in type(thing).__mro__ for n in getattr(c, "__slots__", ()))]
    if type(thing).__module__.startswith("ebpftop.models") and names:
        return type(thing).__name__, [(n, state(getattr(thing, n), seen)) for n in sorted(names) if n not in UNCOMPARED]
    return repr(thing)


def live(batches: Iterable[Batch]) -> tuple[Models, Overview]:
    """The models after *batches*, as the screen feeds them when they happen."""
    models, takers = fresh()
    overview = rebuild(Snapshot(tuple(batches), EventCounts(), {}), takers)
    return models, overview


def looked_up(timeline: Timeline, moment: float) -> tuple[Models, Overview]:
    models, takers = fresh()
    return models, rebuild(timeline.snapshot_at(moment), takers)


def wait_until_indexed(timeline: Timeline) -> None:
    until_s = clock.monotonic() + 30
    # The second that is still coming in is not known yet.
    while timeline.indexed < 0.9:
        assert clock.monotonic() < until_s
        clock.sleep(0.02)


@pytest.fixture(params=["history", "recording"])
def remember(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[list[Record]], Timeline]]:
    """A way to the timeline of some records: remembered as they are polled, or recorded and opened again."""
    opened: list[ReplaySource] = []

    def remembered(records: list[Record]) -> Timeline:
        if request.param == "history":
            inner = FakeSource()
            source = HistorySource(inner)
            for batch in group(records, 0.05):
                inner.give(batch)
                assert source.poll(batch.probe, 0.02) is not None
            return source.timeline
        opened.append(ReplaySource(str(write(tmp_path / "story.jsonl.zst", records))))
        opened[0].pause()
        return opened[0].timeline

    yield remembered
    for source in opened:
        source.close()


def test_models_rebuilt_at_a_moment_are_those_that_lived_it(remember: Callable[[list[Record]], Timeline]) -> None:
    timeline = remember(STORY)
    dice = random.Random(5)
    for moment in (START, START + 0.5, START + SECONDS, *(dice.uniform(START, START + SECONDS) for _ in range(5))):
        lived = [record for record in STORY if time_of(record) <= moment]
        models, overview = live([*group(lived, 0.1), *(Batch(probe, moment, ()) for probe in registry().names)])
        again, overview_again = looked_up(timeline, moment)
        for name, model in models.items():
            assert state(again[name]) == state(model), f"{name} at {moment - START:.2f} s"
        assert state(overview_again) == state(overview)
        assert overview_again.events_per_second == overview.events_per_second
        execs, execs_again = models["execs"], again["execs"]
        assert isinstance(execs, ExecLog)
        assert isinstance(execs_again, ExecLog)
        tree = [(b.guide, b.process.pid) for b in grow(execs.processes, moment)]
        assert tree == [(b.guide, b.process.pid) for b in grow(execs_again.processes, moment)]
        assert moment < START + 1 or len(tree) > 10


def test_a_busy_moment_knows_what_came_before_the_events_that_it_has(
    remember: Callable[[list[Record]], Timeline],
) -> None:
    busy: list[Record] = list(STORY[:4])
    for at in range(24_000):
        at_s = START + at / 600
        busy.append(exec_at(at_s, 1000 + at % 30_000, ret=-2 if at % 7 == 0 else 0))
        if at % 5 == 0:
            busy.append(trace_at(at_s, at))
    timeline = remember(busy)
    wait_until_indexed(timeline)
    for moment in (START + 20.4, START + 37.7):
        lived = [record for record in busy if time_of(record) <= moment]
        models, overview = live([*group(lived, 0.1), *(Batch(probe, moment, ()) for probe in registry().names)])
        again, overview_again = looked_up(timeline, moment)
        execs, execs_again = models["execs"], again["execs"]
        assert isinstance(execs, ExecLog)
        assert isinstance(execs_again, ExecLog)
        assert 2000 < len(execs_again.ring) < len(execs.ring)
        assert execs_again.ring.end == execs.ring.end
        assert (execs_again.execs, execs_again.failed) == (execs.execs, execs.failed)
        # A row has the number that it had live.
        newest = execs.ring.end - 1
        assert execs_again.ring[newest].exec == execs.ring[newest].exec
        trace, trace_again = models["trace"], again["trace"]
        assert isinstance(trace, TraceLog)
        assert isinstance(trace_again, TraceLog)
        assert trace_again.ring.end == trace.ring.end
        assert overview_again.events_per_second == overview.events_per_second > 500


def test_models_differ_a_second_later(remember: Callable[[list[Record]], Timeline]) -> None:
    timeline = remember(STORY)
    models, overview = looked_up(timeline, START + 20)
    later, overview_later = looked_up(timeline, START + 21)
    assert all(state(models[name]) != state(later[name]) for name in models)
    assert state(overview) != state(overview_later)


def test_the_scene_of_the_screen_tests_is_the_same_looked_back_at(
    remember: Callable[[list[Record]], Timeline],
) -> None:
    records = sorted((r for b in minute() for r in b.records if not isinstance(r, Header)), key=lambda r: r.time)
    timeline = remember(list(records))
    moment = timeline.span[1]
    models, overview = live([*group(records, 0.1), *(Batch(probe, moment, ()) for probe in registry().names)])
    again, overview_again = looked_up(timeline, moment)
    assert {name: state(model) for name, model in again.items()} == {n: state(m) for n, m in models.items()}
    assert state(overview_again) == state(overview)


def test_rates_of_a_timeline_are_those_of_its_seconds(remember: Callable[[list[Record]], Timeline]) -> None:
    burst = [record for record in STORY if not START + 20 <= time_of(record) < START + 40]
    timeline = remember(burst)
    wait_until_indexed(timeline)
    rates = timeline.rates(60)
    assert all(rate == 0.0 for rate in rates[21:39])
    assert all(rate is not None and rate > 15 for rate in (*rates[2:19], *rates[41:57]))


def test_bars_are_as_high_as_the_rates_and_what_happened_once_can_be_seen() -> None:
    assert bars((0.0, 0.1, 50.0, 100.0, None)) == " ▁▄█·"
    assert bars((0.0, 0.0)) == "  "
    assert bars(()) == ""


def test_moments_are_clamped_and_told_as_one_says_them() -> None:
    assert clamp(5.0, (10.0, 20.0)) == 10.0
    assert clamp(25.0, (10.0, 20.0)) == 20.0
    assert clock_text(START)[-2:] == ".0"
    assert history_text((START, START + 723), 21 << 20, 64 << 20) == "history: 12m03s 21.0/64 MiB"


def test_speeds_go_up_to_as_fast_as_it_goes_and_down_to_a_quarter() -> None:
    assert other_speed(1.0, 1) == 2.0
    assert other_speed(1.0, -1) == 0.5
    assert other_speed(7.0, 1) == 10.0
    assert other_speed(0.0, 1) == 0.0
    assert other_speed(0.0, -1) == SPEEDS[-2]
    assert other_speed(0.25, -1) == 0.25
    assert (speed_text(0.25), speed_text(60.0), speed_text(0.0)) == ("0.25x", "60x", "max")


def test_a_moment_knows_whether_it_was_rebuilt_from_the_start_on(remember: Callable[[list[Record]], Timeline]) -> None:
    timeline = remember(STORY)
    wait_until_indexed(timeline)
    end = timeline.span[1]
    for moment in (START, START + 30, end):
        assert timeline.snapshot_at(moment).before == EventCounts()


def test_each_pane_goes_on_from_how_much_of_its_own_there_was() -> None:
    log, calls, lines = ExecLog(), SyscallsModel(), TraceLog()
    takers: Mapping[ProbeName, Iterable[Model]] = {"execs": (log, lines), "syscalls": (calls,), "trace": (lines,)}
    rebuild(Snapshot((), EventCounts({"exec": 120, "exit": 70, "syscall": 3000, "trace": 400}, failed=20), {}), takers)
    assert (log.ring.end, log.execs, log.failed, log.exits) == (120, 100, 20, 70)
    assert calls.traced.end == 3000
    assert lines.ring.end == 400
