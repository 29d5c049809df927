"""What the machine did over time, from readings: rates, latency, losses, cost; known gaps; bounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Cost, Lost, Probe, Record
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.series import ROWS_MAX, WHATS, Series
from ebpftop.models.track import GAPS_MAX, POINTS_MAX, EventTrack, LatencyTrack, Track
from ebpftop.sources.history import History
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import START, exec_at, write


def users(at: float, *rows: tuple[int, int, int], whole: bool = True) -> Users:
    return Users(
        time=START + at,
        whole=whole,
        rows=tuple(UserRow(uid=uid, user=None, execs=execs, failed=failed) for uid, execs, failed in rows),
    )


def calls(at: float, *rows: tuple[int, int, int, tuple[int, ...]], whole: bool = True) -> Syscalls:
    return Syscalls(
        time=START + at,
        whole=whole,
        rows=tuple(
            SyscallRow(abi="x86_64", nr=nr, name=str(nr), count=count, errors=errors, histogram_ns=ns)
            for nr, count, errors, ns in rows
        ),
    )


def probe(at: float, name: str, state: str) -> Probe:
    return Probe(time=START + at, probe=name, state=state, via=None, reason=None)  # type: ignore[arg-type]


def lost(at: float, count: int) -> Lost:
    return Lost(time=START + at, probe="execs", where="argv", count=count)


def fed(*records: Record) -> Series:
    series = Series()
    series.feed(records)
    return series


def columns(series: Series, what: str, begin: float, end: float, count: int) -> list[float | None]:
    found = series.columns(what, (START + begin, START + end), count)  # type: ignore[arg-type]  # one of them
    return [None if value is None else round(value, 3) for value in found]


def test_the_figure_of_a_moment_is_that_of_the_last_reading_however_short() -> None:
    series = fed(*(users(at / 5, (0, 2 * at, at)) for at in range(10)))
    before = series.readings
    series.feed([users(2.0, (0, 18 + 6, 9 + 1))])
    assert series.readings == before + 1
    assert round(series.at("execs", START + 2.0) or 0) == 30
    assert round(series.at("failed", START + 2.1) or 0) == 5


def test_execs_that_something_counts_are_no_readings() -> None:
    series = fed(users(0, (0, 1, 0)), users(1, (0, 2, 0)))
    before = series.readings
    series.feed([exec_at(1.5, 7)])
    assert series.readings == before


def test_rates_are_those_between_readings() -> None:
    series = fed(users(0, (0, 100, 10)), users(2, (0, 110, 10), (33, 4, 2)), users(4, (0, 110, 11), (33, 4, 2)))
    assert columns(series, "execs", 0, 4, 4) == [7, 7, 0, 0]
    assert columns(series, "failed", 0, 4, 2) == [1, 0.5]
    assert series.at("execs", START + 3) == 7
    assert series.at("execs", START + 5) == 0


def test_nothing_is_known_before_the_first_reading_and_after_the_last() -> None:
    series = fed(users(2, (0, 100, 10)), users(4, (0, 104, 10)))
    assert columns(series, "execs", 0, 6, 3) == [None, 2, None]
    assert series.at("execs", START + 2) is None
    assert all(columns(Series(), what, 0, 6, 3) == [None, None, None] for what in WHATS)


def test_a_part_of_a_reading_changes_only_its_rows() -> None:
    series = fed(
        calls(0, (0, 100, 0, ()), (1, 50, 5, ())),
        calls(1, (1, 60, 9, ()), whole=False),
        calls(2, (0, 103, 0, ()), whole=False),
    )
    assert columns(series, "calls", 0, 2, 2) == [10, 3]
    assert columns(series, "errors", 0, 2, 2) == [4, 0]


def test_parts_before_a_whole_reading_say_nothing() -> None:
    series = fed(calls(0, (1, 1_000_000, 9, ()), whole=False), calls(1, (0, 5, 0, ())), calls(2, (0, 8, 0, ())))
    assert columns(series, "calls", 0, 2, 2) == [None, 3]


def test_counters_that_shrank_were_reset() -> None:
    series = fed(users(0, (0, 100, 0)), users(1, (0, 130, 0)), users(2, (0, 7, 0)))
    assert columns(series, "execs", 0, 2, 2) == [30, 7]


def test_a_probe_that_is_off_leaves_a_gap() -> None:
    series = fed(
        calls(0, (0, 10, 0, (0, 4))),
        calls(1, (0, 20, 0, (0, 9))),
        probe(2, "syscalls", "off"),
        probe(5, "syscalls", "on"),
        calls(6, (0, 1000, 0, (0, 900))),
        calls(7, (0, 1004, 0, (0, 901))),
    )
    assert columns(series, "calls", 0, 7, 7) == [10, None, None, None, None, None, 4]
    assert [p is not None for p in columns(series, "p99", 0, 7, 7)] == [True, *[False] * 5, True]
    assert series.at("calls", START + 3) is None
    assert series.latencies(START, START + 7) == ((0, 6), START, START + 7)
    assert series.latencies(START + 2, START + 7) == ((0, 1), START + 6, START + 7)


def test_while_nothing_counts_programs_the_exec_log_does() -> None:
    series = fed(
        probe(0, "users", "off"),
        exec_at(START + 0.5, 10),
        exec_at(START + 0.7, 11, ret=-2),
        users(2, (0, 50, 0)),
        exec_at(START + 2.5, 12),
        users(3, (0, 54, 0)),
        probe(3, "users", "off"),
        exec_at(START + 5, 13),
        lost(6, 0),
    )
    assert columns(series, "execs", 0, 6, 6) == [2, 0, 4, 0, 1, 0]
    assert columns(series, "failed", 0, 6, 6) == [1, 0, 0, 0, 0, 0]


def test_neither_counted_nor_logged_is_not_known() -> None:
    series = fed(probe(0, "users", "off"), probe(0, "execs", "off"), lost(4, 0))
    assert columns(series, "execs", 0, 4, 2) == [None, None]
    assert series.at("execs", START + 3) is None


def test_losses_are_of_the_moment_when_they_were_counted() -> None:
    series = fed(lost(0, 0), lost(3, 12), lost(4, 12), lost(6, 2), lost(8, 2))
    assert columns(series, "lost", 0, 8, 4) == [0, 6, 1, 0]
    assert series.at("lost", START + 2.9) == 0
    assert series.at("lost", START + 8) == 14


def test_the_99th_percentile_is_that_of_all_calls_that_returned_meanwhile() -> None:
    fast, slow = (0,) * 10 + (99,), (0,) * 10 + (99, 0, 0, 50)
    series = fed(calls(0, (0, 0, 0, ())), calls(1, (0, 99, 0, fast)), calls(2, (0, 149, 0, slow)))
    quick, late = columns(series, "p99", 0, 2, 2)
    assert quick is not None
    assert 1024 <= quick <= 2048
    assert late is not None
    assert 8192 <= late <= 16384
    assert series.latencies(START, START + 2) == (slow, START, START + 2)


def test_columns_narrower_than_the_readings_show_the_one_that_covers_them() -> None:
    series = fed(calls(0, (0, 0, 0, ())), calls(10, (0, 3, 0, (0, 3))), calls(20, (0, 4, 0, (0, 4))))
    assert series.latency_columns((START, START + 20), 4) == ((0, 3), (0, 3), (0, 1), (0, 1))
    assert series.latency_columns((START - 5, START), 1) == (None,)


def test_the_cost_is_its_mean() -> None:
    costs = [Cost(time=START + at, kernel=kernel, user=0.1, runs=None) for at, kernel in ((0, 0), (1, 0.1), (2, None))]
    series = fed(*costs)
    assert columns(series, "cost", 0, 2, 1) == [0.15]
    assert columns(series, "cost", 0, 2, 2) == [0.2, 0.1]


def test_a_record_far_ahead_does_not_hide_what_follows() -> None:
    series = fed(
        users(0, (0, 0, 0)),
        users(90_000, (0, 5, 0)),
        users(1, (0, 7, 0)),
        users(2, (0, 9, 0)),
        calls(0, (0, 0, 0, ())),
        calls(90_000, (0, 5, 0, (0, 5))),
        calls(1, (0, 7, 0, (0, 7))),
        calls(2, (0, 9, 0, (0, 9))),
    )
    assert columns(series, "execs", 0, 2, 2)[1] == 2
    assert series.latencies(START + 1, START + 2) == ((0, 2), START + 1, START + 2)


def test_points_are_thinned_and_no_count_is_lost() -> None:
    track, latency, seen = Track(), LatencyTrack(), EventTrack()
    seen.mend(0)
    for second in range(5 * POINTS_MAX):
        track.gain(second, 3)
        latency.gain(second, (0, 2))
        seen.gain(second, 1)
    last = 5 * POINTS_MAX - 1
    assert max(len(track.times), len(latency.times), len(seen.times)) <= POINTS_MAX
    assert track.times[-1] == latency.times[-1] == last
    assert track.rate(0, last) == pytest.approx(3)
    found = latency.between(0, last)
    assert found is not None
    assert found[0] == (0, round(2 * (found[2] - found[1])))


def test_ten_readings_a_second_make_one_point_a_second() -> None:
    track, latency = Track(), LatencyTrack()
    for reading in range(1000):
        track.gain(reading / 10, 1)
        latency.gain(reading / 10, (1,))
    assert len(track.times) <= 130
    assert len(latency.times) <= 130
    assert track.rate(0, 99) == pytest.approx(10)


def test_of_very_many_gaps_only_the_newest_are_known() -> None:
    track = Track()
    for number in range(2 * GAPS_MAX):
        track.gain(4 * number, 0)
        track.gain(4 * number + 1, 5)
        track.cut(4 * number + 2)
    assert len(track.gaps) <= GAPS_MAX
    assert track.rate(0, 3) is None
    assert len(track.times) <= 2 * GAPS_MAX + 2
    assert track.rate(8 * GAPS_MAX - 8, 8 * GAPS_MAX - 7) == 5


def test_any_number_of_users_takes_bounded_memory() -> None:
    series = Series()
    for at in range(3):
        rows = tuple((uid, 1, 0) for uid in range(at * 30_000, (at + 1) * 30_000))
        series.feed([users(at, *rows)])
    assert len(series._users) <= ROWS_MAX


def test_what_the_history_drops_is_dropped_here_too() -> None:
    history = History(keep_s=20)
    for second in range(120):
        history.add([users(second, (0, second * 4, 0))])
    times = history.series._tracks["execs"].times
    assert len(times) < 60
    assert history.series.columns("execs", (START + 100, START + 119), 1) == (4,)


def test_a_recording_is_known_as_far_as_it_is_indexed(tmp_path: Path) -> None:
    records: Sequence[Record] = [users(at, (0, 2 * at, at)) for at in range(30)]
    source = ReplaySource(str(write(tmp_path / "a.jsonl", [*records])))
    try:
        until = time.monotonic() + 30
        while source.timeline.indexed < 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert columns(source.series, "execs", 10, 20, 2) == [2, 2]
    finally:
        source.close()


def test_an_exec_is_not_counted_twice() -> None:
    exec_: Exec = exec_at(START + 0.5, 10)
    assert columns(fed(users(0, (0, 0, 0)), exec_, users(1, (0, 1, 0))), "execs", 0, 1, 1) == [1]
