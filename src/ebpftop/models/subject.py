"""What a row of any pane is about: what can be watched for, and written as a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ebpftop.core.process_records import Exec
from ebpftop.core.program_records import ProgramRow
from ebpftop.core.records import Event
from ebpftop.core.syscall_records import Abi, InFlight
from ebpftop.core.trace_records import Trace
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.processes import ProcessInfo


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a row; None or empty: it is about something else, or that is not known.

    `comm` is a command's name, `file` what it was to execute, `error` why that failed, `call` a system call.
    `argv` is empty if not all of it is known.
    """

    kind: str
    comm: str = ""
    pid: int | None = None
    running: bool = False
    argv: tuple[str, ...] = ()
    file: str = ""
    error: str | None = None
    uid: int | None = None
    user: str | None = None
    container: str | None = None
    call: str = ""
    abi: Abi | None = None
    nr: int | None = None
    text: str = ""
    """A line that a program printed, or a path that it opened."""
    start_ns: int = 0
    """When the process started, since boot; 0: the row does not say. (pid, start_ns) identifies it for good."""
    ppid: int | None = None
    time: float | None = None
    """When the process had this pid, if `start_ns` is 0."""
    cwd: str | None = None
    root: str | None = None
    """Where it runs, if that is known and still there: `root` if it is not that of the machine."""
    env: tuple[tuple[str, str], ...] = ()
    """What is known of its environment."""
    parts: tuple[str, ...] = ()
    """What is known in part only, and therefore not in these fields."""
    bpf: int | None = None
    """The id of an eBPF program; `text` is its name, `comm` and `pid` are of a process that holds it."""
    conditions: tuple[str, ...] = ()
    """On which conditions `call` is traced, as `--trace` has them; none: each call of it, or none is."""
    cgroup: str | None = None
    """The path of its cgroup, if it is a unit, a container or a cgroup; `text` is its name then."""
    program: str = ""
    """What to call instead of the first of `argv`, which a program found in PATH was called by."""

    @property
    def name(self) -> str:
        """What to call it."""
        if self.pid is not None:
            return f"{self.comm or 'process'} ({self.pid})"
        return self.call or self.user or self.comm or self.text or self.kind


def subject_of_exec(row: ExecRow) -> Subject:
    """Return what a row of the exec log is about."""
    e = row.exec
    return Subject(
        "exec",
        e.comm,
        e.pid,
        row.running,
        () if e.truncated else e.argv,
        e.file,
        (e.error or str(e.ret)) if row.failed else None,
        e.uid,
        e.user,
        e.container,
        start_ns=e.start_ns,
        ppid=e.ppid,
        time=e.time,
        cwd=_stays(e, "cwd"),
        root=_stays(e, "root"),
        env=tuple(sorted(e.env.items())) if e.env and "env" not in e.cut else (),
        parts=tuple(words for name, words in _PARTS if name in e.cut and (name != "env" or e.env is not None)),
        program=_program(e),
    )


def _stays(e: Exec, name: Literal["cwd", "root"]) -> str | None:
    """Return a directory if one can go there by this name."""
    path = e.cwd if name == "cwd" else e.root
    if path is None or name in e.cut or not path.startswith("/") or path.endswith(" (deleted)"):
        return None
    return path


_PARTS = (("file", "path"), ("cwd", "directory"), ("root", "root directory"), ("env", "environment"))


def _program(e: Exec) -> str:
    name = e.argv[0] if e.argv else ""
    same = e.interp is None and "file" not in e.cut and name.rpartition("/")[2] == e.file.rpartition("/")[2]
    return e.file if same else name


def subject_of_process(process: ProcessInfo) -> Subject:
    """Return what a line of the process tree is about."""
    p = process
    argv = () if p.argv_cut else tuple(p.argv)
    return Subject(
        "exec",
        p.comm,
        p.pid,
        p.ended is None,
        argv,
        p.file,
        None,
        p.uid,
        p.user,
        p.container,
        start_ns=p.start_ns,
        ppid=p.ppid,
    )


def subject_of_event(kind: str, event: Event) -> Subject:
    """Return what an event is about, by the names of its fields: also one of another package."""
    comm = event.task if isinstance(event, Trace) else getattr(event, "comm", "")
    pid, uid, user, error = (getattr(event, name, None) for name in ("pid", "uid", "user", "error"))
    text = getattr(event, "message", None) or getattr(event, "path", None) or ""
    return Subject(
        kind,
        comm if isinstance(comm, str) else "",
        pid if isinstance(pid, int) else None,
        error=error if isinstance(error, str) else None,
        uid=uid if isinstance(uid, int) else None,
        user=user if isinstance(user, str) else None,
        text=text if isinstance(text, str) else "",
        time=event.time,
    )


def subject_of_call(name: str, abi: Abi, nr: int, conditions: tuple[str, ...] = ()) -> Subject:
    """Return what a row about a system call is about; *conditions*: on which it is traced."""
    return Subject("call", call=name, abi=abi, nr=nr, conditions=conditions)


def subject_of_call_in_flight(call: InFlight, now: float | None) -> Subject:
    """Return what a call in flight is about; *now*: the time of the reading that has it."""
    return Subject("in_flight", call.comm, call.pid, True, call=call.name, abi=call.abi, nr=call.nr, time=now)


def subject_of_bpf(row: ProgramRow, now: float) -> Subject:
    """Return what an eBPF program is about; *now*: the time of the reading that has it."""
    owner = row.owners[0] if row.owners else None
    if owner is None:
        return Subject("bpf", bpf=row.id, text=row.name, time=now)
    return Subject("bpf", owner.comm, owner.pid, True, bpf=row.id, text=row.name, time=now)
