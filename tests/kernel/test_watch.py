"""`stream --when` and `record --when` on this kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ebpftop.recording import zstd_frames
from tests.kernel.support import Stream, needs_root, of

pytestmark = needs_root

# No other program of the machine ends with this status while it has this name.
NAME = "when-it-ends"


def program(tmp_path: Path) -> str:
    path = tmp_path / NAME
    path.symlink_to("/bin/sh")
    return str(path)


def ends_with(path: str, status: int) -> None:
    assert subprocess.run([path, "-c", f"exit {status}"], check=False).returncode == status


def test_a_stream_ends_with_the_status_that_was_asked_for(tmp_path: Path) -> None:
    path = program(tmp_path)
    when = f'exit.comm == "{NAME}" && exit.code == 7'
    with Stream("--when", when, "--when-exit", "42", probes="execs") as stream:
        ends_with(path, 3)
        ends_with(path, 7)
        stream._finish()
    assert stream.status == 42
    assert of("exit", stream.lines, comm=NAME, code=3)  # records stay as they are
    assert of("exit", stream.lines, comm=NAME, code=7)
    assert f"{NAME}[" in stream.stderr
    assert "ended: exit 7" in stream.stderr
    assert "ended: exit 3" not in stream.stderr


def test_a_command_runs_and_the_minute_is_saved(tmp_path: Path) -> None:
    path, out, folder = program(tmp_path), tmp_path / "out", tmp_path / "saved"
    folder.mkdir()
    with Stream(
        "--when",
        f'exit.comm == "{NAME}"',
        "--when-run",
        f'sh -c "cat > {out}.part; mv {out}.part {out}"',
        "--when-save",
        str(folder),
        probes="execs",
    ) as stream:
        ends_with(path, 5)
        stream.wait_for(lambda _: out.exists())
    assert json.loads(out.read_text())["code"] == 5
    assert stream.status == 130
    (saved,) = folder.iterdir()
    text = zstd_frames.zstd.decompress(saved.read_bytes())
    assert of("exit", [json.loads(line) for line in text.splitlines()], comm=NAME, code=5)


def test_a_recording_stops_at_the_first_match(tmp_path: Path) -> None:
    path, file = program(tmp_path), tmp_path / "recording.jsonl"
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ebpftop",
            "record",
            str(file),
            "--probes",
            "execs",
            "--when",
            f'exit.comm == "{NAME}"',
            "--when-exit",
        ],
        stderr=subprocess.PIPE,
    ) as recorder:
        while recorder.poll() is None:  # until its probe is attached it sees nothing
            ends_with(path, 1)
    assert recorder.returncode == 4
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert of("exit", lines, comm=NAME, code=1)
    assert lines[-1]["kind"] == "end"


def test_an_expression_that_is_wrong_is_refused_before_anything_is_attached() -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "ebpftop", "stream", "--when", 'exit.sig == "SIGSEGV"'],
        check=False,
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 2
    assert tried.stdout == ""
    lines = tried.stderr.splitlines()
    assert "did you mean signal?" in lines[-3]
    assert lines[-1].index("^") == lines[-2].index("sig")
