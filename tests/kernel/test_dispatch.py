"""One program at sys_exit and one at sys_enter, for users, failures and syscalls: each may come and go."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Lost, ProbeName, Record
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import dispatch, maps
from ebpftop.kernel.bpf_syscall import Runs
from ebpftop.kernel.defines import kernel_defines, kernel_version
from ebpftop.kernel.dispatch import FAILURES, SYSCALLS, USERS
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.kernel.unseen import PREEMPTIBLE_SINCE
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.sources import live
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls import abi as abis
from tests.kernel.support import EMULATED, compile_c, needs_root

pytestmark = needs_root

PROBES: tuple[ProbeName, ...] = ("execs", "users", "syscalls")
RAW = {"users": "raw_tracepoint", "execs.failures": "raw_tracepoint"}
BY_TRACEPOINT = {"users": "tracepoint", "execs.failures": "tracepoint"}
NATIVE = abis.native_abi(os.uname().machine)
FAILS = abis.number(NATIVE, "execve"), abis.number(NATIVE, "execveat")

# Two threads fail to start a program, by turns as execve and execveat, until their parent closes stdin, or so often as
# asked for; then it prints how often. The name changes after the exec, so that the filter matches only what fails. They
# wait for each other: while one thread executes execve, its process cannot create another: EAGAIN of copy_fs().
FAILING = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static long most;
static volatile int ends;
static pthread_barrier_t together;

static void *fail(void *unused)
{
	char *argv[] = {"nothing", "at", "all", 0}, *envp[] = {0};
	long failed = 0;

	pthread_barrier_wait(&together);
	while (most ? failed < most : !ends) {
		if (failed % 2)
			syscall(SYS_execveat, AT_FDCWD, "/nowhere/at", argv, envp, 0);
		else
			syscall(SYS_execve, "/nowhere", argv, envp);
		failed += 1;
		syscall(SYS_getppid);
		usleep(100);
	}
	return (void *)failed;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	void *failed[2];
	char byte;

	most = argc > 1 ? atol(argv[1]) : 0;
	prctl(PR_SET_NAME, "failing");
	pthread_barrier_init(&together, 0, 2);
	for (int i = 0; i < 2; i++)
		pthread_create(threads + i, 0, fail, 0);
	if (!most)
		while (read(0, &byte, 1) > 0)
			;
	ends = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], failed + i);
	printf("%ld\\n", (long)failed[0] + (long)failed[1]);
	return 0;
}
"""


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    return compile_c(tmp_path, "failing-thread", FAILING, "-pthread")


class Watched:
    """A source of this process, and what it delivered."""

    def __init__(self, options: Options) -> None:
        self.source = KernelSource(options)
        self.records: list[Record] = []
        self._failures = 0
        assert not self.source.failed

    def read(self) -> list[Record]:
        new = [record for batch in self.source.read_all() for record in batch.records]
        self._failures += sum(isinstance(record, Exec) and record.error == "ENOENT" for record in new)
        self.records += new
        return self.records

    def lost(self) -> Counter[str]:
        """Return by probe what Linux 7.3 kept from programs that were preempted, and what a busy machine read too late.

        Traced calls may be lost, too.
        """
        lost = [record for record in self.read() if isinstance(record, Lost)]
        assert {record.where for record in lost} <= {"recursion", "rate", "ring"}
        last = {(record.probe, record.where): record.count for record in lost}
        missing: Counter[str] = Counter()
        for (probe, where), count in last.items():
            if where == "recursion" or (probe, where) == ("execs", "ring"):
                missing[probe] += count
        return missing

    def failures(self) -> int:
        """Return how many failures the exec log has."""
        self.read()
        return self._failures

    def users(self) -> tuple[int, int]:
        """Return how many attempts were counted, and how many of them failed."""
        rows = next(record.rows for record in reversed(self.read()) if isinstance(record, Users))
        return sum(row.execs for row in rows), sum(row.failed for row in rows)

    def syscalls(self) -> tuple[int, int]:
        """Return how many calls of execve and execveat were counted, and how many of them failed."""
        rows = next(record.rows for record in reversed(self.read()) if isinstance(record, Syscalls))
        found = [row for row in rows if row.abi == NATIVE and row.nr in FAILS]
        return sum(row.count for row in found), sum(row.errors for row in found)


@contextmanager
def watching(**options: object) -> Iterator[Watched]:
    fields: dict[str, object] = {"probes": PROBES, "filter": Filter(comms=("failing",)), "attach": RAW, **options}
    watched = Watched(Options(**fields))  # type: ignore[arg-type]  # of any field
    try:
        yield watched
    finally:
        watched.source.close()


def done(program: Path, times: int) -> int:
    """Run *program* to its end; return how often it failed to start another."""
    return int(subprocess.run([program, str(times)], check=True, capture_output=True, text=True).stdout)


def programs_at(*tracepoints: str) -> Counter[str]:
    """Return how many programs this process has attached to each of these raw tracepoints."""
    found: Counter[str] = Counter()
    for file in Path("/proc/self/fdinfo").iterdir():
        try:
            text = file.read_text()
        except OSError:  # the folder's own descriptor is closed by now
            continue
        found.update(name for name in re.findall(r"^tp_name:\s*(\w+)", text, re.MULTILINE) if name in tracepoints)
    return found


def programs_held() -> int:
    """Return how many programs this process keeps in the kernel."""
    return sum(os.path.realpath(file).endswith("anon_inode:bpf-prog") for file in Path("/proc/self/fd").iterdir())


@pytest.fixture
def late_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go without sched_prepare_exec, as before Linux 6.10: then an execve is seen at sys_enter."""

    def without() -> dict[str, int | str]:
        return {name: value for name, value in kernel_defines().items() if name != "HAVE_PREPARE_EXEC"}

    monkeypatch.setattr(live, "kernel_defines", without)


def toggle_trace(source: KernelSource) -> None:
    """Without times the program at sys_exit is attached only while something is traced."""
    nr = abis.number(NATIVE, "getppid")
    assert nr is not None
    source.set_handlers([(NATIVE, nr)], "count" if source.find(SyscallsProbe)._table.traces else "trace")


ROUNDS = 4 if EMULATED else 12


def come_and_go(failing: Path, change: str, **options: object) -> None:
    """Turn a probe off and on again while programs fail to start: the others count each of these once."""
    with watching(**options) as watched:

        def seen() -> int:
            return watched.users()[0] if change == "execs" else watched.failures()

        with subprocess.Popen([failing], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            for _ in range(ROUNDS):
                before = seen()
                while seen() < before + 100:
                    time.sleep(0.01)
                if change == "trace":
                    toggle_trace(watched.source)
                else:
                    watched.source.toggle(change)
            made = int(child.communicate()[0])
        lost = watched.lost()
        assert made > 100 * ROUNDS
        if change != "execs":
            assert made - lost["execs"] <= watched.failures() <= made
        if change != "users":
            attempts, failed = watched.users()
            assert made - lost["users"] <= failed <= attempts <= made
        if change != "syscalls":
            assert made - lost["syscalls"] <= watched.syscalls()[0] <= made


# A guest needs a quarter of a minute for each: what the kernel decides is how programs share a place, and one each way
# is enough for that.
@pytest.mark.parametrize(
    ("change", "attach"),
    [
        pytest.param("execs", RAW, id="execs-raw", marks=(pytest.mark.guest, pytest.mark.newest)),
        *(pytest.param(change, RAW, id=f"{change}-raw") for change in ("users", "syscalls", "trace")),
        pytest.param(
            "syscalls", BY_TRACEPOINT, id="syscalls-tracepoint", marks=(pytest.mark.guest, pytest.mark.oldest)
        ),
        *(pytest.param(change, BY_TRACEPOINT, id=f"{change}-tracepoint") for change in ("execs", "users", "trace")),
    ],
)
def test_whatever_comes_and_goes_the_others_count_each_call_once(
    failing: Path, attach: dict[str, str], change: str
) -> None:
    come_and_go(failing, change, attach=attach, latency=change != "trace")


@pytest.mark.parametrize("change", ["execs", "users", "syscalls", "trace"])
def test_that_is_so_where_execve_is_seen_at_sys_enter(failing: Path, late_entry: None, change: str) -> None:
    come_and_go(failing, change, latency=change != "trace")


def test_that_is_so_if_calls_are_only_counted(failing: Path) -> None:
    come_and_go(failing, "syscalls", latency=False)


@pytest.mark.guest
@pytest.mark.oldest
def test_every_set_of_probes_counts_all_that_it_is_there_for(failing: Path) -> None:
    everything: tuple[ProbeName, ...] = ("execs", "users", "syscalls")
    with watching() as watched:
        on = set(everything)
        expected: Counter[str] = Counter()
        for size in range(len(everything) + 1):
            for chosen in itertools.combinations(everything, size):
                for name in everything:
                    if (name in on) != (name in chosen):
                        watched.source.toggle(name)
                on = set(chosen)
                made = done(failing, 20)
                expected.update(dict.fromkeys(chosen, made))
        lost = watched.lost()
        for name, (count, errors) in {
            "execs": (watched.failures(),) * 2,
            "users": watched.users(),
            "syscalls": watched.syscalls(),
        }.items():
            assert expected[name] - lost[name] <= errors <= count <= expected[name], name
        assert expected["users"] == 4 * 40


@pytest.mark.guest
@pytest.mark.everywhere
def test_every_call_pays_for_one_program_at_each_tracepoint() -> None:
    """Unless they may be preempted there: see `shared_tracepoints`."""
    both = 1 if kernel_version() < PREEMPTIBLE_SINCE else 2
    before = programs_held()
    with watching() as watched:
        assert programs_at("sys_exit") == {"sys_exit": both}
        assert 1 <= programs_at("sys_enter")["sys_enter"] <= both
        watched.source.toggle("users")
        watched.source.toggle("execs")
        assert programs_at("sys_enter", "sys_exit") == {"sys_enter": 1, "sys_exit": 1}
        watched.source.toggle("syscalls")
        assert programs_at("sys_enter", "sys_exit") == {}
        assert programs_held() == before, "a probe that is off leaves nothing in the kernel"
        watched.source.toggle("users")
        assert programs_at("sys_exit") == {"sys_exit": 1}


def test_at_sys_enter_too_where_execve_is_seen_there(failing: Path, late_entry: None) -> None:
    with watching() as watched:
        assert programs_at("sys_enter", "sys_exit") == {"sys_enter": 1, "sys_exit": 1}
        assert watched.source._filter.dispatcher._slots == {
            "sys_enter": {USERS, FAILURES, SYSCALLS},
            "sys_exit": {USERS, FAILURES, SYSCALLS},
        }
        made = done(failing, 20)
        assert watched.failures() == made
        assert watched.users() == watched.syscalls() == (made, made)


def test_syscalls_alone_has_no_other_program_in_front_of_its_own() -> None:
    with watching(probes=("syscalls",)) as watched:
        assert programs_at("sys_enter", "sys_exit") == {"sys_enter": 1, "sys_exit": 1}
        assert watched.source._filter.dispatcher.programs == {}


def test_what_the_shared_program_missed_is_lost_to_all_that_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = 5
    monkeypatch.setattr(dispatch, "runs", lambda _fd: Runs(0, 0, missed))
    with watching() as watched:
        missed = 12
        assert watched.lost() == {"execs": 7, "users": 7, "syscalls": 7}
        watched.source.toggle("users")
        missed = 20
        watched.source.toggle("users")
        assert watched.lost() == {"execs": 15, "users": 7, "syscalls": 15}
        missed = 21
        assert watched.lost() == {"execs": 16, "users": 8, "syscalls": 16}


def test_what_the_shared_program_costs_is_ebpftops_cost() -> None:
    with watching(probes=("users",)) as watched:
        ((name, program),) = watched.source._filter.dispatcher.programs.items()
        assert watched.source._programs()[program] == name


def test_a_refusal_of_the_shared_program_is_the_options_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    attach = Module.attach

    def refused(module: Module, kind: str, target: str, *rest: object) -> object:
        if module.file == "filter.c":
            raise LoadError("it may not be")
        return attach(module, kind, target, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Module, "attach", refused)
    source = KernelSource(Options(probes=("users",), attach=RAW))
    try:
        (state,) = source.failed
        assert {attempt.via: attempt.reason for attempt in state.attempts}["raw_tracepoint:sys_exit"] == "it may not be"
        table = source._filter.shared["at_sys_exit"]
        assert all(maps.lookup(table, bytes([slot, 0, 0, 0]), 4) is None for slot in (USERS, FAILURES, SYSCALLS))
    finally:
        source.close()
