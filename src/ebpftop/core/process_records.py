"""The records of processes: programs that start, what they run, how they end."""

from __future__ import annotations

import msgspec

from ebpftop.core.records import Count, Event, Time, TimedRecord

TICK_NS = 10_000_000
"""A clock tick of /proc, the unit of the start times of processes: USER_HZ is 100 on every Linux (proc(5))."""


class EnvDifference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the environment of a program differs from the one that its parent's program started with: names alone."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


class Exec(Event, frozen=True, kw_only=True, tag="exec"):
    """A program started (`ret` 0) or an execve failed (`ret` is minus errno, `error` its name).

    `start_ns` is the start of the process since boot: (pid, start_ns) identifies a process for good; a pid is reused.
    `file` is the path as given to execve, `interp` what the kernel runs instead if `file` is a script. `exe` is the
    file that runs, resolved; `cwd` and `exe` are paths below the root directory of the process, which is `root` if that
    is not the root of its mounts. `stdio` is what fds 0 to 2 are, None for a closed one; empty in older recordings.
    `env` is there only if it was asked for, `env_names` and `env_differs` unless they were declined.
    `cut` names the fields that are cut short.
    """

    pid: int
    tid: int
    ppid: int
    uid: int
    user: str | None
    comm: str
    file: str
    argv: tuple[str, ...]
    truncated: bool
    ret: int
    error: str | None
    cgroup: str
    start_ns: int = 0
    pcomm: str = ""
    euid: int = 0
    loginuid: int | None = None
    interp: str | None = None
    pidns: int = 0
    nspid: int = 0
    container: str | None = None
    unit: str | None = None
    cut: tuple[str, ...] = ()
    exe: str | None = None
    exe_inode: int | None = None
    cwd: str | None = None
    root: str | None = None
    tty: str | None = None
    sid: int = 0
    stdio: tuple[str | None, ...] = ()
    env: dict[str, str] | None = None
    env_names: tuple[str, ...] | None = None
    env_differs: EnvDifference | None = None


class Killer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The process that sent a signal, by `kill` or the like; `comm` is the name of its first thread."""

    pid: int
    comm: str
    uid: int

    def __str__(self) -> str:
        """Name and pid: ``php-fpm 812``."""
        return f"{self.comm} {self.pid}"


class Exit(Event, frozen=True, kw_only=True, tag="exit"):
    """A process ended: `code` or `signal`, never both. If its end was not seen, neither is set, and `time` is later.

    `duration_s` since its exec, null if that was not seen. What it used is of all its threads, without its children, as
    getrusage(2) counts it; null if its end was not seen, and in older recordings. `killer` is null if the kernel itself
    sent the signal. `forked`: it executed no program of its own.
    """

    pid: int
    uid: int
    comm: str
    code: int | None
    signal: str | None
    duration_s: Time | None
    start_ns: int = 0
    ppid: int = 0
    core: bool = False
    user_s: Time | None = None
    system_s: Time | None = None
    max_rss_bytes: Count | None = None
    major_faults: Count | None = None
    minor_faults: Count | None = None
    read_bytes: Count | None = None
    written_bytes: Count | None = None
    storage_read_bytes: Count | None = None
    storage_written_bytes: Count | None = None
    threads: Count | None = None
    forked: bool = False
    killer: Killer | None = None
    oom: bool = False

    @property
    def cpu_s(self) -> float | None:
        """User and system time together."""
        return None if self.user_s is None or self.system_s is None else self.user_s + self.system_s


class Process(TimedRecord, frozen=True, kw_only=True, tag="process"):
    """A process that no exec record reported: it ran before ebpftop did, or it only forked. Read from /proc.

    When the filter of a live source changes, all running processes that match the new one are reported, known or not.
    `start_ns` has the resolution of /proc: a clock tick (usually 10 ms), rounded down. `matched` is false for an
    ancestor that does not match the filter. It is reported to show who started the matching processes.
    """

    pid: int
    ppid: int
    uid: int
    user: str | None
    comm: str
    argv: tuple[str, ...]
    start_ns: int
    matched: bool = True
