"""Where a program runs, against /proc of processes that stay: file, directories, first fds, terminal, session."""

from __future__ import annotations

import ctypes
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.escape import escape
from ebpftop.core.process_records import EnvDifference, Exec
from tests.kernel.support import at_some_moment, compile_c, needs_root
from tests.kernel.test_execs import AT_EMPTY_PATH, BRIEF_C, SYS_EXECVEAT, Watch, forked

pytestmark = [needs_root, pytest.mark.guest]

SLEEP = os.path.realpath(shutil.which("sleep") or "/bin/sleep")
LEVELS = 40  # PATH_LEVELS of bpf/execs_places.h


@pytest.fixture(scope="module", params=["ring", "perf"])
def up(request: pytest.FixtureRequest) -> Iterator[Watch]:
    watching = Watch(buffer=request.param)
    yield watching
    watching.source.close()


@pytest.fixture
def watch(up: Watch) -> Watch:
    up.forget()
    return up


@contextmanager
def staying(watch: Watch, prepare: Callable[[], object] = lambda: None, program: str = SLEEP) -> Iterator[Exec]:
    """Run *prepare* and then `sleep` in a child; yield the record of its exec while it sleeps."""
    pid = os.fork()
    if pid == 0:
        try:
            prepare()
            os.execv(program, [program, "100"])
        finally:
            os._exit(99)
    try:

        def started() -> list[Exec]:
            return [e for e in watch.execs() if e.ret == 0 and e.argv[-1:] == ("100",) and e.pid == pid]

        assert at_some_moment(lambda: bool(started()))
        yield started()[-1]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def link(pid: int, name: str) -> str | None:
    try:
        return escape(os.readlink(os.fsencode(f"/proc/{pid}/{name}")))
    except FileNotFoundError:
        return None


def stdio_of(pid: int) -> tuple[str | None, ...]:
    return tuple(link(pid, f"fd/{fd}") for fd in range(3))


def compare(record: Exec) -> None:
    """Everything as /proc says it."""
    pid = record.pid
    assert record.exe == link(pid, "exe")
    assert record.exe_inode == os.stat(f"/proc/{pid}/exe").st_ino
    assert record.cwd == link(pid, "cwd")
    # The dynamic linker opens files while the program starts, as fd 0 if that is closed.
    assert at_some_moment(lambda: stdio_of(pid) == record.stdio), (stdio_of(pid), record.stdio)
    assert record.sid == int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    assert record.cut == ()


def redirect(*targets: int | None) -> None:
    """Make fds 0, 1, 2 of *targets*; None: closed."""
    kept = [None if fd is None else os.dup2(fd, 100 + at, inheritable=False) for at, fd in enumerate(targets)]
    for at, fd in enumerate(kept):
        if fd is None:
            os.close(at)
        else:
            os.dup2(fd, at, inheritable=True)


@pytest.mark.everywhere
def test_a_plain_program(watch: Watch) -> None:
    with staying(watch, lambda: os.chdir("/proc/self")) as record:
        compare(record)
        assert record.exe == SLEEP
    with staying(watch, lambda: os.chdir("/")) as record:
        compare(record)
        assert record.cwd == "/"
        assert record.root is None


def test_a_symbolic_link_is_resolved(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(SLEEP)
    with staying(watch, program=str(tmp_path / "link")) as record:
        assert record.file == str(tmp_path / "link")
        assert record.exe == SLEEP
        compare(record)


def test_a_script_runs_its_interpreter(watch: Watch, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{SLEEP}\n")
    script.chmod(0o755)
    subprocess.run([script], check=False, capture_output=True)
    record = next(e for e in watch.execs() if e.file == str(script))
    assert (record.interp, record.exe) == (SLEEP, SLEEP)


def test_what_the_first_three_fds_are(watch: Watch, tmp_path: Path) -> None:
    read_fd, write_fd = os.pipe()
    ours, theirs = socket.socketpair()
    file = os.open(tmp_path / "a file", os.O_CREAT | os.O_RDWR)
    null = os.open("/dev/null", os.O_RDWR)
    event = os.eventfd(0) if hasattr(os, "eventfd") else null
    try:
        for targets in (
            (read_fd, write_fd, write_fd),
            (theirs.fileno(), theirs.fileno(), null),
            (file, null, file),
            (file, file, file),
            (None, file, None),
            (None, None, None),
            (event, null, null),
        ):
            with staying(watch, lambda targets=targets: redirect(*targets)) as record:  # type: ignore[misc]  # mypy: lambda
                compare(record)
    finally:
        for fd in (read_fd, write_fd, file, null, *({event} - {null})):
            os.close(fd)
        ours.close()
        theirs.close()


@pytest.mark.everywhere
def test_the_terminal_and_the_session(watch: Watch) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(SLEEP, [SLEEP, "100"])
    try:
        assert at_some_moment(lambda: any(e.pid == pid for e in watch.execs()))
        record = next(e for e in watch.execs() if e.pid == pid)
        compare(record)
        assert record.stdio[0] == f"/dev/{record.tty}"
        assert record.sid == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    with staying(watch, os.setsid) as record:
        assert (record.tty, record.sid) == (None, record.pid)
        compare(record)


def test_a_file_that_is_deleted_and_one_that_never_had_a_name(watch: Watch, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    argv = (ctypes.c_char_p * 3)(b"sleep", b"100", None)
    copy = tmp_path / "gone"
    shutil.copy(SLEEP, copy)
    gone = os.open(copy, os.O_RDONLY)
    copy.unlink()
    unnamed = os.memfd_create("implant \x1b[31m", 0)
    os.write(unnamed, Path(SLEEP).read_bytes())
    empty = (ctypes.c_char_p * 1)(None)
    try:
        with staying(watch, lambda: libc.syscall(SYS_EXECVEAT, gone, b"", argv, empty, AT_EMPTY_PATH)) as record:
            compare(record)
            assert record.exe == f"{copy} (deleted)"
        with staying(watch, lambda: libc.syscall(SYS_EXECVEAT, unnamed, b"", argv, empty, AT_EMPTY_PATH)) as record:
            assert record.exe == escape("memfd:implant \x1b[31m")
            assert f"/{record.exe} (deleted)" == link(record.pid, "exe")
            assert record.exe_inode == os.fstat(unnamed).st_ino
    finally:
        os.close(gone)
        os.close(unnamed)


def test_a_directory_that_is_deleted_and_one_with_a_hostile_name(watch: Watch, tmp_path: Path) -> None:
    def go_and_delete() -> None:
        (tmp_path / "gone").mkdir()
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

    with staying(watch, go_and_delete) as record:
        assert record.cwd == f"{tmp_path}/gone (deleted)"
        compare(record)
    hostile = os.fsencode(tmp_path) + b"/a\xffb\x1b[31m \n"
    os.mkdir(hostile)
    with staying(watch, lambda: os.chdir(hostile)) as record:
        assert record.cwd == escape(hostile)
        compare(record)


@pytest.mark.parametrize("name", ["d", "d" * 250])
def test_of_a_path_that_is_too_deep_the_topmost_names_are_missing(watch: Watch, tmp_path: Path, name: str) -> None:
    def go_down() -> None:
        os.chdir(tmp_path)
        for _ in range(LEVELS + 10):
            os.mkdir(name)
            os.chdir(name)

    with staying(watch, go_down) as record:
        assert record.cut == ("cwd",)
        assert record.cwd is not None
        assert record.cwd.startswith(f"(cut)/{name}/{name}")
        names = record.cwd.removeprefix("(cut)/").split("/")
        assert set(names) == {name}
        assert len(names) == (LEVELS if len(name) == 1 else 8)
        assert record.exe == link(record.pid, "exe")
        assert record.stdio == stdio_of(record.pid)


def test_mounts_are_crossed(watch: Watch, tmp_path: Path) -> None:
    """A file system in a file system, a directory and a file that are mounted in another place."""
    for name in ("outer", "bound"):
        (tmp_path / name).mkdir()
    (tmp_path / "outer-null").touch()
    script = f"""
        mount --make-rprivate / && cd {tmp_path} && mount -t tmpfs nodev outer && mkdir -p outer/inner/x &&
        mount -t tmpfs nodev outer/inner && mkdir outer/inner/y && mount --bind outer/inner bound &&
        cp {SLEEP} bound/y/run && touch outer/null && mount --bind /dev/null outer/null &&
        cd {tmp_path}/bound/y && exec {tmp_path}/outer/inner/y/run 100 < {tmp_path}/outer/null
    """

    def unshared() -> None:
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", script])

    with staying(watch, unshared) as record:
        assert record.exe == f"{tmp_path}/outer/inner/y/run"
        assert record.cwd == f"{tmp_path}/bound/y"
        assert record.stdio[0] == f"{tmp_path}/outer/null"
        assert record.root is None
        compare(record)


@pytest.mark.skipif("overlay" not in Path("/proc/filesystems").read_text(), reason="this kernel has no overlayfs")
def test_a_program_of_an_overlay_has_the_path_of_the_overlay(watch: Watch, tmp_path: Path) -> None:
    script = f"""
        mount --make-rprivate / && cd {tmp_path} && mkdir all && mount -t tmpfs nodev all && cd all &&
        mkdir lower upper work merged && cp {SLEEP} lower/run &&
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work nodev merged && cd merged && exec ./run 100
    """

    def unshared() -> None:
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", script])

    with staying(watch, unshared) as record:
        assert record.exe == f"{tmp_path}/all/merged/run"
        assert record.exe == link(record.pid, "exe")
        assert record.cwd == link(record.pid, "cwd")


def test_paths_are_below_the_root_directory_of_the_process(watch: Watch, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    brief = compile_c(inner, "brief", BRIEF_C, "-static", "-nostdlib", "-ffreestanding")
    (tmp_path / "elsewhere").mkdir()

    def inside() -> None:
        os.chroot(tmp_path)
        os.chdir("/inner")
        os.execv(f"/inner/{brief.name}", ["inside"])

    def outside() -> None:
        os.chdir(tmp_path / "elsewhere")
        os.chroot(inner)
        os.execv(f"/{brief.name}", ["outside"])

    forked(inside)
    forked(outside)
    records = {e.argv[0]: e for e in watch.execs() if e.ret == 0}
    seen = records["inside"]
    assert (seen.root, seen.exe, seen.cwd) == (str(tmp_path), "/inner/brief", "/inner")
    seen = records["outside"]
    assert (seen.root, seen.exe, seen.cwd) == (str(inner), "/brief", f"(unreachable){tmp_path}/elsewhere")


def test_a_program_that_does_not_start_has_no_file_but_a_place(watch: Watch, tmp_path: Path) -> None:
    def fail() -> None:
        os.chdir(tmp_path)
        redirect(None, 1, 2)
        os.execv("./missing", ["missing"])

    forked(fail)
    record = next(e for e in watch.execs() if e.file == "./missing")
    assert (record.exe, record.exe_inode, record.cwd, record.stdio[0]) == (None, None, str(tmp_path), None)
    assert record.sid == os.getsid(0)
    assert record.cut == ()


def with_environment(buffer: str, env: tuple[str, ...], given: dict[str, str]) -> Exec:
    watching = Watch(buffer=buffer, env=env)
    try:
        subprocess.run([SLEEP, "0"], env=given, check=True)
        return next(e for e in watching.execs() if e.ret == 0)
    finally:
        watching.source.close()


@pytest.mark.oldest
@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_the_environment_is_known_if_it_is_asked_for(buffer: str) -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "x=\x1b[31m\n", "EMPTY": ""}
    record = with_environment(buffer, ("all",), given)
    assert record.env == {name: escape(value) for name, value in given.items()}
    assert "env" not in record.cut
    assert with_environment(buffer, ("LC_*", "PATH", "MISSING"), given).env == {"PATH": "/bin", "LC_ALL": "C"}
    assert with_environment(buffer, (), given).env is None


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_names_of_the_environment_are_known_and_no_value(buffer: str) -> None:
    own = {field.partition(b"=")[0].decode() for field in Path("/proc/self/environ").read_bytes().split(b"\0")[:-1]}
    given = {"PATH": "/only/here", "NEW": "s3cr3t", "E\x1b": ""}
    record = with_environment(buffer, (), given)
    assert record.env_names == ("PATH", "NEW", "E\\x1b")
    differs = record.env_differs
    assert differs is not None
    assert (differs.new, differs.changed) == (("NEW", "E\\x1b"), ("PATH",))
    assert set(differs.gone) == own - {"PATH"}
    text = msgspec.json.encode(record)
    assert b"s3cr3t" not in text
    assert b"/only" not in text


def test_the_environment_is_compared_with_that_of_the_program_that_started_it(watch: Watch) -> None:
    # The second is started by a fork of the shell, which executes nothing.
    subprocess.run(
        ["/bin/sh", "-c", f"A=1 {SLEEP} 0; (B=1 LANG=x {SLEEP} 0; :); unset LANG; exec {SLEEP} 0"],
        env={"LANG": "C", "PWD": "/", "PATH": "/bin"}, cwd="/", check=True,
    )  # fmt: skip
    _, *those = (e.env_differs for e in watch.execs() if e.ret == 0)
    # The last takes the place of the shell, whose parent is this process.
    assert those[:2] == [
        EnvDifference(new=("A",), changed=(), gone=()),
        EnvDifference(new=("B",), changed=("LANG",), gone=()),
    ]
    assert those[2] is not None
    assert "LANG" not in those[2].changed + those[2].new


def test_a_parent_that_executed_another_program_meanwhile_is_not_compared_with(watch: Watch) -> None:
    # The fork waits until the shell that it was forked from runs another program, and starts one then.
    script = f"(read x < go; E=1 {SLEEP} 0; :) & exec env -i {SLEEP} 100"
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(f"{folder}/go")
        with subprocess.Popen(["/bin/sh", "-c", script], cwd=folder, env={"LANG": "C"}) as shell:
            assert at_some_moment(lambda: any(e.argv == (SLEEP, "100") for e in watch.execs()))
            Path(folder, "go").write_text("x\n")
            assert at_some_moment(lambda: any(e.argv == (SLEEP, "0") for e in watch.execs()))
            shell.kill()
    found = next(e for e in watch.execs() if e.argv == (SLEEP, "0"))
    assert found.env_names is not None
    assert "E" in found.env_names
    assert found.env_differs is None


def test_an_environment_that_is_declined_is_not_read() -> None:
    watching = Watch(env_names=False)
    try:
        subprocess.run([SLEEP, "0"], check=True)
        record = next(e for e in watching.execs() if e.ret == 0)
        assert (record.env, record.env_names, record.env_differs, record.cut) == (None, None, None, ())
    finally:
        watching.source.close()


@pytest.mark.parametrize(("buffer", "holds"), [("ring", 8 << 10), ("perf", 4 << 10)])
def test_names_that_do_not_fit_are_called_cut(buffer: str, holds: int) -> None:
    cut = with_environment(buffer, (), {"A": "1", "B": "x" * holds, "C": "2"})
    assert (cut.env_names, cut.env_differs, cut.cut) == (("A",), None, ("env_names",))


@pytest.mark.parametrize(("buffer", "holds"), [("ring", 32 << 10), ("perf", 4 << 10)])
def test_an_environment_that_does_not_fit_is_called_cut(buffer: str, holds: int) -> None:
    whole = with_environment(buffer, ("all",), {"A": "1", "B": "x" * (holds - 100), "C": "2"})
    assert (whole.env or {}).keys() == {"A", "B", "C"}
    assert "env" not in whole.cut
    cut = with_environment(buffer, ("all",), {"A": "1", "B": "x" * holds, "C": "2"})
    assert cut.env == {"A": "1"}
    assert "env" in cut.cut
    assert cut.argv == (SLEEP, "0")
