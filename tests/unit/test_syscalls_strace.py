"""What decode() says of a call is what strace says of the same call, word for word.

A child makes each call below under strace; all of them fail or change nothing (no such file, no such process, addresses
that nothing is mapped at). strace is told not to follow pointers to structures, as decode() cannot.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from ebpftop.core.syscall_records import Abi
from ebpftop.syscalls import abi, decode

Call: TypeAlias = tuple[str | int, ...]

AT_FDCWD = -100
NOWHERE = 0x1000
"""An address that nothing is mapped at."""
NO_PID = 0x7FFFFFFE
FILE = "/nowhere/a file"

CALLS: tuple[Call, ...] = (
    ("read", 99, NOWHERE, 4096),
    ("write", -1, NOWHERE, 5),
    ("pread64", 99, NOWHERE, 4096, 1 << 40),
    ("pread64", 99, NOWHERE, 4096, -1),
    ("preadv", 99, NOWHERE, 2, 512, 0),
    ("openat", AT_FDCWD, FILE, os.O_RDONLY),
    ("openat", AT_FDCWD, 'say "\\"\t\n', os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644),
    ("openat", 99, "here", os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_EXCL, 0o644),
    ("openat", AT_FDCWD, FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_DIRECTORY),
    ("openat", AT_FDCWD, FILE, os.O_RDWR | os.O_TMPFILE | os.O_SYNC, 0o600),
    ("openat", AT_FDCWD, FILE, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC | os.O_NOFOLLOW | os.O_NOATIME),
    ("openat", AT_FDCWD, FILE, os.O_PATH | os.O_CLOEXEC),
    ("openat", AT_FDCWD, NOWHERE, os.O_RDONLY),
    ("openat2", AT_FDCWD, FILE, NOWHERE, 24),
    ("close", 99),
    ("close", -1),
    ("close_range", 99, 0xFFFFFFFF, 4),
    ("dup", 99),
    ("dup3", 99, 98, os.O_CLOEXEC),
    ("pipe2", 0, os.O_NONBLOCK | os.O_CLOEXEC),
    ("fcntl", 99, 0, 10),
    ("fcntl", 99, 1),
    ("fcntl", 99, 2, 1),
    ("fcntl", 99, 3),
    ("fcntl", 99, 4, os.O_RDWR | os.O_NONBLOCK),
    ("fcntl", 99, 1030, 3),
    ("fcntl", 99, 1032),
    ("fcntl", 99, 6, NOWHERE),
    ("flock", 99, 2 | 4),
    ("ioctl", 99, 0x5413, NOWHERE),
    ("ioctl", 99, 0x541B, NOWHERE),
    ("ioctl", 99, 0x5451),
    ("lseek", 99, -1, 2),
    ("lseek", 99, 1 << 40, 0),
    ("newfstatat", AT_FDCWD, FILE, NOWHERE, 0x100),
    ("newfstatat", 99, "", NOWHERE, 0x1000),
    ("statx", AT_FDCWD, FILE, 0x100, 0x7FF, NOWHERE),
    ("fstat", 99, NOWHERE),
    ("statfs", FILE, NOWHERE),
    ("faccessat", AT_FDCWD, FILE, 0),
    ("faccessat", AT_FDCWD, FILE, os.R_OK | os.X_OK),
    ("faccessat2", AT_FDCWD, FILE, os.R_OK, 0x200),
    ("fchmodat", AT_FDCWD, FILE, 0o4755),
    ("fchmod", 99, 0),
    ("fchownat", AT_FDCWD, FILE, -1, 1000, 0x100),
    ("mkdirat", AT_FDCWD, FILE, 0o755),
    ("mknodat", AT_FDCWD, FILE, 0o10644, 0),
    ("mknodat", AT_FDCWD, FILE, 0o20600, 0x103),
    ("mknodat", AT_FDCWD, FILE, 0o60600, 0x12345678),
    ("unlinkat", AT_FDCWD, FILE, 0),
    ("unlinkat", AT_FDCWD, FILE, 0x200),
    ("renameat", AT_FDCWD, FILE, AT_FDCWD, "/nowhere/else"),
    ("renameat2", AT_FDCWD, FILE, 99, "else", 1),
    ("linkat", AT_FDCWD, FILE, AT_FDCWD, "/nowhere/else", 0x400),
    ("symlinkat", FILE, AT_FDCWD, "/nowhere/else"),
    ("readlinkat", AT_FDCWD, FILE, NOWHERE, 4095),
    ("chdir", FILE),
    ("umask", 0o22),
    ("truncate", FILE, 5),
    ("ftruncate", 99, 1 << 33),
    ("fallocate", 99, 3, 0, 4096),
    ("fadvise64", 99, 0, 0, 3),
    ("utimensat", AT_FDCWD, FILE, 0, 0),
    ("getxattr", FILE, "user.a", NOWHERE, 10),
    ("getcwd", 0, 0),
    ("getdents64", 99, NOWHERE, 32768),
    ("sendfile", 99, 98, 0, 4096),
    ("splice", 99, 0, 98, 0, 4096, 3),
    ("mount", 0, FILE, 0, 0x1 | 0x20 | 0x1000, 0),
    ("umount2", FILE, 2),
    ("open_tree", AT_FDCWD, FILE, 0x1 | os.O_CLOEXEC | 0x1000 | 0x8000),
    ("open_tree", 99, "", 0x100 | 0x800),
    ("move_mount", 99, "", AT_FDCWD, FILE, 0x4 | 0x10),
    ("move_mount", 99, "", AT_FDCWD, FILE, 0x1 | 0x2 | 0x20 | 0x40 | 0x100),
    ("fsopen", FILE, 1),
    ("fspick", AT_FDCWD, FILE, 0x1 | 0x2 | 0x4 | 0x8),
    ("fsmount", 99, 1, 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x80),
    ("fanotify_init", 0, os.O_RDONLY),
    ("fanotify_init", 0x1 | 0x2 | 0x4 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100, os.O_RDWR),
    ("fanotify_init", 0x8 | 0x200 | 0x400 | 0x800 | 0x1000, os.O_RDONLY | os.O_CLOEXEC),
    ("fanotify_mark", 99, 0x1 | 0x10, 0x1 | 0x2 | 0x8 | 0x20 | 0x10000 | 0x40000000, AT_FDCWD, FILE),
    ("fanotify_mark", 99, 0x2 | 0x100 | 0x20 | 0x40, 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200, 98, "here"),
    ("fanotify_mark", 99, 0x80 | 0x4 | 0x8 | 0x200 | 0x400, 1 << 40 | 0x400 | 0x800 | 0x1000, AT_FDCWD, FILE),
    ("fanotify_mark", 99, 0x1, 0x8000 | 0x20000 | 0x40000 | 0x8000000 | 0x10000000, AT_FDCWD, 0),
    *(("io_uring_register", 99, operation, NOWHERE, 1) for operation in range(24)),
    ("inotify_add_watch", 99, FILE, 0x3C0),
    ("memfd_create", NOWHERE, 3),
    ("ppoll", 0, 0, NOWHERE, 0, 8),
    ("epoll_create1", os.O_CLOEXEC),
    ("epoll_ctl", 99, 1, 98, NOWHERE),
    ("epoll_ctl", 99, 2, 98, 0),
    ("epoll_pwait", 99, NOWHERE, 64, -1, 0, 8),
    ("eventfd2", 3, os.O_NONBLOCK | os.O_CLOEXEC),
    ("mmap", 0, 0, 1 | 2, 0x22, -1, 0),
    ("mmap", NOWHERE, 0, 0, 0x2 | 0x10 | 0x800, 99, 0x26000),
    ("mmap", 0, 0, 1 | 4, 0x1, 99, 4096),
    ("mmap", 0, 0, 3, 0x2 | 0x20 | 0x4000 | 0x20000 | 0x8000, -1, 0),
    ("munmap", 1, 0),
    ("mprotect", 1, 4096, 0),
    ("mprotect", 1, 4096, 1 | 4),
    ("mremap", 1, 4096, 8192, 1),
    ("mremap", 1, 4096, 8192, 3, NOWHERE),
    ("madvise", 1, 4096, 4),
    ("madvise", 1, 4096, 14),
    ("msync", 1, 4096, 4),
    ("mlock", 1, 0),
    ("brk", 0),
    ("futex", NOWHERE, 0x80, 2, 0),
    ("futex", NOWHERE, 0x81, 0x7FFFFFFF),
    ("futex", NOWHERE, 0x189, 1, 0, 0, -1),
    ("futex", NOWHERE, 1, 1),
    ("futex", NOWHERE, 0x84, 1, 2, NOWHERE, 7),
    ("getrandom", NOWHERE, 8, 1),
    ("execve", FILE, NOWHERE, NOWHERE),
    ("execveat", 99, "", NOWHERE, NOWHERE, 0x1000),
    ("wait4", NO_PID, 0, 1 | 2, 0),
    ("waitid", 1, NO_PID, NOWHERE, 1 | 4, 0),
    ("kill", NO_PID, 0),
    ("kill", NO_PID, 15),
    ("tgkill", NO_PID, NO_PID, 10),
    ("unshare", 0x20000 | 0x10000000 | 0x800000),
    ("setns", 99, 0x40000000),
    ("setresuid", -1, -1, -1),
    ("prlimit64", 0, 7, 0, NOWHERE),
    ("prctl", 38, 1, 0, 0, 0),
    ("prctl", 3),
    ("prctl", 1, 0),
    ("getrusage", -1, NOWHERE),
    ("getpriority", 0, 0),
    ("sched_getaffinity", NO_PID, 128, NOWHERE),
    ("getpid",),
    ("rt_sigaction", 12, 0, NOWHERE, 8),
    ("rt_sigprocmask", 0, NOWHERE, 0, 8),
    ("rt_sigprocmask", 2, NOWHERE, NOWHERE, 8),
    ("clock_gettime", 1, NOWHERE),
    ("clock_nanosleep", 0, 1, NOWHERE, 0),
    ("clock_nanosleep", 7, 0, NOWHERE, NOWHERE),
    ("timer_create", 1, NOWHERE, NOWHERE),
    ("timerfd_create", 0, os.O_NONBLOCK | os.O_CLOEXEC),
    ("timerfd_settime", 99, 1, NOWHERE, 0),
    ("setitimer", 1, NOWHERE, NOWHERE),
    ("socket", 1, 1 | os.O_CLOEXEC | os.O_NONBLOCK, 0),
    ("socket", 2, 2, 17),
    ("socket", 2, 1 | os.O_CLOEXEC, 0),
    ("socket", 10, 1, 6),
    ("socket", 16, 3 | os.O_CLOEXEC, 0),
    ("socket", 16, 3, 9),
    ("socketpair", 1, 1, 0, 0),
    ("bind", 99, NOWHERE, 16),
    ("connect", 99, NOWHERE, 16),
    ("listen", 99, 128),
    ("accept4", 99, NOWHERE, NOWHERE, os.O_CLOEXEC),
    ("sendto", 99, NOWHERE, 10, 0x4000, 0, 0),
    ("recvfrom", 99, NOWHERE, 10, 0x42, 0, 0),
    ("sendmsg", 99, NOWHERE, 0x40),
    ("recvmsg", 99, NOWHERE, 0x40000000),
    ("shutdown", 99, 1),
    ("setsockopt", 99, 1, 2, NOWHERE, 4),
    ("setsockopt", 99, 6, 1, NOWHERE, 4),
    ("getsockopt", 99, 1, 4, NOWHERE, NOWHERE),
    ("bpf", 5, NOWHERE, 148),
    ("perf_event_open", NOWHERE, -1, 0, -1, 8),
    ("membarrier", 0, 0),
    ("membarrier", 1 << 7, 1, 3),
    ("seccomp", 2, 0, NOWHERE),
    ("shmget", 0, 0, 0o1600),
) + (
    (
        ("open", FILE, os.O_RDWR | os.O_CREAT, 0o600),
        ("creat", FILE, 0o644),
        ("stat", FILE, NOWHERE),
        ("lstat", FILE, NOWHERE),
        ("access", FILE, os.W_OK),
        ("mkdir", FILE, 0o700),
        ("rename", FILE, "/nowhere/else"),
        ("unlink", FILE),
        ("readlink", FILE, NOWHERE, 4096),
        ("dup2", 99, 98),
        ("poll", 0, 0, 0),
        ("epoll_wait", 99, NOWHERE, 64, 500),
        ("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC),
        ("arch_prctl", 0x1003, NOWHERE),
    )
    if os.uname().machine == "x86_64"
    else ()
)

CHILD = """
import ctypes, gc, json, sys
system_call = ctypes.CDLL(None).syscall
def argument(value):
    return ctypes.c_char_p(value.encode()) if isinstance(value, str) else ctypes.c_long(value)
gc.disable()
marker, calls = json.loads(sys.argv[1])
for turn in [(argument(marker), ctypes.c_char_p(b"turn %d" % i), [argument(v) for v in call])
             for i, call in enumerate(calls)]:
    system_call(turn[0], turn[1])
    system_call(*turn[2])
"""


def native() -> Abi:
    return abi.native_abi(os.uname().machine)


def number(name: str) -> int:
    found = abi.number(native(), name)
    assert found is not None, name
    return found


@pytest.fixture(scope="module")
def strace_says(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, str]:
    """The line that strace printed for each of CALLS, by its index."""
    directory: Path = tmp_path_factory.mktemp("strace")
    output = directory / "out"
    job = json.dumps((number("chroot"), [[number(str(name)), *args] for name, *args in CALLS]))
    command = ["strace", "-o", str(output), "-e", "verbose=none", "-e", "signal=none", "-s", "4096"]
    subprocess.run([*command, sys.executable, "-S", "-E", "-c", CHILD, job], cwd=directory, check=True, timeout=60)
    lines: dict[int, str] = {}
    turn = -1
    for line in output.read_text().splitlines():
        if marker := re.match(r'chroot\("turn (\d+)"\)', line):
            turn = int(marker[1])
        # The interpreter may make calls of its own around ours; ours is the first of its name.
        elif turn >= 0 and line.startswith(f"{CALLS[turn][0]}("):
            lines.setdefault(turn, line)
    return lines


@pytest.mark.parametrize("index", range(len(CALLS)), ids=[f"{i}-{call[0]}" for i, call in enumerate(CALLS)])
def test_a_call_reads_as_in_strace(index: int, strace_says: Mapping[int, str]) -> None:
    name, *args = CALLS[index]
    nr = number(str(name))
    registers = [NOWHERE if isinstance(arg, str) else arg & 0xFFFF_FFFF_FFFF_FFFF for arg in args]
    # What the compiler left in the registers that a call does not use must not show.
    registers += [0xDEAD_BEEF_DEAD_BEEF] * (6 - len(registers))
    strings = [args[i] for i in decode.path_args(native(), str(name))]
    paths = [string.encode() if isinstance(string, str) else None for string in strings]

    words = decode.decode(native(), nr, registers, paths)

    said = re.fullmatch(rf"{name}\((.*)\)\s+= .*", strace_says[index])
    assert said is not None, strace_says[index]
    assert ", ".join(words) == said[1]
