"""ebpftop on the live kernel ends from any moment of its life, in any way, and leaves nothing (tests/ending.py)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from ebpftop.lifecycle import leftovers
from tests.ending import GONE_WITHIN_S, SLACK_S, Draw, Outcome, Session, run, unless_late
from tests.kernel.support import Stream, needs_root, of
from tests.kernel.test_probes import assert_gone, loaded, programs_of
from tests.unit.recording_samples import play

pytestmark = needs_root

DRAWS = 100
FIRST_SEED = int(os.environ.get("EBPFTOP_ENDING_SEED", "0"))
"""Other hundreds: EBPFTOP_ENDING_SEED=7000."""

_AT_ONCE = 4
_ME = ("--pid", str(os.getpid()))
_EBPFTOP = (sys.executable, "-m", "ebpftop")


@pytest.fixture
def tracefs_fd() -> Iterator[int]:
    """tracefs, which may be mounted for nobody else."""
    place = "/sys/kernel/tracing"
    mounted = f"test -e {place}/trace_pipe || mount -t tracefs nodev {place}; echo there; exec sleep 1000"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", mounted], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        fd = os.open(f"/proc/{holder.pid}/root{place}", os.O_PATH | os.O_DIRECTORY)
        yield fd
        os.close(fd)
        holder.kill()


def named_in(tracefs_fd: int) -> set[int]:
    """The pids of who has left something in tracefs, or has something there still."""
    return {owner.pid for owner in leftovers.owners(tracefs_fd)}


def end_live(seed: int) -> Outcome:
    """End the screen."""
    return run(Draw.of(seed, screen=True), [*_EBPFTOP, "live", *_ME], programs_of=programs_of)


def end_check(seed: int) -> Outcome:
    """End a check: without its report, 0 would be a lie, unless the report was out already."""
    outcome = run(Draw.of(seed, screen=False), [*_EBPFTOP, "check"], programs_of=programs_of)
    outcome.wrong = [wrong for wrong in outcome.wrong if not wrong.startswith(("status 1,", "it ended by itself"))]
    return outcome


def end_stream(seed: int) -> Outcome:
    """End a stream: what came is whole lines."""
    reading_fd, writing_fd = os.pipe()
    received: list[bytes] = []

    # Every other reader sleeps until the end; its pipe is full after the first records.
    awake = threading.Event()
    if seed % 20 < 10:
        awake.set()
    fcntl.fcntl(writing_fd, fcntl.F_SETPIPE_SZ, 4096)

    def receive() -> None:
        awake.wait()
        with os.fdopen(reading_fd, "rb") as pipe:
            received.append(pipe.read())

    reader = threading.Thread(target=receive)
    reader.start()
    try:
        draw = Draw.of(seed, screen=False)
        outcome = run(draw, [*_EBPFTOP, "stream", *_ME], programs_of=programs_of, stdout_fd=writing_fd)
    finally:
        os.close(writing_fd)
        awake.set()
        reader.join()
    data = b"".join(received)
    if data and not data.endswith(b"\n"):
        outcome.wrong.append(f"a torn line: {data[-200:]!r}")
    else:
        for line in data.splitlines():
            json.loads(line)
    return outcome


def end_record(seed: int) -> Outcome:
    """End a recording: what is in the file is whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.jsonl" if seed % 2 else "r.jsonl.zst")
        draw = Draw.of(seed, screen=False)
        outcome = run(draw, [*_EBPFTOP, "record", str(path), *_ME], programs_of=programs_of)
        if path.exists() and path.stat().st_size:
            damage = play(path)[1].damage
            if damage.broken or (outcome.took_s < 0.5 and damage.report()):
                outcome.wrong.append(f"the recording is damaged: {damage.report()}")
    return outcome


def end(seed: int) -> Outcome:
    """End one of the commands: mostly the screen, whose life has most moments."""
    return {0: end_stream, 1: end_record, 2: end_record, 3: end_check}.get(seed % 10, end_live)(seed)


@pytest.mark.timeout(400)
def test_it_ends_from_any_moment_by_any_means_and_leaves_nothing(tracefs_fd: int) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as several:
        outcomes = list(several.map(partial(unless_late, end), range(FIRST_SEED, FIRST_SEED + DRAWS)))
    until_s = time.monotonic() + 10
    while True:
        named, programs = named_in(tracefs_fd), loaded()
        for outcome in outcomes:
            left = [*(["a trace instance"] if outcome.pid in named else [])]
            left += [f"programs {found}"] if (found := outcome.programs & programs) else []
            outcome.left = ", ".join(left)
        if time.monotonic() > until_s or not any(outcome.left for outcome in outcomes):
            break
        time.sleep(0.1)
    for outcome in outcomes:
        outcome.wrong += [f"left in the kernel: {outcome.left}"] if outcome.left else []
    print("slowest:", max(outcomes, key=lambda outcome: outcome.took_s))  # noqa: T201  # shown where the test fails
    wrong = [str(outcome) for outcome in outcomes if outcome.wrong]
    assert not wrong, f"{len(wrong)} of {len(outcomes)}:\n" + "\n".join(wrong)


@contextmanager
def stream_whose_reader_sleeps(**env: str) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO, bytes]]:
    """A stream that waits for room in its pipe; the pipe, and what was read of it before. "last" ran at the end."""
    reading_fd, writing_fd = os.pipe()
    fcntl.fcntl(writing_fd, fcntl.F_SETPIPE_SZ, 4096)
    command = [*_EBPFTOP, "stream", "--probes", "execs,users", "--interval", "0.05", *_ME]
    child = subprocess.Popen(command, stdout=writing_fd, stderr=subprocess.PIPE, env={**os.environ, **env})
    os.close(writing_fd)
    try:
        with os.fdopen(reading_fd, "rb") as pipe:
            data = b""
            while b'"users"' not in data:  # both probes are attached
                data += pipe.readline()
            before = -1
            while before != (waiting := _waiting_bytes(pipe.fileno())) or not waiting:
                before = waiting
                subprocess.run(["/bin/true", "x" * 3000], check=True)
                time.sleep(1)
            subprocess.run(["/bin/true", "last"], check=True)
            yield child, pipe, data
    finally:
        child.kill()
        child.communicate()


def test_a_stream_whose_reader_sleeps_ends_after_a_whole_line_and_says_what_is_missing() -> None:
    with stream_whose_reader_sleeps() as (child, pipe, taken):
        child.terminate()
        assert child.wait(SLACK_S + GONE_WITHIN_S) == 0
        data = taken + pipe.read()
        assert data.endswith(b"\n")
        lines = [json.loads(line) for line in data.splitlines()]
        assert not of("exec", lines, argv=["/bin/true", "last"])
        assert child.stderr is not None
        said = re.fullmatch(
            r"ebpftop: the last events were not read in 1\.1 s after ([\d,]+) records?, ([\d,]+) more (?:was|were) not "
            r"written; with EBPFTOP_END_S=60 it may take half a minute\n",
            child.stderr.read().decode(),
        )
        assert said is not None
        assert int(said[1].replace(",", "")) == len(lines) - 1  # the header is no record
        assert int(said[2].replace(",", "")) >= 1


def test_a_stream_whose_reader_goes_ends_without_a_word() -> None:
    reading_fd, writing_fd = os.pipe()
    command = [*_EBPFTOP, "stream", "--probes", "users,execs", "--interval", "0.05", *_ME]
    child = subprocess.Popen(command, stdout=writing_fd, stderr=subprocess.PIPE)
    os.close(writing_fd)
    with os.fdopen(reading_fd, "rb") as pipe:
        while b'"users"' not in pipe.readline():
            pass
    with child:
        subprocess.run(["/bin/true"], check=True)
        assert child.stderr is not None
        said = child.stderr.read().decode()
    assert child.returncode == 0
    assert said == ""


def test_a_stream_that_is_given_more_time_waits_for_its_reader_and_reads_everything() -> None:
    with stream_whose_reader_sleeps(EBPFTOP_END_S="60") as (child, pipe, taken):
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(GONE_WITHIN_S + 1)
        assert child.poll() is None
        data = taken + pipe.read()
        assert child.wait(30) == 0
        lines = [json.loads(line) for line in data.splitlines()]
        assert of("exec", lines, argv=["/bin/true", "last"])
        assert child.stderr is not None
        assert child.stderr.read() == b""


def _waiting_bytes(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_what_was_killed_leaves_nothing_either(tracefs_fd: int) -> None:
    session = Session([*_EBPFTOP, "live", *_ME], "job")
    try:
        assert session.wait_for(b"Exec log")
        until_s = time.monotonic() + 60
        while session.pid not in named_in(tracefs_fd):  # the probes are attached after the screen has opened
            assert time.monotonic() < until_s
            time.sleep(0.02)
        programs = programs_of(session.pid)
        assert programs
        session.signal(signal.SIGKILL)
        until_s = time.monotonic() + 20
        while session.pid in named_in(tracefs_fd):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert_gone(programs)
        assert session.wait_for_end() == -signal.SIGKILL
        session.read_rest()
        assert session.modes_left() == []
        assert b"it was killed; the terminal is restored" in session.output
    finally:
        session.throw_away()


def test_the_next_start_removes_what_was_killed_with_its_guard(tracefs_fd: int) -> None:
    with Stream(probes="trace") as stream:
        pid = stream.pid
        (guard_pid,) = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()][:1]
        os.kill(guard_pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
    assert pid in named_in(tracefs_fd)
    with Stream(probes="users"):
        assert pid not in named_in(tracefs_fd)


def compiling(pid: int) -> list[int]:
    """Return the helper of *pid* if it has loaded the compiler."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it is ending
            if "libLLVM" in Path(f"/proc/{child}/maps").read_text():
                found.append(int(child))
    return found


def has_memory(pid: int) -> bool:
    """Return whether a process has not ended; one that nobody has waited for yet has no memory any more."""
    try:
        return bool(Path(f"/proc/{pid}/maps").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end_of(pid: int) -> None:
    """Wait until the helper *pid* has ended: it notices the end of ebpftop."""
    until_s = time.monotonic() + 20
    while has_memory(pid):
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_q_ends_it_while_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EBPFTOP_CACHE", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    session = Session([*_EBPFTOP, "live", *_ME], "job")
    try:
        until_s = time.monotonic() + 60
        while not (helper := compiling(session.pid)):
            assert time.monotonic() < until_s
            time.sleep(0.005)
        session.press(b"q")
        assert session.wait_for_end() == 0
        session.read_rest()
        assert session.modes_left() == []
        assert list(tmp_path.iterdir()) == []
        wait_for_end_of(helper[0])
    finally:
        session.throw_away()


def test_the_process_that_compiles_ends_soon_after_ebpftop_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFTOP_CACHE", "")
    session = Session([*_EBPFTOP, "live", *_ME], "job")
    try:
        until_s = time.monotonic() + 60
        while not (helper := compiling(session.pid)):
            assert time.monotonic() < until_s
            time.sleep(0.005)
        session.signal(signal.SIGKILL)
        assert session.wait_for_end() == -signal.SIGKILL
        wait_for_end_of(helper[0])
    finally:
        session.throw_away()
