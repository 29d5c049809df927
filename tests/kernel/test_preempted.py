"""Programs of ours that a task is preempted in, while another task runs others of ours on that CPU."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Lost
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from tests.kernel.support import Line, Stream, compile_c, needs_root, of
from tests.kernel.test_filter_switch import opened, read, table
from tests.kernel.workload_context import WANTED_UID, failing, in_child

pytestmark = needs_root

# Four processes on one CPU, each of which fails to start a program of its own name by a call of its own, argv[1] times.
# Long arguments make it likely that one is preempted while a program of ours reads them. Static and not
# position-independent: 32-bit calls must take the addresses.
CROWD = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS 200
#define I386_EXECVE 11
#define I386_EXECVEAT 358

static char names[4][16] = {"execve-64", "execveat-64", "execve-32", "execveat-32"}, path[64];
static char *args[ARGS + 1], *env[1];
static unsigned args_32[ARGS + 1], env_32[1];

static void fail(int how)
{
	long ret;

	switch (how) {
	case 0:
		syscall(SYS_execve, path, args, env);
		break;
	case 1:
		syscall(SYS_execveat, AT_FDCWD, path, args, env, 0);
		break;
	case 2:
		asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVE), "b"(path), "c"(args_32), "d"(env_32)
				: "memory", "r8", "r9", "r10", "r11");
		break;
	case 3:
		asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVEAT), "b"((long)AT_FDCWD), "c"(path), "d"(args_32),
				"S"(env_32), "D"(0L) : "memory", "r8", "r9", "r10", "r11");
		break;
	}
}

int main(int argc, char **argv)
{
	cpu_set_t cpus;
	int cpu = 0;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (int how = 0; how < 4; how++) {
		if (fork())
			continue;
		prctl(PR_SET_NAME, names[how], 0, 0, 0);
		sprintf(path, "/nowhere/%s", names[how]);
		for (int i = 0; i < ARGS; i++) {
			args[i] = names[how];
			args_32[i] = (unsigned)(unsigned long)names[how];
		}
		for (int i = atoi(argv[argc - 1]); i; i--)
			fail(how);
		_exit(0);
	}
	while (wait(0) > 0)
		;
	return 0;
}
"""
NAMES = {"execve-64", "execveat-64", "execve-32", "execveat-32"}
TIMES = 300


@pytest.fixture(scope="module")
def crowd() -> Iterator[Path]:
    """The program, where any user may run it."""
    with tempfile.TemporaryDirectory(prefix="ebpftop-crowd-") as name:
        Path(name).chmod(0o755)
        yield compile_c(Path(name), "crowd", CROWD, "-static", "-no-pie")


def is_whole(one: Line) -> bool:
    """Tell whether all of a record is of one process."""
    name = one["comm"]
    return (one["file"], one["argv"], one["cut"]) == (f"/nowhere/{name}", [name] * 200, [])


# As a kernel chooses by itself: on fentry and fexit, where it has them, each of the four calls has programs of its own.
@pytest.mark.guest
@pytest.mark.newest
def test_no_record_holds_what_two_processes_did_on_one_cpu(crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFTOP_END_S", "90")  # all of it is read, however busy the machine is
    with Stream("--uid", str(WANTED_UID), probes="execs") as stream:
        subprocess.run([crowd, str(TIMES)], user=WANTED_UID, check=True)
        lines = stream.stop()
    failures = [one for one in of("exec", lines) if one["ret"]]
    lost = of("lost", lines)
    assert {one["comm"] for one in failures} == NAMES
    assert [one for one in failures if not is_whole(one)] == []
    assert {one["where"] for one in lost} <= {"recursion"}, lost
    told = Counter(one["comm"] for one in failures)
    assert all(count <= TIMES for count in told.values()), told
    # One that is passed over may be so at its entry and at its return.
    assert told.total() <= len(NAMES) * TIMES <= told.total() + sum(one["count"] for one in lost)


def test_a_failure_whose_place_is_taken_is_told_as_lost_and_the_place_is_given_back() -> None:
    with opened(Filter(uids=(WANTED_UID,)), probes=("execs",)) as source:
        claims = table(source, "execs", "failed_claims")

        def failed(times: int) -> tuple[int, int]:
            """Return how many of so many failures are told, and how many are lost so far."""
            in_child(failing(times), uid=WANTED_UID)
            records = read(source)
            lost = [one.count for one in records if isinstance(one, Lost) and one.where == "recursion"]
            return sum(isinstance(one, Exec) and one.ret != 0 for one in records), max(lost, default=0)

        assert failed(3) == (3, 0)
        assert list(maps.items(claims, 4, 1)) == [], "given back"
        for cpu in range(maps.CPUS):
            maps.update(claims, struct.pack("=I", cpu), b"\1")
        assert failed(4) == (0, 4)
        for cpu in range(maps.CPUS):
            maps.delete(claims, struct.pack("=I", cpu))
        assert failed(5) == (5, 0)
