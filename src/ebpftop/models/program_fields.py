"""What may be typed to filter programs, processes and users: the fields of their rows."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.process_records import Exit
from ebpftop.filters.kinds import AnyOf, Choice, Kind, Named, Number, Text, duration, share, size
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.tree import Branch
from ebpftop.models.user import User
from ebpftop.syscalls.errno_names import error_names, signal_numbers

USER = Named(hint="root or 1000")
ERRNO = Named(known=error_names(), hint="ENOENT", what="errno", prefix="E")
YES = Choice(("yes", "no"))
SIGNAL = Named(known=tuple(signal_numbers()), hint="SEGV", what="signal", prefix="SIG")


def signal_pair(name: str | None) -> tuple[int | None, str] | None:
    """Return a signal as a field of the kind `SIGNAL` has it."""
    return None if name is None else (signal_numbers().get(name), name)


def _state(row: ExecRow, _: float) -> str:
    if row.failed:
        return "failed"
    if row.exit is None:
        return "replaced" if row.replaced else "running"
    return "killed" if row.exit.signal else "exited"


def _yes(name: str, read: Callable[[Exit], bool], about: str) -> Field[ExecRow]:
    return _at_end(name, YES, lambda end: "yes" if read(end) else "no", about)


def _killer(row: ExecRow, _: float) -> tuple[str, ...]:
    killer = row.exit.killer if row.exit else None
    return () if killer is None else (killer.comm, str(killer.pid))


def _at_end(name: str, kind: Kind, read: Callable[[Exit], object], about: str) -> Field[ExecRow]:
    """Return a field of how a program ended."""
    return Field(name, kind, lambda r, _: read(r.exit) if r.exit else None, about, at_end=True)


def _files(path: str) -> tuple[str, str]:
    return path, path.rpartition("/")[2]


def _exe(path: str | None) -> tuple[str, ...]:
    return () if path is None else _files(path)


def _environment(row: ExecRow, _: float) -> tuple[str, ...]:
    values = (row.exec.env or {}).items()
    return (*(row.exec.env_names or ()), *(f"{name}={value}" for name, value in values))


def _command(row: ExecRow) -> str:
    return " ".join(row.exec.argv) or row.exec.file


def _program(row: ExecRow, _: float) -> tuple[str, ...]:
    # The name of one that failed to start is its caller's, as the kernel has it.
    return (_files(row.exec.file)[1], row.exec.comm) if row.failed else (row.exec.comm,)


EXECS: Language[ExecRow] = Language(
    (
        Field("comm", AnyOf(Text()), _program, "its name; of one that did not start, its file's or its caller's"),
        Field("pid", Number(hint="4321"), lambda r, _: r.exec.pid),
        Field("ppid", Number(hint="1"), lambda r, _: r.exec.ppid),
        text_field("parent", lambda r: r.exec.pcomm, "its parent's name"),
        Field("user", USER, lambda r, _: (r.exec.uid, r.exec.user), "name or uid", ("uid",)),
        Field(
            "exit", Number(hint="1 or >0"), lambda r, _: r.exit.code if r.exit else None, "its exit code", at_end=True
        ),
        Field(
            "signal", SIGNAL, lambda r, _: signal_pair(r.exit.signal if r.exit else None), "what killed it", at_end=True
        ),
        Field("ret", ERRNO, lambda r, _: (r.exec.ret, r.exec.error), "what execve returned"),
        Field("duration", duration(), lambda r, now: r.seconds(now), "how long it has run", varies=True, at_end=True),
        Field("state", Choice(("running", "exited", "killed", "failed", "replaced")), _state, at_end=True),
        Field("file", AnyOf(Text(hint="/usr/bin/* or gcc")), lambda r, _: _files(r.exec.file), "path or name as given"),
        Field("exe", AnyOf(Text(hint="/usr/bin/* or memfd:*")), lambda r, _: _exe(r.exec.exe), "the file that runs"),
        text_field("cwd", lambda r: r.exec.cwd, "its current directory"),
        text_field("root", lambda r: r.exec.root, "its root directory, if it is another"),
        text_field("tty", lambda r: r.exec.tty, "its terminal: pts/3"),
        Field("sid", Number(hint="4321"), lambda r, _: r.exec.sid, "its session"),
        Field("env", AnyOf(Text(hint="LD_PRELOAD or LANG=*")), _environment, "its environment: names; values by --env"),
        text_field("args", lambda r: " ".join(r.exec.argv[1:]), "its arguments"),
        text_field("unit", lambda r: r.exec.unit, "its systemd unit"),
        text_field("container", lambda r: r.exec.container),
        text_field("cgroup", lambda r: r.exec.cgroup),
        Field("killer", AnyOf(Text(hint="php-fpm or 812")), _killer, "who sent that signal: name or pid", at_end=True),
        _yes("oom", lambda end: end.oom, "killed as memory ran out"),
        _yes("core", lambda end: end.core, "a core was dumped"),
        _at_end("cpu", duration(), lambda end: end.cpu_s, "its time on a CPU"),
        _at_end("rss", size(), lambda end: end.max_rss_bytes, "the most memory that it had"),
        _at_end("read", size(), lambda end: end.read_bytes, "bytes that it read"),
        _at_end("written", size(), lambda end: end.written_bytes, "bytes that it wrote"),
        _at_end("threads", Number(hint=">1"), lambda end: end.threads, "its threads, also those that ended before"),
    ),
    ExecRow.searchable,
    _command,
)


def _process_state(branch: Branch, _: float) -> str:
    process = branch.process
    if process.ended is None:
        return "running"
    return "killed" if process.ending is not None and process.ending.signal else "exited"


def _age(process: ProcessInfo, now: float) -> float | None:
    return None if process.since is None else (now if process.ended is None else process.ended) - process.since


def _process_command(branch: Branch) -> str:
    return " ".join(branch.process.argv) or branch.process.file or branch.process.comm


def _process_text(branch: Branch) -> str:
    p = branch.process
    who = f"{p.pid} {p.ppid} {p.uid} {p.user or ''} {p.comm} {p.file}"
    return f"{who} {' '.join(p.argv)} {p.cgroup} {p.container or ''}"


PROCESSES: Language[Branch] = Language(
    (
        text_field("comm", lambda b: b.process.comm),
        Field("pid", Number(hint="4321"), lambda b, _: b.process.pid),
        Field("ppid", Number(hint="1"), lambda b, _: b.process.ppid),
        Field("user", USER, lambda b, _: (b.process.uid, b.process.user), "name or uid", ("uid",)),
        Field("state", Choice(("running", "exited", "killed")), _process_state),
        Field("execs", Number(hint=">10"), lambda b, _: b.process.execs, "programs that it ran"),
        Field("duration", duration(), lambda b, now: _age(b.process, now), "since its last exec", varies=True),
        Field("file", AnyOf(Text(hint="/usr/bin/* or gcc")), lambda b, _: _files(b.process.file), "", ("exe",)),
        text_field("args", lambda b: " ".join(b.process.argv[1:]), "its arguments"),
        text_field("container", lambda b: b.process.container),
        text_field("cgroup", lambda b: b.process.cgroup),
    ),
    _process_text,
    _process_command,
)

USERS: Language[User] = Language(
    (
        Field("user", USER, lambda u, _: (u.row.uid, u.name), "name or uid", ("uid",)),
        Field("execs", Number(), lambda u, _: u.row.execs),
        Field("failed", Number(hint=">0"), lambda u, _: u.row.failed),
        Field("rate", Number(hint=">1"), lambda u, _: u.rate, "execs a second"),
        Field("failing", Number(hint=">1"), lambda u, _: u.failed_rate, "failed execs a second"),
        Field("running", Number(hint=">0"), lambda u, _: u.running, "its processes"),
        Field("calls", Number(hint=">1k"), lambda u, _: u.calls_rate, "system calls a second"),
        Field("err", share(), lambda u, _: u.calls_failed, "share of these that failed"),
        Field("time", duration(1e-9), lambda u, _: u.calls_ns, "time in system calls, per second"),
        text_field("last", lambda u: u.row.last, "program started last"),
    ),
    lambda u: f"{u.name} {u.row.uid} {u.row.last}",
    lambda u: u.name,
)
