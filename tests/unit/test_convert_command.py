"""`ebpftop convert`: its files, its streams, its ends, and what it refuses."""

from __future__ import annotations

import array
import builtins
import fcntl
import os
import signal
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ebpftop.cli.main import main
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.record_lines import encode
from ebpftop.core.records import End, Record
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_file
from tests.unit.perfetto_reader import PerfettoTrace
from tests.unit.recording_samples import HEADER, START, story, write

CONVERT = [sys.executable, "-m", "ebpftop", "convert"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFTOP_CONFIG", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # Under root the recording is read as nobody, who finds nothing in a folder of root's.
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    return tmp_path


@pytest.fixture
def recording(folder: Path) -> Path:
    return write(folder / "a.jsonl.zst", list(story(5)))


def convert(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CONVERT, *map(str, words)], check=False, capture_output=True, timeout=60, **options)


def read(path: Path) -> tuple[list[Record], End | None]:
    passage = Passage(open_file(str(path)), str(path))
    return list(passage.records(whole=True)), passage.end


def test_a_new_file_is_its_owners_and_is_said(recording: Path, folder: Path) -> None:
    out = folder / "t.pftrace"
    done = convert(recording, "--to", "perfetto", "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"ebpftop: {out}: ".encode())
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert PerfettoTrace(out.read_bytes()).slices_of("job1001")
    again = convert(recording, "--to", "csv", "-o", out)
    assert (again.returncode, b"exists; give another name, or --force" in again.stderr) == (1, True)
    assert convert(recording, "--to", "csv", "-o", out, "--force").returncode == 0
    assert out.read_bytes().startswith(b"time_unix_s,pid,")


def test_a_part_of_a_recording_is_a_recording(recording: Path, folder: Path) -> None:
    out = folder / "part.jsonl.zst"
    done = convert(f"{recording}@+1s..+2s", "--to", "jsonl", "-o", out)
    assert done.returncode == 0, done.stderr
    records, end = read(out)
    times = [record.time for record in records if isinstance(record, (Exec, Exit)) and record.time >= START + 1]
    assert min(times) == START + 1
    assert max(times) == pytest.approx(START + 2)
    assert end is not None
    assert end.records == len(records)
    assert any(isinstance(record, Exec) and record.time < START + 1 for record in records), "what runs is known"


def test_a_stream_becomes_the_same_as_its_file(recording: Path) -> None:
    of_file = convert(recording, "--to", "csv")
    with recording.open("rb") as stdin:
        of_stdin = convert("-", "--to", "csv", stdin=stdin)
    piped = convert("-", "--to", "csv", input=recording.read_bytes())
    assert of_file.returncode == 0
    assert of_file.stdout == of_stdin.stdout == piped.stdout != b""


def test_ctrl_c_ends_a_stream_and_what_came_is_written(folder: Path) -> None:
    out = folder / "t.csv"
    process = subprocess.Popen([*CONVERT, "-", "--to", "csv", "-o", str(out)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"".join(encode(record) + b"\n" for record in (HEADER, *story(1))))
    process.stdin.flush()
    until_s = time.monotonic() + 30
    while not out.exists():
        assert time.monotonic() < until_s
        time.sleep(0.05)
    waiting = array.array("i", [1])
    while waiting[0]:  # bytes in the pipe
        assert time.monotonic() < until_s
        fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, waiting)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stdin.close()
    assert out.read_bytes().count(b"\r\n") == 21


def test_a_reader_that_goes_away_ends_it(recording: Path) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    done = subprocess.run(
        [*CONVERT, str(recording), "--to", "jsonl"], check=False, stdout=write_fd, stderr=-1, timeout=60
    )
    os.close(write_fd)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_file_that_does_not_become_whole_is_removed(recording: Path, folder: Path) -> None:
    out = folder / "t.jsonl"
    limited = ["prlimit", "--fsize=5000", *CONVERT, str(recording), "--to", "jsonl", "-o", str(out)]
    done = subprocess.run(limited, check=False, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"File too large" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--of", "calls"), "no traced call has a stack: record with --trace CALLS --stacks"),
        (("--value", "cpu"), "CPU"),
    ],
)
def test_stacks_that_are_not_there_are_said(recording: Path, words: tuple[str, ...], said: str) -> None:
    done = convert(recording, "--to", "folded", *words)
    assert (done.returncode, done.stdout) == (0, b"")
    assert said in done.stderr.decode()


def test_a_recording_that_was_never_closed_is_said(recording: Path, folder: Path) -> None:
    cut = folder / "cut.jsonl"
    cut.write_bytes(b"".join(encode(record) + b"\n" for record in (HEADER, *story(1))))
    assert b"it was never closed" in convert(cut, "--to", "folded").stderr
    assert convert(recording, "--to", "folded").stderr == b""


def test_broken_lines_are_listed(folder: Path) -> None:
    bad = folder / "bad.jsonl"
    bad.write_bytes(encode(HEADER) + b"\n{broken\n" + b"".join(encode(record) + b"\n" for record in story(1)))
    done = convert(bad, "--to", "folded")
    assert done.returncode == 0
    assert b"1 broken line passed over" in done.stderr
    assert b"line 2:" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--to", "perfetto"], 1, "stdout is a terminal; name a file: -o"),
        (["--to", "folded", "--slower", "5ms"], 2, "--slower is for --to perfetto"),
        (["--to", "csv", "--value", "cpu"], 2, "--value is for --to folded"),
        (["--to", "csv", "--kind", "exec,exit"], 2, "a CSV file is one table"),
        (["--to", "jsonl", "--kind", "users.rows"], 2, "unknown: users.rows"),
        (["--to", "folded", "--of", "calls", "--value", "cpu"], 2, "nobody counts the CPU time of a call"),
        (["--to", "perfetto", "-o", "t.zst"], 2, "leave .zst out"),
        (["--to", "svg"], 2, "invalid choice: 'svg'"),
        (["--to", "perfetto", "--slower", "5"], 2, "a duration with its unit, as 10ms"),
        ([], 2, "--to"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    words: list[str],
    status: int,
    said: str,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: fd == 1)
    try:
        found = main(["convert", str(recording), *words])
    except SystemExit as error:
        found = int(error.code or 0)
    assert (found, said in (message := capfd.readouterr().err)) == (status, True), message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.zst", "cannot open"),
        ("a.jsonl.zst@25:00..", "'25:00' is not a moment; write it as"),
        ("a.jsonl.zst@+1h..", "the recording has nothing there; it is of"),
    ],
)
def test_a_recording_that_is_not_there_leaves_no_file(recording: Path, folder: Path, name: str, said: str) -> None:
    done = convert(folder / name, "--to", "csv", "-o", folder / "out.csv")
    assert done.returncode == (1 if said == "cannot open" else 2)
    assert said in done.stderr.decode()
    assert not (folder / "out.csv").exists()


def test_without_the_package_it_says_what_to_install(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = builtins.__import__

    def without(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if name.startswith("perfetto"):
            raise ImportError(f"No module named {name}")
        return found(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["convert", str(recording), "--to", "perfetto"]) == 1
    assert "pip install 'ebpftop[perfetto]'" in capfd.readouterr().err


def test_an_unknown_table_is_refused_with_those_that_there_are(recording: Path) -> None:
    # By a process of its own: it gives up root to read which maps are in the file.
    command = [*CONVERT, str(recording), "--to", "csv", "--kind", "shoes"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "unknown: shoes; choose from exec+exit, probe" in ended.stderr
