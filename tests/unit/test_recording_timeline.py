"""Time travel: any moment of a recording or of the memory of a live source, rebuilt from what was kept."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_lines import encode
from ebpftop.core.records import LAST_TIME, Header, Lost, Probe, Record
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.probes.registry import registry
from ebpftop.recording import Timeline, reader, writer
from ebpftop.sources.history import History
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import HEADER, START, exec_at, key, play, story, trace_at, write

SECONDS = 150
STORY = list(story(SECONDS))


def time_of(record: Record) -> float:
    return record.started if isinstance(record, Header) else record.time


def records_of(batches: Iterable[Batch]) -> list[Record]:
    return [record for batch in batches for record in batch.records]


def indexed(source: ReplaySource) -> ReplaySource:
    """Pause *source*, and wait until its index is complete."""
    source.pause()
    while source.timeline.indexed < 1.0:
        time.sleep(0.02)
    return source


Opened = Callable[[list[Record]], Timeline]


@pytest.fixture(params=["plain", "zst", "early", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """A way to the timeline of some records: of a file, of one not looked through yet, of memory; all behave alike."""
    # Small stretches: a short story then has as many chunks as an hour otherwise.
    monkeypatch.setattr(reader, "PLAIN_STRETCH", 4000)
    monkeypatch.setattr(reader, "ZST_STRETCH", 700)
    monkeypatch.setattr(writer, "_FRAME_BYTES", 4000)
    sources: list[ReplaySource] = []

    def open_it(records: list[Record]) -> Timeline:
        if request.param == "memory":
            history = History()
            for record in records:
                history.add([record])
            return Timeline(HEADER, history, history.index)
        if request.param == "early":
            monkeypatch.setattr("ebpftop.sources.replay._HEAD_START_S", 60.0)
        path = write(tmp_path / ("r.jsonl.zst" if request.param == "zst" else "r.jsonl"), records)
        sources.append(ReplaySource(str(path)))
        if request.param == "early":
            sources[0].pause()
        else:
            indexed(sources[0])
        return sources[0].timeline

    yield open_it
    for source in sources:
        source.close()


def test_the_span_is_that_of_the_records(opened: Opened) -> None:
    timeline = opened(STORY)
    assert timeline.span == (START, max(map(time_of, STORY)))


def test_a_moment_has_the_latest_events_and_counters_up_to_it_and_nothing_later(opened: Opened) -> None:
    timeline = opened(STORY)
    dice = random.Random(3)
    for moment in [START, START + SECONDS, *(dice.uniform(START, START + SECONDS) for _ in range(12))]:
        shown = records_of(timeline.snapshot_at(moment, events=100, window_s=20.0).batches)
        past = [record for record in STORY if time_of(record) <= moment]
        assert all(time_of(record) <= moment for record in shown)
        for kinds in ((Exec, Exit), (Trace,)):
            wanted = [key(record) for record in past if isinstance(record, kinds)][-100:]
            got = [key(record) for record in shown if isinstance(record, kinds)]
            if timeline.indexed < 1.0:
                wanted = wanted[-len(got) :] if got else []
            # More may come than was asked for, never with a hole.
            assert got[len(got) - len(wanted) :] == wanted
        for counters in (Users, Syscalls):
            latest = [key(record) for record in past if isinstance(record, counters)][-1:]
            assert [key(record) for record in shown if isinstance(record, counters)][-1:] == latest
        assert {r.probe for r in shown if isinstance(r, Probe)} == {r.probe for r in past if isinstance(r, Probe)}


def test_a_moment_knows_every_program_that_was_running(opened: Opened, request: pytest.FixtureRequest) -> None:
    timeline = opened(STORY)
    dice = random.Random(4)
    for moment in [dice.uniform(START + 60, START + SECONDS) for _ in range(8)]:
        running: dict[int, Record] = {}
        for record in STORY:
            if time_of(record) > moment:
                continue
            if isinstance(record, Process) or (isinstance(record, Exec) and not record.ret):
                running[record.pid] = record
            elif isinstance(record, Exit):
                running.pop(record.pid, None)
        records = records_of(timeline.snapshot_at(moment, events=50, window_s=5.0).batches)
        shown = {key(record) for record in records}
        # Whoever had ended by then has its end shown too, or it would seem to run.
        ended = {r.pid: r for r in STORY if isinstance(r, Exit) and r.time <= moment}
        for record in records:
            if isinstance(record, Exec) and record.pid in ended:
                assert key(ended[record.pid]) in shown
        missing = [record for record in running.values() if key(record) not in shown]
        if timeline.indexed == 1.0 or "memory" in request.node.name:
            assert not missing


def test_losses_are_those_known_at_the_moment(opened: Opened) -> None:
    timeline = opened(STORY)
    if timeline.indexed < 1.0:
        return
    for moment in (START + 2, START + 20.5, START + 100):
        shown = [
            r for r in records_of(timeline.snapshot_at(moment, events=10, window_s=1.0).batches) if isinstance(r, Lost)
        ]
        known = [r for r in STORY if isinstance(r, Lost) and r.time <= moment]
        assert shown[-1:] == known[-1:]


def test_every_probe_gets_the_clock_of_the_moment_last(opened: Opened) -> None:
    batches = opened(STORY).snapshot_at(START + 42.5).batches
    names = registry().channels
    assert [(b.probe, b.time, b.records) for b in batches[-len(names) :]] == [(p, START + 42.5, ()) for p in names]
    assert all(batch.time <= START + 42.5 for batch in batches)


def test_moments_outside_of_the_span_are_its_ends(opened: Opened) -> None:
    timeline = opened(STORY)
    assert records_of(timeline.snapshot_at(START - 1000).batches) == []
    for late in (START + 1e6, LAST_TIME):
        last = records_of(timeline.snapshot_at(late, events=10).batches)
        assert max(map(time_of, last)) == max(map(time_of, STORY))


def test_rates_add_up_to_the_events(opened: Opened) -> None:
    timeline = opened(STORY)
    rates = timeline.rates(30)
    assert len(rates) == 30
    if timeline.indexed < 1.0:
        assert None in rates
        return
    first, last = timeline.span
    events = sum(isinstance(record, (Exec, Exit, Trace)) for record in STORY)
    assert sum(rate or 0 for rate in rates) * (last - first) / 30 == pytest.approx(events, rel=0.02)


def test_a_burst_stands_where_it_was_in_the_rates(opened: Opened) -> None:
    quiet: list[Record] = [trace_at(START + n, n) for n in range(100)]
    burst: list[Record] = [exec_at(START + 70.2 + n / 10_000, 1000 + n) for n in range(3000)]
    timeline = opened(sorted([*quiet, *burst], key=time_of))
    if timeline.indexed == 1.0:
        rates = [rate or 0.0 for rate in timeline.rates(99)]
        assert abs(rates.index(max(rates)) - 70) <= 1


def test_what_is_kept_is_saved_as_a_recording(opened: Opened, tmp_path: Path) -> None:
    timeline = opened(STORY)
    path = tmp_path / "saved.jsonl.zst"
    count = timeline.save(str(path))
    played, source = play(path)
    assert source.header == HEADER
    assert sorted(map(key, played)) == sorted(map(key, STORY))
    assert count == len(STORY)
    assert source.damage.report() == []


def test_a_filter_narrows_what_is_saved(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "saved.jsonl"
    opened(STORY).save(str(path), lambda record: record if isinstance(record, Trace) else None)
    played, _ = play(path)
    assert played == [record for record in STORY if isinstance(record, Trace)]


def test_damaged_times_and_an_order_that_makes_no_sense_are_survived(opened: Opened) -> None:
    dice = random.Random(5)
    times = [0.0, LAST_TIME, START, START + 5, 1.0, *(dice.uniform(0, LAST_TIME) for _ in range(300))]
    timeline = opened([exec_at(moment, at) for at, moment in enumerate(times)])
    for moment in (0.0, START, LAST_TIME, -1.0):
        timeline.snapshot_at(moment)
        timeline.find(moment)
    assert len(timeline.rates(50)) == 50


def test_what_lies_too_early_in_the_file_is_not_shown_before_its_time(opened: Opened) -> None:
    early = trace_at(START + 900, 900)
    records: list[Record] = [exec_at(START + second, second + 1) for second in range(1000)]
    timeline = opened([*records[:300], early, *records[300:]])
    for second in (299, 301, 320, 600, 899):
        shown = records_of(timeline.snapshot_at(START + second).batches)
        assert shown
        assert max(record.time for record in shown if isinstance(record, (Exec, Trace))) <= START + second
    assert early in records_of(timeline.snapshot_at(START + 901).batches)


def test_one_record_is_a_timeline_too(opened: Opened) -> None:
    timeline = opened([trace_at(START, 1)])
    assert timeline.span == (START, START)
    assert timeline.rates(3)[0] in (1.0, None)
    assert trace_at(START, 1) in records_of(timeline.snapshot_at(START).batches)


def test_memory_keeps_its_bounds_and_what_ran_before_them() -> None:
    history = History(keep_s=60.0, max_bytes=3 << 20)
    daemon = exec_at(START, 7)
    history.add([*STORY[:4], daemon])
    dice = random.Random(6)
    for second in range(300):
        noise = [
            Trace(time=START + second, cpu=0, pid=1, task="t", message=dice.randbytes(300).hex()) for _ in range(40)
        ]
        history.add(noise)
        assert history.bytes_used <= history.max_bytes
    timeline = Timeline(HEADER, history, history.index)
    first, last = timeline.span
    assert last == START + 299
    assert 50 <= last - first <= 70
    events = sum(rate or 0.0 for rate in timeline.rates(60)) * (last - first) / 60
    assert events == pytest.approx(40 * (last - first), rel=0.05)
    assert history.index.stop - history.index.first <= 75
    assert daemon in records_of(timeline.snapshot_at(last, events=1).batches)
    assert {r.probe for r in records_of(timeline.snapshot_at(last).batches) if isinstance(r, Probe)} == set(
        registry().on
    )


def test_memory_that_is_too_small_for_the_time_keeps_less_time() -> None:
    history = History(keep_s=1e6, max_bytes=2 << 20)
    dice = random.Random(8)
    for second in range(400):
        history.add(
            [Trace(time=START + second, cpu=0, pid=1, task="t", message=dice.randbytes(2000).hex()) for _ in range(10)]
        )
        assert history.bytes_used <= history.max_bytes
    first, last = Timeline(HEADER, history, history.index).span
    assert last == START + 399
    assert 10 < last - first < 300


def test_memory_keeps_its_bound_however_much_comes_at_once() -> None:
    history = History(max_bytes=4 << 20)
    dice = random.Random(9)
    for second in range(5):
        history.add([Trace(time=START + second, cpu=0, pid=1, task="t", message=dice.randbytes(8).hex() * 4000)] * 150)
        assert history.bytes_used <= history.max_bytes
    assert Timeline(HEADER, history, history.index).span == (START, START + 4)


def test_what_memory_saves_begins_with_what_was_known_before(tmp_path: Path) -> None:
    history = History(keep_s=30.0)
    history.add([*STORY[:4], exec_at(START, 7)])
    for second in range(120):
        history.add([trace_at(START + second, second)])
    Timeline(HEADER, history, history.index).save(str(tmp_path / "r.jsonl"))
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines()
    assert lines[0] == encode(HEADER)
    assert set(lines[1:6]) == {*map(encode, STORY[:4]), encode(exec_at(START, 7))}
    assert encode(trace_at(START + 119, 119)) in lines
    assert encode(trace_at(START + 2, 2)) not in lines
