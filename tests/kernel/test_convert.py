"""A recorded build, converted: the slices, stacks and rows are what wait4 and the clock say of the same processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebpftop.kernel.capabilities import Cap
from ebpftop.lifecycle.invoker import INVOKER_VARIABLES, nobody
from tests.kernel.support import at_some_moment, needs_root
from tests.kernel.test_recording import recorder, said
from tests.unit.perfetto_reader import PerfettoTrace

pytestmark = needs_root

# Runs commands one after the other, as make does, and says of each: pid, time since boot before and after, CPU, status.
BUILD = r"""
import json, os, sys, time
def now(): return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
def run(*argv):
    before = now()
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(argv[0], argv)
        except OSError:
            os._exit(127)
    _, status, used = os.wait4(pid, 0)
    truth.append([pid, before, now(), used.ru_utime + used.ru_stime, os.waitstatus_to_exitcode(status)])
truth = []
for number in range(3):
    run("/bin/sh", "-c", "sleep 0.1; exit 0", f"job{number}")
run("/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3", "burns")
run("/bin/sh", "-c", "kill -TERM $$", "killed")
run("/nonexistent/compiler")
json.dump(truth, sys.stdout)
"""
CLOCK_NS = 5_000_000
"""The two clocks of a recording are compared with each other at a reading."""


@dataclass(frozen=True, slots=True)
class Truth:
    pid: int
    before_ns: int
    after_ns: int
    cpu_s: float
    status: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recording of a build: its process, and what it says of those that it started."""

    path: Path
    builder: int
    truth: list[Truth]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("build")
    path = folder / "build.jsonl.zst"
    with recorder(path, "--probes", "execs,syscalls", "--trace", "clock_nanosleep:>50ms") as child:
        time.sleep(0.5)
        run = subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE)
        printed, _ = run.communicate(timeout=60)
        assert run.returncode == 0
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        said(child)
    return Recorded(path, run.pid, [Truth(*one) for one in json.loads(printed)])


def convert(build: Recorded, out: str, *words: str) -> Path:
    path = build.path.parent / out
    command = [sys.executable, "-m", "ebpftop", "convert", str(build.path), *words, "-o", str(path), "--force"]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "EBPFTOP_CONFIG": ""})
    return path


def test_slices_lie_between_fork_and_wait4_below_the_process_that_waits(build: Recorded) -> None:
    trace = PerfettoTrace(convert(build, "t.pftrace", "--to", "perfetto", "--slower", "50ms").read_bytes())
    for true in build.truth[:-1]:
        (program,) = [one for one in trace.slices if one.name == "sh" and one.args["pid"] == true.pid]
        assert program.track[-1].endswith(f" {true.pid}")
        assert program.track[-2].endswith(f" {build.builder}")
        assert true.before_ns - CLOCK_NS < program.begin < program.end < true.after_ns + CLOCK_NS
        found = program.args.get("code", -getattr(signal, program.args.get("signal", ""), 0))
        assert found == true.status
        # Of a shell that waits, wait4 has what its children used too.
        if true.status:
            assert program.args["user_s"] + program.args["system_s"] == pytest.approx(true.cpu_s, rel=0.1, abs=0.005)
    killed = next(one for one in trace.slices if one.args.get("pid") == build.truth[-2].pid)
    assert killed.args["killer"]["pid"] == build.truth[-2].pid

    sleeps = trace.slices_of("clock_nanosleep")
    assert len([one for one in sleeps if one.track[-2].startswith("sleep ") and one.end - one.begin >= 0.1e9]) == 3
    failed = [one for one in trace.instants if one.name == "ENOENT /nonexistent/compiler"]
    assert [one.track[-1].endswith(f" {build.truth[-1].pid}") for one in failed] == [True]
    assert any(path[-1] == "system calls" for path in trace.counters)


def test_folded_stacks_add_up_to_the_time_of_the_build(build: Recorded) -> None:
    lines = convert(build, "t.folded", "--to", "folded").read_text().splitlines()
    values = {stack: int(value) for stack, _, value in (line.rpartition(" ") for line in lines)}
    jobs_us = sum((one.after_ns - one.before_ns) / 1000 for one in build.truth)
    below = sum(value for stack, value in values.items() if ";sh" in stack)
    assert 300_000 <= below <= jobs_us + CLOCK_NS / 1000
    trace = PerfettoTrace(convert(build, "t.pftrace", "--to", "perfetto").read_bytes())
    pids = {one.pid for one in build.truth}
    slices = [one for one in trace.slices_of("sh") if one.args["pid"] in pids]
    assert below == pytest.approx(sum(one.end - one.begin for one in slices) / 1000, abs=len(slices))
    assert any(stack.endswith(";sh;sleep") and value >= 300_000 for stack, value in values.items())


@contextmanager
def converter_of_a_pipe(out: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """`convert -` that waits for the first record, with what its status says once it has given up what it can."""
    command = [sys.executable, "-m", "ebpftop", "convert", "-", "--to", "csv", "-o", str(out)]
    env = {name: value for name, value in os.environ.items() if name not in INVOKER_VARIABLES}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env={**env, "EBPFTOP_CONFIG": ""})
    try:
        until_s = time.monotonic() + 30
        status: dict[str, str] = {}
        while status.get("NoNewPrivs") != "1" or status["Uid"].split()[0] == "0":
            assert time.monotonic() < until_s
            time.sleep(0.05)
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            status = dict(line.replace("\t", " ").split(": ", 1) for line in lines)
        yield child, status
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def test_convert_gives_up_root_before_a_byte_is_read(tmp_path: Path) -> None:
    with converter_of_a_pipe(tmp_path / "out.csv") as (_, status):
        assert {*status["Uid"].split()} == {str(nobody().uid)}
        assert int(status["CapEff"], 16) & ~(1 << Cap.DAC_READ_SEARCH) == 0


def test_what_root_began_to_convert_is_removed_if_it_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with converter_of_a_pipe(out) as (child, _):
        assert out.exists()
        child.kill()
        assert at_some_moment(lambda: not out.exists())


def test_each_program_is_a_row_with_its_end(build: Recorded) -> None:
    with convert(build, "t.csv", "--to", "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for true in build.truth:
        last = [row for row in rows if row["pid"] == str(true.pid)][-1]
        expected = {-signal.SIGTERM: ("signal", "", "SIGTERM"), 127: ("failed", "", "")}
        found = expected.get(true.status, ("exited", str(true.status), ""))
        assert (last["outcome"], last["code"], last["signal"]) == found
