"""Recordings that somebody damaged: what can be read is given, what cannot is counted, nothing is raised."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import encode
from ebpftop.core.records import SCHEMA, End, Record
from ebpftop.core.source import SourceError
from ebpftop.core.trace_records import Trace
from ebpftop.recording import zstd_frames
from ebpftop.recording.chunks import FileChunks, ZstChunks
from ebpftop.recording.parse import NEVER_CLOSED, ReadError, ReadErrors
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import HEADER, START, drain, exec_at, key, play, story, trace_at, users_at, write

RECORDS = [r for n in range(30) for r in (exec_at(START + n, n), trace_at(START + n, n), users_at(START + n, n))]
LINES = [encode(HEADER), *map(encode, RECORDS), encode(End(time=START + 30, records=len(RECORDS), reason=""))]
BROKEN_LINES = [
    b"\0" * 40,
    b"\xff\xfe\xfd",
    b"not json",
    b'{"kind":"exec"}',
    b'{"kind":"trace","time":1e300,"cpu":0,"pid":1,"task":"","message":""}',
    b'{"kind":"lost","time":1,"probe":"execs","where":"ring","count":' + b"9" * 40 + b"}",
    b'{"kind":"new","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    LINES[2][:-20],
    b"[]",
]


def replayed(data: bytes, suffix: str = ".jsonl") -> tuple[list[Record], ReadErrors] | SourceError:
    """Replay *data*; the error where nothing of it is a record."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"r{suffix}"
        path.write_bytes(data)
        try:
            records, source = play(path)
        except SourceError as error:
            return error
        return records, source.damage


def framed(lines: list[bytes], per_frame: int) -> list[bytes]:
    """Return *lines* as marked frames, as the writer makes them."""
    groups = [lines[at : at + per_frame] for at in range(0, len(lines), per_frame)]
    return [zstd_frames.pack(b"".join(line + b"\n" for line in group), len(group)) for group in groups]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, len(RECORDS)), st.sampled_from(BROKEN_LINES), max_size=20), st.booleans())
def test_broken_lines_are_counted_and_named_to_the_line_and_all_others_come(
    broken: dict[int, bytes], compressed: bool
) -> None:
    lines = [broken.get(at, line) for at, line in enumerate(LINES)]
    data = b"".join(framed(lines, 7)) if compressed else b"".join(line + b"\n" for line in lines)
    result = replayed(data)
    assert not isinstance(result, SourceError)
    records, damage = result
    assert sorted(map(key, records)) == sorted(
        key(record) for at, record in enumerate(RECORDS, start=1) if at not in broken
    )
    assert damage.broken == len(broken)
    assert [fault.line for fault in damage.faults] == [at + 1 for at in sorted(broken)]
    assert damage.notes == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bytes_written_over_cost_only_the_lines_they_touch(data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in LINES)
    start = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(1, 200))
    junk = data.draw(st.binary(min_size=0, max_size=300))
    result = replayed(whole[:start] + junk + whole[start + length :])
    assert not isinstance(result, SourceError)
    records, _ = result
    # Every line that lies wholly before or after the damage is still there.
    at = 0
    safe = []
    for number, line in enumerate(LINES):
        end = at + len(line) + 1
        if 0 < number <= len(RECORDS) and (end <= start or at > start + length):
            safe.append(key(RECORDS[number - 1]))
        at = end
    assert set(safe) <= set(map(key, records))
    # And what came in its place is whole too: a record that passed every check, safe to show.
    for record in records:
        for text in (
            (record.comm,) if isinstance(record, Exec) else (record.message,) if isinstance(record, Trace) else ()
        ):
            assert text.isprintable()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_frame_costs_its_own_lines_and_they_are_counted(data: st.DataObject) -> None:
    frames = framed(LINES, 10)
    hurt = data.draw(st.integers(1, len(frames) - 2))
    frame = bytearray(frames[hurt])
    at = data.draw(st.integers(zstd_frames.MARK_BYTES, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    result = replayed(b"".join([*frames[:hurt], bytes(frame), *frames[hurt + 1 :]]))
    assert not isinstance(result, SourceError)
    records, damage = result
    others = [record for n, record in enumerate(RECORDS, start=1) if n // 10 != hurt]
    assert set(map(key, others)) <= set(map(key, records))
    # A flip may go unnoticed by the content (an unused bit): then nothing is missing and nothing is counted.
    lost = len(RECORDS) - len(records)
    assert damage.broken == lost
    if lost:
        first = damage.faults[0].line
        assert first is not None
        assert hurt * 10 < first <= hurt * 10 + 10


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=60)), max_size=6), st.booleans())
def test_no_mutation_at_all_raises(cuts: list[tuple[float, int, bytes]], compressed: bool) -> None:
    data = b"".join(framed(LINES, 10)) if compressed else b"".join(line + b"\n" for line in LINES)
    for place, length, junk in cuts:
        at = int(place * len(data))
        data = data[:at] + junk + data[at + length :]
    result = replayed(data)
    if isinstance(result, SourceError):
        assert str(result).isprintable()
    else:
        for line in result[1].report():
            assert line.isprintable()


@settings(max_examples=40, deadline=None)
@example(9991, ".zst")
@given(st.integers(1, 10_000), st.sampled_from([".jsonl", ".zst"]))
def test_a_recording_cut_off_anywhere_gives_what_was_whole(cut: int, suffix: str) -> None:
    data = b"".join(framed(LINES, 10)) if suffix == ".zst" else b"".join(line + b"\n" for line in LINES)
    size = 1 + cut * (len(data) - 1) // 10_000
    result = replayed(data[:size], suffix)
    if isinstance(result, SourceError):
        assert size < len(framed(LINES, 10)[0]) if suffix == ".zst" else size < len(LINES[0])
        return
    records, damage = result
    assert [key(r) for r in RECORDS if key(r) in set(map(key, records))] == [key(r) for r in RECORDS[: len(records)]]
    # A frame that lacks but its checksum is whole all the same.
    if size < len(data) and (suffix == ".jsonl" or len(records) < len(RECORDS)):
        assert damage.notes
    if suffix == ".jsonl":
        assert damage.broken == (0 if data[size - 1 : size] == b"\n" or data[size : size + 1] == b"\n" else 1)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000))
def test_what_is_none_of_ours_is_refused_in_one_line(data: bytes) -> None:
    result = replayed(data)
    assert isinstance(result, SourceError)
    assert "\n" not in str(result)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=60)), max_size=4), st.booleans())
def test_no_mutation_of_a_pipe_raises(cuts: list[tuple[float, int, bytes]], compressed: bool) -> None:
    data = b"".join(framed(LINES, 10)) if compressed else b"".join(line + b"\n" for line in LINES)
    for place, length, junk in cuts:
        at = int(place * len(data))
        data = data[:at] + junk + data[at + length :]
    # Less than a pipe holds, so it can be written before anybody reads.
    assert len(data) < 60_000
    read, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    try:
        source = PipeSource(read)
    except SourceError as error:
        assert "ended without a record" in str(error)  # noqa: PT017  # no error is as right
        return
    records = drain(source, lambda: source.finished)
    source.close()
    if not cuts:
        assert sorted(map(key, records)) == sorted(map(key, RECORDS))
        assert source.damage.report() == []


def test_a_future_schema_is_named_and_what_is_known_of_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    future = b'{"kind":"header","schema":%d,"version":"9.9","host":"tomorrow","epoch":"new"}' % (SCHEMA + 1)
    path.write_bytes(b"\n".join([future, b'{"kind":"mood","time":1}', LINES[1], LINES[-1]]) + b"\n")
    records, source = play(path)
    assert records == [RECORDS[0]]
    assert source.header.host == "tomorrow"
    assert source.damage.unknown == 1
    assert f"written by ebpftop 9.9 in schema {SCHEMA + 1}" in "".join(source.damage.report())


def test_a_line_beyond_all_bounds_is_one_broken_line_and_the_rest_comes(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with path.open("wb") as file:
        file.write(LINES[0] + b"\n" + LINES[1] + b"\n")
        for _ in range(20):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + LINES[2] + b"\n" + LINES[-1] + b"\n")
    records, source = play(path)
    assert sorted(map(key, records)) == sorted(map(key, RECORDS[:2]))
    assert [str(fault) for fault in source.damage.faults] == ["line 3: longer than 4 MiB"]
    assert source.damage.broken == 1


def test_a_frame_that_unpacks_to_more_than_any_second_is_not_unpacked_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.zst"
    bomb = zstd_frames.pack(b"\0" * (200 << 20), 1)
    path.write_bytes(b"".join([*framed(LINES[:5], 5), bomb, *framed(LINES[5:], 5)]))
    records, source = play(path)
    assert sorted(map(key, records)) == sorted(map(key, RECORDS))
    assert source.damage.broken == 1
    assert "more than 8 MiB" in str(source.damage.faults[0])


def test_a_mark_among_damaged_lines_makes_no_compressed_file_of_them(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join([LINES[0], LINES[1], zstd_frames.MARK + b"junk", *LINES[2:]]) + b"\n")
    records, source = play(path)
    assert sorted(map(key, records)) == sorted(map(key, RECORDS))
    assert [fault.line for fault in source.damage.faults] == [3]


def test_zstd_of_another_program_is_played_too(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    # Frames as pzstd cuts them: in the middle of lines.
    data = b"".join(line + b"\n" for line in LINES)
    third = len(data) // 3
    path.write_bytes(
        b"".join(zstd_frames.pack(data[n : n + third], 0)[zstd_frames.MARK_BYTES :] for n in range(0, len(data), third))
    )
    records, source = play(path)
    assert sorted(map(key, records)) == sorted(map(key, RECORDS))
    assert source.damage.report() == []


def test_gzip_an_empty_file_and_a_directory_are_named_for_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08\0")
    (tmp_path / "empty").write_bytes(b"")
    for name, said in (("a.gz", "gzip"), ("empty", "is empty"), (".", "is not a file"), ("none", "No such file")):
        try:
            ReplaySource(str(tmp_path / name)).close()
        except SourceError as error:
            assert said in str(error)  # noqa: PT017
        else:
            raise AssertionError(name)


def test_chunks_of_any_size_hold_every_line_once(tmp_path: Path) -> None:
    lines = [encode(HEADER), *map(encode, story(3))]
    plain = b"".join(line + b"\n" for line in lines)
    for suffix, data in ((".jsonl", plain), (".zst", b"".join(framed(lines, 9)))):
        path = tmp_path / f"r{suffix}"
        path.write_bytes(data)
        for stretch in (64, 100, 500, 1000, 10_000, len(data) - 1, len(data), len(data) + 1):
            fd = os.open(path, os.O_RDONLY)
            chunks = ZstChunks(fd, stretch) if suffix == ".zst" else FileChunks(fd, stretch)
            read = [chunks.load(number) for number in range(chunks.stop)]
            chunks.close()
            assert b"".join(chunk.data for chunk in read) == plain, (suffix, stretch)
            assert not any(part.reason for chunk in read for part in chunk.parts)


def test_a_file_that_shrinks_while_it_is_played_ends_early(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", list(story(20)))
    source = ReplaySource(str(path), speed=0)
    os.truncate(path, 200)
    drain(source, lambda: source.finished)
    source.timeline.snapshot_at(START + 10)
    source.close()


@pytest.mark.skipif(sys.platform != "linux", reason="a file that cannot be read is one of /proc")
def test_a_disk_that_cannot_be_read_is_an_error_with_a_remedy() -> None:
    # The memory of a process is a regular file, and its first page cannot be read: EIO, as of a broken disk.
    with pytest.raises(SourceError) as caught:
        ReplaySource("/proc/self/mem")
    assert "cannot read /proc/self/mem: Input/output error" in str(caught.value)
    assert caught.value.remedy


def test_what_is_missing_is_said_in_brief_and_each_fault_once() -> None:
    damage = ReadErrors()
    assert damage.in_brief == ""
    damage.add(ReadError(5, 292, "cut off inside a zstd frame"))
    assert damage.in_brief == "damaged: 292 lines missing"
    assert damage.report() == ["292 broken lines passed over", "  lines 5 to 296: cut off inside a zstd frame"]
    damage.add(ReadError(None, None, "reading failed"))
    damage.note(NEVER_CLOSED)
    assert damage.in_brief == "damaged: at least 293 lines missing, never closed"


def test_faults_that_are_alike_are_reported_once() -> None:
    damage = ReadErrors()
    for line in range(1, 673):
        damage.add(ReadError(line, 1, "not a record" if line % 50 else "too long"))
    assert damage.report() == [
        "672 broken lines passed over",
        "  line 1: not a record; 97 more like it",
        "  line 50: too long; 1 more like it",
        "  and more",
    ]
