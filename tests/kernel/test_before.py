"""What began before ebpftop did, or while it attached or its probe was off: it ends, and it is seen to hang."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Lost, ProbeName, Record
from ebpftop.core.syscall_records import InFlight, Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.loader import Kind, Link, Module
from ebpftop.probes import execs
from ebpftop.probes.base import LOST_IN_KERNEL
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Line, Stream, compile_c, last, needs_root, of
from tests.kernel.workload_context import OTHER_UID

pytestmark = needs_root

# Starts argv[1] again and again until its parent has closed stdin.
SPAWNER = """
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *words[] = {argv[1], 0}, *none[] = {0}, byte;
	pid_t child;

	fcntl(0, F_SETFL, O_NONBLOCK);
	while (read(0, &byte, 1) < 0) {
		if (!posix_spawn(&child, argv[1], 0, 0, words, none))
			waitpid(child, 0, 0);
		usleep(2000);
	}
	return argc != 2;
}
"""

# Ends at once; with one argument lives until it is killed, with two so that its first thread has ended.
LIVES = """
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc == 1)
		return argv[0] == 0;
	if (argc == 3 && !pthread_create(&thread, 0, wait_for_ever, 0))
		syscall(SYS_exit, 0);
	wait_for_ever(0);
}
"""

# Becomes another user, tells so, and ends when its parent has closed stdin.
CHANGES_USER = """
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char byte;

	if (argc != 2 || setuid(atoi(argv[1])))
		return 1;
	(void)!write(1, "x", 1);
	(void)!read(0, &byte, 1);
	return 0;
}
"""

# Three threads: the first reads from stdin, and hands each byte on to both others; "hung" reads from a pipe again and
# again, "ends" does so once.
HANGS = """
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

static int pipes[2][2];

static void *hang(void *number)
{
	char byte;

	prctl(PR_SET_NAME, number ? "ends" : "hung");
	do
		(void)!read(pipes[number ? 1 : 0][0], &byte, 1);
	while (!number);
	return 0;
}

int main(void)
{
	pthread_t threads[2];
	char byte;

	for (long i = 0; i < 2; i++)
		if (pipe(pipes[i]) || pthread_create(&threads[i], 0, hang, (void *)i))
			return 1;
	while (read(0, &byte, 1) == 1)
		for (int i = 0; i < 2; i++)
			(void)!write(pipes[i][1], "x", 1);
	return 0;
}
"""

# As many threads as argv[1] says sleep in a read.
CROWD = """
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static int ends[2];

static void *wait_for_ever(void *unused)
{
	char byte;

	(void)!read(ends[0], &byte, 1);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	if (pipe(ends))
		return 1;
	for (int i = argc == 2 ? atoi(argv[1]) : 0; i; i--)
		if (pthread_create(&thread, &small, wait_for_ever, 0))
			return 2;
	(void)!write(1, "x", 1);
	pause();
	return 0;
}
"""


class Live:
    """A source of this process's own, and all that it said."""

    def __init__(self, probe: ProbeName, wanted: Filter) -> None:
        self.probe = probe
        self.source = KernelSource(Options(probes=(probe,), filter=wanted))
        self.records: list[Record] = []

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_error: object) -> None:
        self.source.close()

    def read(self) -> list[Record]:
        """Return all records until now."""
        self.records += [record for batch in self.source.read_all() for record in batch.records]
        return self.records

    def wait_for(self, holds: Callable[[list[Record]], object]) -> None:
        """Wait until *holds* is true of the records."""
        until_s = time.monotonic() + 60
        while not holds(self.read()):
            assert time.monotonic() < until_s
            time.sleep(0.05)

    def exits(self, pid: int) -> list[Exit]:
        """Return the ends of a process that were told."""
        return [record for record in self.records if isinstance(record, Exit) and record.pid == pid]

    def started(self, pid: int) -> bool:
        """Tell whether its program was seen to start."""
        return any(isinstance(record, Exec) and record.pid == pid for record in self.records)

    def in_flight(self, pid: int) -> dict[str, InFlight]:
        """Return the calls that the threads of a process are in, by the threads' names."""
        reading = next(record for record in reversed(self.records) if isinstance(record, Syscalls))
        return {call.comm: call for call in reading.in_flight if call.pid == pid}


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with pipes to it and from it; it is gone afterwards."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def sleeps_in_read(pid: int, threads: int) -> bool:
    """Tell whether a process has so many threads, and all of them are in a call and sleep."""
    tasks = list(Path("/proc", str(pid), "task").iterdir())
    return len(tasks) == threads and all(
        (task / "stat").read_bytes().rpartition(b") ")[2].startswith(b"S") for task in tasks
    )


def wait_until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.01)


# ---- Programs ----


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_every_program_that_is_seen_to_start_while_ebpftop_attaches_is_seen_to_end(tmp_path: Path, buffer: str) -> None:
    if buffer == "ring" and kernel_version() < (5, 8):
        return
    spawner, short = compile_c(tmp_path, "spawner", SPAWNER), compile_c(tmp_path, "lives", LIVES, "-pthread")
    with running(spawner, short) as child, Stream("--comm", "lives", "--buffer", buffer, probes="execs") as stream:
        stream.wait_for(lambda lines: len(of("exec", lines)) > 50)
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait() == 0
        lines = stream.stop()
    assert not of("lost", lines)
    ended = {(line["pid"], line["start_ns"]): line["code"] for line in of("exit", lines)}
    assert [ended.get((line["pid"], line["start_ns"]), "runs for ever") for line in of("exec", lines)] == [
        0 for _ in of("exec", lines)
    ]


def test_who_is_seen_to_start_while_the_probe_goes_is_seen_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Module.release

    def slowly(module: Module, link: Link) -> None:
        """As it is for the tracepoints of system calls."""
        release(module, link)
        time.sleep(0.05)

    monkeypatch.setattr(Module, "release", slowly)
    spawner, short = compile_c(tmp_path, "spawner", SPAWNER), compile_c(tmp_path, "lives", LIVES, "-pthread")
    with Live("execs", Filter(comms=("lives",))) as live, running(spawner, short):
        for _ in range(3):
            live.records.clear()
            live.wait_for(lambda records: sum(isinstance(record, Exec) for record in records) > 20)
            live.source.toggle("execs")
            live.read()
            started = {(record.pid, record.start_ns) for record in live.records if isinstance(record, Exec)}
            ended = {(record.pid, record.start_ns) for record in live.records if isinstance(record, Exit)}
            assert len(started - ended) <= 1, "only one runs at a time"
            live.source.toggle("execs")


@pytest.mark.guest
@pytest.mark.newest
def test_who_ends_while_the_probe_is_off_is_told_to_have_ended_and_who_lives_is_not(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "lives", LIVES, "-pthread")
    with (
        Live("execs", Filter(comms=("lives",))) as live,
        running(program, "on") as reaped,
        running(program, "on") as zombie,
        running(program, "on") as alive,
        running(program, "without", "first") as headless,
    ):
        every = reaped, zombie, alive, headless
        live.wait_for(lambda _: all(live.started(one.pid) for one in every))
        wait_until(lambda: Path("/proc", str(headless.pid), "stat").read_bytes().rpartition(b") ")[2][:1] == b"Z")
        live.source.toggle("execs")
        reaped.kill()
        reaped.wait()
        zombie.kill()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        live.source.toggle("execs")
        live.wait_for(lambda _: live.exits(reaped.pid) and live.exits(zombie.pid))
        for gone in (reaped, zombie):
            (end,) = live.exits(gone.pid)
            (start,) = {r.start_ns for r in live.records if isinstance(r, Exec) and r.pid == gone.pid}
            assert (end.code, end.signal, end.duration_s, end.start_ns) == (None, None, None, start), "nobody saw how"
        for one in (alive, headless):
            assert live.exits(one.pid) == []
            one.kill()
        live.wait_for(lambda _: live.exits(alive.pid) and live.exits(headless.pid))
        signals = [end.signal for one in (alive, headless) for end in live.exits(one.pid)]
        unheard = signals.count(None)  # Linux 7.3 may pass over the program that hears of an exit
        assert signals.count("SIGKILL") == 2 - unheard
        assert unheard <= max((record.count for record in live.records if isinstance(record, Lost)), default=0)


def test_whose_exit_is_lost_is_found_among_the_zombies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attached: dict[str, tuple[Module, Link]] = {}
    attach = Module.attach

    def noted(module: Module, kind: Kind, target: str, function: str, slot: int | None = None) -> Link:
        link = attach(module, kind, target, function, slot)
        attached[function] = module, link
        return link

    monkeypatch.setattr(Module, "attach", noted)
    monkeypatch.setattr(execs, "_ABSENT_EVERY_S", 0.2)
    program = compile_c(tmp_path, "lives", LIVES, "-pthread")
    with Live("execs", Filter(comms=("lives",))) as live, running(program, "on") as child:
        live.wait_for(lambda _: live.started(child.pid))
        module, link = attached["exit_on_sched_process_exit"]
        module.release(link)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        for _ in range(10):
            live.read()
            time.sleep(0.1)
        assert not live.exits(child.pid)
        index = LOST_IN_KERNEL.index("exits")
        maps.update(module.table("lost"), struct.pack("=I", index), struct.pack("=Q", 1) * maps.CPUS)
        live.wait_for(lambda _: live.exits(child.pid))
        (end,) = live.exits(child.pid)
        assert (end.code, end.signal) == (None, None)


def test_who_ends_as_a_user_that_the_filter_does_not_take_is_told_to_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execs, "_ABSENT_EVERY_S", 0.2)
    program = compile_c(tmp_path, "changes", CHANGES_USER)
    with Live("execs", Filter(uids=(0,), comms=("changes",))) as live, running(program, str(OTHER_UID)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.read(1) == b"x"
        live.wait_for(lambda _: live.started(child.pid))
        child.stdin.close()
        child.wait()
        live.wait_for(lambda _: live.exits(child.pid))
        (end,) = live.exits(child.pid)
        assert (end.code, end.signal) == (None, None)


# ---- Calls ----


@pytest.mark.guest
@pytest.mark.parametrize("via", ["raw_tracepoint", "tracepoint"])
def test_a_call_that_hung_before_is_marked_until_it_returns_and_is_never_counted(tmp_path: Path, via: str) -> None:
    program = compile_c(tmp_path, "hangs", HANGS, "-pthread")
    with running(program) as child:
        wait_until(lambda: sleeps_in_read(child.pid, 3))
        began_s = time.monotonic()

        def hanging(lines: list[Line]) -> dict[str, Line]:
            readings = of("syscalls", lines)
            return {call["comm"]: call for call in readings[-1]["in_flight"]} if readings else {}

        with Stream(
            "--pid", str(child.pid), "--attach", f"syscalls={via}", "--interval", "0.2", probes="syscalls"
        ) as s:
            s.wait_for(lambda lines: hanging(list(lines)).keys() == {"hangs", "hung", "ends"})
            before = hanging(s.lines)
            assert {(call["name"], call["pid"], call["before"]) for call in before.values()} == {
                ("read", child.pid, True)
            }
            assert len({call["tid"] for call in before.values()}) == 3
            assert all(1e8 <= call["ns"] <= (time.monotonic() - began_s) * 1e9 for call in before.values())
            assert child.stdin is not None
            child.stdin.write(b"x")
            child.stdin.flush()
            s.wait_for(lambda lines: {(c["comm"], c["before"]) for c in hanging(list(lines)).values()} == {
                ("hangs", False), ("hung", False)
            })  # fmt: skip
            again = hanging(s.lines)
            assert again["hung"]["tid"] == before["hung"]["tid"]
            assert again["hung"]["ns"] < before["hung"]["ns"] + 60e9
            child.stdin.close()
            child.wait()
            lines = s.stop()
    # Two read again, and one of them until the process ended. What they were in before is nobody's call.
    rows = {row["name"]: row for row in last("syscalls", lines)["rows"]}
    assert (rows["read"]["count"], rows["write"]["count"]) == (2, 2)
    assert rows["read"]["errnos"].keys() <= {"ERESTARTSYS"}


@pytest.mark.guest
def test_the_kernel_notes_each_return_of_a_call_from_before(tmp_path: Path) -> None:
    """Also where the thread is in the same call again, and nobody saw it enter."""
    program = compile_c(tmp_path, "hangs", HANGS, "-pthread")
    with running(program) as child:
        wait_until(lambda: sleeps_in_read(child.pid, 3))
        with Live("syscalls", Filter(pids=(child.pid,))) as live:
            live.wait_for(lambda _: len(live.in_flight(child.pid)) == 3)
            module = live.source.find(SyscallsProbe).module
            assert module is not None
            tids = {call.tid for call in live.in_flight(child.pid).values()}

            def noted() -> set[int]:
                table = module.table("entered_before_attach")
                return {tid for tid in tids if maps.lookup(table, struct.pack("=I", tid), 4) is None}

            assert noted() == set()
            assert child.stdin is not None
            child.stdin.write(b"x")
            child.stdin.flush()
            wait_until(lambda: noted() == tids)


@pytest.mark.parametrize("hidden", [True, False])
def test_ebpftops_own_calls_from_before_are_hidden_as_all_of_its_own_are(hidden: bool) -> None:
    reading_fd, writing_fd = os.pipe()
    thread = threading.Thread(target=lambda: os.read(reading_fd, 1))
    thread.start()
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: sleeps_in_read(child.pid, 1))
        with Live("syscalls", Filter(pids=(os.getpid(),), hide_self=hidden)) as live:
            live.wait_for(lambda _: live.in_flight(child.pid))
            reading = next(record for record in reversed(live.records) if isinstance(record, Syscalls))
            own = [call for call in reading.in_flight if call.pid == os.getpid() and call.name == "read"]
            assert [(call.tid, call.before) for call in own] == ([] if hidden else [(thread.native_id, True)])
    finally:
        os.write(writing_fd, b"x")
        thread.join()
        child.communicate()
        os.close(reading_fd)
        os.close(writing_fd)


def test_ten_thousand_threads_are_found_without_holding_up_a_reading(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "crowd", CROWD, "-pthread")
    with running(program, "10000") as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"x"
        with Live("syscalls", Filter(pids=(child.pid,))) as live:
            live.wait_for(lambda _: len(live.in_flight(child.pid)) > 0)
            before = live.source.find(SyscallsProbe)._before_attach
            assert before is not None
            assert sum(map(len, before._found)) >= 10_000
            reading = next(record for record in reversed(live.records) if isinstance(record, Syscalls))
            assert len(reading.in_flight) == 64
            assert {(call.pid, call.name, call.before) for call in reading.in_flight} == {(child.pid, "read", True)}
            child.kill()
            child.wait()
            live.read()
            assert live.in_flight(child.pid) == {}


def test_whose_calls_may_not_be_read_is_said(tmp_path: Path) -> None:
    """Without CAP_SYS_PTRACE ebpftop may not read what a process of another user is in; `check` says so."""
    check = [sys.executable, "-m", "ebpftop", "check", "--json"]
    setpriv = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]
    said = subprocess.run([*setpriv, *check], check=True, capture_output=True).stdout
    (syscalls,) = [probe for probe in json.loads(said)["probes"] if probe["probe"] == "syscalls"]
    reasons = [attempt["reason"] for attempt in syscalls["attempts"] if attempt["via"].startswith("entered before: ")]
    assert len(reasons) == 1
    assert reasons[0].startswith("most processes may not be asked: that takes CAP_SYS_PTRACE")
