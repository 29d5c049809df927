"""A seccomp profile, as container runtimes read it, of the system calls that were seen.

It has the form of the profiles of Docker, Podman, CRI-O and the kubelet (containers/common pkg/seccomp/types.go, moby
profiles/seccomp/seccomp.go). JSON has no comments, but each group of calls there has a text ``comment``, which all of
them read and ignore: it says what was seen, and what may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec

from ebpftop.core.escape import printable
from ebpftop.core.format import counted, duration
from ebpftop.core.records import Header, Lost, Probe, Record, Where
from ebpftop.core.syscall_records import Abi, Syscalls
from ebpftop.models.baseline import CallKey
from ebpftop.models.callers import process_of, total_of
from ebpftop.models.processes import same_start

ARCHITECTURES: Mapping[Abi, str] = {
    "x86_64": "SCMP_ARCH_X86_64",
    "i386": "SCMP_ARCH_X86",
    "x32": "SCMP_ARCH_X32",
    "arm64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_ARM",
}

EPERM = 1
"""What a call returns that is not allowed, as with Docker's own profile."""

RUNTIME = frozenset(
    (
        *("arch_prctl", "brk", "capget", "capset", "chdir", "close", "close_range", "dup3", "epoll_create1"),
        *("epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "execve", "execveat", "exit_group"),
        *("faccessat2", "fchdir", "fchown", "fcntl", "fstat", "fstatfs", "futex", "getcwd", "getdents64"),
        *("getegid", "geteuid", "getgid", "getpid", "getppid", "gettid", "getuid", "lseek", "madvise", "mmap"),
        *("mprotect", "munmap", "nanosleep", "newfstatat", "openat", "openat2", "pipe2", "prctl", "pread64"),
        *("read", "readlinkat", "rt_sigaction", "rt_sigprocmask", "sched_getaffinity", "sched_yield", "setgid"),
        *("setgroups", "setresgid", "setresuid", "setuid", "sigaltstack", "statx", "tgkill", "umask", "write"),
    )
)
"""What runc and crun still call when the profile is in force, up to the first instruction of the program: the lists of
kubernetes-sigs/security-profiles-operator (baseprofile-runc, baseprofile-crun) without what they do before that, and
what Go's own threads need."""

MOMENTARY = frozenset(
    ("clock_getres", "clock_gettime", "exit", "getcpu", "gettimeofday", "restart_syscall", "rt_sigreturn", "time")
)
"""What any program may come to call without a line of it: after a signal, or where the vDSO cannot tell the time."""

PROBE = "syscalls"
OF_CALLS: frozenset[Where] = frozenset(("recursion",))
"""Where calls are lost before they are counted. What is lost elsewhere is who made them, or a line about one."""

_UNNAMED = "syscall_"


@dataclass(frozen=True)
class CallsSeen:
    """The system calls that were seen of something, in words *of*; from *begin* to *end* (Unix seconds).

    `may_miss`: why there may be others, besides those that it made before or makes another time: clauses.
    """

    of: str
    calls: frozenset[tuple[Abi, str]]
    begin: float
    end: float
    may_miss: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(sorted({name for _, name in self.calls if not name.startswith(_UNNAMED)}))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the profile may lack something: clauses; none if it has all that was seen, and all was seen."""
        unnamed = sorted({name.removeprefix(_UNNAMED) for _, name in self.calls if name.startswith(_UNNAMED)})
        numbers = f"{counted(len(unnamed), 'number')} without a name: {', '.join(unnamed)}"
        return (*self.may_miss, *((numbers,) if unnamed else ()))


@dataclass(frozen=True)
class Losses:
    """What the probe of the system calls lost, and cannot see."""

    lost: int = 0
    blind: tuple[str, ...] = ()

    def clauses(self, reading: Syscalls | None) -> Iterator[str]:
        """Yield why calls may be missing: in *reading*, if they are counted in one of system calls."""
        if self.lost:
            yield f"{counted(self.lost, 'call', whole=True)} lost, of which the names are not known"
        for what in self.blind:
            yield f"not seen: {what}"
        ignored = sorted({slot.name for slot in (reading.table if reading else ()) if slot.handler == "ignore"})
        if ignored:
            yield f"ignored, and not counted: {', '.join(ignored)}"


def seen_in(reading: Syscalls, of: str, begin: float, losses: Losses, before: Mapping[CallKey, int]) -> CallsSeen:
    """Return the calls of counters that count nothing but *of*, since *begin*, when they were as in *before*."""
    calls = frozenset((row.abi, row.name) for row in reading.rows if row.count > before.get((row.abi, row.nr), 0))
    return CallsSeen(of, calls, begin, reading.time, tuple(losses.clauses(reading)))


def of_process(reading: Syscalls, pid: int, start_ns: int, begin: float, losses: Losses) -> CallsSeen | None:
    """Return the calls of a process since *begin*, as far as they are listed individually; None if none is."""
    start_ns = start_ns or process_of(reading, pid)[1]
    pairs = [p for p in reading.processes if p.pid == pid and same_start(p.start_ns, start_ns)]
    if not pairs:
        return None
    calls = {(p.abi, p.name) for p in pairs if p.count}
    calls |= {(call.abi, call.name) for call in reading.in_flight if call.pid == pid}
    doubts = [*losses.clauses(reading)]
    whole = total_of(reading, pid, start_ns)
    if whole is None or whole.count > sum(p.count for p in pairs):
        doubts.append("only its most frequent calls are listed: filter to it, and take the profile of the filter")
    if reading.evicted:
        doubts.append(f"{counted(reading.evicted, 'pair')} of process and call evicted from the kernel's map")
    of = f"process {pid} ({pairs[0].comm})"
    return CallsSeen(of, frozenset(calls), begin, reading.callers_time, tuple(doubts))


class AllSeen:
    """The calls in records that are about nothing but one thing, as those of `ebpftop run` are."""

    def __init__(self) -> None:
        self.reading: Syscalls | None = None
        self.failed: str | None = None
        """Why the calls were not counted."""
        self._lost: dict[str, int] = {}
        self._blind: tuple[str, ...] = ()

    def feed(self, records: Iterable[Record]) -> None:
        """Add *records*, in their order."""
        for record in records:
            if isinstance(record, Syscalls):
                self.reading = record
            elif isinstance(record, Lost) and record.probe == PROBE and record.where in OF_CALLS:
                self._lost[record.where] = record.count
            elif isinstance(record, Probe) and record.probe == PROBE:
                self._blind = record.blind
                self.failed = record.reason or "no reason known" if record.state == "failed" else None

    def seen(self, of: str, begin: float) -> CallsSeen | None:
        """Return the calls of *of* since *begin* (Unix seconds); None if nothing was counted."""
        if self.reading is None:
            return None
        return seen_in(self.reading, of, begin, Losses(sum(self._lost.values()), self._blind), {})


def profile(seen: CallsSeen, header: Header, version: str) -> bytes:
    """Return the profile as the text of a file."""
    native = header.abi
    abis = [abi for abi in ARCHITECTURES if abi == native or any(one == abi for one, _ in seen.calls)]
    names = seen.named
    groups = [_group(names, _about(seen, header, version))]
    if more := sorted(RUNTIME - set(names)):
        groups.append(_group(more, "Not seen. runc and crun call them when the profile is in force already."))
    if more := sorted(MOMENTARY - RUNTIME - set(names)):
        groups.append(_group(more, "Not seen. Any program may come to call them: after a signal, or to ask the time."))
    made: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [ARCHITECTURES[abi] for abi in abis],
        "syscalls": groups,
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def _group(names: Iterable[str], comment: str) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "comment": comment}


def _about(seen: CallsSeen, header: Header, version: str) -> str:
    """Say where the calls come from, and which may be missing: the comment of their group."""
    kernel = f", Linux {header.kernel}" if header.kernel else ""
    parts = [
        f"{counted(len(seen.named), 'system call')} of {seen.of}, seen by ebpftop {version} on {header.host}{kernel}, "
        f"from {_utc(seen.begin)} to {_utc(seen.end)} ({duration(max(0.0, seen.end - seen.begin))})",
        f"May be missing: {'; '.join(seen.doubts)}" if seen.doubts else "Nothing was lost",
        "What it does at other times, or elsewhere, may need others",
    ]
    return printable(". ".join(parts) + ".")


def _utc(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
