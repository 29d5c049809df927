"""Writing recordings: nothing is lost but the last second, nothing is written where it must not be."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebpftop.core.records import End
from ebpftop.core.source import SourceError
from ebpftop.probes.registry import decode
from ebpftop.recording import RecordingWriter, zstd_frames
from ebpftop.recording.readings import ReadingEncoder
from tests.unit.recording_samples import HEADER, key, play, story, trace_at, write


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
def test_what_was_written_is_replayed_whole_and_in_order(tmp_path: Path, name: str) -> None:
    records = list(story(30))
    played, source = play(write(tmp_path / name, records))
    assert source.header == HEADER
    assert sorted(map(key, played)) == sorted(map(key, records))
    assert source.damage.report() == []


def test_a_plain_recording_is_lines_and_ends_with_an_end_record(tmp_path: Path) -> None:
    records = list(story(2))
    lines = write(tmp_path / "r.jsonl", records).read_bytes().splitlines()
    assert lines[:-1] == list(map(ReadingEncoder().encode, [HEADER, *records]))
    assert decode(lines[-1]) == End(time=max(getattr(r, "time", 0) for r in records), records=len(records), reason="")


def test_a_compressed_recording_is_what_any_zstd_unpacks(tmp_path: Path) -> None:
    records = list(story(5))
    packed = write(tmp_path / "r.jsonl.zst", records).read_bytes()
    lines = zstd_frames.zstd.decompress(packed).splitlines()
    assert lines[:-1] == list(map(ReadingEncoder().encode, [HEADER, *records]))


def test_what_was_written_is_in_the_file_soon_without_closing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    with RecordingWriter(str(path)) as writer:
        writer.write([HEADER, trace_at(HEADER.started, 1)])
        until_s = time.monotonic() + 30
        while not path.stat().st_size:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        played, source = play(path)
    assert played == [trace_at(HEADER.started, 1)]
    assert source.damage.broken == 0
    assert "never closed" in "".join(source.damage.report())


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("precious")
    with pytest.raises(SourceError, match="exists; give another name, or --force"):
        RecordingWriter(str(path))
    assert path.read_text() == "precious"


def test_force_replaces_a_file_and_not_what_else_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("old")
    with path.open() as old:
        with RecordingWriter(str(path), replace=True) as writer:
            writer.write([HEADER])
        assert old.read() == "old"
    assert path.read_bytes().startswith(b'{"kind":"header"')


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("target_exists", [False, True])
def test_a_link_is_never_written_through(tmp_path: Path, force: bool, target_exists: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "r.jsonl"
    if target_exists:
        target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(SourceError, match=r"exists|not a regular file"):
        RecordingWriter(str(link), replace=force)
    assert target.exists() == target_exists
    assert link.is_symlink()
    if target_exists:
        assert target.read_text() == "precious"


def test_a_pipe_is_no_place_for_a_recording_even_by_force(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="not a regular file"):
        RecordingWriter(str(path), replace=True)


def test_a_directory_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot create .*/nowhere/r\.jsonl: No such file or directory"):
        RecordingWriter(str(tmp_path / "nowhere" / "r.jsonl"))


def test_what_came_to_nothing_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RecordingWriter(str(path)).discard()
    assert not path.exists()


_KILLED = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[2])
from tests.unit.recording_samples import HEADER, trace_at
from ebpftop.recording.readings import ReadingEncoder
from ebpftop.recording import RecordingWriter
writer = RecordingWriter(sys.argv[1])
writer.write([HEADER, *(trace_at(HEADER.started, n) for n in range(1000))])
while writer.records < 1000:
    time.sleep(0.05)
writer.write([trace_at(HEADER.started + 1, n) for n in range(1000, 1100)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
def test_a_kill_loses_the_last_moment_only_and_replay_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    died = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(Path(__file__).parents[2])], check=False)
    assert died.returncode == -signal.SIGKILL
    played, source = play(path)
    assert played[:1000] == [trace_at(HEADER.started, n) for n in range(1000)]
    assert source.damage.broken == 0
    assert "it was never closed: if it was cut off, the last second may be missing" in source.damage.report()


_FULL = """
import resource, sys, time
sys.path.insert(0, sys.argv[2])
from tests.unit.recording_samples import HEADER, trace_at
from ebpftop.recording.readings import ReadingEncoder
from ebpftop.recording import RecordingWriter
from ebpftop.core.source import SourceError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = RecordingWriter(sys.argv[1])
batch = int(sys.argv[3])
writer.write([HEADER])
while not writer.bytes_written:
    time.sleep(0.01)
try:
    for begin in range(0, 100_000, batch):
        writer.write([trace_at(HEADER.started + number / 1000, number) for number in range(begin, begin + batch)])
        time.sleep(0.01)
    writer.close()
except SourceError as error:
    print(error)
    writer.close()
"""


@pytest.mark.parametrize("batch", [100, 50_000], ids=["bit by bit", "at once"])
@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
def test_a_file_that_cannot_grow_keeps_the_lines_that_fit_and_says_what_is_lost(
    tmp_path: Path, name: str, batch: int
) -> None:
    path = tmp_path / name
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(path), str(Path(__file__).parents[2]), str(batch)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    (said,) = done.stdout.splitlines()
    assert f"{path}: File too large after " in said
    assert " lost, what is in it can be replayed" in said
    played, source = play(path)
    assert played == [trace_at(HEADER.started + n / 1000, n) for n in range(len(played))]
    # Of whole lines as many as there is room for, but for the last record, which tells the next reader.
    assert 99_000 < path.stat().st_size <= 100_000
    assert source.damage.broken == 0
    assert source.damage.notes == ("recording ended early: File too large",)
    kept, lost = (int(digits.replace(",", "")) for digits in re.findall(r"([\d,]+) (?:later )?records", said))
    assert kept == len(played)
    assert (kept + lost) % batch == 0


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("limit_bytes", [0, 2_000])
def test_what_is_said_of_a_full_disk_holds_for_a_copy_and_for_what_fits(
    tmp_path: Path, limit_bytes: int, is_copy: bool
) -> None:
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[2])\n"
        "from tests.unit.recording_samples import HEADER, trace_at\n"
        "from ebpftop.recording import RecordingWriter\n"
        "from ebpftop.core.source import SourceError\n"
        "limit_bytes, is_copy = int(sys.argv[3]), sys.argv[4] == 'True'\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))\n"
        "try:\n"
        "    with RecordingWriter(sys.argv[1], is_copy=is_copy) as writer:\n"
        "        writer.write([HEADER, *(trace_at(HEADER.started + number, number) for number in range(100))])\n"
        "except SourceError as error:\n"
        "    print(writer.records, error)\n"
    )
    arguments = (str(tmp_path / "r.jsonl"), str(Path(__file__).parents[2]), str(limit_bytes), str(is_copy))
    said = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True).stdout
    kept, _, words = said.partition(" ")
    assert f" after {kept} record" in words
    assert (int(kept) > 0) == (limit_bytes > 0)
    assert ("what is in it can be replayed" in words) == (int(kept) > 0)
    assert ("there is nothing in it to replay" in words) == (int(kept) == 0)
    assert ("lost" in words) == (not is_copy)
    assert is_copy or f"{100 - int(kept)} later records lost" in words


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
def test_one_that_is_left_in_the_middle_of_a_write_ends_after_its_last_whole_record(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer = RecordingWriter(str(path))
    writer.write([HEADER, trace_at(HEADER.started, 1)])
    until_s = time.monotonic() + 30
    while not writer.bytes_written:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    whole = path.read_bytes()
    os.write(writer._fd, b"half a rec")  # as far as a thread came with what it is writing
    writer.abandon()
    writer.write([trace_at(HEADER.started, 2)])
    with pytest.raises(SourceError):  # there is no disk behind it any more
        writer.close()
    assert path.read_bytes() == whole
    played, source = play(path)
    assert played == [trace_at(HEADER.started, 1)]
    assert source.damage.broken == 0
