"""What changed between two spans: what was planted is found, and nothing else above it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpftop.cli.main import main
from ebpftop.core.group_records import CgroupRow, Cgroups, CommRow, Comms
from ebpftop.core.records import Lost, Probe, Record, TimedRecord
from ebpftop.core.syscall_records import Syscalls
from ebpftop.models.changed import compare
from ebpftop.models.changed_fields import CHANGED
from ebpftop.models.changed_rows import Changed, Loss, Row, Span
from ebpftop.models.changed_text import lines
from ebpftop.models.span_figures import SpanFigures
from ebpftop.recording import RecordingWriter
from ebpftop.recording.parse import read_lines
from ebpftop.recording.passage import Passage
from ebpftop.recording.readings import ReadingEncoder
from tests.unit.spans import HEADER, START, Machine

QUIET = Machine()
WORSE = Machine(
    octaves={"read": 3.0},
    errnos={**QUIET.errnos, ("openat", "EACCES"): 5.0},
    programs={who: rate for who, rate in QUIET.programs.items() if who != ("ann", "git")},
    user_calls={**QUIET.user_calls, "bob": 500.0},
)
"""A call is slower, an errno is new, a program is gone, a user makes twice as many calls; all else is the same."""

PLANTED = [
    ("+", "errno", "EACCES of openat"),
    ("up", "mean", "read by php-fpm"),
    ("up", "quantile", "read"),
    ("up", "user", "bob: calls"),
    ("-", "program", "git"),
]


def figures(records: Iterable[Record], begin: float = float("-inf"), end: float = float("inf")) -> SpanFigures:
    span = SpanFigures(HEADER, begin, end)
    span.feed(records)
    span.close()
    return span


def found(changed: Changed) -> list[tuple[str, str, str]]:
    # All quantiles moved by as much: which of them is the surest is chance.
    return [(row.mark, "quantile" if row.what in ("p50", "p90", "p99") else row.what, row.name) for row in changed.rows]


def test_what_was_planted_is_found_and_nothing_else() -> None:
    changed = compare(figures(QUIET.records(120, seed=1)), figures(WORSE.records(90, seed=2)))
    assert sorted(found(changed)) == sorted(PLANTED)
    row = next(row for row in changed.rows if row.distance is not None)
    assert row.factor == pytest.approx(8, rel=0.1)
    assert row.distance == pytest.approx(3, abs=0.1)
    assert (row.call, row.abi, row.nr) == ("read", "x86_64", 0)
    assert not changed.notes


def test_the_other_way_round_all_of_it_moves_back() -> None:
    back = {"+": "-", "-": "+", "up": "down", "down": "up"}
    changed = compare(figures(WORSE.records(120, seed=3)), figures(QUIET.records(90, seed=4)))
    assert sorted(found(changed)) == sorted((back[mark], what, name) for mark, what, name in PLANTED)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 10**6),
    st.integers(5, 60),
    st.integers(5, 60),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0.001, 200), max_size=30),
)
def test_spans_of_the_same_machine_do_not_differ(seed: int, a_s: int, b_s: int, calls: dict[str, float]) -> None:
    programs = {("ann", name): rate / 50 for name, rate in calls.items()}
    machine = Machine(calls=calls, errnos={(name, "EIO"): rate / 9 for name, rate in calls.items()}, programs=programs)
    a, b = figures(machine.records(a_s, seed=seed)), figures(machine.records(b_s, seed=seed + 1))
    assert found(compare(a, b)) == []


def test_a_span_in_the_middle_counts_from_its_begin() -> None:
    before = list(QUIET.records(100, seed=1))
    after = [*before, *list(WORSE.records(100, seed=2, begin=START + 100))]
    # The second machine's counters begin anew, as those of a probe that was turned on again.
    whole = figures(after, START + 110, START + 190)
    assert whole.known_s("syscalls") == pytest.approx(80)
    assert whole.known_s("execs") == pytest.approx(80)
    assert whole.total("call") / 80 == pytest.approx(sum(QUIET.calls.values()), rel=0.05)
    assert sorted(found(compare(figures(before, START + 5, START + 100), whole))) == sorted(PLANTED)


def test_a_probe_that_was_off_meanwhile_counts_on_not_anew() -> None:
    records = list(QUIET.records(120, seed=1))
    gap = (START + 50, START + 60)
    cut = [r for r in records if not (gap[0] < r.time <= gap[1] and isinstance(r, Syscalls))]
    toggles: list[TimedRecord] = [
        Probe(time=gap[0], probe="syscalls", state="off", via=None, reason=None),
        Probe(time=gap[1], probe="syscalls", state="on", via="x", reason=None),
    ]
    ordered: list[TimedRecord] = sorted([*cut, *toggles], key=lambda record: record.time)
    span = figures(ordered, START + 20, START + 120)
    assert span.known_s("syscalls") == pytest.approx(90, abs=1)
    # What the kernel counted in the gap of this test is more than nothing.
    assert span.total("call") == pytest.approx(100 * sum(QUIET.calls.values()), rel=0.05)


def test_calls_of_all_programs_and_units_are_compared_where_they_are_counted() -> None:
    def counted(nginx: float, ns: int, seed: int) -> list[TimedRecord]:
        chance = random.Random(seed)
        made = 0
        records = list(QUIET.records(60, seed=seed))
        records.insert(0, Probe(time=START, probe="cgroups", state="on", via="x", reason=None))
        for second in range(1, 61):
            made += round(chance.gauss(nginx, nginx**0.5))
            histogram = [0] * 20
            histogram[ns.bit_length()] = made
            done = {"calls": made, "total_ns": made * ns, "histogram_ns": tuple(histogram)}
            row = CgroupRow(hierarchy="v2", id=7, path="/web", unit="web.service", **done)  # type: ignore[arg-type]
            other = CgroupRow(hierarchy="v2", id=8, path="/db", unit="db.service", calls=50 * second)
            records.append(Cgroups(time=START + second, rows=(row, other)))
            comms = (CommRow(comm="nginx", **done), CommRow(comm="postgres", calls=50 * second))  # type: ignore[arg-type]
            records.append(Comms(time=START + second, rows=comms))
        return sorted(records, key=lambda record: record.time)

    changed = compare(figures(counted(100, 1000, seed=1)), figures(counted(300, 8000, seed=2)))
    assert sorted(found(changed)) == [
        ("up", "process", "nginx: calls"),
        ("up", "quantile", "nginx: calls"),
        ("up", "quantile", "web.service: calls"),
        ("up", "unit", "web.service: calls"),
    ]
    assert {row.name for row in changed.same} >= {"postgres: calls", "db.service: calls"}


def test_readings_as_they_were_written_give_the_same_figures() -> None:
    encoder = ReadingEncoder()
    records = list(QUIET.records(90, seed=5))
    written = list(read_lines(b"\n".join(map(encoder.encode, records))))
    assert any(isinstance(record, Syscalls) and not record.whole for record in written)
    whole, parts = figures(records), figures(written)
    assert {item: sum(whole.items.of(item)) for item in whole.items.all_keys()} == {
        item: sum(parts.items.of(item)) for item in parts.items.all_keys()
    }


def test_what_was_off_or_lost_is_said_and_not_compared() -> None:
    a = [record for record in QUIET.records(60, seed=1) if not isinstance(record, Syscalls)]
    a[2] = Probe(time=START, probe="syscalls", state="off", via=None, reason=None)
    b = [*WORSE.records(60, seed=2), Lost(time=START + 59, probe="execs", where="ring", count=54)]
    changed = compare(figures(a), figures(b))
    assert found(changed) == [("-", "program", "git")]
    assert "system calls, their errors and latencies are not compared: syscalls off in A" in changed.notes
    assert "lost in B: 54 execs (ring): so much is missing" in changed.notes


def test_another_host_and_another_kernel_are_said() -> None:
    other = SpanFigures(msgspec.structs.replace(HEADER, host="web2", kernel="5.10.0"))
    other.feed(QUIET.records(30, seed=3))
    other.close()
    changed = compare(figures(QUIET.records(30, seed=4)), other)
    assert changed.notes == ["A is of web1, B of web2", "A ran on Linux 6.18.0, B on 5.10.0"]
    assert not changed.rows


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (("--uid", "0"), (), ["A is of --uid 0, B of everything"]),
        (("--uid", "0"), ("--comm", "a b"), ["A is of --uid 0, B of --comm 'a b'"]),
        (("--uid", "0"), ("--uid", "0"), []),
        (("--uid", "0"), None, []),
    ],
)
def test_other_filters_are_said(a: tuple[str, ...] | None, b: tuple[str, ...] | None, said: list[str]) -> None:
    spans = [SpanFigures(msgspec.structs.replace(HEADER, filter=options)) for options in (a, b)]
    for number, span in enumerate(spans):
        span.feed(QUIET.records(30, seed=number))
        span.close()
    assert compare(spans[0], spans[1]).notes == said


def test_what_happened_once_is_listed_apart() -> None:
    once = replace(QUIET, programs={**QUIET.programs, ("root", "backup"): 0.04})
    changed = compare(figures(QUIET.records(60, seed=1)), figures(once.records(60, seed=12)))
    assert found(changed) == []
    assert ("+", "program", "backup") in [(row.mark, row.what, row.name) for row in changed.few]


def test_of_what_is_not_sure_the_largest_share_of_its_kind_comes_first() -> None:
    once = replace(QUIET, programs={**QUIET.programs, ("root", "backup"): 0.04}, calls={**QUIET.calls, "fchown": 0.1})
    changed = compare(figures(QUIET.records(60, seed=1)), figures(once.records(60, seed=12)))
    assert [row.share for row in changed.few] == sorted((row.share for row in changed.few), reverse=True)
    few = {row.name: row.count_after for row in changed.few if row.mark == "+"}
    assert list(few) == ["backup", "fchown"]
    assert few["fchown"] > few["backup"]


def test_thousands_of_names_do_not_take_memory_without_bound() -> None:
    machine = Machine(programs={("ann", f"x{number}"): 1.0 for number in range(12_000)})
    span = figures(machine.records(3, seed=1))
    assert len(span.items.all_keys()) == 10_000
    assert span.items.left_out > 0
    assert any("too many names" in note for note in compare(span, figures(machine.records(3, seed=2))).notes)


# The command.


def record(path: Path, machine: Machine, seed: int, seconds: float = 120) -> Path:
    with RecordingWriter(str(path)) as writer:
        writer.write((HEADER,))
        for one in machine.records(seconds, seed):
            writer.write((one,))
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("diff")
    return record(folder / "good.zst", QUIET, 1), record(folder / "bad.jsonl", WORSE, 2)


def diff(*words: object, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ebpftop", "diff", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env={**os.environ, **env})


def test_the_command_prints_a_table_and_an_object(recordings: tuple[Path, Path]) -> None:
    done = diff(*recordings)
    assert (done.returncode, done.stderr) == (0, b"")
    table = done.stdout.decode()
    assert re.search(r"^\+ errno +EACCES of openat +· +\S+/s +new █████$", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 100
    done = diff(*recordings, "--json")
    changed = msgspec.json.decode(done.stdout, type=Changed)
    assert sorted(found(changed)) == sorted(PLANTED)
    assert json.loads(done.stdout)["a"]["host"] == "web1"


def test_an_object_is_the_same_in_every_locale(recordings: tuple[Path, Path], tmp_path: Path) -> None:
    name = tmp_path / "é → é.zst"
    name.symlink_to(recordings[0])
    done = diff(name, recordings[0], "--json", LC_ALL="C", LANG="C")
    assert json.loads(done.stdout)["a"]["name"] == str(name)


def test_parts_of_one_recording_and_a_stream_are_compared(recordings: tuple[Path, Path]) -> None:
    good, bad = recordings
    changed = msgspec.json.decode(diff(f"{good}@+10s..+60s", f"{good}@-50s..", "--json").stdout, type=Changed)
    assert found(changed) == []
    assert (changed.a.begin, changed.a.end) == pytest.approx((START + 10, START + 60), abs=1)
    changed = msgspec.json.decode(diff(good, "-", "--json", stdin=bad.read_bytes()).stdout, type=Changed)
    assert sorted(found(changed)) == sorted(PLANTED)


def test_a_part_that_was_written_is_compared_as_that_part_itself(recordings: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = recordings
    part, smaller = tmp_path / "part.jsonl", tmp_path / "smaller.jsonl"
    for source, span, path in ((bad, "+40s..+100s", part), (part, "+20s..", smaller)):
        command = [sys.executable, "-m", "ebpftop", "convert", f"{source}@{span}", "--to", "jsonl", "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    for path, span in ((part, "+40s..+100s"), (smaller, "+60s..+100s")):
        by_file = msgspec.json.decode(diff(good, path, "--json").stdout, type=Changed)
        by_span = msgspec.json.decode(diff(good, f"{bad}@{span}", "--json").stdout, type=Changed)
        assert (by_file.b.begin, by_file.b.end) == pytest.approx((by_span.b.begin, by_span.b.end))
        assert by_file.b.programs == pytest.approx(by_span.b.programs, rel=0.01)
        assert found(by_file) == found(by_span)


def test_what_is_before_a_part_is_searched_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    rare = replace(QUIET, calls={"openat": 30.0, "futex": 9.0, "read": 5.0})
    with RecordingWriter(str(path)) as writer:
        writer.write((HEADER,))
        writer.write((Lost(time=START, probe="execs", where="ring", count=7),))
        for one in rare.records(900, seed=3):
            writer.write((one,))
        writer.write((Lost(time=START + 899, probe="execs", where="ring", count=9),))
    begin = START + 800
    passage = Passage(os.open(path, os.O_RDONLY), "long")
    span = figures(passage.figures((begin, START + 900)), begin, START + 900)
    assert span.known_s("syscalls") == pytest.approx(100, abs=2)
    assert span.known_s("execs") == pytest.approx(100, abs=2)
    assert span.total("call") / span.known_s("syscalls") == pytest.approx(44, rel=0.05)
    assert span.lost == {("execs", "ring"): 2}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("-", "-"), 2, "there is but one stdin; give one of the two as a file"),
        (("no such file", "x"), 1, "cannot open no such file: No such file or directory"),
        (("{good}@25:99..", "x"), 2, "'25:99' is not a moment; write it as"),
        (("{good}@+90s..+10s", "{good}"), 2, "it ends before it begins"),
        (("{good}",), 2, "the following arguments are required: B"),
    ],
)
def test_errors_name_the_remedy(
    recordings: tuple[Path, Path], words: tuple[str, ...], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    done = diff(*(word.format(good=recordings[0]) for word in words))
    assert done.returncode == status
    assert said in done.stderr.decode()
    assert done.stdout == b""


def test_a_table_fits_any_width_whatever_names_are() -> None:
    hostile = Machine(programs={("ann", "漢字" * 40): 20.0, ("ann", "x" * 500): 30.0})
    changed = compare(figures(QUIET.records(30, seed=1)), figures(hostile.records(30, seed=2)))
    from rich.cells import cell_len

    for width in (60, 80, 200):
        assert max(map(cell_len, lines(changed, width))) <= width


def test_help_names_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diff", "--help"])
    assert "FILE@FROM..TO" in capfd.readouterr().out


def test_the_page_names_every_field_of_the_object() -> None:
    page = (Path(__file__).parents[2] / "docs/changed.md").read_text()
    for struct in (Changed, Row, Span, Loss):
        for field in struct.__struct_fields__:
            assert f"`{field}`" in page


@pytest.mark.parametrize(("text", "count"), [("times:>5", 4), ("times:<5", 1), ("times:>5 move:new", 1)])
def test_what_is_new_or_gone_moved_by_more_than_any_number(text: str, count: int) -> None:
    changed = compare(figures(QUIET.records(120, seed=1)), figures(WORSE.records(90, seed=2)))
    query = CHANGED.parse(text)
    assert query is not None
    assert sum(map(query.matches, changed.rows)) == count
