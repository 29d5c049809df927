"""A recording as a source: at its pace, from any moment, and without anything of the kernel side."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.commands import demo
from ebpftop.commands.replay import speed_of
from ebpftop.core.process_records import Exec
from ebpftop.core.records import Header, Record
from ebpftop.core.source import Batch, Source, SourceError, UsageError
from ebpftop.core.trace_records import Trace
from ebpftop.probes.registry import registry
from ebpftop.recording.grouping import Grouper, group
from ebpftop.settings import values
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import (
    HEADER,
    START,
    drain,
    exec_at,
    key,
    seek,
    story,
    syscalls_at,
    trace_at,
    users_at,
    write,
)


def test_every_kind_of_record_travels_with_the_probe_that_made_it() -> None:
    for record in story(5):
        assert registry().probe_of(record) in registry().channels
    assert registry().probe_of(HEADER) is None


def test_batches_are_cut_by_recorded_time_and_carry_that_of_their_newest_record() -> None:
    records: list[Record] = [
        exec_at(START, 1),
        trace_at(START + 0.1, 1),
        exec_at(START + 0.2, 2),
        exec_at(START + 0.3, 3),
    ]
    assert list(group(records, 0.25)) == [
        Batch("execs", START + 0.2, (records[0], records[2])),
        Batch("trace", START + 0.1, (records[1],)),
        Batch("execs", START + 0.3, (records[3],)),
    ]


def test_the_same_recording_gives_the_same_batches_whoever_polls_and_when(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl.zst", list(story(40)))
    runs = []
    for pause_s in (0.0, 0.001):
        source = ReplaySource(str(path), speed=0)
        batches: list[Batch] = []
        while not source.finished:
            for probe in source.probes:
                batch = source.poll(probe, 0.001)
                if batch is not None:
                    batches.append(batch)
                time.sleep(pause_s)
        source.close()
        runs.append([[batch for batch in batches if batch.probe == probe] for probe in registry().channels])
    assert runs[0] == runs[1]


def test_a_record_from_a_false_future_does_not_hold_back_what_follows() -> None:
    grouper = Grouper(0.25)
    grouper.add(exec_at(START, 1))
    assert [batch.time for batch in grouper.add(exec_at(START + 1e9, 2))] == [START]
    assert [batch.time for batch in grouper.add(exec_at(START + 1, 3))] == [START + 1e9]
    assert [batch.time for batch in grouper.add(exec_at(START + 2, 4))] == [START + 1]


def test_it_is_a_source(tmp_path: Path) -> None:
    replay = ReplaySource(str(write(tmp_path / "r.jsonl", [])))
    source: Source = replay
    assert source.header == HEADER
    assert source.live is False
    assert source.probes == registry().channels
    with pytest.raises(SourceError, match="cannot be turned off or on in a recording"):
        source.toggle("execs")
    source.set_interval(2.0)
    assert source.poll("execs", 0.01) is None
    source.close()
    source.close()


def test_it_takes_as_long_as_it_took_divided_by_the_speed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [trace_at(START + n, n) for n in range(21)])
    source = ReplaySource(str(path), speed=20.0)
    began = time.monotonic()
    records = drain(source, lambda: source.finished)
    source.close()
    # A busy machine may make it later, nothing makes it earlier.
    assert time.monotonic() - began >= 0.9
    assert len(records) == 21


@pytest.mark.parametrize(
    ("counters", "begins"),
    [
        ([users_at(START + 6, 1), syscalls_at(START + 7, 1)], 7.0),
        ([syscalls_at(START + 6, 1)], 6.0),
        # Nobody attaches for so long: these came because their probe was turned on then.
        ([users_at(START + 15, 1)], 0.0),
        ([], 0.0),
    ],
    ids=["both", "one", "late", "none"],
)
def test_playing_begins_when_all_was_read_once_and_gives_at_once_what_came_before(
    tmp_path: Path, counters: list[Record], begins: float
) -> None:
    records = [exec_at(START, 1), exec_at(START + 5, 2), *counters, trace_at(START + 25, 3)]
    began_s = time.monotonic()
    source = ReplaySource(str(write(tmp_path / "r.jsonl", records)))
    try:
        assert 0 <= source.position - START - begins <= time.monotonic() - began_s + 0.01
        if begins:
            given = [record for _ in range(2) for record in polled(source)]
            assert given == records[:2]
            assert time.monotonic() - began_s < 5
    finally:
        source.close()


def polled(source: Source) -> tuple[Record, ...]:
    batch = source.poll("execs", 4.0)
    return batch.records if batch is not None else ()


def test_paused_it_gives_nothing_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [trace_at(START + n / 10, n) for n in range(100)])
    source = ReplaySource(str(path), speed=1.0)
    source.pause()
    while source.poll("trace", 0.05) is not None:
        pass
    stood = source.position
    assert source.paused
    assert source.poll("trace", 0.5) is None
    assert source.position == stood
    source.speed = 0.0
    source.resume()
    rest = drain(source, lambda: source.finished)
    assert isinstance(rest[-1], Trace)
    assert rest[-1].pid == 99
    source.close()


def test_seeking_goes_on_from_there_with_nothing_twice_and_nothing_left_out(tmp_path: Path) -> None:
    records = list(story(120))
    source = ReplaySource(str(write(tmp_path / "r.jsonl.zst", records)), speed=0)
    drain(source, lambda: source.finished)
    for moment in (START + 90.3, START + 10.2, START + 60.0, START):
        before = {key(r) for batch in seek(source, moment) for r in batch.records}
        after = [key(record) for record in drain(source, lambda: source.finished)]
        assert sorted(after) == sorted(key(r) for r in records if not isinstance(r, Header) and r.time > moment)
        assert not before & set(after)
    source.close()


def test_seeking_while_it_plays_drops_what_was_queued(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(story(60)))), speed=1.0)
    seek(source, START + 50)
    source.speed = 0.0
    played = drain(source, lambda: source.finished)
    assert all(record.time > START + 50 for record in played if not isinstance(record, Header))
    assert any(isinstance(record, Exec) for record in played)
    source.close()


def test_a_gap_of_days_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [trace_at(START, 1), trace_at(START + 3e5, 2), trace_at(START + 3e5 + 0.1, 3)])
    source = ReplaySource(str(path), speed=1.0)
    assert len(drain(source, lambda: source.finished)) == 3
    source.close()


def test_damage_is_counted_once_however_often_it_is_played(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [users_at(START + n, n) for n in range(5)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"broken\n", *lines[3:]]))
    source = ReplaySource(str(path), speed=0)
    for _ in range(3):
        drain(source, lambda: source.finished)
        seek(source, 0.0)
    drain(source, lambda: source.finished)
    source.close()
    assert source.damage.report()[0] == "1 broken line passed over"
    assert source.damage.faults[0].line == 4


def test_closing_does_not_wait_for_the_next_record(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [trace_at(START, 1), trace_at(START + 25, 2)])
    source = ReplaySource(str(path))
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 10


def test_the_demo_plays_as_fast_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[float] = []

    def show(fd: int, _name: str, speed: float, *_: object) -> int:
        os.close(fd)
        played.append(speed)
        return 0

    monkeypatch.setattr(demo, "need_terminal", lambda *_: None)
    monkeypatch.setattr(demo, "show", show)
    for speed in ("4", "max"):
        demo.run(parser().parse_args(["demo", "--speed", speed]))
    assert played == [4.0, 0.0]
    for words in (["demo"], ["replay", "file"]):
        with pytest.raises(UsageError, match=f"{words[0]}: --speed: 'slow' is neither max nor a number"):
            speed_of(parser().parse_args([*words, "--speed", "slow"]))


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("0.5", 0.5), ("60", 60.0), ("max", 0.0), ("0", 0.0)])
def test_speeds(text: str, speed: float) -> None:
    assert values.speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "-1", "nan", "inf", "1e9"])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(ValueError, match="neither max nor a number"):
        values.speed(text)


def test_replay_and_demo_import_nothing_of_the_kernel_side() -> None:
    code = (
        "import sys, ebpftop.commands.replay, ebpftop.commands.demo, ebpftop.sources.history\n"
        "bad = ('bcc', 'ebpftop.kernel', 'ebpftop.probes')\n"
        "good = ('ebpftop.probes', 'ebpftop.probes.registry')\n"
        "found = [name for name in sys.modules if name in bad or name.startswith(tuple(b + '.' for b in bad))]\n"
        "print([name for name in found if name not in good])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "ebpftop", *words], input=stdin, capture_output=True, check=False)


def test_without_a_terminal_replay_says_so_in_one_line(tmp_path: Path) -> None:
    done = run("replay", str(write(tmp_path / "r.jsonl", [])))
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"ebpftop: the screen needs a terminal")
    assert done.stderr.count(b"\n") == 1


def test_a_speed_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    done = run("replay", str(tmp_path), "--speed", "warp")
    assert done.returncode == 2
    assert b"--speed" in done.stderr


def test_of_two_jumps_the_later_wish_wins_whichever_is_done_last(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(story(60)))), speed=0)
    drain(source, lambda: source.finished)
    first, second = source.next_jump(), source.next_jump()
    source.jump(START + 40, second)
    source.jump(START + 5, first)
    played = drain(source, lambda: source.finished)
    assert played
    assert all(record.time > START + 40 for record in played if not isinstance(record, Header))
    source.close()
