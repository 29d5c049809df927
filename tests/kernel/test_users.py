"""Counters of users in the kernel: many users, users of containers, pairs of attempt and failure."""

from __future__ import annotations

import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core import user_records
from ebpftop.core.user_records import UserRow, Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.probes import users as probe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Stream, at_some_moment, compile_c, last, needs_root
from tests.kernel.workload_context import OTHER_UID, WANTED_UID, failing, in_child, programs

pytestmark = needs_root

ME = Filter(pids=(os.getpid(),))


@contextmanager
def opened(options: Options) -> Iterator[KernelSource]:
    """Open the kernel in this process, so that its maps can be looked into."""
    source = KernelSource(options)
    try:
        yield source
    finally:
        source.close()


def rows_of(source: KernelSource) -> dict[int, UserRow]:
    """Return the rows by uid as they are now."""
    records = [record for batch in source.read_all() for record in batch.records]
    return {row.uid: row for row in [record for record in records if isinstance(record, Users)][-1].rows}


def test_users_beyond_the_map_are_counted_together_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "USERS_MAX", 8)
    with opened(Options(probes=("users",), filter=ME)) as source:
        for uid in range(WANTED_UID + 1000, WANTED_UID + 1050):
            in_child(failing(3), uid=uid)
        in_child(programs("x"), uid=WANTED_UID + 1049)
        rows = rows_of(source)
    assert len(rows) == 8 + 1
    assert sum(row.execs for row in rows.values()) == 151
    assert sum(row.failed for row in rows.values()) == 150
    other = rows[user_records.OTHER_UID]
    assert (other.user, other.execs, other.failed, other.last) == ("other", 42 * 3 + 1, 42 * 3, "")


def test_users_beyond_the_map_are_one_row_after_a_toggle_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "USERS_MAX", 8)
    with opened(Options(probes=("users",), filter=ME)) as source:
        for _ in range(2):
            for uid in range(WANTED_UID + 1000, WANTED_UID + 1016):
                in_child(failing(3), uid=uid)
            source.toggle("users")
            source.toggle("users")
        readings = [record for batch in source.read_all() for record in batch.records if isinstance(record, Users)]
    uids = [row.uid for row in readings[-1].rows]
    assert uids.count(user_records.OTHER_UID) == 1
    assert len(uids) == len(set(uids))
    assert sum(row.execs for row in readings[-1].rows) == 2 * 16 * 3


def test_a_toggle_keeps_the_totals() -> None:
    with opened(Options(probes=("users",), filter=ME)) as source:
        in_child(failing(3), uid=WANTED_UID)
        source.toggle("users")
        in_child(failing(10), uid=WANTED_UID)
        source.toggle("users")
        in_child(programs("x"), uid=WANTED_UID)
        row = rows_of(source)[WANTED_UID]
    assert (row.execs, row.failed, row.last) == (4, 3, "true")


def test_more_tasks_inside_an_execve_than_the_small_map_holds() -> None:
    """Keys that are no task's fill it, so all calls here go to the large one."""
    with opened(Options(probes=("users",), filter=ME)) as source:
        module = source.find(probe.UsersProbe).module
        assert module is not None
        small = module.table("attempts")
        for number in range(1, small.max_entries + 1):
            maps.update(small, struct.pack("=Q", number), bytes(8))
        in_child(failing(3), uid=WANTED_UID)
        in_child(programs("x"), uid=WANTED_UID)
        row = rows_of(source)[WANTED_UID]
        assert (row.execs, row.failed, row.last) == (4, 3, "true")
        assert at_some_moment(lambda: not maps.has_entries(module.table("more_attempts"), 8))
        assert at_some_moment(lambda: maps.lookup(module.table("in_more_attempts"), bytes(4), 8) == bytes(8))


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.parametrize(
    ("ranges", "inside"),
    [
        (f"0 {WANTED_UID} 10", 0),
        (f"1000 {WANTED_UID - 2} 10", 1002),
        (f"0 {WANTED_UID - 500} 20\n100 {WANTED_UID + 1} 20\n5000 {WANTED_UID - 9} 10", 5009),
        (f"0 {WANTED_UID - 10} 10\n5000 {WANTED_UID} 10", 5000),
    ],
    ids=["first", "offset", "third", "behind another"],
)
def test_a_user_of_a_container_is_told_by_its_uid_in_there(ranges: str, inside: int) -> None:
    with Stream("--uid", str(WANTED_UID), probes="users") as stream:
        ready_r, ready_w = os.pipe()
        mapped_r, mapped_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresuid(WANTED_UID, WANTED_UID, WANTED_UID)
                # Without it /proc/PID/uid_map belongs to root and cannot be written by anyone else.
                subprocess_unshare_user()
                os.write(ready_w, b"x")
                os.read(mapped_r, 1)
                programs("in a container")()
            finally:
                os._exit(0)
        os.read(ready_r, 1)
        try:
            Path("/proc", str(pid), "uid_map").write_text(ranges + "\n")
        finally:
            os.write(mapped_w, b"x")
        os.waitpid(pid, 0)
        for fd in (ready_r, ready_w, mapped_r, mapped_w):
            os.close(fd)
        in_child(programs("outside"), uid=WANTED_UID)
        rows = last("users", stream.stop())["rows"]
    assert [(row["uid"], row["execs"], row["ns_uid"]) for row in rows] == [(WANTED_UID, 2, inside)]
    assert rows[0]["userns"] > 0


def subprocess_unshare_user() -> None:
    """Enter a new user namespace."""
    import ctypes

    clone_newuser = 0x10000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newuser) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


# Threads of Python take turns; these fail on all CPUs at the same moment.
THREADS_C = """
#include <pthread.h>
#include <unistd.h>
static pthread_barrier_t together;
static void *fail(void *nothing)
{
    char *none[] = {"x", 0};
    pthread_barrier_wait(&together);
    for (int i = 0; i < 5000; i++) execv("/nonexistent", none);
    return 0;
}
int main(void)
{
    pthread_t threads[16];
    pthread_barrier_init(&together, 0, 16);
    for (int i = 0; i < 16; i++) pthread_create(&threads[i], 0, fail, 0);
    for (int i = 0; i < 16; i++) pthread_join(threads[i], 0);
}
"""


def test_sixteen_threads_failing_at_once_lose_no_count(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "threads", THREADS_C, "-pthread")
    with Stream("--pid", str(os.getpid()), "--interval", "0.1", probes="users") as stream:
        subprocess.run([program], check=True)
        rows = last("users", stream.stop())["rows"]
    assert [(row["execs"], row["failed"]) for row in rows] == [(80_001, 80_000)]


EXEC_BY_THREAD_C = """
#include <pthread.h>
#include <unistd.h>
static void *run(void *nothing) { execl("/bin/true", "true", (char *)0); return 0; }
int main(void) { pthread_t thread; pthread_create(&thread, 0, run, 0); pause(); }
"""


def test_the_program_that_a_thread_starts_is_the_last_of_its_user(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "by-thread", EXEC_BY_THREAD_C, "-pthread")
    with opened(Options(probes=("users",), filter=ME)) as source:
        subprocess.run([program], check=True)
        rows = rows_of(source)
    assert [(row.execs, row.failed, row.last) for row in rows.values()] == [(2, 0, "true")]


def test_a_slow_directory_server_does_not_hold_up_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    gate = threading.Event()

    def slow(_uid: int) -> object:
        gate.wait(20)
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", slow)
    with opened(Options(probes=("users",), filter=ME)) as source:
        for uid in range(WANTED_UID + 1000, WANTED_UID + 1020):
            in_child(failing(1), uid=uid)
        began_s = time.monotonic()
        rows = rows_of(source)
        took_s = time.monotonic() - began_s
        gate.set()
    assert len(rows) == 20
    assert took_s < 1
    assert {row.user for row in rows.values()} == {None}


def test_the_uid_counts_and_not_the_effective_one() -> None:
    def do() -> None:
        os.setresuid(WANTED_UID, OTHER_UID, OTHER_UID)
        failing(2)()

    with opened(Options(probes=("users",), filter=Filter(uids=(WANTED_UID, OTHER_UID)))) as source:
        in_child(do)
        assert {uid: row.execs for uid, row in rows_of(source).items()} == {WANTED_UID: 2}


def test_whom_the_filter_does_not_take_is_nowhere() -> None:
    with opened(Options(probes=("users",), filter=Filter(uids=(WANTED_UID,)))) as source:
        in_child(programs("x"), uid=OTHER_UID)
        in_child(failing(2), uid=OTHER_UID)
        in_child(programs("x"), uid=WANTED_UID)
        rows = rows_of(source)
    assert {uid: (row.execs, row.failed, row.last) for uid, row in rows.items()} == {WANTED_UID: (1, 0, "true")}
