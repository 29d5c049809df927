"""Which rows of the exec log say the same again: the attempts of one PATH search, and repeats of one program.

Records stay as they are: this only notes at each row what it belongs to. `ebpftop.models.folded_view` shows one row of
each group. What belongs together is decided by the records and their times alone, so a recording leads to the same.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TypeVar

from ebpftop.core.process_records import Exec
from ebpftop.models.exec_row import ExecRow, Repeats, Search, kind_of_end
from ebpftop.models.folded_view import FoldedView
from ebpftop.models.ring import Ring

Key = TypeVar("Key")
Value = TypeVar("Value")

GAP_S = 3.0
"""A repeat starts at most so long after the one before."""

SEARCH_GAP_S = 1.0
SAME_FOLDER_GAP_S = 0.01
"""An attempt of a search comes at most so long after the one before. PATH may hold a directory twice."""

SPAN_S = 10.0
"""A fold ends so long after its first row: what goes on all the time gets a new row now and then, at the bottom."""

SEARCHED_ON = frozenset(("ENOENT", "EACCES", "ENOTDIR"))
"""With these errors execvp(3) and the shells try the next directory of PATH."""

CUT_CHARACTER = re.compile(r"(?:\\x[0-9a-f]{2}){1,3}$")
"""What is left of the last character of an argument that was cut within it: its first bytes, each as an escape."""

TRACKED_MAX = 4096
"""Threads whose last execve failed, and programs of which a repeat may come; beyond, the older half is dropped."""


class Grouping:
    """Finds out what each row belongs to, and lets the view know."""

    def __init__(self, ring: Ring[ExecRow], view: FoldedView) -> None:
        self._ring = ring
        self._view = view
        # By thread: its last attempt, directory and program.
        self._searching: dict[int, tuple[ExecRow, str, str]] = {}
        # By parent, user, program, outcome and kind of end: the last row, or the fold that more may join, with one of
        # its argvs.
        self._recent: dict[tuple[int, int, str, str, str], ExecRow | tuple[Repeats, tuple[str, ...]]] = {}

    def started(self, row: ExecRow) -> None:
        """Note a row that has just been added to the ring."""
        e = row.exec
        if e.ret >= 0:
            if self._searching and (before := self._searching.pop(e.tid, None)) is not None:
                folder, _, name = e.file.rpartition("/")
                if _goes_on(before, row, folder, name):
                    self._join_search(before[0], row, before[1] != folder)
                else:
                    self.settled(before[0])
            return
        before = self._searching.pop(e.tid, None)
        folder, _, name = e.file.rpartition("/")
        if before is not None:
            if _goes_on(before, row, folder, name):
                self._join_search(before[0], row, before[1] != folder)
            else:
                self.settled(before[0])
        self._searching[e.tid] = row, folder, name
        if len(self._searching) > TRACKED_MAX:
            self._searching = _newer_half(self._searching)

    def exited(self, pid: int, start_ns: int) -> None:
        """Note that a process has ended: no further attempt comes."""
        if self._searching and (before := self._searching.get(pid)) is not None and before[0].exec.start_ns == start_ns:
            del self._searching[pid]
            self.settled(before[0])

    def _join_search(self, before: ExecRow, row: ExecRow, elsewhere: bool) -> None:
        if before.search is None:
            search = row.search = Search(row)
        else:
            search = row.search = before.search
            search.attempts += 1
        search.in_path |= elsewhere
        if self._view.is_new(before):
            _follow(before, row)
        else:
            self._view.regroup(before, lambda: _follow(before, row))

    def settled(self, row: ExecRow) -> None:
        """Note that the outcome of *row* is known: it may repeat what came before."""
        e = row.exec
        if row.search is not None:
            row.search.has_ended = True
        program = e.file.rpartition("/")[2] if e.ret < 0 else e.file
        key = (e.ppid, e.uid, program, row.outcome, kind_of_end(row))
        time = e.time
        recent = self._recent.get(key)
        if recent is None:
            self._recent[key] = row
            if len(self._recent) > TRACKED_MAX:
                self._recent = _newer_half(self._recent)
            return
        if isinstance(recent, tuple):
            repeats, argv = recent
            if time < repeats.last - GAP_S:
                return  # it started long before these
            if time - repeats.last <= GAP_S and time - repeats.first <= SPAN_S:
                if self._view.is_new(row):
                    _join(row, repeats, argv)
                else:
                    self._view.regroup(row, lambda: _join(row, repeats, argv))
                return
        else:
            other = recent.exec
            if time < other.time - GAP_S:
                return
            if time - other.time <= GAP_S and recent.sequence >= self._ring.first:
                repeats = Repeats(recent, self._ring)
                self._view.regroup(recent, lambda: _begin(recent, repeats))
                self._view.regroup(row, lambda: _join(row, repeats, other.argv))
                self._recent[key] = repeats, other.argv
                return
        del self._recent[key]  # so that it counts as new
        self._recent[key] = row


def _newer_half(entries: dict[Key, Value]) -> dict[Key, Value]:
    return dict(islice(entries.items(), len(entries) // 2, None))


def _follow(before: ExecRow, row: ExecRow) -> None:
    """Let *row* be what the search of *before*, its last attempt so far, is shown as."""
    before.search = row.search
    if row.search is not None:
        row.search.head = row


def _begin(row: ExecRow, repeats: Repeats) -> None:
    row.repeats = repeats


def _join(row: ExecRow, repeats: Repeats, argv: tuple[str, ...]) -> None:
    row.repeats = repeats
    repeats.add(row, argv)


def _goes_on(before: tuple[ExecRow, str, str], row: ExecRow, folder: str, name: str) -> bool:
    """Return whether *row* is the next attempt of the same search: the same command in another directory."""
    last, its_folder, its_name = before
    old, new = last.exec, row.exec
    return (
        name == its_name
        and old.pid == new.pid
        and old.start_ns == new.start_ns
        and old.error in SEARCHED_ON
        and new.time - old.time <= (SEARCH_GAP_S if folder != its_folder else SAME_FOLDER_GAP_S)
        and (old.argv == new.argv or _same_as_far_as_read(old, new) or _runs_as_script(old, new))
    )


def _same_as_far_as_read(old: Exec, new: Exec) -> bool:
    """Return whether the arguments of *new* go on as those of *old*, or the reverse, where one has been cut.

    Of an execve that fails, fewer are read than of one that succeeds.
    """
    return (old.truncated and _begins_with(new.argv, old.argv)) or (new.truncated and _begins_with(old.argv, new.argv))


def _begins_with(argv: tuple[str, ...], cut: tuple[str, ...]) -> bool:
    """Return whether *argv* begins with *cut*, the last of which may be cut, in the middle of a character, too."""
    if not cut:
        return True  # none could be read
    last = len(cut) - 1
    return last < len(argv) and argv[:last] == cut[:last] and argv[last].startswith(CUT_CHARACTER.sub("", cut[last]))


def _runs_as_script(old: Exec, new: Exec) -> bool:
    """Return whether *new* has what the kernel makes of *old* for a script: interpreter, file, and the rest."""
    rest, argv = old.argv[1:], new.argv
    if new.interp is None:
        return False
    if old.truncated:
        # Before the file come the interpreter and one argument of it at most.
        return any(_begins_with(argv[before:], rest) for before in (2, 3))
    return len(argv) > len(rest) and argv[len(argv) - len(rest) :] == rest
