"""What a process used and who ended it, against what wait4 and /proc/PID/io say of the same process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exit, Killer
from ebpftop.filters.spec import Filter
from ebpftop.kernel.cgroups import hierarchies
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import compile_c, needs_root
from tests.kernel.workload_context import OTHER_UID, set_comm

pytestmark = [needs_root, pytest.mark.guest]

# Burns, takes memory, writes and reads; prints /proc/self/io and the rusage of itself at the end, then ends in group.
WORK_C = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
static long ns(clockid_t id) { struct timespec t; clock_gettime(id, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
static void burn(long until) { volatile long n = 0; while (ns(CLOCK_THREAD_CPUTIME_ID) < until) n++; }
static pthread_barrier_t done;
static void *some(void *stays)
{
    burn(100000000);
    pthread_barrier_wait(&done);
    if (stays) pause();
    return NULL;
}
int main(int argc, char **argv)
{
    int threads = atoi(argv[1]), stay = atoi(argv[2]);
    pthread_t of[64];
    pthread_barrier_init(&done, NULL, threads + 1);
    for (int i = 0; i < threads; i++) pthread_create(&of[i], NULL, some, i < stay ? &done : NULL);
    char *memory = mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, 100 << 20);
    int fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 5; i++) write(fd, memory, 1 << 20);
    lseek(fd, 0, SEEK_SET);
    for (int i = 0; i < 3; i++) read(fd, memory, 1 << 20);
    burn(100000000);
    pthread_barrier_wait(&done);
    for (int i = stay; i < threads; i++) pthread_join(of[i], NULL);
    _exit(3);
}
"""
SENDS_C = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void handle(int number) { }
int main(int argc, char **argv)
{
    int fds[2];
    if (!strcmp(argv[1], "abort")) abort();
    if (!strcmp(argv[1], "segv")) *(volatile int *)8 = 1;
    if (!strcmp(argv[1], "pipe")) { signal(SIGPIPE, SIG_DFL); pipe(fds); close(fds[0]); write(fds[1], "x", 1); }
    if (!strcmp(argv[1], "alarm")) { alarm(1); pause(); }
    if (!strcmp(argv[1], "handles")) { signal(SIGTERM, handle); write(1, "x", 1); pause(); write(1, "x", 1); pause(); }
    if (!strcmp(argv[1], "waits")) { write(1, "x", 1); for (;;) pause(); }
    if (!strcmp(argv[1], "eats")) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    return 0;
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ends")
    compile_c(directory, "work", WORK_C, "-pthread", "-w")
    compile_c(directory, "sends", SENDS_C, "-w")
    return directory


class Watch:
    """The execs probe on this process's descendants."""

    def __init__(self) -> None:
        self.source = KernelSource(Options(probes=("execs",), filter=Filter(pids=(os.getpid(),))))
        self._exits: list[Exit] = []

    def of(self, pid: int) -> Exit:
        for batch in self.source.read_all():
            self._exits += [record for record in batch.records if isinstance(record, Exit)]
        (ended,) = [record for record in self._exits if record.pid == pid]
        return ended


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    watching = Watch()
    yield watching
    watching.source.close()


def ended_child(*command: str | Path) -> tuple[int, int, resource.struct_rusage]:
    """Run a program from a fork (a vfork takes over how much memory its parent had); return pid, status, and usage."""
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(command[0], [str(word) for word in command])
        finally:
            os._exit(99)
    return os.wait4(pid, 0)


def spawned_child(path: str) -> tuple[int, resource.struct_rusage]:
    """Run a program as a shell does, without a copy of this process's memory; return pid and usage."""
    pid = os.posix_spawn(path, [path], {})
    _, _, used = os.wait4(pid, 0)
    return pid, used


@pytest.mark.parametrize(("threads", "stay"), [(0, 0), (4, 0), (4, 3)])
def test_what_a_process_used_is_what_wait4_says(
    watch: Watch, programs: Path, tmp_path: Path, threads: int, stay: int
) -> None:
    pid, status, used = ended_child(programs / "work", str(threads), str(stay), tmp_path / "file")
    assert os.waitstatus_to_exitcode(status) == 3
    ended = watch.of(pid)
    assert ended.user_s is not None
    assert ended.system_s is not None
    all_s = used.ru_utime + used.ru_stime
    assert (1 + threads) * 0.1 <= all_s
    # The kernel forgets what a thread used since its last clock tick, if that is not the first one.
    assert ended.user_s + ended.system_s == pytest.approx(all_s, rel=0.05, abs=0.02)
    assert ended.user_s == pytest.approx(used.ru_utime, abs=0.1)
    assert ended.max_rss_bytes is not None
    assert ended.max_rss_bytes >= 100 << 20
    assert ended.max_rss_bytes == pytest.approx(used.ru_maxrss << 10, rel=0.05)
    assert ended.minor_faults == pytest.approx(used.ru_minflt, rel=0.01)
    assert ended.major_faults == pytest.approx(used.ru_majflt, abs=5)
    assert ended.written_bytes == 5 << 20
    assert ended.read_bytes is not None
    assert 3 << 20 <= ended.read_bytes <= (3 << 20) + (64 << 10)  # and what the loader read
    assert ended.storage_read_bytes == used.ru_inblock << 9
    assert ended.storage_written_bytes == used.ru_oublock << 9
    assert not ended.forked
    assert (ended.killer, ended.oom) == (None, False)


def test_many_that_live_for_less_than_a_clock_tick_add_up_to_what_wait4_says(watch: Watch) -> None:
    spawned = [spawned_child("/bin/true") for _ in range(100)]
    all_s = sum(used.ru_utime + used.ru_stime for _, used in spawned)
    assert sum(watch.of(pid).cpu_s or 0 for pid, _ in spawned) == pytest.approx(all_s, rel=0.1)


@pytest.mark.everywhere
def test_what_freeing_the_memory_of_a_fork_takes_is_its_own(watch: Watch) -> None:
    memory = bytearray(os.urandom(1 << 20) * 64)
    forks = []
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        forks.append((pid, os.wait4(pid, 0)[2]))
    del memory
    all_s = sum(used.ru_utime + used.ru_stime for _, used in forks)
    assert sum(watch.of(pid).cpu_s or 0 for pid, _ in forks) == pytest.approx(all_s, rel=0.15)


@pytest.mark.everywhere
def test_threads_are_counted(watch: Watch, programs: Path, tmp_path: Path) -> None:
    # One that ends in the same moment as the last one may be missing.
    pids = [ended_child(programs / "work", "4", "0", tmp_path / "file")[0] for _ in range(6)]
    counts = [watch.of(pid).threads for pid in pids]
    assert max(count or 0 for count in counts) == 1 + 4


def test_children_are_not_added_as_wait4_does(watch: Watch, programs: Path, tmp_path: Path) -> None:
    command = f"{programs / 'work'} 0 0 {tmp_path / 'file'}; exit 0"
    pid, _, used = ended_child("/bin/sh", "-c", command)
    ended = watch.of(pid)
    assert used.ru_maxrss << 10 >= 100 << 20
    assert ended.max_rss_bytes is not None
    # It lasts over execve, and was forked from this process.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert ended.max_rss_bytes < max(100 << 20, own + (16 << 20))
    assert ended.cpu_s is not None
    assert ended.cpu_s + 0.1 <= used.ru_utime + used.ru_stime + 0.01


def test_a_fork_that_executes_nothing_is_told_from_a_program(watch: Watch) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    os.waitpid(pid, 0)
    assert watch.of(pid).forked
    pid, _, _ = ended_child("/bin/true")
    assert not watch.of(pid).forked


@contextmanager
def waiting(program: Path, how: str = "waits") -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and wait until it is ready."""
    with subprocess.Popen([program, how], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"x"
        yield child
        child.kill()


def sent_by(sends: Callable[[], object], *, comm: str = "sender", uid: int = OTHER_UID) -> Killer:
    """Run *sends* in a process with a name and a user; return it as it should be told."""
    pid = os.fork()
    if pid == 0:
        try:
            set_comm(comm)
            os.setresuid(uid, 0, 0)
            sends()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return Killer(pid=pid, comm=comm, uid=uid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGRTMAX, signal.SIGALRM])
def test_who_killed_it(watch: Watch, programs: Path, number: int) -> None:
    with waiting(programs / "sends") as child:
        killer = sent_by(lambda: os.kill(child.pid, number))
        child.wait()
    ended = watch.of(child.pid)
    assert ended.signal is not None
    assert ended.killer == killer


def test_the_first_who_sends_it_is_the_one(watch: Watch, programs: Path) -> None:
    with waiting(programs / "sends") as child:
        os.kill(child.pid, signal.SIGSTOP)
        killer = sent_by(lambda: os.kill(child.pid, signal.SIGKILL), comm="first")
        sent_by(lambda: os.kill(child.pid, signal.SIGKILL), comm="second")
        child.wait()
    assert watch.of(child.pid).killer == killer


def test_a_signal_that_was_handled_killed_nobody(watch: Watch, programs: Path) -> None:
    with waiting(programs / "sends", "handles") as child:
        sent_by(lambda: os.kill(child.pid, signal.SIGTERM), comm="handled")
        assert child.stdout is not None
        assert child.stdout.read(1) == b"x"
        killer = sent_by(lambda: os.kill(child.pid, signal.SIGKILL), comm="kills")
        child.wait()
    assert watch.of(child.pid).killer == killer


def test_who_aborts_killed_itself(watch: Watch, programs: Path) -> None:
    pid, _, _ = ended_child(programs / "sends", "abort")
    ended = watch.of(pid)
    assert (ended.signal, ended.killer) == ("SIGABRT", Killer(pid=pid, comm="sends", uid=os.getuid()))


@pytest.mark.parametrize(("how", "name"), [("segv", "SIGSEGV"), ("pipe", "SIGPIPE"), ("alarm", "SIGALRM")])
def test_what_the_kernel_sends_has_no_killer(watch: Watch, programs: Path, how: str, name: str) -> None:
    pid, _, _ = ended_child(programs / "sends", how)
    ended = watch.of(pid)
    assert (ended.signal, ended.killer, ended.oom) == (name, None, False)


def memory_cgroup() -> Path | None:
    """Return a folder in which a memory cgroup can be made, None if there is none."""
    for folder in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"), *(found.root for found in hierarchies())):
        if (folder / "memory.limit_in_bytes").exists():
            return folder
        control = folder / "cgroup.subtree_control"
        if control.exists() and "memory" in (folder / "cgroup.controllers").read_text():
            control.write_text("+memory")
            return folder
    return None


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup with 16 MiB of memory."""
    above = memory_cgroup()
    if above is None:
        pytest.skip("this machine has no memory cgroups")
    cgroup = above / f"ebpftop-oom-{os.getpid()}"
    cgroup.mkdir()
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (cgroup / name).exists():
            (cgroup / name).write_text(str(16 << 20))
    for name in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
        if (cgroup / name).exists():
            (cgroup / name).write_text(str(16 << 20) if "memsw" in name else "0")
    yield cgroup
    for _ in range(50):
        try:
            cgroup.rmdir()
            return
        except OSError:
            time.sleep(0.1)


@pytest.mark.everywhere
def test_a_process_that_ran_out_of_memory_says_so(watch: Watch, programs: Path, small_cgroup: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            (small_cgroup / "cgroup.procs").write_text(str(os.getpid()))
            os.execv(programs / "sends", ["sends", "eats"])
        finally:
            os._exit(99)
    _, status, _ = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    ended = watch.of(pid)
    assert (ended.signal, ended.oom, ended.killer) == ("SIGKILL", True, None)
