"""What the kernel itself counted: nothing of others leaves it, and a change of the filter loses nothing.

The producer position of a ring buffer (mapped at its second page, kernel/bpf/ringbuf.c) grows with every event that a
program hands over, whether anybody reads it or not.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import ProbeName, Record
from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter, Values
from ebpftop.kernel import maps
from ebpftop.probes import syscall_counters
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.abi import native_abi, number
from tests.kernel.printing import printing
from tests.kernel.support import compile_c, needs_root
from tests.kernel.workload_context import (
    OTHER_UID,
    WANTED_UID,
    cgroup,
    failing,
    getppids,
    in_child,
    many_programs,
    programs,
    set_comm,
    true,
)

pytestmark = needs_root

EXEC, FAILED, EXIT = 1, 2, 3  # enum event_kind of bpf/execs.c
PROBES: tuple[ProbeName, ...] = ("execs", "users", "syscalls")
RUN = f"ebpftop-switch-{os.getpid()}"


@contextmanager
def opened(wanted: Filter, probes: tuple[ProbeName, ...] = PROBES) -> Iterator[KernelSource]:
    """Open the kernel in this process, so that its maps can be looked into.

    Open it before other files: BCC gives the next such source in this process the filter's maps by the descriptors of
    the first one's, so these have to be the same numbers.
    """
    source = KernelSource(Options(probes=probes, filter=wanted))
    try:
        yield source
    finally:
        source.close()


def table(source: KernelSource, probe: ProbeName, name: str) -> maps.Map:
    """Return a map of a probe."""
    module = source._probes[probe].module
    assert module is not None
    found: maps.Map = module.table(name)
    return found


def handed_over(source: KernelSource, probe: ProbeName = "execs") -> int:
    """Return how many bytes a probe's programs ever put into their ring buffer."""
    with mmap.mmap(
        table(source, probe, "ring_events").map_fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE
    ) as page:
        (position,) = struct.unpack_from("=Q", page)
    return int(position)


def seen(source: KernelSource) -> tuple[int, int, int]:
    """Return the kernel's own counts of execs, failures and exits."""
    counter = table(source, "execs", "seen")
    return tuple(maps.per_cpu_sum(counter, kind) for kind in (EXEC, FAILED, EXIT))  # type: ignore[return-value]  # three


def read(source: KernelSource) -> list[Record]:
    """Return what there is."""
    return [record for batch in source.read_all() for record in batch.records]


def everything(uid: int, times: int) -> None:
    """Do *times* of everything that the probes look for, as *uid*."""
    for i in range(times):
        true(str(i), uid)
    in_child(failing(times), uid=uid)
    in_child(getppids(times), uid=uid)


def test_events_of_others_never_leave_the_kernel() -> None:
    with opened(Filter(uids=(WANTED_UID,))) as source:
        everything(OTHER_UID, 20)
        assert handed_over(source) == 0
        assert seen(source) == (0, 0, 0)
        assert maps.lookup(table(source, "users", "users"), struct.pack("=I", OTHER_UID), 40) is None
        assert not any(value for _, value in counted_calls(source))
        everything(WANTED_UID, 7)
        position = handed_over(source)
        assert position > 0
        execs, failed, exits = seen(source)
        assert (execs, failed) == (7, 7)
        assert exits >= 7
        everything(OTHER_UID, 20)
        assert handed_over(source) == position
        records = read(source)
    assert sum(isinstance(r, Exec | Exit) for r in records) == execs + failed + exits
    users = [record for record in records if isinstance(record, Users)][-1]
    assert [(row.uid, row.execs, row.failed) for row in users.rows] == [(WANTED_UID, 14, 7)]
    calls = [record for record in records if isinstance(record, Syscalls)][-1]
    assert {row.count for row in calls.rows if row.name == "getppid"} == {7}


def crossed(source: KernelSource) -> dict[str, int]:
    """Return what the kernel itself says of all that ever went to user space, or is kept to be read from there."""
    execs, failed, exits = seen(source)
    return {
        "events of execs": execs + failed + exits,
        "bytes of execs": handed_over(source),
        "users": len(list(maps.items(table(source, "users", "users"), 4, 40))),
        "system calls": sum(count for _, count in counted_calls(source)),
        "bytes of the trace log": handed_over(source, "trace"),
        "lines in the pipe": in_the_pipe(source),
    }


TIMES = 7
PROBES_ALL: tuple[ProbeName, ...] = (*PROBES, "trace")


def of_all(program: Path) -> Callable[[], None]:
    """Return a function that does TIMES of everything that the four probes look for."""

    def do() -> None:
        for _ in range(TIMES):
            pid = os.fork()
            if pid == 0:
                os.execv(program, [str(program)])
            os.waitpid(pid, 0)
        failing(TIMES)()
        getppids(TIMES)()

    return do


@pytest.mark.parametrize("kind", ["uid", "cgroup", "tree", "comm", "not uid", "not cgroup", "not comm"])
def test_nothing_of_others_crosses_and_what_is_wanted_is_counted_right(kind: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        cgroup(f"{RUN}-in") as inside,
        cgroup(f"{RUN}-out") as outside,
    ):
        Path(folder).chmod(0o755)  # other users run it
        program = Path(shutil.copy("/bin/true", Path(folder, "wanted-true")))
        excluded = Path(shutil.copy("/bin/true", Path(folder, "wanted-not")))
        # Waits for signals, not at a pipe: no file may be open before the source.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        root = os.fork()
        if root == 0:
            while signal.sigwait({signal.SIGUSR1}):
                in_child(of_all(program))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        cases: dict[str, tuple[Filter, Callable[[], object], Callable[[], object]]] = {
            "uid": (
                Filter(uids=(WANTED_UID,)),
                lambda: in_child(of_all(program), uid=WANTED_UID),
                lambda: in_child(of_all(program), uid=OTHER_UID),
            ),
            "cgroup": (
                Filter(cgroups=(f"/{RUN}-in",)),
                lambda: in_child(of_all(program), cgroup=inside),
                lambda: in_child(of_all(program), cgroup=outside),
            ),
            "tree": (
                Filter(pids=(root,)),
                lambda: os.kill(root, signal.SIGUSR1),
                lambda: in_child(of_all(program)),
            ),
            "comm": (
                Filter(comms=("wanted*",), uids=(WANTED_UID,)),
                lambda: in_child(of_all(program), comm="wanted-1", uid=WANTED_UID),
                lambda: in_child(of_all(Path("/bin/true")), comm="unwanted", uid=WANTED_UID),
            ),
        }
        cases |= {
            "not uid": (
                Filter(uids=(WANTED_UID, OTHER_UID), excluded=Values(uids=(OTHER_UID,))),
                *cases["uid"][1:],
            ),
            "not cgroup": (
                Filter(cgroups=(f"/{RUN}-in", f"/{RUN}-out"), excluded=Values(cgroups=(f"/{RUN}-out",))),
                *cases["cgroup"][1:],
            ),
            "not comm": (
                Filter(comms=("wanted*",), uids=(WANTED_UID,), excluded=Values(comms=("wanted-n*",))),
                cases["comm"][1],
                lambda: in_child(of_all(excluded), comm="wanted-no", uid=WANTED_UID),
            ),
        }
        wanted, do_wanted, do_others = cases[kind]
        try:
            with opened(wanted, PROBES_ALL) as source:
                do_others()
                assert crossed(source) == dict.fromkeys(crossed(source), 0)
                do_wanted()
                while not done(source, root):
                    time.sleep(0.02)
                after = crossed(source)
                do_others()
                assert crossed(source) == after
                assert after["lines in the pipe"] == 0
                execs, failed, exits = seen(source)
                records = read(source)
        finally:
            os.kill(root, signal.SIGKILL)
            os.waitpid(root, 0)
    assert (execs, failed) == (TIMES, TIMES)
    assert exits >= TIMES
    assert sum(isinstance(r, Exec) and r.ret == 0 for r in records) == TIMES
    assert sum(isinstance(r, Exec) and r.ret < 0 for r in records) == TIMES
    assert sum(isinstance(r, Exit) for r in records) == exits
    users = [r for r in records if isinstance(r, Users)][-1]
    assert [(row.execs, row.failed) for row in users.rows] == [(2 * TIMES, TIMES)]
    calls = [r for r in records if isinstance(r, Syscalls)][-1]
    assert [row.count for row in calls.rows if row.name == "getppid"] == [TIMES]
    # By option, hello is said where an attempt begins or where a program starts; others here may say it for everybody.
    said = {r.pid for r in records if isinstance(r, Trace)}
    assert {r.pid for r in records if isinstance(r, Exec) and r.ret == 0} <= said
    assert said <= {r.pid for r in records if isinstance(r, Exec)}


def done(source: KernelSource, root: int) -> bool:
    """Tell whether all that is wanted has been done, to the last exit, and *root* waits for a signal again."""
    execs, failed, exits = seen(source)
    waits = number(native_abi(os.uname().machine), "rt_sigtimedwait")
    in_call = Path(f"/proc/{root}/syscall").read_text().split()[0]
    return (execs, failed) == (TIMES, TIMES) and exits > TIMES and in_call == str(waits)


def in_the_pipe(source: KernelSource) -> int:
    """Return how many lines ever came into the trace instance, by the kernel's own statistics of its buffers."""
    instance = source._probes["trace"]._instance  # type: ignore[attr-defined]  # the trace probe's
    lines = 0
    for stats in instance.path.glob("per_cpu/cpu*/stats"):
        figures = dict(line.split(": ") for line in stats.read_text().splitlines())
        lines += sum(int(figures[name]) for name in ("entries", "overrun", "read events"))
    return lines


def test_lines_that_others_print_never_leave_the_kernel() -> None:
    with opened(Filter(uids=(WANTED_UID,)), ("trace",)) as source, printing(RUN, WANTED_UID, OTHER_UID):
        for i in range(20):
            true(str(i), OTHER_UID)
        assert handed_over(source, "trace") == 0
        assert in_the_pipe(source) == 0
        for i in range(7):
            true(str(i), WANTED_UID)
        position = handed_over(source, "trace")
        assert position > 0
        true("x", OTHER_UID)
        assert handed_over(source, "trace") == position
        assert in_the_pipe(source) == 0
        said = [record for record in read(source) if isinstance(record, Trace)]
        assert sum(record.message == "Hello World!" for record in said) >= 7
        theirs = [record for record in said if record.message.startswith(RUN)]
        assert [record.message for record in theirs] == [f"{RUN} {record.pid}\\x0aand more" for record in theirs]
        assert len(theirs) == 7
        assert {record.task for record in theirs} == {"true"}
        assert {record.cpu for record in said} <= os.sched_getaffinity(0)
        # Lifted: the same lines, by the pipe.
        source.set_filter(Filter())
        true("x", OTHER_UID)
        assert in_the_pipe(source) > 0
        (line,) = [r for r in read(source) if isinstance(r, Trace) and r.message.startswith(RUN)]
        assert line.message == f"{RUN} {line.pid}\\x0aand more"


def test_a_line_comes_once_while_the_filter_is_set_and_lifted() -> None:
    wanted = (Filter(), Filter(uids=(WANTED_UID,)), Filter(comms=("true", "sh")), Filter())
    with opened(Filter(), ("trace",)) as source, printing(RUN, WANTED_UID, OTHER_UID):
        ended = threading.Event()
        lines: list[Record] = []

        def run() -> None:
            try:
                in_child(many_programs(1000), uid=WANTED_UID)
            finally:
                ended.set()

        worker = threading.Thread(target=run)
        worker.start()
        changes = 0
        while not ended.is_set():
            changes += 1
            source.set_filter(wanted[changes % len(wanted)])
            lines += read(source)
        worker.join()
        lines += read(source)
    pids = [line.pid for line in lines if isinstance(line, Trace) and line.message.startswith(RUN)]
    assert len(pids) == len(set(pids)) == 1001
    assert changes > len(wanted), "the filter changed too seldom to show anything"


def counted_calls(source: KernelSource) -> list[tuple[int, int]]:
    """Return the kernel's counts of system calls that are not zero, by slot."""
    size = syscall_counters.COUNT.size * maps.CPUS
    counts = [
        (int.from_bytes(key, "little"), sum(syscall_counters.words(value)))
        for key, value in maps.items(table(source, "syscalls", "counts"), 4, size)
    ]
    return [(slot, count) for slot, count in counts if count]


def test_a_filter_that_changes_while_programs_start_loses_none_that_all_of_them_want() -> None:
    with cgroup(f"{RUN}/child") as group:
        wanted = (
            Filter(uids=(WANTED_UID,)),
            Filter(uids=(WANTED_UID, OTHER_UID), cgroups=(f"/{RUN}",)),
            Filter(uids=(WANTED_UID,), comms=("true", "nobody*")),
            Filter(uids=(WANTED_UID,), comms=("tr*",), pids=(os.getpid(),)),
            Filter(uids=(WANTED_UID,), cgroups=(f"/{RUN}/child",), comms=("true*", "t*")),
            Filter(uids=(WANTED_UID,), pids=(os.getpid(), os.getppid()), hide_self=False),
        )
        changes = 0
        with opened(wanted[0], ("execs",)) as source:
            ended = threading.Event()

            def run() -> None:
                try:
                    in_child(many_programs(1000), uid=WANTED_UID, cgroup=group)
                finally:
                    ended.set()

            worker = threading.Thread(target=run)
            worker.start()
            while not ended.is_set():
                changes += 1
                source.set_filter(wanted[changes % len(wanted)])
            worker.join()
            records = read(source)
    words = [record.argv[-1] for record in records if isinstance(record, Exec) and record.comm == "true"]
    assert words == [str(i) for i in range(1000)]
    assert sum(isinstance(record, Exit) and record.comm == "true" for record in records) == 1000
    assert changes > len(wanted), "the filter changed too seldom to show anything"


def test_a_filter_that_changes_lets_nothing_through_that_neither_wants() -> None:
    with opened(Filter(uids=(WANTED_UID,)), ("execs",)) as source:
        ended = threading.Event()

        def run() -> None:
            try:
                in_child(many_programs(500), uid=OTHER_UID + 10_000_000)
            finally:
                ended.set()

        worker = threading.Thread(target=run)
        worker.start()
        wanted = (
            Filter(comms=("nobody-has-this",)),
            Filter(uids=(WANTED_UID,)),
            Filter(cgroups=("/",), uids=(OTHER_UID,)),
        )
        changes = 0
        while not ended.is_set():
            source.set_filter(wanted[changes % 3])
            changes += 1
        worker.join()
        assert changes > 3
        assert seen(source) == (0, 0, 0)
        assert handed_over(source) == 0


def test_no_process_stays_in_the_map_once_it_is_gone() -> None:
    with opened(Filter(pids=(os.getpid(),)), ("execs",)) as source:
        tracked = source._filter.shared["filter_pids"]
        pids = [in_child(programs("x", "y")) for _ in range(20)]
        # A process is freed some time after it was reaped: seconds later where RCU is lazy.
        for _ in range(3000):
            left = [pid for pid in pids if maps.lookup(tracked, struct.pack("=I", pid), 1)]
            if not left:
                break
            threading.Event().wait(0.02)
            read(source)
        assert left == []
        assert maps.lookup(tracked, struct.pack("=I", os.getpid()), 1)
        source.set_filter(Filter())
        assert list(maps.items(tracked, 4, 1)) == []
        assert source._filter._links == []


def test_a_process_that_the_kernel_freed_unseen_is_unmarked_too_and_the_filter_is_said_to_match_nothing() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child, opened(Filter(pids=(child.pid,)), ("execs",)) as source:
        tracked = source._filter.shared["filter_pids"]
        unseen = struct.pack("=I", 4194304)  # beyond the highest pid that there can be
        source._filter._mark("filter_pids", unseen, 1)
        child.kill()
        child.wait()
        until_s = time.monotonic() + 60
        while not source._filter.gone and time.monotonic() < until_s:
            read(source)
            threading.Event().wait(0.02)
        assert source._filter.gone == (f"pid {child.pid}",)
        assert not maps.lookup(tracked, unseen, 1)


def test_a_filter_that_cannot_be_leaves_the_old_one_in_force() -> None:
    with opened(Filter(uids=(WANTED_UID,)), ("execs",)) as source:
        for impossible in (
            Filter(cgroups=("/no/such",)),
            Filter(pids=(4194304,)),
            Filter(containers=("0" * 64,)),
            Filter(uids=tuple(range(65))),
        ):
            with pytest.raises(SourceError):
                source.set_filter(impossible)
        true("other", OTHER_UID)
        true("wanted", WANTED_UID)
        assert [r.argv[-1] for r in read(source) if isinstance(r, Exec)] == ["wanted"]
        assert source.filter == Filter(uids=(WANTED_UID,))


def test_who_ends_while_a_filter_leaves_it_out_is_told_as_gone_when_the_filter_changes() -> None:
    with opened(Filter(pids=(os.getpid(),)), ("execs",)) as source:
        ends, stays = (subprocess.Popen(["/bin/sleep", seconds]) for seconds in ("60", "61"))
        started: dict[int, Exec] = {}
        until_s = time.monotonic() + 20
        # Popen returns while the program is on its way: its exec is told a little later.
        while len(started) < 2 and time.monotonic() < until_s:
            started |= {r.pid: r for r in read(source) if isinstance(r, Exec) and r.comm == "sleep"}
        source.set_filter(Filter(uids=(WANTED_UID,)))
        read(source)
        ends.kill()
        ends.wait()
        assert not [r for r in read(source) if isinstance(r, Exit) and r.pid == ends.pid]
        source.set_filter(Filter(pids=(os.getpid(),)))
        (gone,) = [r for r in read(source) if isinstance(r, Exit)]
        stays.kill()
        stays.wait()
        (killed,) = [r for r in read(source) if isinstance(r, Exit)]
    assert (gone.pid, gone.start_ns, gone.code, gone.signal) == (ends.pid, started[ends.pid].start_ns, None, None)
    assert (killed.pid, killed.signal) == (stays.pid, "SIGKILL")


def test_who_started_or_ended_unseen_is_told_when_the_filter_is_lifted() -> None:
    before = subprocess.Popen(["/bin/sleep", "60"])
    with opened(Filter(), ("execs",)) as source:
        assert before.pid in {r.pid for r in read(source) if isinstance(r, Process)}
        source.set_filter(Filter(uids=(WANTED_UID,)))
        read(source)
        unseen = subprocess.Popen(["/bin/sleep", "61"])
        forked = os.fork()
        if forked == 0:
            threading.Event().wait(60)
        before.kill()
        before.wait()
        assert not [r for r in read(source) if isinstance(r, Exec | Exit | Process)]
        since = source.set_filter(Filter())
        told = read(source)
        running = {r.pid: r for r in told if isinstance(r, Process)}
        gone = {r.pid: r for r in told if isinstance(r, Exit)}
        assert (running[unseen.pid].comm, running[unseen.pid].argv) == ("sleep", ("/bin/sleep", "61"))
        assert running[forked].ppid == os.getpid()
        assert (gone[before.pid].code, gone[before.pid].signal) == (None, None)
        assert all(record.time >= since for record in told if isinstance(record, Process))
        for pid in (unseen.pid, forked):
            os.kill(pid, 9)
        unseen.wait()
        os.waitpid(forked, 0)
        ends = [r for r in read(source) if isinstance(r, Exit)]
    assert {(r.pid, r.signal) for r in ends} >= {(unseen.pid, "SIGKILL"), (forked, "SIGKILL")}


def test_counters_are_read_when_the_filter_begins_to_hold() -> None:
    with opened(Filter(), ("users", "syscalls")) as source:
        in_child(failing(5), uid=WANTED_UID)
        before = time.time()
        since = source.set_filter(Filter(uids=(WANTED_UID,)))
        in_child(failing(3), uid=WANTED_UID)
        users = source.poll("users", 0)
        assert before < since <= time.time()
        # Long before the interval is over.
        assert users is not None
        first = next(record for record in users.records if isinstance(record, Users) and record.time >= since)
        last = [record for record in read(source) if isinstance(record, Users)][-1]
    (at_first,), (at_last,) = ([row.execs for row in r.rows if row.uid == WANTED_UID] for r in (first, last))
    assert (at_first, at_last) == (5, 8)


def test_sixty_four_values_of_a_kind_hold() -> None:
    uids = tuple(range(WANTED_UID, WANTED_UID + 64))
    with opened(Filter(uids=uids), ("users",)) as source:
        source.set_filter(Filter(uids=tuple(uid + 64 for uid in uids)))
        source.set_filter(Filter(uids=uids))
        for uid in (uids[0], uids[-1], uids[-1] + 1):
            in_child(failing(1), uid=uid)
        users = [record for record in read(source) if isinstance(record, Users)][-1]
    assert [row.uid for row in users.rows] == [uids[0], uids[-1]]


def test_a_thread_s_own_name_counts_for_what_it_calls() -> None:
    name = RUN[-11:]

    def do() -> None:
        def renamed() -> None:
            set_comm(f"{name}-t")
            getppids(30)()

        thread = threading.Thread(target=renamed)
        thread.start()
        thread.join()
        getppids(100)()

    with opened(Filter(comms=(f"{name}-t",)), ("syscalls",)) as source:
        in_child(do, comm=name)
        calls = [record for record in read(source) if isinstance(record, Syscalls)][-1]
    assert {row.count for row in calls.rows if row.name == "getppid"} == {30}


# Forks children of the pid argv[1], argv[2] times one after the other; a moment later each becomes /bin/true.
PINNED_C = """
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    pid_t pid = atoi(argv[1]);
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (unsigned long)&pid, .set_tid_size = 1};
    int status;
    for (int i = atoi(argv[2]); i; i--) {
        long made = syscall(SYS_clone3, &args, sizeof(args));
        if (made == 0) {
            usleep(30000);
            execl("/bin/true", "true", "another", (char *)0);
        }
        if (made != pid || wait(&status) != pid || status) return 1;
    }
    return 0;
}
"""


def unused_pid() -> int:
    """Return a number that nobody has had lately: the kernel may be about to free the last one who had another."""
    last, most = (int(Path("/proc/sys/kernel", name).read_text()) for name in ("ns_last_pid", "pid_max"))
    numbers = ((last + most // 2 + i) % most for i in range(most))
    return next(number for number in numbers if number > 300 and not Path("/proc", str(number)).exists())


def test_a_pid_that_is_another_process_s_now_is_not_followed_any_more(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "pinned", PINNED_C)
    with subprocess.Popen(["sleep", "600"]) as wanted, opened(Filter(pids=(wanted.pid,)), ("execs",)) as source:
        pid = unused_pid()
        maps.update(source._filter._module.table("filter_pids"), struct.pack("=I", pid), b"\3")  # its end was missed
        subprocess.run([program, str(pid), "1"], check=True)
        records = read(source)
        wanted.kill()
    assert not [record for record in records if isinstance(record, Exec)]


def test_a_pid_that_is_used_anew_at_once_is_followed(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "pinned", PINNED_C)
    with opened(Filter(pids=(os.getpid(),)), ("execs",)) as source:
        tracked = source._filter.shared["filter_pids"]
        pid = in_child(lambda: None)
        subprocess.run([program, str(pid), "20"], check=True)
        seen = [record for record in read(source) if isinstance(record, Exec) and record.pid == pid]
        for _ in range(3000):
            if not maps.lookup(tracked, struct.pack("=I", pid), 1):
                break
            threading.Event().wait(0.02)
        assert not maps.lookup(tracked, struct.pack("=I", pid), 1)
    assert len(seen) == 20


@contextmanager
def shells() -> Iterator[tuple[subprocess.Popen[str], ...]]:
    """Two shells that do what they are told."""
    made = [subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    yield tuple(made)
    for shell in made:
        shell.communicate()


def tell(shell: subprocess.Popen[str], command: str) -> None:
    """Let a shell run a command, and wait for its end."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}; echo done\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == "done\n"


@pytest.mark.parametrize("kind", ["uids", "comms", "pids"])
def test_until_the_slots_are_exchanged_the_old_filter_holds_and_from_then_on_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).symlink_to("/bin/true")
    with shells() as (one, other):
        values: dict[str, tuple[object, object]] = {
            "uids": (WANTED_UID, OTHER_UID), "comms": ("one", "other"), "pids": (one.pid, other.pid),
        }  # fmt: skip
        old, new = (Filter(**{kind: (value,)}) for value in values[kind])  # type: ignore[arg-type]  # of any kind

        def act(when: str) -> None:
            """Do what the old filter matches, and what the new one does."""
            if kind == "uids":
                in_child(programs(f"{when}: old"), uid=WANTED_UID)
                in_child(programs(f"{when}: new"), uid=OTHER_UID)
            else:
                tell(one, f"{tmp_path}/one '{when}: old'")
                tell(other, f"{tmp_path}/other '{when}: new'")

        with opened(old, ("execs",)) as source:
            write = source._filter._write_config
            written: list[bool] = []

            def write_and_act(*, hide_self_only: bool) -> None:
                if not written:
                    act("before")  # all of the new filter is in the maps
                write(hide_self_only=hide_self_only)
                written.append(hide_self_only)
                if len(written) == 1:
                    act("filled")  # its slot is written whole before it is the active one
                if len(written) == 2:
                    act("after")  # nothing of the old one is out of the maps yet

            monkeypatch.setattr(source._filter, "_write_config", write_and_act)
            source.set_filter(new)
            monkeypatch.undo()
            act("later")
            records = read(source)
    words = [record.argv[-1] for record in records if isinstance(record, Exec)]
    assert words == ["before: old", "filled: old", "after: new", "later: new"]


def test_the_first_filter_waits_for_no_program_because_none_runs_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[bool] = []
    monkeypatch.setattr("ebpftop.kernel.filter_maps.wait_for_programs", lambda: waits.append(True))
    with opened(Filter(uids=(4711,)), ("execs",)) as source:
        assert waits == []
        source.set_filter(Filter(uids=(4712,)))
        assert waits == [True]
