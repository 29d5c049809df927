"""A part of a recording, as it is typed, and the records of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_lines import encode
from ebpftop.core.records import Fullest, Lost, Probe, Record
from ebpftop.core.source import SourceError, UsageError
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users
from ebpftop.recording.index import time_of
from ebpftop.recording.passage import EVERYTHING, Passage
from ebpftop.recording.reader import open_file
from ebpftop.recording.span import TypedSpan, split_span
from tests.unit.recording_samples import HEADER, START, story, write

# Sunday, 22 November 2026, 12:53:20 UTC
FIRST, LAST = START, START + 3600


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Etc/GMT-2")  # two hours east
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def span(text: str) -> tuple[float, float]:
    path, typed = split_span(f"a.zst@{text}")
    assert path == "a.zst"
    assert typed is not None
    return typed.resolve(FIRST, LAST)


def of_the_day(clock: str) -> float:
    hour, minute, second = map(float, clock.split(":"))
    return START // 86_400 * 86_400 + 3600 * hour + 60 * minute + second


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("14:54..14:55:30", "12:54:0", "12:55:30"),
        ("12:54Z..12:55Z", "12:54:0", "12:55:0"),
        ("14:54:01.5..", "12:54:1.5", None),
        ("..+1m30s", None, START + 90),
        ("+90..+1h", START + 90, START + 3600),
        ("-30s..", LAST - 30, None),
        ("2026-11-22T14:54..2026-11-22T12:55:00Z", "12:54:0", "12:55:0"),
        (f"{START + 1}..{START + 2.5}", START + 1, START + 2.5),
        ("..", None, None),
        ("14:54..14:53", "12:54:0", of_the_day("12:53:0") + 86_400),  # after midnight
    ],
)
def test_moments_are_typed_in_each_way_that_people_do(
    text: str, begin: str | float | None, end: str | float | None
) -> None:
    def moment(given: str | float | None, otherwise: float) -> float:
        return otherwise if given is None else of_the_day(given) if isinstance(given, str) else given

    assert span(text) == pytest.approx((moment(begin, EVERYTHING[0]), moment(end, EVERYTHING[1])))


@pytest.mark.parametrize("text", ["+2m..+1m", "+2h..", f"..{START - 5}"])
def test_a_part_that_the_recording_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        span(text)


@pytest.mark.parametrize("text", ["25:00..", "yesterday..", "..12:61", "5 o'clock..6"])
def test_what_is_no_moment_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a moment; write it as 14:02:11"):
        span(text)


@pytest.mark.parametrize("name", ["a.jsonl", "ann@host.jsonl", "a@b..c/d.zst", "-", "@1..2"])
def test_names_of_files_stay_names(name: str) -> None:
    assert split_span(name) == (name, None)


def test_a_file_that_is_there_is_no_part_of_another(tmp_path: Path) -> None:
    (tmp_path / "a@1..2").touch()
    assert split_span(str(tmp_path / "a@1..2")) == (str(tmp_path / "a@1..2"), None)


def test_the_end_of_a_stream_cannot_be_counted_from() -> None:
    with pytest.raises(UsageError, match=r"where a stream ends; count from its beginning"):
        TypedSpan("-5s", "").resolve(FIRST, None)


def passage_of(tmp_path: Path, records: list[Record], name: str = "a.jsonl.zst") -> Passage:
    path = write(tmp_path / name, records)
    return Passage(open_file(str(path)), str(path))


def piped(data: bytes) -> Passage:
    read_fd, write_fd = os.pipe()
    assert os.write(write_fd, data) == len(data)
    os.close(write_fd)
    return Passage(read_fd, "stdin")


def test_all_records_come_in_their_order_of_a_file_and_of_a_pipe(tmp_path: Path) -> None:
    records = list(story(3))
    of_file = passage_of(tmp_path, records)
    assert list(of_file.records(whole=True)) == records
    assert of_file.end is not None
    assert of_file.first_time() == START
    assert of_file.last_time() == time_of(records[-1])
    of_pipe = piped(b"".join(encode(record) + b"\n" for record in [HEADER, *records]))
    assert list(of_pipe.records(whole=True)) == records
    assert of_pipe.last_time() is None
    assert of_pipe.header == HEADER


def test_compressed_streams_are_unpacked(tmp_path: Path) -> None:
    records = list(story(3))
    packed = write(tmp_path / "a.zst", records).read_bytes()
    assert list(piped(packed).records(whole=True)) == records


def test_a_part_begins_with_what_holds_then_and_with_whole_readings(tmp_path: Path) -> None:
    records = list(story(20))
    begin, end = START + 10, START + 12
    part = list(passage_of(tmp_path, records).records((begin, end)))
    before = [record for record in part if time_of(record) < begin]
    assert {type(record) for record in before} == {Probe, Process, Exec, Lost, Fullest}
    ended = {record.pid for record in records if isinstance(record, Exit) and record.time < begin}
    assert not [record for record in before if isinstance(record, Exec) and (record.pid in ended or record.ret)]
    inside = [record for record in part if time_of(record) >= begin]
    expected = [record for record in records if begin <= time_of(record) <= end]
    assert [type(record) for record in inside] == [type(record) for record in expected]
    for kind in (Users, Syscalls):
        readings = [record for record in inside if isinstance(record, kind)]
        assert [reading.whole for reading in readings] == [True, False]
        assert readings[0] in expected


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello\n")
    with pytest.raises(SourceError, match="is not a recording of ebpftop"):
        Passage(open_file(str(tmp_path / "a")), "a")
    with pytest.raises(SourceError, match="ended without a record"):
        piped(b"hello\n")


def test_a_part_of_a_reading_whose_whole_was_not_read_is_left_out() -> None:
    part = Users(time=START, whole=False, rows=())
    assert list(piped(encode(HEADER) + b"\n" + encode(part) + b"\n").records()) == []
