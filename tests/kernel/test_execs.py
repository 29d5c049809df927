"""The exec log on the running kernel: every awkward way to start a program, and to end one."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebpftop.core.escape import escape
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Lost, Record
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.probes.execs import _ATTEMPT_BYTES, ExecsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import at_some_moment, compile_c, needs_root
from tests.kernel.workload_context import cgroup, set_comm

pytestmark = [needs_root, pytest.mark.guest]

SYS_EXECVEAT = {"x86_64": 322, "aarch64": 281}[os.uname().machine]
AT_EMPTY_PATH = 0x1000
_PT_LOAD = 1  # include/uapi/linux/elf.h
ME = Filter(pids=(os.getpid(),))


STORM_C = """
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
extern char **environ;
int main(int argc, char **argv)
{
    int count = atoi(argv[1]), flying = 0;
    for (int i = 0; i < count; i++) {
        char number[16];
        char *args[] = {"brief", number, NULL};
        pid_t pid;
        snprintf(number, sizeof number, "%d", i);
        if (posix_spawn(&pid, argv[2], NULL, NULL, args, environ)) return 1;
        if (++flying == 8) { wait(NULL); flying--; }
    }
    while (wait(NULL) > 0) ;
    return 0;
}
"""
# No C library, no linker: lives for a few dozen microseconds.
BRIEF_C = """
void _start(void)
{
#ifdef __x86_64__
    __asm__ volatile("syscall" : : "a"(60), "D"(0) : "rcx", "r11", "memory");
#else
    register long nr __asm__("x8") = 93; register long code __asm__("x0") = 0;
    __asm__ volatile("svc 0" : : "r"(nr), "r"(code) : "memory");
#endif
    __builtin_unreachable();
}
"""


THREADED_C = """
#include <pthread.h>
#include <unistd.h>
static void *run(void *nothing) { execl("/bin/true", "true", "by-thread", NULL); return NULL; }
int main(void) { pthread_t t; pthread_create(&t, NULL, run, NULL); pause(); }
"""
THREADS_C = """
#include <pthread.h>
#include <unistd.h>
static void *run(void *nothing) { usleep(1000); return NULL; }
int main(void)
{
    pthread_t t[8];
    for (int i = 0; i < 8; i++) pthread_create(&t[i], NULL, run, NULL);
    pthread_exit(NULL);
}
"""

# Of two threads one ends at once and the other 0.3 s later, as argv[1] says.
ENDS_C = """
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *run(void *how)
{
    if (*(char *)how == 'm') syscall(SYS_exit, 5);
    usleep(300000);
    if (*(char *)how == 'g') _exit(7);
    if (*(char *)how == 'k') kill(getpid(), SIGKILL);
    syscall(SYS_exit, 5);
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t t;
    pthread_create(&t, NULL, run, argv[1]);
    if (argv[1][0] != 'm') syscall(SYS_exit, 3);
    usleep(300000);
    return 9;
}
"""

# Kills its children at all moments between fork and the first lines of what they run.
KILLED_C = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    char *true_[] = {"true", 0};
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (!pid) { execv("/nonexistent", true_); execv("/bin/true", true_); _exit(1); }
        for (volatile int spin = 0; spin < i * 4000; spin++) ;
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
    }
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tests' own programs, compiled."""
    directory = tmp_path_factory.mktemp("programs")
    compile_c(directory, "storm", STORM_C)
    compile_c(directory, "brief", BRIEF_C, "-static", "-nostdlib", "-ffreestanding")
    compile_c(directory, "threaded", THREADED_C, "-pthread")
    compile_c(directory, "ends", ENDS_C, "-pthread")
    compile_c(directory, "killed", KILLED_C)
    compile_c(directory, "threads", THREADS_C, "-pthread")
    return directory


class Watch:
    """The execs probe in this process, on this process's descendants."""

    def __init__(self, comms: tuple[str, ...] = (), **options: object) -> None:
        wanted = Filter(pids=ME.pids, comms=comms)
        self.source = KernelSource(Options(probes=("execs",), filter=wanted, **options))  # type: ignore[arg-type]  # of any field
        self.records: list[Record] = []
        self._before = dict.fromkeys(self.source.find(ExecsProbe).seen(), 0)

    def read(self) -> list[Record]:
        for batch in self.source.read_all():
            self.records += batch.records
        return self.records

    def forget(self) -> None:
        """Begin anew."""
        self.read()
        self.records = []
        self._before = self.source.find(ExecsProbe).seen()

    def seen(self) -> dict[str, int]:
        """Return the kernel's own counts since `forget`."""
        return {name: count - self._before[name] for name, count in self.source.find(ExecsProbe).seen().items()}

    def execs(self) -> list[Exec]:
        return [record for record in self.read() if isinstance(record, Exec)]

    def exits(self) -> list[Exit]:
        return [record for record in self.read() if isinstance(record, Exit)]

    def only(self) -> Exec:
        execs = self.execs()
        assert len(execs) == 1, execs
        return execs[0]


@pytest.fixture(scope="module", params=["ring", "perf"])
def up(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Bring the probe up once for all tests of one buffer: compiling takes longer than most of them."""
    watching = Watch(buffer=request.param)
    yield watching
    watching.source.close()


@pytest.fixture
def watch(up: Watch, programs: Path) -> Watch:
    """The probe, as if nothing had happened before; the tests' own programs are compiled by then."""
    assert programs.is_dir()
    up.forget()
    return up


def forked(action: Callable[[], object]) -> int:
    """Run *action* in a child, as the last thing that it does; return the wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(99)
    return os.waitpid(pid, 0)[1]


def test_many_long_and_empty_arguments_arrive_whole(watch: Watch) -> None:
    argv = ["true", "", *(f"argument-{i}-" + "x" * 300 for i in range(25)), "", "last"]
    subprocess.run(argv, executable="/bin/true", check=True)
    assert list(watch.only().argv) == argv
    assert not watch.only().truncated


def test_sixteen_kilobytes_of_arguments_arrive_whole_through_either_buffer(watch: Watch) -> None:
    argv = ["/bin/true", *("y" * 999 for _ in range(16)), "end"]
    subprocess.run(argv, check=True)
    assert list(watch.only().argv) == argv


@pytest.mark.heavy
def test_sixty_kilobytes_of_arguments_arrive_whole_through_the_ring() -> None:
    watch = Watch(buffer="ring")
    argv = ["/bin/true", *("z" * 999 for _ in range(60)), "end"]
    subprocess.run(argv, check=True)
    assert list(watch.only().argv) == argv
    watch.source.close()


def test_what_does_not_fit_is_marked_truncated(watch: Watch) -> None:
    argv = ["/bin/true", *("w" * 999 for _ in range(200))]
    subprocess.run(argv, check=True)
    record = watch.only()
    assert record.truncated
    assert len(record.argv) >= 17
    assert list(record.argv[:17]) == argv[:17]


def test_argv_0_need_not_be_the_path(watch: Watch) -> None:
    subprocess.run(["-login", "x"], executable="/bin/true", check=True)
    record = watch.only()
    assert (record.file, record.comm, record.argv) == ("/bin/true", "true", ("-login", "x"))


def test_bytes_that_are_no_text_and_escape_sequences_are_escaped(watch: Watch) -> None:
    subprocess.run([b"/bin/true", b"\xff\xfe", b"\x1b[2J", b"caf\xc3\xa9", "\u202e".encode(), b"a\nb"], check=True)
    assert watch.only().argv[1:] == ("\\xff\\xfe", "\\x1b[2J", "café", "\\u202e", "a\\x0ab")


@pytest.mark.everywhere
def test_a_script_is_named_as_given_with_its_interpreter(watch: Watch, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n:\n")
    script.chmod(0o755)
    subprocess.run([script, "argument"], check=True)
    record = watch.only()
    assert record.file == str(script)
    assert record.interp == "/bin/sh"
    assert record.argv == ("/bin/sh", str(script), "argument")
    assert record.comm == "script"


def test_a_memfd_run_by_execveat_with_an_empty_path(watch: Watch) -> None:
    fd = os.memfd_create("program", 0)
    os.write(fd, Path("/bin/true").read_bytes())
    libc = ctypes.CDLL(None)
    argv = (ctypes.c_char_p * 3)(b"from-memory", b"1", None)

    def execveat() -> None:
        libc.syscall(SYS_EXECVEAT, fd, b"", argv, None, AT_EMPTY_PATH)

    assert forked(execveat) == 0
    record = watch.only()
    assert record.file == f"/dev/fd/{fd}"
    assert record.argv == ("from-memory", "1")


@pytest.mark.everywhere
def test_an_exec_from_a_thread_belongs_to_its_process(watch: Watch, programs: Path) -> None:
    child = subprocess.Popen([programs / "threaded"])
    assert child.wait() == 0
    first, second = watch.execs()
    assert (first.pid, first.tid) == (child.pid, child.pid)
    assert second.pid == child.pid
    assert second.tid != child.pid
    assert second.argv == ("true", "by-thread")
    assert second.start_ns == first.start_ns
    (ended,) = watch.exits()
    assert (ended.pid, ended.code) == (child.pid, 0)
    assert ended.duration_s is not None
    assert ended.duration_s < second.time - first.time + 60


@pytest.mark.parametrize(
    ("name", "content", "mode", "error"),
    [
        ("absent", None, 0, errno.ENOENT),
        ("forbidden", b"x", 0o644, errno.EACCES),
        ("senseless", b"\0\1\2\3", 0o755, errno.ENOEXEC),
    ],
)
def test_a_failure_has_its_path_arguments_and_errno(
    watch: Watch, tmp_path: Path, name: str, content: bytes | None, mode: int, error: int
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(OSError, match=os.strerror(error)):
        subprocess.run([path, "an argument", ""], check=True)
    record = watch.only()
    assert (record.file, record.argv) == (str(path), (str(path), "an argument", ""))
    assert (record.ret, record.error) == (-error, errno.errorcode[error])


@pytest.mark.everywhere
def test_a_failed_execveat_is_told_too(watch: Watch) -> None:
    libc = ctypes.CDLL(None)
    argv = (ctypes.c_char_p * 2)(b"nobody", None)
    forked(lambda: libc.syscall(SYS_EXECVEAT, -100, b"/nonexistent/here", argv, None, 0))
    record = watch.only()
    assert (record.file, record.argv, record.error) == ("/nonexistent/here", ("nobody",), "ENOENT")


@pytest.fixture
def fails_late(tmp_path: Path) -> Path:
    """A program whose execve fails after its point of no return (EINVAL), on every kernel.

    The last segment that is loaded has more bytes in the file than in memory. fs/binfmt_elf.c looks at that when it has
    mapped the segment, where the old program is gone. One cut short will not do: 6.1 starts it, and it dies of SIGBUS.
    """
    program = bytearray(Path("/bin/true").read_bytes())
    (table,) = struct.unpack_from("=Q", program, 32)  # struct elf64_hdr: e_phoff, then e_phentsize, e_phnum
    size, count = struct.unpack_from("=HH", program, 54)
    headers = [table + size * i for i in range(count)]
    segment = max(at for at in headers if struct.unpack_from("=I", program, at) == (_PT_LOAD,))
    (file_bytes,) = struct.unpack_from("=Q", program, segment + 32)  # struct elf64_phdr: p_filesz, p_memsz
    struct.pack_into("=Q", program, segment + 40, file_bytes - 1)
    path = tmp_path / "broken"
    path.write_bytes(program)
    path.chmod(0o755)
    return path


def died_in_execve(run: Callable[[], object]) -> None:
    """Fail where *run*, in a child, did anything but be killed by the kernel at the end of its execve."""
    status = forked(run)
    assert os.WIFSIGNALED(status), status
    assert os.WTERMSIG(status) == signal.SIGSEGV


def test_a_failure_after_the_point_of_no_return_keeps_what_was_read_at_entry(watch: Watch, fails_late: Path) -> None:
    def run() -> None:
        set_comm("caller")
        os.execv(fails_late, [str(fails_late), "an argument", "", "last"])

    died_in_execve(run)
    record = watch.only()
    assert (record.file, record.comm, record.error) == (str(fails_late), "caller", "EINVAL")
    assert record.argv == (str(fails_late), "an argument", "", "last")
    assert record.cut == ()


@pytest.mark.heavy
def test_a_failure_after_the_point_of_no_return_is_of_the_caller_to_the_filter_too(fails_late: Path) -> None:
    watch = Watch(comms=("caller",))

    def run() -> None:
        set_comm("caller")
        os.execv(fails_late, ["x"])

    died_in_execve(run)
    assert (watch.only().file, watch.only().comm) == (str(fails_late), "caller")
    watch.source.close()


@pytest.mark.parametrize(
    ("slashes", "argv"),
    [
        (1100, ["x"]),
        (1, ["x", "y" * 600, "", "z"]),
        (1, ["x", *(str(i) for i in range(1000))]),
        (3000, ["x", "", ""]),
    ],
    ids=["path", "argument", "arguments", "empty"],
)
def test_a_failure_after_the_point_of_no_return_is_whole(
    watch: Watch, fails_late: Path, slashes: int, argv: list[str]
) -> None:
    file = "/" * slashes + str(fails_late)
    died_in_execve(lambda: os.execve(file, argv, {"NOT": "an argument"}))
    record = watch.only()
    assert (record.file, record.argv, record.cut) == (file, tuple(argv), ())


def test_a_failure_after_the_point_of_no_return_says_what_does_not_fit(watch: Watch, fails_late: Path) -> None:
    died_in_execve(lambda: os.execv(fails_late, ["x", "y" * 40_000, "z"]))
    record = watch.only()
    assert (record.argv, record.cut) == (("x", "y" * (32767 - 2)), ("argv",))


@pytest.mark.parametrize("argv", [None, [], [""]])
def test_a_failure_after_the_point_of_no_return_may_have_no_arguments(
    watch: Watch, fails_late: Path, argv: list[str] | None
) -> None:
    """Since 5.18 the kernel gives such a program an empty one."""
    libc = ctypes.CDLL(None)
    strings = None if argv is None else (ctypes.c_char_p * (len(argv) + 1))(*map(str.encode, argv), None)
    died_in_execve(lambda: libc.execve(str(fails_late).encode(), strings, None))
    assert watch.only().argv == tuple(argv or ())


@pytest.mark.parametrize("slashes", [1, 1100])
@pytest.mark.parametrize("length", [400, 600])
def test_a_script_whose_interpreter_fails_late_has_its_own_arguments(
    watch: Watch, tmp_path: Path, fails_late: Path, slashes: int, length: int
) -> None:
    """The kernel gives other arguments to the interpreter, so these are kept from before."""
    script = tmp_path / "script"
    script.write_text(f"#!{fails_late} option\n")
    script.chmod(0o755)
    file = "/" * slashes + str(script)
    died_in_execve(lambda: os.execv(file, ["name", "y" * length, "z"]))
    record = watch.only()
    whole = length == 400
    assert record.argv[0] == "name"
    assert record.argv[1:] == ("y" * 400, "z") if whole else record.argv[1][:500] == "y" * 500
    assert file.startswith(record.file)
    assert record.cut == (() if slashes == 1 else ("file",)) + (() if whole else ("argv",))


def test_more_tasks_inside_an_execve_than_the_small_map_holds(watch: Watch, fails_late: Path, tmp_path: Path) -> None:
    """Keys that are no task's fill it, so all calls here go to the large one."""
    probe = watch.source.find(ExecsProbe)
    assert probe.module is not None
    small, large = (probe.module.table(name) for name in ("attempts", "more_attempts"))
    strangers = [struct.pack("=Q", number) for number in range(1, small.max_entries + 1)]
    for key in strangers:
        maps.update(small, key, bytes(_ATTEMPT_BYTES))
    died_in_execve(lambda: os.execv(fails_late, ["late", "y"]))
    with pytest.raises(FileNotFoundError):
        subprocess.run(["soon"], executable=tmp_path / "none", check=True)
    subprocess.run(["well"], executable="/bin/true", check=True)
    assert [(record.argv, record.error) for record in watch.execs()] == [
        (("late", "y"), "EINVAL"),
        (("soon",), "ENOENT"),
        (("well",), None),
    ]
    assert at_some_moment(lambda: not maps.has_entries(large, 8))
    number = probe.module.table("in_more_attempts")
    assert at_some_moment(lambda: maps.lookup(number, bytes(4), 8) == bytes(8))
    assert at_some_moment(lambda: probe.pending_attempts() == len(strangers))
    for key in strangers:
        assert maps.delete(small, key)
    assert at_some_moment(lambda: probe.pending_attempts() == 0)


@pytest.mark.parametrize("name", ["here", "", "/nonexistent/here"])
def test_a_path_below_a_directory_reads_the_same_whether_execveat_fails_or_not(
    watch: Watch, tmp_path: Path, name: str
) -> None:
    libc = ctypes.CDLL(None)
    argv = (ctypes.c_char_p * 2)(b"x", None)
    fd = os.open(tmp_path, os.O_RDONLY)

    def execveat() -> None:
        libc.syscall(SYS_EXECVEAT, fd, name.encode(), argv, None, AT_EMPTY_PATH)

    forked(execveat)
    if name == "here":
        (tmp_path / name).symlink_to("/bin/true")
        assert forked(execveat) == 0
    paths = [record.file for record in watch.execs()]
    expected = name if name.startswith("/") else f"/dev/fd/{fd}/{name}".rstrip("/")
    assert paths == [expected] * (2 if name == "here" else 1)
    os.close(fd)


@pytest.mark.parametrize(
    ("length", "error", "cut"),
    [(4095, errno.ENOENT, ()), (4096, errno.ENAMETOOLONG, ("file",)), (5000, errno.ENAMETOOLONG, ("file",))],
)
def test_a_path_is_whole_as_long_as_the_kernel_takes_it(
    watch: Watch, length: int, error: int, cut: tuple[str, ...]
) -> None:
    path = ("/nonexistent/" + "p" * 100 + "/" * 200) * 20
    with pytest.raises(OSError, match=os.strerror(error)):
        subprocess.run(["x"], executable=path[:length], check=True)
    record = watch.only()
    assert (record.ret, record.cut) == (-error, cut)
    assert record.file == path[: min(length, 4095)]


def test_the_path_of_a_program_is_whole_as_long_as_the_kernel_takes_it(watch: Watch) -> None:
    path = "/bin" + "/" * (4095 - len("/bintrue")) + "true"
    subprocess.run(["x"], executable=path, check=True)
    assert (len(path), watch.only().file, watch.only().cut) == (4095, path, ())


@pytest.mark.parametrize(("arguments", "cut"), [(256, ()), (257, ("argv",))])
def test_as_many_arguments_as_fit_are_not_called_cut(watch: Watch, arguments: int, cut: tuple[str, ...]) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run(["x"] * arguments, executable="/nonexistent/program", check=True)
    record = watch.only()
    assert (record.cut, record.truncated) == (cut, bool(cut))
    assert record.argv == ("x",) * 256


@pytest.mark.parametrize(("length", "cut"), [(16383, ()), (16384, ("argv",))])
def test_an_argument_that_fits_is_not_called_cut(watch: Watch, length: int, cut: tuple[str, ...]) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run(["x" * length], executable="/nonexistent/program", check=True)
    assert watch.only().cut == cut
    assert watch.only().argv[0][:16383] == "x" * 16383


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
@pytest.mark.parametrize(
    "names",
    [
        ["a" * 255, "b" * 255],
        [f"level-{i}" for i in range(31)],
        [f"level-{i}" for i in range(50)],
        ["c" * 255] * 13,
        ["kubepods-burstable-pod1c5d0bde_130b_4784_a547_f45e619f2514.slice:cri-containerd:" + "0123456789abcdef" * 4],
    ],
    ids=["longest", "deep", "deepest", "long", "containerd"],
)
def test_a_cgroup_is_known_whole_or_said_to_be_cut(watch: Watch, names: list[str], gone: bool) -> None:
    with cgroup("/".join([f"ebpftop-cut-{os.getpid()}", *names])) as inside:

        def run() -> None:
            (inside / "cgroup.procs").write_text(str(os.getpid()))
            os.execv("/bin/true", ["true"])

        assert forked(run) == 0
        if not gone:
            watch.read()
    record = watch.only()
    whole = "/".join(["", f"ebpftop-cut-{os.getpid()}", *names])
    if gone and len(names) > 31:
        assert record.cut == ("cgroup",)
        assert record.cgroup == "(cut)/" + "/".join(names[-32:])
    else:
        assert (record.cgroup, record.cut) == (whole, ())
    if "containerd" in names[0]:
        assert record.container == "0123456789ab"


@pytest.mark.heavy
def test_failures_can_be_left_out(tmp_path: Path) -> None:
    watch = Watch(failures=False)
    with pytest.raises(FileNotFoundError):
        subprocess.run([tmp_path / "absent"], check=True)
    subprocess.run(["/bin/true"], check=True)
    assert watch.only().ret == 0
    watch.source.close()


@pytest.mark.everywhere
def test_exit_codes_and_signals_by_name(watch: Watch) -> None:
    for command in ("exit 0", "exit 3", "exit 255", "kill -9 $$", "kill -TERM $$", "kill -40 $$"):
        subprocess.run(["/bin/sh", "-c", command], check=False)
    ended = [(record.code, record.signal) for record in watch.exits()]
    assert ended == [
        (0, None), (3, None), (255, None), (None, "SIGKILL"), (None, "SIGTERM"), (None, "SIGRTMIN+6"),
    ]  # fmt: skip


@pytest.mark.heavy
def test_lifetimes_are_measured_from_the_exec(watch: Watch) -> None:
    subprocess.run(["/bin/sleep", "0.3"], check=True)
    (ended,) = watch.exits()
    assert ended.duration_s == pytest.approx(0.3, abs=0.2)
    assert (ended.pid, ended.start_ns) == (watch.only().pid, watch.only().start_ns)


def test_a_fork_that_never_execs_ends_without_a_duration(watch: Watch) -> None:
    assert forked(lambda: os._exit(5)) == 5 << 8
    (ended,) = watch.exits()
    assert (ended.code, ended.duration_s) == (5, None)
    assert not watch.execs()


@pytest.mark.everywhere
def test_a_process_with_threads_ends_once(watch: Watch, programs: Path) -> None:
    for _ in range(20):
        subprocess.run([programs / "threads"], check=True)
    assert [record.code for record in watch.exits()] == [0] * 20


# Where the last thread ends by itself, newer kernels take its code for that of all, older ones the first thread's.
@pytest.mark.parametrize(
    ("how", "ways"), [("group", {7}), ("kill", {-signal.SIGKILL}), ("thread", {3, 5}), ("main", {9})]
)
def test_a_process_ends_with_its_last_thread_and_as_wait_tells(
    watch: Watch, programs: Path, how: str, ways: set[int]
) -> None:
    status = subprocess.run([programs / "ends", how], check=False).returncode
    assert status in ways
    (ended,) = watch.exits()
    assert (ended.code, ended.signal) == ((status, None) if status > 0 else (None, "SIGKILL"))
    assert ended.duration_s is not None
    assert ended.duration_s >= 0.3


def test_an_exec_in_a_loop_is_one_process_that_ends_once(watch: Watch) -> None:
    script = 'n=$1; [ "$n" = 0 ] && exit 7; exec /bin/sh -c "$2" sh $((n - 1)) "$2"'
    child = subprocess.run(["/bin/sh", "-c", script, "sh", "20", script], check=False)
    assert child.returncode == 7
    execs = watch.execs()
    assert len(execs) == 21
    assert len({(record.pid, record.start_ns) for record in execs}) == 1
    assert [record.code for record in watch.exits()] == [7]


def test_users_by_number_setuid_by_its_effective_user(watch: Watch, tmp_path: Path) -> None:
    program = tmp_path / "setuid"
    shutil.copy("/bin/true", program)
    os.chown(program, 4321, 4321)
    program.chmod(0o4755)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)

    def run() -> None:
        os.setuid(12345)
        os.execv(program, ["setuid"])

    assert forked(run) == 0
    record = watch.only()
    assert (record.uid, record.user, record.euid) == (12345, None, 4321)


@pytest.mark.everywhere
def test_context_names_parent_cgroup_and_namespace(watch: Watch) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    record = watch.only()
    assert record.ppid == os.getpid()
    assert record.pcomm == Path("/proc/self/comm").read_text().strip()
    assert record.nspid == record.pid
    assert record.pidns == int(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    loginuid = int(Path("/proc/self/loginuid").read_text())
    assert record.loginuid == (None if loginuid == 0xFFFFFFFF else loginuid)


def test_a_cgroup_that_is_gone_at_once_is_still_known(watch: Watch) -> None:
    root = next(
        (p for p in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists()), None
    )
    assert root is not None, "no cgroup v2 hierarchy is mounted"
    container = "0123456789abcdef" * 4
    outer = root / f"ebpftop-test-{os.getpid()}"
    inner = outer / f"docker-{container}.scope"
    inner.mkdir(parents=True)
    try:

        def run() -> None:
            (inner / "cgroup.procs").write_text(str(os.getpid()))
            os.execv("/bin/true", ["contained"])

        assert forked(run) == 0
    finally:
        inner.rmdir()
        outer.rmdir()
    record = watch.only()
    assert record.cgroup == f"/{outer.name}/{inner.name}"
    assert record.container == container[:12]


@pytest.mark.everywhere
def test_the_pid_inside_a_namespace_is_known(watch: Watch) -> None:
    subprocess.run(["unshare", "--pid", "--fork", "/bin/true", "inside"], check=True)
    record = next(record for record in watch.execs() if record.argv[-1] == "inside" and record.comm == "true")
    assert record.nspid == 1
    assert record.pid != 1


@pytest.mark.parametrize("by_thread", [False, True])
def test_a_parent_that_only_forked_is_named_before_its_child(watch: Watch, by_thread: bool) -> None:
    reader, writer = os.pipe()

    def fork_and_run() -> None:
        os.write(writer, b"%d" % os.getpid())
        starts = threading.Thread(target=subprocess.run, args=(["/bin/true", "grandchild"],))
        if by_thread:
            time.sleep(0.05)  # it starts some clock ticks after its process
            starts.start()
            starts.join()
        else:
            starts.run()
        watch_is_slow = 1.0  # the fork must still be there when the record is made
        time.sleep(watch_is_slow)
        os._exit(0)

    child = os.fork()
    if child == 0:
        fork_and_run()
    time.sleep(0.5)
    records = list(watch.read())
    os.waitpid(child, 0)
    middle = int(os.read(reader, 32))
    os.close(reader)
    os.close(writer)
    (run,) = [record for record in records if isinstance(record, Exec)]
    named = [record for record in records if isinstance(record, Process) and record.pid == run.ppid]
    assert run.ppid == middle
    assert [record.ppid for record in named] == [os.getpid()]
    assert records.index(named[0]) < records.index(run)


@pytest.mark.heavy
def test_programs_that_ran_before_are_named_once() -> None:
    earlier = subprocess.Popen(["/bin/sleep", "60"])
    watch = Watch()
    try:
        records = list(watch.read())
        (named,) = [record for record in records if isinstance(record, Process) and record.pid == earlier.pid]
        assert (named.comm, named.argv, named.ppid) == ("sleep", ("/bin/sleep", "60"), os.getpid())
        assert not [record for record in watch.read()[len(records) :] if isinstance(record, Process)]
    finally:
        earlier.kill()
        earlier.wait()
        watch.source.close()


@pytest.mark.heavy
def test_five_thousand_spawns_none_missing_and_the_kernels_count_agrees(watch: Watch, programs: Path) -> None:
    # As many at a time as the buffers hold, so that it does not matter how long this process is kept from reading.
    for _ in range(20):
        subprocess.run([programs / "storm", "250", programs / "brief"], check=True)
        watch.read()
    brief_execs = [record for record in watch.execs() if record.comm == "brief"]
    assert sorted(int(record.argv[1]) for record in brief_execs) == [number for number in range(250) for _ in range(20)]
    assert len([record for record in watch.exits() if record.comm == "brief"]) == 5000
    assert watch.seen()["exec"] == len(watch.execs()) == 5020
    assert not [record for record in watch.read() if isinstance(record, Lost)]


@pytest.mark.heavy
def test_a_reader_that_sleeps_loses_and_what_came_plus_what_was_lost_is_what_happened(programs: Path) -> None:
    watch = Watch(buffer="perf")  # its buffers are the smaller ones
    subprocess.run([programs / "storm", "12000", programs / "brief"], check=True)
    execs, exits = len(watch.execs()), len(watch.exits())
    losses = [record for record in watch.read() if isinstance(record, Lost)]
    lost = {record.where: record.count for record in losses}
    seen = watch.source.find(ExecsProbe).seen()
    watch.source.close()
    assert lost["ring"] > 0
    assert execs + lost["ring"] == seen["exec"] + seen["failed"]
    assert exits + lost["exits"] == seen["exit"]
    assert seen["exec"] == 12001


@pytest.mark.heavy
def test_a_burst_of_two_hundred_short_lived_programs_is_two_hundred_records(watch: Watch, programs: Path) -> None:
    subprocess.run([programs / "storm", "200", programs / "brief"], check=True)
    brief_execs = [record for record in watch.execs() if record.comm == "brief"]
    assert len(brief_execs) == 200
    shortest = min(record.duration_s or 9 for record in watch.exits() if record.comm == "brief")
    assert shortest < 0.01


def test_a_process_killed_inside_execve_leaves_nothing_behind(watch: Watch, programs: Path) -> None:
    subprocess.run([programs / "killed"], check=True)
    watch.read()
    assert at_some_moment(lambda: watch.source.find(ExecsProbe).pending_attempts() == 0)


@pytest.mark.parametrize("dumps", [False, True])
def test_an_exit_says_whether_a_core_was_dumped_as_wait_does(watch: Watch, tmp_path: Path, dumps: bool) -> None:
    limit = resource.RLIM_INFINITY if dumps else 0

    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(tmp_path)
            resource.setrlimit(resource.RLIMIT_CORE, (limit, resource.RLIM_INFINITY))
            os.execv("/bin/sh", ["sh", "-c", "kill -SEGV $$"])
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    (ended,) = [record for record in watch.exits() if record.pid == pid]
    if dumps and not os.WCOREDUMP(status):
        pytest.skip("this machine dumps no cores")
    assert (ended.signal, ended.core) == ("SIGSEGV", dumps)
    assert os.WCOREDUMP(status) is dumps


@pytest.mark.parametrize("name", ["a) S 1 (b", ") ", "()", "x y\tz"])
def test_a_process_that_ran_before_is_told_whatever_its_name_looks_like(name: str) -> None:
    ready_r, ready_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            set_comm(name)
            os.write(ready_w, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.read(ready_r, 1)
    os.close(ready_r)
    os.close(ready_w)
    try:
        watch = Watch()
        (told,) = [record for record in watch.read() if isinstance(record, Process) and record.pid == pid]
        watch.source.close()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert (told.comm, told.ppid, told.uid) == (escape(name), os.getpid(), os.getuid())
    assert 0 < time.clock_gettime(time.CLOCK_BOOTTIME) - told.start_ns / 1e9 < 60
