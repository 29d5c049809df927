"""What is saved of a recording if the screen is filtered, and the name of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

import msgspec

from ebpftop.core.group_records import Cgroups, Comms, Uids
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import End, Event, Record
from ebpftop.core.state_records import ProcessStates, States
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.filters.query import Query
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import Processes
from ebpftop.models.ring import UNDECIDED_MAX

Kind: TypeAlias = Literal["recording", "csv", "json", "report", "seccomp"]
ENDED_KEPT = 20_000
ENDED_BYTES = 8 << 20
"""Bounds on the ended processes that are kept to find out whose a record was."""

Kept = TypeVar("Kept")

SUFFIXES: dict[Kind, str] = {
    **{"recording": ".jsonl.zst", "csv": ".csv", "seccomp": ".seccomp.json", "json": ".json", "report": ".txt"},
}


def default_name(kind: Kind, host: str, pane: str, moment: float) -> str:
    """Return a name with host, pane and time. A recording has all panes, so its name has none."""
    return _name(host, {"recording": "", "report": "report"}.get(kind, pane), moment) + SUFFIXES[kind]


def screenshot_name(host: str, moment: float) -> str:
    """Return the name of a picture of the screen."""
    return f"{_name(host, 'screen', moment)}.svg"


def _name(host: str, what: str, moment: float) -> str:
    # The host name comes from a file that anybody may have written: it must not change the directory.
    where = "".join(c if c.isalnum() or c in "-." else "-" for c in host).strip(".-") or "host"
    when = datetime.fromtimestamp(moment).strftime("%Y%m%d-%H%M%S")
    return "-".join(filter(None, ("ebpftop", where, what, when)))


def kind_of(path: str) -> Kind | None:
    """Return what a file of this name holds; None if the name does not show it."""
    if path.endswith((".jsonl", ".zst")):
        return "recording"
    return next((kind for kind, suffix in SUFFIXES.items() if path.endswith(suffix)), None)


def with_suffix(path: str, kind: Kind) -> str:
    """Return *path* with its suffix replaced by that of *kind*."""
    for suffix in (".jsonl.zst", ".jsonl", *SUFFIXES.values()):
        if path.endswith(suffix):
            return path.removesuffix(suffix) + SUFFIXES[kind]
    return path + SUFFIXES[kind]


class Subset:
    """Keeps of a recording what *view_filter* and *query* show, if these are set.

    A query chooses programs, with what belongs to them: the events that have their pids. Of the counters of users it
    keeps the rows of users with a program that stays, with all that these users did; of why processes wait those of
    processes that stay, the last one of each, after its end, included. It drops the counters of system calls, which are
    those of the whole machine. It keeps all else: the states of probes and the losses show what the recording can know,
    and records of unknown kinds cannot be judged.

    All kept *records* are read once before: a query may match how a program ended. Then call it with each of them, in
    their order: it remembers which processes matched.
    """

    def __init__(self, view_filter: ViewFilter, query: Query[ExecRow] | None, records: Iterable[Record]) -> None:
        self._filter = view_filter
        self._query = query
        kinds = {kind for kind, values in view_filter.filter.kinds() if values}
        self._by_uid_alone = query is None and kinds <= {"uid", "not-uid"}
        self._chosen: set[tuple[int, int, float]] = set()
        self._all = Processes(ENDED_KEPT, ENDED_BYTES)
        self._choose(records)
        self._so_far = Processes(ENDED_KEPT, ENDED_BYTES)
        self._pids: set[int] = set()
        self._ended: set[int] = set()
        """Those of which the last reading may still come."""
        self._uids: set[int] = set()

    def __call__(self, record: Record) -> Record | None:
        """Return what stays of *record*, None if nothing does."""
        match record:
            case Exec() | Process():
                self._so_far.note(record)
                if _key(record) in self._chosen:
                    self._uids.add(record.uid)
                    if isinstance(record, Process) or record.ret == 0 or self._query is not None:
                        self._pids.add(record.pid)
                    return record
                # A failed execve does not change the process; a successful one makes it another program.
                if isinstance(record, Process) or record.ret == 0:
                    self._pids.discard(record.pid)
                return None
            case Exit():
                stays = record.pid in self._pids or (
                    self._query is None and self._matches(self._filter.matches_exit, record)
                )
                if stays:
                    self._ended.add(record.pid)
                self._pids.discard(record.pid)
                self._so_far.exited(record)
                return record if stays else None
            case Trace():
                return record if self._may_stay(record) and self._matches(self._filter.matches_line, record) else None
            case Event():
                return record if self._may_stay(record) and self._matches(self._filter.matches_event, record) else None
            case Users() | Uids():
                return msgspec.structs.replace(record, rows=tuple(row for row in record.rows if self._shows(row.uid)))
            case States():
                time = record.time
                return msgspec.structs.replace(record, rows=tuple(row for row in record.rows if self._waits(row, time)))
            case Syscalls() | Cgroups() | Comms() | End():
                return None
            case _:
                return record

    def _may_stay(self, event: Event) -> bool:
        pid = getattr(event, "pid", None)
        return self._query is None or pid is None or pid in self._pids

    def _shows(self, uid: int) -> bool:
        return self._filter.matches_uid(uid) and (self._by_uid_alone or uid in self._uids)

    def _waits(self, row: ProcessStates, time: float) -> bool:
        if row.ended and row.pid in self._ended:
            self._ended.discard(row.pid)
            return True
        if row.pid in self._pids:
            return True
        # A process may have started no program since the recording began.
        return self._query is None and bool(
            self._matches(lambda states, processes: self._filter.matches_states(states, time, processes), row)
        )

    def _matches(self, matches: Callable[[Kept, Processes], bool | None], record: Kept) -> bool | None:
        # What a process does may come before the record that reports it: each probe is read by itself.
        so_far = matches(record, self._so_far)
        return matches(record, self._all) if so_far is None else so_far

    def _choose(self, records: Iterable[Record]) -> None:
        # Processes that ran before are reported together, perhaps a child before its parent.
        reported: list[Process] = []
        processes = self._all
        running: dict[tuple[int, int], ExecRow] = {}

        undecided: deque[ExecRow] = deque()
        time = 0.0

        def settle(row: ExecRow, *, now: bool = False) -> None:
            matches = self._filter.matches_exec(row.exec, row.lineage, processes)
            if matches is None and not now:
                undecided.append(row)
                if len(undecided) > UNDECIDED_MAX:
                    settle(undecided.popleft(), now=True)
            elif matches and (self._query is None or self._query.matches(row, time)):
                self._chosen.add(_key(row.exec))

        def settle_reported() -> None:
            for record in reported:
                known = processes.get(record.pid)
                # A query matches programs that start, and only these are shown.
                if known and self._query is None and self._filter.matches_process(known, processes):
                    self._chosen.add(_key(record))
            reported.clear()

        for record in records:
            if isinstance(record, Process):
                processes.started(record)
                reported.append(record)
                continue
            settle_reported()
            if isinstance(record, Event):
                time = record.time
            if isinstance(record, Exec):
                if record.ret < 0:
                    settle(ExecRow(record, processes.failed(record).lineage))
                    continue
                row = ExecRow(record, processes.started(record).lineage)
                before = running.get((record.pid, record.start_ns))
                if before is not None:
                    before.ended, before.replaced = record.time, True
                    settle(before)
                running[record.pid, record.start_ns] = row
            elif isinstance(record, Exit):
                ended = running.pop((record.pid, record.start_ns), None)
                if ended is not None:
                    ended.ended, ended.exit = record.time, record
                    settle(ended)
                processes.exited(record)
        settle_reported()
        for row in (*running.values(), *undecided):
            settle(row, now=True)


def _key(record: Exec | Process) -> tuple[int, int, float]:
    return record.pid, record.start_ns, record.time
