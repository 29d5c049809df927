"""The tree of programs that one command started.

Programs are put together by where they stand in it: all `cc` that one `make` starts are one row. So a run of days takes
no more memory than one of a second; what is beyond a bound is counted with its parent.
"""

from __future__ import annotations

from ebpftop.core.cpu_time import CpuTime
from ebpftop.core.process_records import Exec, Exit
from ebpftop.models.bounded import Bounded
from ebpftop.models.run_summary import Row

NODES_MAX = 4096
"""Rows of the tree; a program beyond them is counted in the row of its parent."""

DEPTH_MAX = 64
"""Rows of the tree above each other: a program that starts itself again and again is counted in the last one."""

PROCESSES_MAX = 65536
"""Processes whose place in the tree is known: the newest."""


class _Running:
    """A process: its row, and since when its program runs there."""

    __slots__ = ("row", "since", "start_ns")

    def __init__(self, row: Row, since: float, start_ns: int) -> None:
        self.row, self.since, self.start_ns = row, since, start_ns


class RunTree:
    """The programs of one tree of processes, whose first is *pid*."""

    def __init__(self, pid: int, own_rss_bytes: int = 0) -> None:
        """*own_rss_bytes*: memory that the first process had before it was the command, which counts as its most."""
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

    @property
    def rows(self) -> list[Row]:
        """The command, with what it started below it."""
        return self._top.children

    def add_process(self, pid: int, ppid: int) -> None:
        """Add a process that ran before: what it starts stands where its parent does."""
        if pid != self._pid:
            self._places.put(pid, self._place(ppid), 1)

    def start(self, e: Exec) -> None:
        """Add a program that started."""
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

    def end(self, e: Exit) -> Row | None:
        """Add the end of a process; return the row of its program, None if that is not known."""
        process = self._running.pop(e.pid, None)
        if process is None:
            if e.forked:  # a part of the program that forked it
                place = self._places.get(e.pid)
                self._use(place if place is not None else self._place(e.ppid), e)
            return None
        process.row.wall_s += max(0.0, e.time - process.since)
        self._use(process.row, e)
        return process.row

    def close(self, ended: float) -> int:
        """Count what has not ended at *ended* (Unix seconds) as running; return how many. Call it once, at the end."""
        for process in self._running.values():
            process.row.wall_s += max(0.0, ended - process.since)
            process.row.running += 1
        return len(self._running)

    def _place(self, pid: int) -> Row:
        """Return the row under which the children of a process stand: that of the command, if it is not known."""
        place = self._places.get(pid)
        return place if place is not None else self._places.get(self._pid, self._top)

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
