"""`ebpftop record` on the running kernel: what happened is in the file, however the recording ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Header, Record
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users
from ebpftop.recording.parts import PartNames
from ebpftop.sources.pipe import PipeSource
from tests.kernel.support import needs_root
from tests.unit.recording_samples import drain, play

pytestmark = needs_root

RECORD = (sys.executable, "-m", "ebpftop", "record")
# Only what the test itself starts, so that others on the machine make it neither larger nor different.
ME = ("--pid", str(os.getpid()), "--interval", "0.2")


@contextmanager
def recorder(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A recorder that is writing already; killed if the test does not end it."""
    child = subprocess.Popen([*RECORD, str(path), *ME, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        until_s = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size):
            assert child.poll() is None, child.communicate()[1]
            assert time.monotonic() < until_s
            time.sleep(0.05)
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def said(child: subprocess.Popen[str]) -> str:
    """Wait for the end; return what was said on stderr."""
    return child.communicate(timeout=60)[1]


def run_marked(mark: str) -> None:
    subprocess.run(["/bin/true", mark], check=True)


def marks(records: list[Record]) -> list[str]:
    return [record.argv[1] for record in records if isinstance(record, Exec) and record.argv[0] == "/bin/true"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)])
def test_a_signal_ends_it_with_everything_in_the_file(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path = tmp_path / "r.jsonl.zst"
    with recorder(path) as child:
        run_marked("first")
        child.send_signal(signal.SIGSTOP)
        run_marked("last")
        child.send_signal(signal.SIGCONT)
        child.send_signal(number)
        summary = said(child)
    assert child.returncode == status
    assert summary.startswith("ebpftop: ")
    assert f"records in {path}" in summary
    assert summary.count("\n") == 1
    records, source = play(path)
    assert marks(records) == ["first", "last"]
    assert source.header.host == os.uname().nodename
    assert source.damage.report() == []


def test_a_kill_leaves_what_was_there_a_second_before(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with recorder(path) as child:
        run_marked("early")
        until_s = time.monotonic() + 60
        while b"early" not in path.read_bytes():
            assert time.monotonic() < until_s
            time.sleep(0.05)
        child.kill()
        child.wait()
    records, source = play(path)
    assert marks(records) == ["early"]
    assert any("never closed" in line for line in source.damage.report())


def test_it_stops_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    command = [*RECORD, str(path), *ME, "--duration", "1", "--host-field", "--host-name", "web-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout == ""
    assert {json.loads(line)["host"] for line in path.read_text().splitlines()} == {"web-1"}
    assert play(path)[1].damage.report() == []


def test_its_parts_have_each_program_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    command = [*RECORD, str(path), *ME, "--rotate", "1s", "--probes", "execs,users"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until_s = time.monotonic() + 60
        sent = 0
        while len(parts := PartNames(str(path)).existing()) < 4:
            assert child.poll() is None
            assert time.monotonic() < until_s
            if parts and (tmp_path / parts[0]).stat().st_size:
                run_marked(str(sent))
                sent += 1
        child.send_signal(signal.SIGINT)
        said(child)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    records, source = play(path)
    assert source.damage.report() == []
    seen = [int(mark) for mark in marks(records)]
    assert seen == list(range(seen[0], sent))
    assert seen[0] <= 1  # it may have been attached a moment later
    # The totals go on from part to part: of the last reading, whichever user this is.
    (total,) = (row.execs for row in [one for one in records if isinstance(one, Users)][-1].rows)
    assert total == len([record for record in records if isinstance(record, Exec)])


def test_a_file_that_exists_is_refused_before_anything_is_attached(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("precious")
    done = subprocess.run([*RECORD, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"ebpftop: {path} exists; give another name, or --force to replace it\n"
    assert path.read_text() == "precious"


def test_force_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("old")
    done = subprocess.run([*RECORD, str(path), *ME, "--force", "--duration", "0.2"], capture_output=True, check=False)
    assert done.returncode == 0
    assert not any(isinstance(record, Header) for record in play(path)[0])


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
@pytest.mark.parametrize("at_once", [False, True], ids=["bit by bit", "at once"])
def test_a_full_disk_ends_it_in_one_line_and_what_fits_can_be_replayed(
    tmp_path: Path, name: str, at_once: bool
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=True)
    try:
        path = small / name
        with recorder(path) as child:
            if at_once:  # all between two of its writes, as on a machine that has no time for it
                child.send_signal(signal.SIGSTOP)
                for _ in range(100):
                    run_marked(os.urandom(1000).hex())  # what does not compress
                child.send_signal(signal.SIGCONT)
            until_s = time.monotonic() + 60
            while child.poll() is None and time.monotonic() < until_s:
                run_marked(os.urandom(1000).hex())
            complaint = said(child)
        assert child.returncode == 1
        assert complaint.startswith(f"ebpftop: {path}: No space left on device after ")
        assert complaint.endswith("what is in it can be replayed; make room or record elsewhere\n")
        assert complaint.count("\n") == 1
        records, source = play(path)
        assert marks(records)
        assert source.damage.broken == 0
        assert source.damage.notes == ("recording ended early: No space left on device",)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_compressed_stream_comes_while_it_goes_on_and_is_whole() -> None:
    command = [sys.executable, "-m", "ebpftop", "stream", "--compress", "--no-processes", "--host-field", *ME]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    try:
        source = PipeSource(os.dup(child.stdout.fileno()))
        records: list[Record] = []
        until_s = time.monotonic() + 60
        number = 0
        while not (marks(records) and any(isinstance(one, Syscalls) for one in records)):  # long before its end
            assert time.monotonic() < until_s
            run_marked(str(number))
            number += 1
            records += [one for probe in source.probes if (batch := source.poll(probe, 0.01)) for one in batch.records]
        run_marked("last")
        child.send_signal(signal.SIGINT)
        records += drain(source, lambda: source.finished)
        source.close()
        assert child.wait(60) == 130
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert marks(records)[-1] == "last"
    assert source.damage.report() == []
    readings = [one for one in records if isinstance(one, Syscalls)]
    assert readings[-1].rows
    assert not any(one.processes or one.process_totals or one.users for one in readings)
