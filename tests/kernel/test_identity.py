"""Who it was: a process goes by its first thread's name, and a thread by the id that it has now."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ebpftop.core.escape import c_string
from ebpftop.core.process_records import Exec, Exit
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.probes.process_names import NAME_PLACES, name_in, name_place
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Line, Stream, compile_c, last, needs_root, of

pytestmark = needs_root

NEARLY = 0.9  # Linux 7.3 may pass over some calls where a program is preempted

# The first thread ends, the second becomes argv[0] by execve, and calls getppid 200 times: on one CPU, where mostly
# nobody else calls meanwhile.
HEADLESS = """
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *program, *rest[] = {"headless", "again", 0}, *none[] = {0};

static int first_has_ended(void)
{
	char name[64], text[512] = "";
	FILE *stat;

	snprintf(name, sizeof(name), "/proc/self/task/%d/stat", getpid());
	stat = fopen(name, "r");
	if (!stat)
		return 0;
	(void)!fgets(text, sizeof(text), stat);
	fclose(stat);
	return strstr(text, ") Z ") != 0;
}

static void *exec_it(void *unused)
{
	while (!first_has_ended())
		usleep(1000);
	syscall(SYS_getppid);
	execve(program, rest, none);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	cpu_set_t here;

	if (argc > 1) {
		for (int i = 0; i < 200; i++)
			syscall(SYS_getppid);
		return 0;
	}
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
	program = argv[0];
	if (!pthread_create(&thread, 0, exec_it, 0))
		syscall(SYS_exit, 0);
	return 1;
}
"""

# For each byte of stdin "leader" calls getppid, and "wrk-1" calls getpgid argv[1] times, and starts argv[2].
NAMED = """
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2], calls;
static char *program;

static void *work(void *unused)
{
	char *words[] = {"child", 0}, *none[] = {0}, byte;
	pid_t child;

	prctl(PR_SET_NAME, "wrk-1");
	dprintf(1, "%d\\n", (int)syscall(SYS_gettid));
	while (read(ends[0], &byte, 1) == 1) {
		for (int i = 0; i < calls; i++)
			syscall(SYS_getpgid, 0);
		if (!posix_spawn(&child, program, 0, 0, words, none))
			waitpid(child, 0, 0);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char byte;

	prctl(PR_SET_NAME, "leader");
	if (argc != 3)
		return 2;
	calls = atoi(argv[1]);
	program = argv[2];
	if (pipe(ends) || pthread_create(&thread, 0, work, 0))
		return 1;
	while (read(0, &byte, 1) == 1) {
		syscall(SYS_getppid);
		(void)!write(ends[1], &byte, 1);
	}
	return 0;
}
"""


@contextmanager
def named(directory: Path, calls: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run that program; give it and the tid of its second thread."""
    program = compile_c(directory, "named", NAMED, "-pthread")
    with subprocess.Popen([program, str(calls), "/bin/true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            yield child, int(child.stdout.readline())
        finally:
            child.kill()


def let_work(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.write(b"x")
    child.stdin.flush()


def calls_of(lines: Sequence[Line], pid: int) -> dict[str, int]:
    """Return how often a process made each call, as the last reading tells."""
    readings = of("syscalls", lines)
    return {row["name"]: row["count"] for row in readings[-1]["processes"] if row["pid"] == pid} if readings else {}


@pytest.mark.guest
@pytest.mark.oldest
def test_a_thread_that_takes_its_dead_leaders_place_calls_under_its_process_id(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "headless", HEADLESS, "-pthread")
    with Stream("--comm", "headless", "--trace", "getppid", probes="syscalls,execs") as stream:
        pids = set()
        for _ in range(5):  # now and then somebody else calls on that CPU, and then it is asked anew anyway
            with subprocess.Popen([program]) as child:
                pids.add(child.pid)
        lines = stream.stop()
    calls = of("syscall", lines, name="getppid")
    assert {call["pid"] for call in calls} == pids
    for pid in pids:
        (old_tid,) = {line["tid"] for line in of("exec", lines, pid=pid)} - {pid}
        tids = [call["tid"] for call in calls if call["pid"] == pid]
        assert tids.count(pid) >= NEARLY * 200, "as another program"
        assert tids.count(old_tid) <= 1, "before its execve"
        assert set(tids) <= {pid, old_tid}


@pytest.mark.oldest
@pytest.mark.parametrize("calls", [pytest.param(10, marks=pytest.mark.guest), 1000])
def test_a_process_goes_by_the_name_of_its_first_thread_and_a_thread_by_its_own(tmp_path: Path, calls: int) -> None:
    with (
        named(tmp_path, calls) as (child, tid),
        Stream(
            *("--pid", str(child.pid), "--trace", "getppid,getpgid", "--interval", "1"), probes="syscalls,execs"
        ) as stream,
    ):
        let_work(child)
        stream.wait_for(lambda lines: calls_of(lines, child.pid).get("getpgid", 0) >= NEARLY * calls)
        both = {child.pid, tid}
        stream.wait_for(lambda lines: {call["tid"] for call in last("syscalls", lines)["in_flight"]} == both)
        lines = stream.stop()
    reading = last("syscalls", lines)
    for rows in (reading["processes"], reading["process_totals"]):
        assert {row["comm"] for row in rows if row["pid"] == child.pid} == {"leader"}
    assert {call["tid"]: (call["pid"], call["comm"]) for call in reading["in_flight"]} == {
        child.pid: (child.pid, "leader"),
        tid: (child.pid, "wrk-1"),
    }
    (started,) = of("exec", lines, ret=0)
    assert (started["ppid"], started["pcomm"]) == (child.pid, "leader"), "the thread wrk-1 started it"
    traced = {(call["pid"], call["tid"], call["comm"]) for call in of("syscall", lines)}
    assert traced == {(child.pid, child.pid, "leader"), (child.pid, tid, "wrk-1")}


def test_the_name_of_a_thread_takes_no_room_among_those_of_processes(tmp_path: Path) -> None:
    source = KernelSource(Options(probes=("syscalls",)))
    try:
        with named(tmp_path, calls=1) as (child, _tid):
            module = source.find(SyscallsProbe).module
            assert module is not None
            table = module.table("process_names")
            places = [maps.lookup(table, place.to_bytes(4, sys.byteorder), 32) or b"" for place in range(NAME_PLACES)]
            names = {c_string(value[:16]) for value in places} & {"leader", "wrk-1"}
            start_ns = next(struct.unpack_from("=Q", value, 16)[0] for value in places if value.startswith(b"leader\0"))
            kept = name_in(places[name_place(start_ns, child.pid)], start_ns, child.pid)
    finally:
        source.close()
    assert names == {"leader"}
    assert c_string(kept or b"") == "leader"


# "early" calls getppid 1000 times, then gets another name as argv[1] says, and calls getpgid ten times, in two seconds.
RENAMED = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void late(void)
{
	for (int i = 0; i < 10; i++)
		syscall(SYS_getpgid, 0);
	puts("late");
	fflush(stdout);
	sleep(60);
}

int main(int argc, char **argv)
{
	if (argc == 1)
		late();
	prctl(PR_SET_NAME, "early");
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getppid);
	if (!strcmp(argv[1], "exec"))
		execl(argv[2], "late", (char *)0);
	else if (!strcmp(argv[1], "prctl"))
		prctl(PR_SET_NAME, "late");
	else {
		FILE *comm = fopen("/proc/self/comm", "w");

		if (!comm || fputs("late", comm) < 0 || fclose(comm))
			return 1;
	}
	late();
	return 1;
}
"""


@pytest.mark.parametrize("how", ["exec", "prctl", "proc"])
def test_a_process_goes_by_the_name_that_it_has_now_whoever_called_most(tmp_path: Path, how: str) -> None:
    program = compile_c(tmp_path, "late", RENAMED)
    with (
        Stream(probes="syscalls") as stream,
        subprocess.Popen([program, how, program], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        stream.wait_for(lambda lines: calls_of(lines, child.pid).get("getpgid", 0) >= NEARLY * 10)
        lines = stream.stop()
        child.kill()
    reading = last("syscalls", lines)
    for rows in (reading["processes"], reading["process_totals"]):
        assert {row["comm"] for row in rows if row["pid"] == child.pid} == {"late"}


def test_the_pid_of_a_thread_means_its_process_and_that_is_said(tmp_path: Path) -> None:
    with named(tmp_path, calls := 1000) as (child, tid), Stream("--pid", str(tid), probes="syscalls,execs") as stream:
        let_work(child)
        stream.wait_for(lambda lines: calls_of(lines, child.pid).get("getpgid", 0) >= NEARLY * calls)
        stream.stop()
    assert of("process", stream.lines, pid=child.pid)
    assert f"{tid} is a thread of process {child.pid}" in stream.stderr
    assert os.getpid() not in {line["pid"] for line in of("process", stream.lines)}


@contextmanager
def binfmt(folder: Path, magic: bytes, interpreter: str) -> Iterator[None]:
    """Let the kernel run files that begin with *magic* by *interpreter* (binfmt_misc)."""
    name = f"ebpftop-{os.getpid()}"
    subprocess.run(["mount", "-t", "binfmt_misc", "none", folder], check=True)
    try:
        (folder / "register").write_bytes(b":%s:M::%s::%s:" % (name.encode(), magic, interpreter.encode()))
        yield
        (folder / name).write_text("-1")
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_that_binfmt_misc_gives_to_an_interpreter_is_named_as_given(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    magic = b"EBPF%d" % os.getpid()
    program = tmp_path / "thing"
    program.write_bytes(magic + bytes(128))
    program.chmod(0o755)
    with binfmt(tmp_path / "mount", magic, "/bin/echo"), Stream("--pid", str(os.getpid()), probes="execs") as stream:
        subprocess.run([program, "a b"], check=True, stdout=subprocess.DEVNULL)
        (one,) = of("exec", stream.stop(), comm="thing")
    assert (one["file"], one["interp"]) == (str(program), "/bin/echo")
    assert one["argv"] == ["/bin/echo", str(program), "a b"]


def test_what_is_equal_in_records_of_the_same_program_is_one_object() -> None:
    """The screen keeps tens of thousands of them."""
    with ExitStack() as stack:
        source = KernelSource(Options(probes=("execs",), filter=Filter(pids=(os.getpid(),))))
        stack.callback(source.close)
        for _ in range(2):
            subprocess.run(["/bin/true", "with", "arguments"], check=True, user=4711)
        records = [record for batch in source.read_all() for record in batch.records]
    one, other = (record for record in records if isinstance(record, Exec) and record.uid == 4711)
    for name in ("argv", "cgroup", "ppid", "uid", "euid", "pidns"):
        assert getattr(one, name) is getattr(other, name), name
    assert one.tid is one.pid
    for start in (one, other):
        (end,) = (record for record in records if isinstance(record, Exit) and record.pid == start.pid)
        assert (end.pid, end.start_ns, end.ppid, end.uid) == (start.pid, start.start_ns, start.ppid, start.uid)
        for name in ("pid", "start_ns", "ppid", "uid"):
            assert getattr(end, name) is getattr(start, name), name
