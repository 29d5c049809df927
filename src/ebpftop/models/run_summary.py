"""What one command and all that it started did: fed with records, it makes the summary of `ebpftop run`.

Programs are put together by where they stand in the tree: all `cc` that one `make` starts are one row. So a run of days
takes no more memory than one of a second; what is beyond a bound is counted with its parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ebpftop.core.cpu_time import CpuTime
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Lost, Probe, Record
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.models.bounded import Bounded
from ebpftop.models.opens import Open
from ebpftop.syscalls.families import MAY_WAIT

SCHEMA = 1

NODES_MAX = 4096
"""Rows of the tree; a program beyond them is counted in the row of its parent."""

DEPTH_MAX = 64
"""Rows of the tree above each other: a program that starts itself again and again is counted in the last one."""

PROCESSES_MAX = 65536
"""Processes whose place in the tree is known: the newest."""

NAMES_MAX = 4096
"""Paths, errors and calls that are counted one by one."""

SLOWEST_MAX = 10

TRACED_MAX = 10_000
"""Traced calls that are kept: the first."""

_SEARCHED_ON = frozenset(("ENOENT", "EACCES", "ENOTDIR"))


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


class _Running:
    """A process: its row, and since when its program runs there."""

    __slots__ = ("row", "since", "start_ns")

    def __init__(self, row: Row, since: float, start_ns: int) -> None:
        self.row, self.since, self.start_ns = row, since, start_ns


class RunSummary:
    """Adds up the records of one tree of processes, whose first is *pid*."""

    def __init__(self, pid: int, own_rss_bytes: int = 0) -> None:
        """*own_rss_bytes*: memory that the first process had before it was the command, which counts as its most."""
        self.ended: float | None = None
        """When the command ended (Unix seconds); None if that was not seen."""
        self.own_cpu = CpuTime()
        """What the first process had used before it was the command."""
        self._pid = pid
        self._own_rss_bytes = own_rss_bytes
        self._top = Row(program="", command=())
        self._nodes = 0
        # Of a row, by its id: those below it by their programs, and how many are above it.
        self._rows: dict[int, dict[str, Row]] = {}
        self._depths: dict[int, int] = {id(self._top): 0}
        # By pid. A process that ended keeps its place: what it forked may still start programs.
        self._places: Bounded[int, Row] = Bounded(PROCESSES_MAX, PROCESSES_MAX)
        self._running: dict[int, _Running] = {}
        self._started = self._failed_execs = self._bad_ends = 0
        self._attempts: dict[int, list[Exec]] = {}
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._ends: Counter[tuple[str, int | None, str | None]] = Counter()
        self._missing: Counter[tuple[str, str, str]] = Counter()
        self._slow_opens: dict[str, Open] = {}
        self._calls: Syscalls | None = None
        self._traced: list[Syscall] = []
        self._traced_count = 0
        self._lost: dict[tuple[str, str], int] = {}
        self._not_attached: dict[str, str | None] = {}

    def feed(self, records: Iterable[Record]) -> None:
        """Add *records*, in their order."""
        for record in records:
            if isinstance(record, Exec):
                self._exec(record)
            elif isinstance(record, Exit):
                self._exit(record)
            elif isinstance(record, Open):
                self._open(record)
            elif isinstance(record, Process):
                if record.matched and record.pid != self._pid:
                    self._places.put(record.pid, self._place(record.ppid), 1)
            elif isinstance(record, Syscalls):
                self._calls = record
            elif isinstance(record, Syscall):
                self._traced_count += 1
                if len(self._traced) < TRACED_MAX:
                    self._traced.append(record)
            elif isinstance(record, Lost):
                self._lost[record.probe, record.where] = record.count
            elif isinstance(record, Probe) and record.state == "failed":
                self._not_attached[record.probe] = record.reason

    def _place(self, pid: int) -> Row:
        """Return the row under which the children of a process stand: that of the command, if it is not known."""
        place = self._places.get(pid)
        return place if place is not None else self._places.get(self._pid, self._top)

    def _exec(self, e: Exec) -> None:
        if e.ret < 0:
            if e.pid not in self._attempts and len(self._attempts) >= PROCESSES_MAX:
                self._settle(next(iter(self._attempts)))
            self._attempts.setdefault(e.pid, []).append(e)
            if len(self._attempts[e.pid]) > 64:
                self._settle(e.pid)
            return
        self._settle(e.pid, started=e.file)
        self._started += 1
        before = self._running.pop(e.pid, None)
        if before is not None and before.start_ns == e.start_ns:
            # It becomes another program: that stands below the one that it was.
            before.row.wall_s += max(0.0, e.time - before.since)
            above = before.row
        else:
            above = self._top if e.pid == self._pid else self._place(e.ppid)
        row = self._row(above, e.file.rpartition("/")[2] or e.comm, e.argv, e.env)
        row.count += 1
        self._places.put(e.pid, row, 1)
        if len(self._running) < PROCESSES_MAX:
            self._running[e.pid] = _Running(row, e.time, e.start_ns)

    def _row(self, above: Row, program: str, argv: tuple[str, ...], env: dict[str, str] | None) -> Row:
        below = self._rows.setdefault(id(above), {})
        row = below.get(program)
        if row is None:
            depth = self._depths[id(above)] + 1
            if above is not self._top and (self._nodes >= NODES_MAX or depth > DEPTH_MAX):
                return above
            self._nodes += 1
            row = below[program] = Row(program=program, command=argv, env=env, children=[])
            self._depths[id(row)] = depth
            above.children.append(row)
        return row

    def _exit(self, e: Exit) -> None:
        self._settle(e.pid)
        if e.pid == self._pid and self.ended is None:
            self.ended = e.time
        process = self._running.pop(e.pid, None)
        if process is None:
            if e.forked:  # a part of the program that forked it
                place = self._places.get(e.pid)
                self._use(place if place is not None else self._place(e.ppid), e)
            return
        row = process.row
        row.wall_s += max(0.0, e.time - process.since)
        self._use(row, e)
        if e.code or e.signal:
            row.failed += 1
            self._bad_ends += 1
            _count(self._ends, (row.program, e.code, e.signal))

    def _use(self, row: Row, e: Exit) -> None:
        """Add to *row* what a process used, as far as that is known."""
        if e.user_s is not None and e.system_s is not None:
            used = CpuTime(e.user_s, e.system_s)
            if e.pid == self._pid:
                used = used.since(self.own_cpu)
            row.user_s = (row.user_s or 0.0) + used.user_s
            row.system_s = (row.system_s or 0.0) + used.system_s
        if e.max_rss_bytes is not None and (e.pid != self._pid or e.max_rss_bytes > self._own_rss_bytes):
            row.max_rss_bytes = max(row.max_rss_bytes or 0, e.max_rss_bytes)

    def _settle(self, pid: int, started: str = "") -> None:
        """Count the failed execve calls of a process. Attempts of a PATH search that *started* its program are none."""
        name = started.rpartition("/")[2]
        for e in self._attempts.pop(pid, ()):
            if name and e.file.rpartition("/")[2] == name and e.error in _SEARCHED_ON:
                continue
            self._failed_execs += 1
            error = e.error or str(-e.ret)
            _count(self._failures, (e.file, error, e.comm))
            if error == "ENOENT":
                _count(self._missing, (e.file, "exec", e.comm))

    def _open(self, e: Open) -> None:
        path = e.path or "?"
        if e.error == "ENOENT":
            _count(self._missing, (path, "open", e.comm))
        slowest = self._slow_opens.get(e.call)
        if slowest is None or e.ns > slowest.ns:
            self._slow_opens[e.call] = e

    def summary(self, command: Command, ended: float) -> Summary:
        """Return the summary of *command*, which ended at *ended* (Unix seconds). Call it once, at the end."""
        for pid in [*self._attempts]:
            self._settle(pid)
        for process in self._running.values():
            process.row.wall_s += max(0.0, ended - process.since)
            process.row.running += 1
        calls = sorted(self._of_calls(), key=lambda call: -call.total_ns)
        errnos = [
            CallErrno(call=call.name, error=error, count=count)
            for call in calls
            for error, count in call.errnos.items()
        ]
        return Summary(
            schema=SCHEMA,
            command=command,
            started=self._started,
            not_started=self._failed_execs,
            bad_ends=self._bad_ends,
            running=len(self._running),
            tree=self._top.children,
            exec_failures=[
                ExecFailure(file=file, error=error, comm=comm, count=count)
                for (file, error, comm), count in self._failures.most_common()
            ],
            failed_programs=[
                BadEnd(program=program, code=code, signal=signal, count=count)
                for (program, code, signal), count in self._ends.most_common()
            ],
            calls=calls,
            slowest=self._slowest(calls),
            errnos=sorted(errnos, key=lambda row: -row.count),
            not_found=[
                NotFound(path=path, by=by, comm=comm, count=count)
                for (path, by, comm), count in self._missing.most_common()
            ],
            traced=self._traced,
            traced_count=self._traced_count,
            lost=[Loss(probe=probe, where=where, count=n) for (probe, where), n in self._lost.items() if n],
            not_attached=[NotAttached(probe=probe, reason=reason) for probe, reason in self._not_attached.items()],
        )

    def _of_calls(self) -> Iterator[Call]:
        for row in self._calls.rows if self._calls is not None else ():
            if row.count:
                yield Call(
                    name=row.name,
                    abi=row.abi,
                    count=row.count,
                    errors=row.errors,
                    total_ns=row.total_ns,
                    max_ns=row.max_ns,
                    may_wait=row.name in MAY_WAIT,
                    errnos=dict(row.errnos),
                )

    def _slowest(self, calls: list[Call]) -> list[SlowCall]:
        """Return the longest of each call, those first that do not wait for others."""
        slow = []
        for call in calls:
            opened = self._slow_opens.get(call.name)
            is_this = opened is not None and opened.ns >= call.max_ns // 2  # its time is without that of the entry
            program = opened.comm if opened is not None and is_this else self._only_program(call)
            path = opened.path if opened is not None and is_this else None
            slow.append(SlowCall(name=call.name, ns=call.max_ns, program=program, path=path, may_wait=call.may_wait))
        slow.sort(key=lambda row: (row.may_wait, -row.ns))
        working = [row for row in slow if row.ns and not row.may_wait][:SLOWEST_MAX]
        return working + [row for row in slow if row.ns and row.may_wait][:SLOWEST_MAX]

    def _only_program(self, call: Call) -> str | None:
        """Return the program that made the longest of a call; None if that is not certain."""
        assert self._calls is not None
        made = [row for row in self._calls.processes if (row.abi, row.name) == (call.abi, call.name)]
        if call.max_ns and (longest := next((row for row in made if row.max_ns == call.max_ns), None)) is not None:
            return longest.comm
        names = {row.comm for row in made}
        return names.pop() if len(names) == 1 and sum(row.count for row in made) == call.count else None


def _count(counter: Counter[Any], key: object) -> None:
    if key in counter or len(counter) < NAMES_MAX:
        counter[key] += 1
