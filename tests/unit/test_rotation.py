"""Recordings in parts: each is readable alone, together they are what one file would be, and the oldest go."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ebpftop.cli.commands import parser
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import End, Header, Probe, Record
from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users
from ebpftop.recording import RecordingWriter, zstd_frames
from ebpftop.recording.index import time_of
from ebpftop.recording.parts import PartNames, paths_of
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_files
from ebpftop.recording.rotation import RotatingWriter, Rotation
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import HEADER, START, drain, key, play, seek, story, write

STORY = list(story(30))
NAMES = ["day.jsonl", "day.jsonl.zst"]


def no_report(text: str) -> None:
    raise AssertionError(text)


def rotated(
    path: Path, records: Sequence[Record] = STORY, *, keep: int | None = None, header: Header = HEADER
) -> list[str]:
    """Write parts of a hundred records each; return their names."""
    writer = RotatingWriter(str(path), Rotation(None, 0.0, keep), no_report)
    writer.write([header])
    for at in range(0, len(records), 100):
        writer.write(records[at : at + 100])
    writer.close()
    assert writer.records == len(records)
    return PartNames(str(path)).existing()


def all_of(path: Path | str) -> tuple[list[Record], Passage]:
    passage = Passage(open_files(str(path)), str(path))
    records = list(passage.records(whole=True))
    passage.close()
    return records, passage


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_together_are_what_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    names = rotated(path)
    assert len(names) >= 8
    assert names == sorted(names)
    assert all(re.fullmatch(r"day-\d{8}T\d{6}\.\d{3}Z\.jsonl(\.zst)?", one) for one in names)
    whole, _ = all_of(write(tmp_path / f"one{name}", STORY))
    records, passage = all_of(path)
    assert records == whole
    assert passage.header == HEADER
    assert passage.damage.report() == []
    played, source = play(path)
    assert sorted(map(key, played)) == sorted(map(key, STORY))
    assert source.damage.report() == []
    assert all_of(tmp_path / f"day-*{name[3:]}")[0] == whole


@pytest.mark.parametrize("name", NAMES)
def test_each_part_is_a_recording_with_what_held_when_it_began(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    names = rotated(path)
    seen = 0
    before: dict[type[Record], Record] = {}
    running: dict[int, Record] = {}
    for number, part in enumerate(names, start=1):
        data = (tmp_path / part).read_bytes()
        lines = zstd_frames.zstd.decompress(data) if name.endswith(".zst") else data
        header = msgspec.json.decode(lines.splitlines()[0], type=Header)
        records, passage = all_of(tmp_path / part)
        assert (header.part, header.started) == (number, START)
        assert passage.header.part is None
        assert passage.end is not None
        assert passage.damage.report() == []
        held = header.held or 0
        mine = STORY[seen : seen + len(records) - held]
        assert sorted(map(key, records[held:])) == sorted(map(key, mine))
        if number > 1:
            assert header.begin is not None
            assert all(record.time <= header.begin for record in records[:held] if not isinstance(record, Header))
            known = {type(record): record for record in records[:held]}
            assert {one.pid for one in records[:held] if isinstance(one, (Exec, Process))} == running.keys()
            assert {Probe, Process, Users, Syscalls} <= known.keys()
            assert (known[Users], known[Syscalls]) == (before[Users], before[Syscalls])
        for record in mine:
            before[type(record)] = record
            if isinstance(record, Process) or (isinstance(record, Exec) and record.ret == 0):
                running[record.pid] = record
            elif isinstance(record, Exit):
                running.pop(record.pid, None)
        seen += len(mine)
        replayed, source = play(tmp_path / part)
        assert len(replayed) == len(records)
        assert source.damage.report() == []
    assert seen == len(STORY)


@pytest.mark.parametrize("first", [0, 3])
def test_parts_that_come_by_a_pipe_are_joined_too(tmp_path: Path, first: int) -> None:
    names = rotated(tmp_path / "day.jsonl.zst")[first:]
    data = b"".join((tmp_path / name).read_bytes() for name in names)
    # Of the first one that is there, what held comes too.
    held = held_of(tmp_path / names[0])
    expected = {key(record) for record in STORY[100 * first :]}

    source = PipeSource(piped(data))
    records = drain(source, lambda: source.finished)
    source.close()
    assert source.header.part is None
    assert expected <= {key(record) for record in records}
    assert len(records) == len(expected) + held
    assert source.damage.report() == []

    passage = Passage(piped(data), "stdin")
    records = list(passage.records(whole=True))
    assert expected <= {key(record) for record in records}
    assert len(records) == len(expected) + held
    assert passage.damage.report() == []


def piped(data: bytes) -> int:
    """Return the end of a pipe by which *data* comes."""
    ours, theirs = os.pipe()

    def send() -> None:
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=send, daemon=True).start()
    return ours


def held_of(path: Path) -> int:
    line = zstd_frames.zstd.decompress(path.read_bytes()).splitlines()[0]
    return msgspec.json.decode(line, type=Header).held or 0


def test_any_moment_is_found_in_the_parts(tmp_path: Path) -> None:
    rotated(tmp_path / "day.jsonl.zst")
    write(tmp_path / "one.jsonl.zst", STORY)
    sources = [ReplaySource(str(tmp_path / name), speed=0) for name in ("day.jsonl.zst", "one.jsonl.zst")]
    for at in (START, START + 3.5, START + 14.99, START + 29):
        parts, whole = (
            sorted(key(record) for batch in seek(source, at) for record in batch.records) for source in sources
        )
        assert parts == whole
    assert sources[0].timeline.span == sources[1].timeline.span
    for source in sources:
        source.close()


@pytest.mark.parametrize("first", [2, -1])
def test_parts_whose_first_ones_are_gone_begin_where_they_begin(tmp_path: Path, first: int) -> None:
    names = rotated(tmp_path / "day.jsonl.zst")
    for name in names[:first]:
        (tmp_path / name).unlink()
    begin = begin_of(tmp_path / names[first])
    assert begin > START + 2
    # So slow that what waits for its time never comes.
    with closing(ReplaySource(str(tmp_path / "day.jsonl.zst"), speed=1e-6)) as source:
        assert source.timeline.span == (begin, time_of(STORY[-1]))
        assert source.position == pytest.approx(begin, abs=1e-3)
        held: list[Record] = []
        until_s = time.monotonic() + 30
        while not {Probe, Process, Exec} <= set(map(type, held)):  # these, and what ran when it began
            assert time.monotonic() < until_s, held
            for probe in source.probes:
                batch = source.poll(probe, 0.01)
                held += batch.records if batch is not None else ()
        assert all(time_of(record) <= begin for record in held)


def test_a_beginning_behind_the_end_is_none(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordingWriter(str(path)) as writer:
        writer.write([msgspec.structs.replace(HEADER, begin=START + 1e6), *STORY])
    records, source = play(path)
    assert len(records) == len(STORY)
    assert source.timeline.span == (START, time_of(STORY[-1]))


def begin_of(path: Path) -> float:
    line = zstd_frames.zstd.decompress(path.read_bytes()).splitlines()[0]
    begin = msgspec.json.decode(line, type=Header).begin
    assert begin is not None
    return begin


def test_the_oldest_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    stamp = "20261129T162000.000Z"
    others = ["day.jsonl.bak", "day-monday.jsonl", f"day-{stamp}.jsonl.zst", f"today-{stamp}.jsonl"]
    for other in others:
        (tmp_path / other).write_text("precious")
    (tmp_path / "day-20200101T000000.000Z.jsonl").mkdir()
    names = rotated(path, keep=3)
    assert len(names) == 3
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {*others, *names, "day-20200101T000000.000Z.jsonl"}
    # A recorder that begins again counts those of the one before, and the newest are kept.
    later = [msgspec.structs.replace(one, time=START + 1000) for one in STORY[:50] if not isinstance(one, Header)]
    again = rotated(path, later, keep=3, header=msgspec.structs.replace(HEADER, started=START + 1000))
    assert again[0] == names[-1]
    records, passage = all_of(path)
    assert records[-50:] == all_of(tmp_path / again[1])[0]
    assert passage.header.begin is not None
    assert passage.damage.report() == []


def test_a_clock_that_was_set_back_does_not_change_the_order(tmp_path: Path) -> None:
    names = PartNames("/x/day.jsonl.zst")
    first = names.next(START, None)
    assert first == "day-20261122T125320.000Z.jsonl.zst"
    second = names.next(START - 3600, first)
    assert second == "day-20261122T125320.001Z.jsonl.zst"
    assert names.next(START + 1, second) == "day-20261122T125321.000Z.jsonl.zst"
    assert names.next(START, "day-20269999T999999.999Z.jsonl.zst") == first


@pytest.mark.parametrize(
    ("path", "part"), [("a", "a-S"), (".zst", ".zst-S"), ("a.b.json", "a.b-S.json"), ("r.zst", "r-S.zst")]
)
def test_the_time_stands_before_the_ending(path: str, part: str) -> None:
    assert PartNames(path).next(START, None).replace("20261122T125320.000Z", "S") == part


def test_a_part_that_is_missing_or_was_never_closed_is_said(tmp_path: Path) -> None:
    names = rotated(tmp_path / "day.jsonl")
    (tmp_path / names[3]).unlink()
    middle = tmp_path / names[5]
    middle.write_bytes(b"".join(middle.read_bytes().splitlines(keepends=True)[:-1]))
    report = all_of(tmp_path / "day.jsonl")[1].damage.report()
    assert f"behind {tmp_path / names[2]} a part is missing" in report
    assert any(line.startswith(f"{middle}: it was never closed") for line in report)
    assert len(report) == 2


def test_the_end_of_an_old_part_is_not_that_of_the_last(tmp_path: Path) -> None:
    last = tmp_path / rotated(tmp_path / "day.jsonl", STORY[:450])[-1]
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:-1]))
    records, passage = all_of(tmp_path / "day.jsonl")
    assert (len(records), passage.end) == (450, None)
    assert [line[:20] for line in passage.damage.report()] == ["it was never closed:"]


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_part_with_a_damaged_header_is_no_other_host_and_not_missing(tmp_path: Path, damaged: int) -> None:
    names = rotated(tmp_path / "day.jsonl")
    part = tmp_path / names[damaged]
    part.write_bytes(b"?" + part.read_bytes()[1:])
    records, passage = all_of(tmp_path / "day.jsonl")
    assert passage.header.host == HEADER.host
    report = passage.damage.report()
    assert f"{part}: the header is missing: host and kernel are not known" in report
    assert not [line for line in report if "a part is missing" in line]
    own = [record for record in records if isinstance(record, Exec)]
    assert {record.pid for record in STORY if isinstance(record, Exec)} <= {record.pid for record in own}


def test_wherever_a_part_is_damaged_the_others_are_read(tmp_path: Path) -> None:
    names = rotated(tmp_path / "day.jsonl.zst")
    part = tmp_path / names[2]
    whole = part.read_bytes()
    others = execs_of(tmp_path / "day.jsonl.zst") - execs_of(part)
    assert len(others) > 50
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        part.write_bytes(whole[:at] + bytes(byte ^ 0xA5 for byte in whole[at : at + 60]) + whole[at + 60 :])
        records, passage = all_of(tmp_path / "day.jsonl.zst")
        assert passage.header.host == HEADER.host
        assert others <= {record.pid for record in records if isinstance(record, Exec)}


def execs_of(path: Path) -> set[int]:
    return {record.pid for record in all_of(path)[0] if isinstance(record, Exec)}


def test_parts_of_two_hosts_are_not_joined(tmp_path: Path) -> None:
    for host in ("web-1", "web-2"):
        with RecordingWriter(str(tmp_path / f"{host}.jsonl")) as writer:
            writer.write([msgspec.structs.replace(HEADER, host=host), *STORY[: 50 if host == "web-1" else 60]])
    with pytest.raises(SourceError, match=r"several hosts: web-1, web-2; --host web-1"):
        all_of(tmp_path / "web-*")
    passage = Passage(open_files(str(tmp_path / "web-*")), "web-*", host="web-2")
    assert (passage.header.host, len(list(passage.records()))) == ("web-2", 60)
    with pytest.raises(SourceError, match=r"no records of host web-3"):
        Passage(open_files(str(tmp_path / "web-*")), "web-*", host="web-3")


def test_a_disk_that_is_full_ends_it_with_all_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RotatingWriter(str(tmp_path / "day.jsonl"), Rotation(None, 0.0), no_report)
    writer._begun_s += 1000
    writer.write([HEADER, *STORY[:100]])
    writer._begun_s -= 1000
    written = os.write

    def full(fd: int, data: bytes) -> int:
        if b'"part":2' in bytes(data[:1000]):
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SourceError, match=r"no other part: .*No space left on device; make room or record elsewhere"):
        writer.write(STORY[100:120])
    writer.close()
    (name,) = PartNames(str(tmp_path / "day.jsonl")).existing()
    assert [one.name for one in tmp_path.iterdir()] == [name]
    records, passage = all_of(tmp_path / "day.jsonl")
    assert len(records) == 120
    assert "No space left" in (passage.end or End(time=0, records=0, reason="")).reason


def test_a_folder_that_vanished_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    writer = RotatingWriter(str(folder / "day.jsonl"), Rotation(None, 0.0), no_report)
    for one in folder.iterdir():
        one.unlink()
    folder.rmdir()
    with pytest.raises(SourceError, match=r"no other part: cannot create .*gone/day-.*: No such file or directory"):
        writer.write([HEADER, *STORY[:5]])
    writer.close()


def test_what_cannot_be_removed_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    writer = RotatingWriter(str(tmp_path / "day.jsonl"), Rotation(None, 0.0, 2), said.append)

    def refuse(path: str, dir_fd: int | None = None) -> None:
        if dir_fd is None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    writer.write([HEADER])
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        for record in STORY[:6]:
            writer.write([record])
    writer.close()
    assert len(said) == 1
    assert re.fullmatch(r"cannot remove day-.*: Operation not permitted; --keep 2 does not hold", said[0])


def test_a_part_that_is_still_empty_waits_for_its_records(tmp_path: Path) -> None:
    rotated(tmp_path / "day.jsonl", STORY[:100])
    later = RotatingWriter(str(tmp_path / "day.jsonl"), Rotation(1, None), no_report)  # attaching takes a second
    assert len(all_of(tmp_path / "day.jsonl")[0]) == 100
    assert all_of(tmp_path / "day.jsonl")[1].damage.report() == []
    again = RotatingWriter(str(tmp_path / "day.jsonl"), Rotation(1, None), no_report)
    report = all_of(tmp_path / "day.jsonl")[1].damage.report()  # one that was killed before it began
    assert len(report) == 1
    assert report[0].endswith("is empty: left out")
    again.discard()
    later.discard()
    assert len(paths_of(str(tmp_path / "day.jsonl"))) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_as_large_as_asked_for_and_half_of_it_is_new(tmp_path: Path, name: str) -> None:
    for size in (40_000, 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        writer = RotatingWriter(str(folder / name), Rotation(size, None), no_report)
        writer.write([HEADER])
        for at in range(0, len(STORY), 20):
            writer.write(STORY[at : at + 20])
            writer._current._flush()  # as its thread does twice a second
        writer.close()
        *sizes, _ = (one.stat().st_size for one in sorted(folder.iterdir()))
        assert all(one >= size for one in sizes)
        # What held makes none of them more than twice as large, nor lets each write begin another one.
        # (Frames of twenty records each compress badly: of them it is the same.)
        assert name.endswith(".zst") or sum(sizes) < 2.5 * write(tmp_path / f"{size}{name}", STORY).stat().st_size
        assert size == 1 or len(sizes) >= 2 or name.endswith(".zst")
        assert sorted(map(key, play(folder / name)[0])) == sorted(map(key, STORY))


@pytest.mark.parametrize(
    ("typed", "limit"),
    [("100MB", (100_000_000, None)), ("1h", (None, 3600.0)), ("0.5MiB", (524_288, None)), ("30m", (None, 1800.0))],
)
def test_sizes_and_times_of_parts(typed: str, limit: tuple[int | None, float | None]) -> None:
    assert parser("record").parse(["record", "x", "--rotate", typed]).rotate == limit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rotate", "100"], "neither a size nor a time"),
        (["--rotate", "1kB"], "less than 100kB"),
        (["--rotate", "0.5s"], "less than 1s"),
        (["--rotate", "1h", "--keep", "1"], "at least 2"),
    ],
)
def test_wrong_sizes_and_numbers_are_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser("record").parse(["record", "x", *options])
    assert said in capsys.readouterr().err


def test_convert_and_diff_read_the_parts(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    rotated(tmp_path / "day.jsonl.zst")
    whole = write(tmp_path / "one.jsonl.zst", STORY)
    environment = {**os.environ, "EBPFTOP_CONFIG": ""}
    day, command = str(tmp_path / "day.jsonl.zst"), [sys.executable, "-m", "ebpftop"]
    converted = [
        subprocess.run(
            [*command, "convert", file, "--to", "jsonl"], check=True, capture_output=True, env=environment
        ).stdout.splitlines()
        for file in (day, str(whole))
    ]
    assert converted[0] == converted[1]
    assert json.loads(converted[0][0])["part"] is None
    spans = [f"{day}@+2s..+9s", f"{whole}@+2s..+9s"]
    done = subprocess.run([*command, "diff", *spans, "--json"], check=True, capture_output=True, env=environment)
    assert (json.loads(done.stdout)["rows"], done.stderr) == ([], b"")


def test_a_file_of_that_name_would_hide_the_parts(tmp_path: Path) -> None:
    (tmp_path / "day.jsonl").write_text("old")
    with pytest.raises(SourceError, match=r"day.jsonl exists; its parts would be read by this name"):
        RotatingWriter(str(tmp_path / "day.jsonl"), Rotation(1, None), no_report)
    assert [one.name for one in tmp_path.iterdir()] == ["day.jsonl"]
