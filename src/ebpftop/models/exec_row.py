"""A row of the exec log, and its groups: the attempts of one PATH search, repeats of one program."""

from __future__ import annotations

from ebpftop.core.process_records import Exec, Exit
from ebpftop.models.processes import Lineage
from ebpftop.models.ring import Ring
from ebpftop.models.shell_line import shell_line

SAMPLE = 255
"""Durations that a median is computed of, evenly spread over all."""

REACH = 4096
"""Rows among which the attempts of a search are looked for, before the row that shows it."""


class ExecRow:
    """One execve and how the program ended: `ended` is the time, `exit` the reason; `replaced`: by another execve.

    `search` is the PATH search that it is part of, `repeats` the rows that say the same (see `folding`).
    """

    __slots__ = ("ended", "exec", "exit", "lineage", "repeats", "replaced", "search", "sequence")

    def __init__(self, record: Exec, lineage: Lineage) -> None:
        self.exec = record
        self.lineage = lineage
        self.exit: Exit | None = None
        self.ended: float | None = None
        self.replaced = False
        self.sequence = -1
        self.search: Search | None = None
        self.repeats: Repeats | None = None

    @property
    def failed(self) -> bool:
        return self.exec.ret < 0

    @property
    def running(self) -> bool:
        return self.ended is None and not self.failed

    @property
    def went_wrong(self) -> bool:
        """Whether it did not start or did not end well; not so an attempt of a PATH search that found its program."""
        if self.failed:
            return self.search is None or self.search.head.failed
        return self.exit is not None and bool(self.exit.signal or self.exit.code)

    def seconds(self, now: float) -> float | None:
        """Return how long the program ran, or has been running at *now*; None if it never did."""
        if self.failed:
            return None
        if self.ended is None:
            return now - self.exec.time
        if self.exit is not None and self.exit.code is None and self.exit.signal is None:
            return None
        if self.exit is not None and self.exit.duration_s is not None:
            return self.exit.duration_s
        return self.ended - self.exec.time

    @property
    def outcome(self) -> str:
        """How it ended in one word: an errno, a signal, an exit code, ``exec``; empty while it runs."""
        if self.failed:
            return self.exec.error or str(self.exec.ret)
        if self.exit is None:
            return "exec" if self.replaced else ""
        if self.exit.signal:
            return self.exit.signal
        return "exited (not seen)" if self.exit.code is None else str(self.exit.code)

    @property
    def user(self) -> str:
        return self.exec.user if self.exec.user is not None else str(self.exec.uid)

    def searchable(self) -> str:
        """Return all fields as one text, for the filter."""
        e = self.exec
        return (
            f"{e.pid} {e.ppid} {e.pcomm} {e.uid} {self.user} {e.comm} {e.file} {' '.join(e.argv)} {self.outcome}"
            f" {e.interp or ''} {e.exe or ''} {e.cwd or ''} {e.tty or ''} {e.cgroup} {e.container or ''} {e.unit or ''}"
        )


def killed_by(ending: Exit | None, *, with_pid: bool = True) -> str:
    """Return who or what ended a process: ``by php-fpm 812``, ``by itself``, ``out of memory``; empty if not known."""
    if ending is None or ending.signal is None:
        return ""
    if ending.oom:
        return "out of memory"
    if ending.killer is None:
        return ""
    if ending.killer.pid == ending.pid:
        return "by itself"
    return f"by {ending.killer if with_pid else ending.killer.comm}"


def kind_of_end(row: ExecRow) -> str:
    """Return what rows of one outcome must share to be repeats: who or what sent the signal, and whether it dumped."""
    ending = row.exit
    if ending is None or ending.signal is None:
        return ""
    return f"{killed_by(ending, with_pid=False)}{' core' * ending.core}"


class Search:
    """One search in PATH: `attempts` failed. `head` is the row that shows it: the program found, or the last attempt.

    `members` and `is_shown` belong to the view: its attempts that match, and whether the head does.
    """

    __slots__ = ("attempts", "has_ended", "head", "in_path", "is_opened", "is_shown", "members")

    def __init__(self, head: ExecRow) -> None:
        self.head = head
        self.attempts = 1
        self.in_path = False
        """Whether it was in more than one directory."""
        self.has_ended = False
        """Whether it was seen that no attempt came after the last one. With --comm, what it found may not be seen."""
        self.is_opened = False
        self.members: list[int] = []
        self.is_shown = False


def repeats_shown(row: ExecRow) -> int:
    """Return how many rows *row*, a row of repeats, is shown for, itself included; 0 if it is not one."""
    repeats = row.repeats
    if repeats is None or repeats.is_opened or len(repeats.members) < 2:
        return 0
    return len(repeats.members) if repeats.members[0] == row.sequence else 0


def hidden_attempts(row: ExecRow) -> int:
    """Return how many attempts of a PATH search are hidden behind *row*."""
    search = row.search
    if search is None or search.head is not row or search.is_opened or not search.is_shown:
        return 0
    return len(search.members)


def is_hidden_attempt(row: ExecRow) -> bool:
    """Return whether *row* is an attempt of a PATH search that another row shows."""
    search = row.search
    return search is not None and search.head is not row and search.is_shown


def attempts_of(row: ExecRow, ring: Ring[ExecRow]) -> list[ExecRow]:
    """Return the attempts of the PATH search that *row* is part of, in their order, as far as *ring* still has them."""
    search = row.search
    if search is None:
        return []
    found: list[ExecRow] = []
    missing = search.attempts + search.head.failed
    for at in range(min(search.head.sequence, ring.end - 1), max(ring.first, search.head.sequence - REACH) - 1, -1):
        if ring[at].search is search and ring[at].failed:
            found.append(ring[at])
            if len(found) == missing:
                break
    return found[::-1]


def search_text(row: ExecRow) -> str:
    """Return how many attempts failed: ``✗8 in PATH``, or ``✗2 in PATH, not found``; empty if not shown so."""
    search = row.search
    if search is None or search.head is not row or search.is_opened or not search.is_shown:
        return ""
    where = "in PATH" if search.in_path else "before"
    if not row.failed:
        return f"✗{search.attempts} {where}"
    if not search.in_path:
        return f"✗{search.attempts + 1} times"
    if not search.has_ended:
        return f"✗{search.attempts + 1} {where}"
    return f"✗{search.attempts + 1} {where}, {'not found' if row.outcome != 'EACCES' else 'not permitted'}"


class Repeats:
    """Rows of one parent, program, outcome and kind of end, close together.

    `members` belong to the view: those that match. `same` arguments at the front are the same in all of them. `first`
    and `last` are the times of their starts.
    """

    __slots__ = ("_median", "_ring", "first", "is_opened", "last", "members", "same", "shares_all")

    def __init__(self, row: ExecRow, ring: Ring[ExecRow]) -> None:
        self._ring = ring
        self.first = self.last = row.exec.time
        self.same = len(row.exec.argv)
        self.shares_all = True
        self.members: list[int] = []
        self.is_opened = False
        self._median: tuple[int, int, float | None] = (0, 0, None)

    def add(self, row: ExecRow, argv: tuple[str, ...]) -> None:
        """Add *row*; *argv* is that of another member."""
        time = row.exec.time
        if time > self.last:
            self.last = time
        elif time < self.first:
            self.first = time
        other = row.exec.argv
        if other is argv or other == argv:
            return
        self.shares_all = False
        same = 0
        for mine, its in zip(argv[: self.same], other, strict=False):
            if mine != its:
                break
            same += 1
        self.same = same

    @property
    def median_s(self) -> float | None:
        """The median of the members' durations; None if none is known."""
        ring = self._ring
        members = self.members
        if not members:
            return None
        if self._median[:2] != (len(members), members[-1]):
            step = -(-len(members) // SAMPLE)
            known = [s for at in members[::step] if at >= ring.first and (s := ring[at].seconds(0.0)) is not None]
            known.sort()
            self._median = len(members), members[-1], known[len(known) // 2] if known else None
        return self._median[2]


def command_line(argv: tuple[str, ...]) -> str:
    """Return *argv* in the syntax of a shell."""
    return shell_line(argv)
