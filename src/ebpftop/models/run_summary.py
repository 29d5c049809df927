"""What one command and all that it started did, as `ebpftop run --json` writes it (docs/run.md)."""

from __future__ import annotations

import msgspec

from ebpftop.core.syscall_records import Syscall

SCHEMA = 1


class Row(msgspec.Struct, kw_only=True, omit_defaults=False):
    """Programs of one name that were started from one place of the tree, with their sums.

    `command` is the command line of the first, `env` its environment, null if that was not asked for. `failed` of
    them ended by a signal or with another code than 0; `running` had not ended when the command did. CPU time and
    memory are null if the records do not have them.
    """

    program: str
    command: tuple[str, ...]
    env: dict[str, str] | None = None
    count: int = 0
    failed: int = 0
    running: int = 0
    wall_s: float = 0.0
    user_s: float | None = None
    system_s: float | None = None
    max_rss_bytes: int | None = None
    children: list[Row] = []


class ExecFailure(msgspec.Struct, kw_only=True, frozen=True):
    """A program that did not start."""

    file: str
    error: str
    comm: str
    count: int


class BadEnd(msgspec.Struct, kw_only=True, frozen=True):
    """A program that ended with a code other than 0, or by a signal."""

    program: str
    code: int | None
    signal: str | None
    count: int


class Call(msgspec.Struct, kw_only=True, frozen=True):
    """A system call of the whole tree. `may_wait`: it may wait for others, so its time says little about its cost."""

    name: str
    abi: str
    count: int
    errors: int
    total_ns: int
    max_ns: int
    may_wait: bool
    errnos: dict[str, int]


class SlowCall(msgspec.Struct, kw_only=True, frozen=True):
    """The longest of a call, or of opening a path; `program` made it, null if several did and it is not known which."""

    name: str
    ns: int
    program: str | None
    path: str | None
    may_wait: bool


class CallErrno(msgspec.Struct, kw_only=True, frozen=True):
    """How often a call failed with an error."""

    call: str
    error: str
    count: int


class NotFound(msgspec.Struct, kw_only=True, frozen=True):
    """A file that was not there: a program that was to be started, or a file that was to be opened."""

    path: str
    by: str
    comm: str
    count: int


class Loss(msgspec.Struct, kw_only=True, frozen=True):
    """What was lost, counted where it was lost: so much is not in this summary."""

    probe: str
    where: str
    count: int


class NotAttached(msgspec.Struct, kw_only=True, frozen=True):
    """A probe that could not be attached: what it sees is missing."""

    probe: str
    reason: str | None


class Command(msgspec.Struct, kw_only=True, frozen=True):
    """The command as it ended: all is from its own execve on, which is part of it. `status` as a shell's.

    CPU time is that of all its descendants that were waited for, too.

    `max_rss_bytes` is that of the largest process, null if none was larger than ebpftop, of which the first is a copy.
    """

    argv: tuple[str, ...]
    cwd: str
    pid: int
    started: float
    status: int
    signal: str | None
    wall_s: float
    user_s: float
    system_s: float
    max_rss_bytes: int | None


class Summary(msgspec.Struct, kw_only=True, frozen=True):
    """All of it, as `--json` writes it (docs/run.md)."""

    schema: int
    command: Command
    started: int
    not_started: int
    bad_ends: int
    running: int
    tree: list[Row]
    exec_failures: list[ExecFailure]
    failed_programs: list[BadEnd]
    calls: list[Call]
    slowest: list[SlowCall]
    errnos: list[CallErrno]
    not_found: list[NotFound]
    traced: list[Syscall]
    traced_count: int
    lost: list[Loss]
    not_attached: list[NotAttached]
