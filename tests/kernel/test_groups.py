"""What cgroups, programs and users ask of the running kernel: programs that count what they do, and strace."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ebpftop.core.group_records import OTHER_COMM, OTHER_ID, CgroupRow, Cgroups, CommRow, Comms, UidRow, Uids
from ebpftop.core.records import Lost
from ebpftop.core.user_records import OTHER_UID
from ebpftop.filters.spec import Filter
from ebpftop.kernel import root_work
from ebpftop.kernel.cgroups import hierarchies
from ebpftop.kernel.container_names import ContainerNames
from ebpftop.kernel.defines import kernel_version
from ebpftop.probes import groups
from ebpftop.syscalls import abi as abis
from tests.kernel import own_source
from tests.kernel.support import compile_c, needs_root
from tests.kernel.workload_context import asleep, cgroup, set_comm

pytestmark = needs_root

RUN = f"ebpftop-groups-{os.getpid()}"
CONTAINER = "c0ffee" + f"{os.getpid():058x}"
KINDS = [
    pytest.param(
        v1,
        marks=pytest.mark.skipif(v1 not in {one.v1 for one in hierarchies()}, reason="this hierarchy is not mounted"),
        id="v1" if v1 else "v2",
    )
    for v1 in (False, True)
]
MS = 1_000_000
NATIVE = abis.native_abi(platform.machine())

# `does FOLDER CALLS FAILURES EXECS [UID]` enters a cgroup (unless FOLDER is "-"), then calls getppid, close(-1) and
# execve of what does not exist so often, sleeps 30 ms, and becomes another user, as whom it calls getppid once.
DOES = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec time = {.tv_nsec = 30 * 1000 * 1000};
	char *none[] = {"none", NULL}, path[4096];
	int calls = atoi(argv[2]), failures = atoi(argv[3]), execs = atoi(argv[4]), uid = argc > 5 ? atoi(argv[5]) : 0;

	if (strcmp(argv[1], "-")) {
		snprintf(path, sizeof path, "%s/cgroup.procs", argv[1]);
		if (syscall(SYS_write, open(path, O_WRONLY), "0", 1) != 1)
			return 1;
	}
	for (int i = 0; i < calls; i++)
		syscall(SYS_getppid);
	for (int i = 0; i < failures; i++)
		syscall(SYS_close, -1);
	for (int i = 0; i < execs; i++)
		syscall(SYS_execve, "/nonexistent/program", none, none);
	syscall(SYS_nanosleep, &time, NULL);
	if (uid) {
		syscall(SYS_setuid, uid);
		syscall(SYS_getppid);
	}
	_exit(0);
}
"""


@pytest.fixture
def does(tmp_path: Path) -> Path:
    """The program, under a name that no other test gives."""
    return compile_c(tmp_path, f"does{os.getpid()}"[:15], DOES, "-static")


class Watched(own_source.OwnSource):
    """The probe, asked when it suits the test."""

    def cgroup(self, folder: Path, id: int | None = None) -> CgroupRow:
        """Return the row of a cgroup now; *id*, if it is gone."""
        (row,) = (row for row in self.now(Cgroups).rows if row.id == (id or folder.stat().st_ino))
        return row

    def cgroup_if_known(self, folder: Path) -> CgroupRow | None:
        """Return the row of a cgroup now, None if nothing is known of it yet."""
        return next((row for row in self.now(Cgroups).rows if row.id == folder.stat().st_ino), None)

    def comm(self, name: str) -> CommRow:
        (row,) = (row for row in self.now(Comms).rows if row.comm == name)
        return row

    def uid(self, uid: int) -> UidRow:
        (row,) = (row for row in self.now(Uids).rows if row.uid == uid)
        return row


def watching(**options: object) -> AbstractContextManager[Watched]:
    return own_source.opened(Watched, **{"probes": ("cgroups",), **options})


def seen(row: CgroupRow | CommRow | UidRow) -> set[str]:
    """Return the names of the calls that were seen."""
    bits = int(row.seen or "0", 16)
    return {abis.name(NATIVE, nr) for nr in range(512) if bits >> nr & 1}


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.parametrize("v1", KINDS)
def test_a_cgroup_has_what_the_processes_in_it_did_and_keeps_its_path_when_it_is_gone(does: Path, v1: bool) -> None:
    with watching() as watched:
        with cgroup(f"{RUN}/app.service", v1=v1) as folder:
            id = folder.stat().st_ino
            subprocess.run([does, folder, "1000", "50", "7"], check=True)
            row = watched.cgroup(folder)
            assert (row.gone, row.running) == (False, 0)
        gone = watched.cgroup(folder, id)
    assert row.hierarchy == ("v1" if v1 else "v2")
    assert (row.path, row.unit, row.container) == (f"/{RUN}/app.service", "app.service", None)
    # The write that enters it ends there, as does exit_group, which does not return.
    assert row.calls == 1 + 1000 + 50 + 7 + 1 + 1
    assert row.errors == 50 + 7
    assert (row.execs, row.failed) == (7, 7)
    assert row.total_ns > row.max_ns >= 30 * MS
    assert sum(row.histogram_ns) == row.calls - 1
    assert len(row.histogram_ns) == row.max_ns.bit_length()  # the last bucket is that of the longest call
    assert seen(row) == {"write", "getppid", "close", "execve", "nanosleep", "exit_group"}
    assert not row.seen_other
    assert (gone.path, gone.gone, gone.calls) == (row.path, True, row.calls)


@pytest.mark.guest
@pytest.mark.everywhere
def test_programs_that_start_count_for_their_cgroup_and_their_name() -> None:
    with watching() as watched, cgroup(f"{RUN}-starts") as folder:
        loop = f"echo $$ > {folder}/cgroup.procs; for i in 1 2 3 4 5; do /bin/true; done"
        before = next((row.execs for row in _comms(watched) if row.comm == "true"), 0)
        subprocess.run(["/bin/sh", "-c", loop], check=True)
        row = watched.cgroup(folder)
        started = watched.comm("true")
    assert (row.execs, row.failed, row.last) == (5, 0, "true")
    assert started.execs >= before + 5  # others may start it too
    assert started.failed == 0


def _comms(watched: Watched) -> tuple[CommRow, ...]:
    return watched.now(Comms).rows


@pytest.mark.guest
@pytest.mark.newest
def test_each_user_has_what_was_done_as_that_user(does: Path) -> None:
    uid = 3_000_000 + os.getpid()
    with watching() as watched:
        subprocess.run([does, "-", "10", "0", "0", str(uid)], check=True)
        row = watched.uid(uid)
    # setuid is of the user that called it.
    assert (row.calls, row.errors, seen(row)) == (2, 0, {"getppid", "exit_group"})


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_counts_the_same_calls_and_errors_of_a_program(does: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with watching() as watched:
        command = ("strace", "-f", "-o", said, does, "-", "300", "20", "3")
        subprocess.run(command, check=True)
        row = watched.comm(does.name)
    calls = re.findall(r"^\d+ +(\w+)\(.*\) += (\S+)", said.read_text(), re.MULTILINE)
    assert row.calls == len(calls)
    assert row.errors == sum(result == "-1" for _, result in calls)
    assert row.execs == sum(name == "execve" for name, _ in calls) == 1 + 3
    assert seen(row) == {name for name, _ in calls}


@pytest.mark.guest
@pytest.mark.oldest
def test_a_filter_in_the_kernel_counts_only_what_it_matches(does: Path) -> None:
    with (
        cgroup(f"{RUN}-in") as inside,
        cgroup(f"{RUN}-out") as outside,
        watching(filter=Filter(cgroups=(f"/{RUN}-in",))) as watched,
    ):
        for folder in (inside, outside):
            subprocess.run([does, folder, "100", "0", "0"], check=True)
        watched.poll()
        (row,) = watched.last(Cgroups).rows
        # When write was called, the process was not in it yet.
        assert (row.id, row.calls) == (inside.stat().st_ino, 100 + 1 + 1)


THREADS = r"""
#include <pthread.h>
#include <unistd.h>

static void *sleeps(void *unused)
{
	return pause(), unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	for (int i = 0; i < 3; i++)
		pthread_create(&thread, NULL, sleeps, NULL);
	for (;;)
		getppid();
}
"""


@pytest.mark.parametrize("v1", KINDS)
def test_threads_are_blocked_as_ps_says_those_from_before_too(tmp_path: Path, v1: bool) -> None:
    program = compile_c(tmp_path, f"blocks{os.getpid()}"[:15], THREADS, "-static", "-pthread")
    with (
        cgroup(f"{RUN}-blocks.service", v1=v1) as folder,
        asleep(folder) as pid,
        subprocess.Popen([program]) as threads,
    ):
        try:
            (folder / "cgroup.procs").write_text(str(threads.pid))
            with watching() as watched:
                while (row := watched.cgroup_if_known(folder)) is None or row.blocked != 4:
                    time.sleep(0.1)
                assert watched.comm(program.name).blocked == 3  # the first thread does not wait
            ps = ("ps", "-L", "-o", "stat=", "-p", f"{pid},{threads.pid}")
            states = subprocess.run(ps, check=True, capture_output=True, text=True).stdout.split()
        finally:
            threads.kill()
    assert (row.running, len(states), sum(state[0] in "SD" for state in states)) == (2, 5, 4)


def test_ebpftop_does_not_count_itself() -> None:
    name = Path("/proc/self/comm").read_text().removesuffix("\n")
    set_comm(f"own{os.getpid()}")
    try:
        with watching() as watched:
            os.getppid()
            watched.poll()
            watched.poll()
            assert f"own{os.getpid()}" not in {row.comm for row in watched.last(Comms).rows}
    finally:
        set_comm(name)


@pytest.mark.guest
@pytest.mark.oldest
def test_groups_that_the_map_has_no_room_for_are_counted_together(
    does: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUPS_MAX", 2)
    names = [tmp_path / f"many{i}" for i in range(6)]
    for name in names:
        shutil.copy(does, name)
    with cgroup(f"{RUN}-many") as folder, watching(filter=Filter(comms=("many*",))) as watched:
        for name in names:
            subprocess.run([name, folder, "100", "0", "0"], check=True)
        watched.poll()
        by_cgroup, by_comm, by_uid = watched.last(Cgroups).rows, watched.last(Comms).rows, watched.last(Uids).rows
        (lost,) = [record for record in watched.records if isinstance(record, Lost) and record.where == "map"][-1:]
    # In each table the same calls.
    assert len({sum(row.calls for row in rows) for rows in (by_cgroup, by_comm, by_uid)}) == 1
    assert sum(row.calls for row in by_comm) >= len(names) * 102
    assert next(row.calls for row in by_cgroup if row.id == OTHER_ID) == lost.count
    assert next(row.calls for row in by_comm if row.comm == OTHER_COMM) == lost.count
    assert next(row.calls for row in by_uid if row.uid == OTHER_UID) == lost.count


def test_room_is_made_for_new_groups_and_no_count_is_lost(
    does: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUPS_MAX", 4)
    with watching(filter=Filter(comms=("room*",))) as watched:
        for i in range(12):
            name = tmp_path / f"room{i}"
            shutil.copy(does, name)
            subprocess.run([name, "-", "100", "0", "0"], check=True)
            watched.poll()
            watched.poll()
        rows = {row.comm: row for row in watched.last(Comms).rows}
    assert not [record for record in watched.records if isinstance(record, Lost)]
    assert {name: "getppid" in seen(row) for name, row in rows.items()} == {f"room{i}": True for i in range(12)}
    assert len({row.calls for row in rows.values()}) == 1


def test_totals_go_on_when_the_probe_was_off(does: Path) -> None:
    with watching(filter=Filter(comms=(does.name,))) as watched:
        run = (does, "-", "100", "0", "0")
        subprocess.run(run, check=True)
        once = watched.comm(does.name)
        watched.source.toggle("cgroups")
        subprocess.run(run, check=True)
        watched.source.toggle("cgroups")
        subprocess.run(run, check=True)
        twice = watched.comm(does.name)
    assert (twice.calls, sum(twice.histogram_ns)) == (2 * once.calls, 2 * sum(once.histogram_ns))
    assert seen(twice) == seen(once)


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls as on i386")
def test_calls_of_another_abi_are_counted_and_told_apart(tmp_path: Path) -> None:
    source = 'int main(void) { int ret; asm volatile("int $0x80" : "=a"(ret) : "a"(20)); return 0; }'
    name = f"abi{os.getpid()}"
    program = compile_c(tmp_path, name, source, "-static")
    with watching(filter=Filter(comms=(name,))) as watched:
        subprocess.run([program], check=True)
        row = watched.comm(name)
    assert row.seen_other
    assert "writev" not in seen(row)  # 20 as on x86-64


@pytest.mark.skipif(kernel_version() < (6, 14), reason="the flag is new in Linux 6.14")
def test_an_execveat_that_only_checks_is_a_call_and_no_exec(tmp_path: Path) -> None:
    source = """
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void)
    {
        char *none[] = {"none", 0};

        syscall(SYS_execveat, -100, "/bin/true", none, none, 0x10000);
        syscall(SYS_execveat, -100, "/nonexistent", none, none, 0x10000);
        syscall(SYS_execveat, -100, "/nonexistent", none, none, 0);
        return 0;
    }
    """
    name = f"checks{os.getpid()}"
    program = compile_c(tmp_path, name, source, "-static")
    with watching(filter=Filter(comms=(name,))) as watched:
        subprocess.run([program], check=True)
        row = watched.comm(name)
    assert (row.execs, row.failed, row.errors) == (1, 1, 2)
    assert "execveat" in seen(row)


def test_a_container_has_its_state_and_its_engine_s_name(
    does: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = tmp_path / "var/lib/containers/storage/overlay-containers"
    lists.mkdir(parents=True)
    (lists / "containers.json").write_text(f'[{{"id": "{CONTAINER}", "names": ["web\\u001b[31m"]}}]')
    monkeypatch.setattr(root_work, "ContainerNames", lambda: ContainerNames(tmp_path))
    with watching() as watched, cgroup(f"{RUN}/libpod-{CONTAINER}.scope") as folder, asleep(folder):
        subprocess.run([does, folder, "1", "0", "0"], check=True)
        row = watched.cgroup(folder)
        (folder / "cgroup.freeze").write_text("1")
        while (paused := watched.cgroup(folder)).state == "running":
            time.sleep(0.02)
        (folder / "cgroup.freeze").write_text("0")
    assert (row.container, row.container_name) == (CONTAINER[:12], "web\\x1b[31m")
    assert (row.state, row.running) == ("running", 1)
    assert paused.state == "paused"
