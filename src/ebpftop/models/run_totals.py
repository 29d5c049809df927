"""Adds up the records of one command and all that it started: the summary of `ebpftop run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Lost, Probe, Record
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.models.opens import Open
from ebpftop.models.run_summary import (
    SCHEMA,
    BadEnd,
    Call,
    CallErrno,
    Command,
    ExecFailure,
    Loss,
    NotAttached,
    NotFound,
    SlowCall,
    Summary,
)
from ebpftop.models.run_tree import PROCESSES_MAX, RunTree
from ebpftop.syscalls.families import MAY_WAIT

NAMES_MAX = 4096
"""Paths, errors and calls that are counted one by one."""

SLOWEST_MAX = 10

TRACED_MAX = 10_000
"""Traced calls that are kept: the first."""

_SEARCHED_ON = frozenset(("ENOENT", "EACCES", "ENOTDIR"))


class RunTotals:
    """Adds up the records of one tree of processes, whose first is *pid*."""

    def __init__(self, pid: int, own_rss_bytes: int = 0) -> None:
        """*own_rss_bytes* as for `RunTree`."""
        self.tree = RunTree(pid, own_rss_bytes)
        self.ended: float | None = None
        """When the command ended (Unix seconds); None if that was not seen."""
        self._pid = pid
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
                if record.matched:
                    self.tree.add_process(record.pid, record.ppid)
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
        self.tree.start(e)

    def _exit(self, e: Exit) -> None:
        self._settle(e.pid)
        if e.pid == self._pid and self.ended is None:
            self.ended = e.time
        row = self.tree.end(e)
        if row is not None and (e.code or e.signal):
            row.failed += 1
            self._bad_ends += 1
            _count(self._ends, (row.program, e.code, e.signal))

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
            running=self.tree.close(ended),
            tree=self.tree.rows,
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
