"""How long each process spends in each call, on the running kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ebpftop.core.syscall_records import ProcessCalls, Syscalls
from ebpftop.filters.spec import Filter
from tests.kernel.support import compile_c, needs_root
from tests.kernel.test_syscalls import Live

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are x86-64's")]

MS = 1_000_000

# Sleeps so many times 20 ms, then calls getppid so often, and becomes another user in between.
TIMED = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec time = {.tv_nsec = 20 * 1000 * 1000};

	for (int i = atoi(argv[1]); i > 0; i--)
		syscall(SYS_nanosleep, &time, 0);
	if (argc > 3)
		syscall(SYS_setuid, atoi(argv[3]));
	for (int i = atoi(argv[2]); i > 0; i--)
		syscall(SYS_getppid);
	return 0;
}
"""


def pairs(reading: Syscalls, name: str) -> list[ProcessCalls]:
    """Return who made a call, the most first."""
    found = [pair for pair in reading.processes if pair.name == name]
    return sorted(found, key=lambda pair: -pair.count)


@pytest.mark.guest
@pytest.mark.oldest
def test_each_process_has_the_time_of_its_own_calls_and_the_sums_are_those_of_the_calls(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "timed", TIMED, "-static")
    with Live("timed") as live:
        live.read()
        for sleeps, calls in ((10, 3), (1, 5000)):
            subprocess.run([program, str(sleeps), str(calls)], check=True)
        reading = live.read()
    assert reading.evicted == 0
    slept, once = pairs(reading, "nanosleep")
    for pair, sleeps in ((slept, 10), (once, 1)):
        assert pair.count == sleeps
        assert pair.total_ns is not None
        assert pair.max_ns is not None
        assert pair.total_ns >= sleeps * 20 * MS
        assert 20 * MS <= pair.max_ns <= pair.total_ns
        assert pair.max_ns * sleeps >= pair.total_ns
    often, rarely = pairs(reading, "getppid")
    assert [pair.pid for pair in (often, rarely)] == [once.pid, slept.pid]
    for row in reading.rows:
        found = pairs(reading, row.name)
        assert sum(pair.count for pair in found) == row.count, row.name
        assert sum(pair.errors for pair in found) == row.errors, row.name
        assert sum(pair.total_ns or 0 for pair in found) == row.total_ns, row.name
        assert max(pair.max_ns or 0 for pair in found) == row.max_ns, row.name
    for total in reading.process_totals:
        own = [pair for pair in reading.processes if pair.pid == total.pid]
        assert total.total_ns == sum(pair.total_ns or 0 for pair in own)
        assert total.max_ns == max(pair.max_ns or 0 for pair in own)
    assert sum(user.total_ns or 0 for user in reading.users) == sum(row.total_ns for row in reading.rows)
    assert max(user.max_ns or 0 for user in reading.users) == max(row.max_ns for row in reading.rows)


@pytest.mark.guest
@pytest.mark.oldest
def test_a_call_that_changes_the_user_is_all_of_the_user_that_made_it(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "timed", TIMED, "-static")
    with Live("timed") as live:
        subprocess.run([program, "2", "1", "64005"], check=True)
        reading = live.read()
    users = {user.uid: user for user in reading.users}
    own = {row.name: row for row in reading.rows}
    # As the new user it calls getppid, and exit_group, which never returns.
    assert (users[64005].count, users[64005].total_ns) == (2, own["getppid"].total_ns)
    assert own["setuid"].total_ns > 0
    assert users[0].total_ns == sum(row.total_ns for row in reading.rows) - own["getppid"].total_ns


def test_the_time_of_a_call_is_added_when_it_returns() -> None:
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with child, Live("", filter=Filter(pids=(child.pid,))) as live:
        assert child.stdin is not None
        child.stdin.write(b"first\n")
        child.stdin.flush()
        while not (found := pairs(live.read(), "read")):
            time.sleep(0.05)
        (before,) = found
        child.stdin.close()
        child.wait()
        (after,) = pairs(live.read(), "read")
    assert before.total_ns is not None
    assert after.total_ns is not None
    assert after.total_ns > before.total_ns


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
def test_perf_trace_says_the_same_of_the_same_work(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "timed", TIMED, "-static")
    with Live("timed") as live:
        command = ("perf", "trace", "-s", program, "10", "500")
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        reading = live.read()
    # name, calls, errors, total (ms), min, avg, max
    lines = re.findall(r"^\s+(\w+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+[\d.]+\s+[\d.]+\s+([\d.]+)", told, re.MULTILINE)
    theirs = {name.removeprefix("clock_"): tuple(map(float, figures)) for name, *figures in lines}
    assert theirs["nanosleep"][:2] == (10, 0)
    assert theirs["getppid"][:2] == (500, 0)
    for name in ("nanosleep", "getppid"):
        (pair,) = pairs(reading, name)
        calls, errors, total_ms, max_ms = theirs[name]
        assert (pair.count, pair.errors) == (calls, errors)
        if name == "nanosleep":  # beside 20 ms, what perf and ebpftop do at entry and return is nothing
            assert pair.total_ns is not None
            assert pair.max_ns is not None
            assert pair.total_ns / MS == pytest.approx(total_ms, rel=0.5)
            assert pair.max_ns / MS == pytest.approx(max_ms, rel=0.5)
