"""What a test does on the kernel so that ebpftop may see it: as a user, under a name, in a cgroup."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ebpftop.kernel.cgroups import hierarchies

# Users of this run alone: other runs on the same machine have theirs.
WANTED_UID = 1_000_000 + os.getpid() * 2
OTHER_UID = WANTED_UID + 1


def in_child(
    do: Callable[[], None], *, uid: int | None = None, comm: str | None = None, cgroup: Path | None = None
) -> int:
    """Run *do* in a forked child; return its pid when it has ended. Fails where *do* raises."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if cgroup is not None:
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            if uid is not None:
                os.setgroups([])
                os.setresuid(uid, uid, uid)
            if comm is not None:
                set_comm(comm)
            do()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return pid


def set_comm(name: str) -> None:
    """Give the calling thread another command name."""
    Path("/proc/thread-self/comm").write_text(name)


def getppids(count: int) -> Callable[[], None]:
    """Return a function that makes *count* calls of getppid and no other."""

    def do() -> None:
        for _ in range(count):
            os.getppid()

    return do


def programs(*words: str) -> Callable[[], None]:
    """Return a function that runs /bin/true with each of *words*, one after the other."""

    def do() -> None:
        for word in words:
            pid = os.fork()
            if pid == 0:
                os.execv("/bin/true", ["/bin/true", word])
            os.waitpid(pid, 0)

    return do


def many_programs(count: int) -> Callable[[], None]:
    """Return a function that becomes a shell, which runs /bin/true with 0, 1, 2 and so on."""

    def do() -> None:
        loop = f"i=0; while [ $i -lt {count} ]; do /bin/true $i; i=$((i+1)); done"
        os.execv("/bin/sh", ["/bin/sh", "-c", loop])

    return do


def failing(count: int) -> Callable[[], None]:
    """Return a function whose *count* attempts to run a program fail with ENOENT."""

    def do() -> None:
        for _ in range(count):
            try:
                os.execv("/nonexistent/program", ["program"])
            except FileNotFoundError:
                continue

    return do


@contextmanager
def cgroup(name: str, *, v1: bool = False) -> Iterator[Path]:
    """Make a cgroup (several levels, where *name* has slashes), of the pids controller with *v1*; remove it later."""
    (path,) = (hierarchy.root for hierarchy in hierarchies() if hierarchy.v1 is v1)
    made: list[Path] = []
    for part in name.split("/"):
        path /= part
        if not path.exists():
            path.mkdir()
            made.append(path)
    try:
        yield path
    finally:
        for one in reversed(made):
            one.rmdir()


@contextmanager
def asleep(cgroup: Path) -> Iterator[int]:
    """Have a `sleep` run in *cgroup*; gives its pid."""
    with subprocess.Popen(["sleep", "600"]) as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        try:
            yield process.pid
        finally:
            process.kill()


def true(word: str, uid: int | None = None) -> None:
    """Run /bin/true with *word*, as *uid*."""
    subprocess.run(["/bin/true", word], check=True, user=uid)
