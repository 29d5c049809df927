"""The exec log as it is shown: one row for a PATH search, one for repeats; or all rows, only failures, or none."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from ebpftop.models.exec_row import ExecRow, Repeats, hidden_attempts, repeats_shown
from ebpftop.models.ring import Ring, View

Failures: TypeAlias = Literal["folded", "all", "only", "none"]
"""How failures are shown; ``all`` and ``only`` fold nothing."""

FAILURES: tuple[Failures, ...] = get_args(Failures)


class FoldedView(View[ExecRow]):
    """A view that hides rows behind others: attempts behind what a PATH search ended with, repeats behind the first.

    It counts what is hidden: rows shown + `repeats` + `attempts` are all that match. `failed` are the programs that did
    not start: attempts behind another row do not count. It has to be told of evicted rows, and of rows whose group
    changes.
    """

    def __init__(self, ring: Ring[ExecRow]) -> None:
        super().__init__(ring)
        self._lists = True
        self.failures: Failures = "folded"
        self._forget()
        ring.on_evict = self._evicted

    def _forget(self) -> None:
        self.repeats = self.attempts = self.searches = self._failed = 0

    @property
    def matching(self) -> int:
        return len(self) + self.repeats + self.attempts

    @property
    def folds(self) -> bool:
        return self.failures in ("folded", "none")

    @property
    def failed(self) -> int:
        return self._failed - self.attempts

    def set_failures(self, failures: Failures) -> None:
        """Show failures in another way. Call `scan` until it is done."""
        self.failures = failures
        self.set_filter(self._passes)

    def set_filter(self, passes: Callable[[ExecRow], bool | None] | None) -> None:
        super().set_filter(passes)
        self._lists = True
        self._forget()
        for row in self.ring.slice(self.ring.first, self.ring.end):
            if row.search is not None:
                row.search.members, row.search.is_shown = [], False
            if row.repeats is not None:
                row.repeats.members = []

    def position(self, sequence: int) -> int:
        if self.ring.first <= sequence < self.ring.end:
            sequence = self.shown_for(self.ring[sequence]).sequence
        return super().position(sequence)

    def shown_for(self, row: ExecRow) -> ExecRow:
        """Return the row that is shown in place of *row*: itself, if it is not hidden."""
        if not self.folds:
            return row
        search = row.search
        if search is not None and search.head is not row and search.is_shown and not search.is_opened:
            row = search.head
        repeats = row.repeats
        if repeats is not None and not repeats.is_opened and repeats.members and row.sequence >= repeats.members[0]:
            row = self.ring[repeats.members[0]]
        return row

    def folded(self, row: ExecRow) -> bool:
        """Return whether rows are hidden behind *row*."""
        return self.folds and bool(repeats_shown(row) or hidden_attempts(row))

    def all_rows(self) -> list[ExecRow]:
        """Return all rows that match, shown or hidden, oldest first."""
        rows = self.rows()
        if not self.folds or not (self.repeats or self.attempts):
            return rows
        sequences = set(self._matches)
        for row in rows:
            if row.repeats is not None:
                sequences.update(row.repeats.members)
        for sequence in tuple(sequences):
            search = self.ring[sequence].search
            if search is not None and search.head.sequence == sequence:
                sequences.update(search.members)
        return [row for row in self.ring.slice(self.ring.first, self.ring.end) if row.sequence in sequences]

    def toggle(self, row: ExecRow) -> bool:
        """Open what is folded behind *row*, or fold what it belongs to; return whether anything changed."""
        if not self.folds:
            return False
        repeats, search = row.repeats, row.search
        if repeats_shown(row):
            assert repeats is not None
            self._set_opened(repeats, True)
        elif search is not None and search.is_shown and (search.is_opened or hidden_attempts(row)):
            self._open_search(row)
        elif repeats is not None and repeats.is_opened:
            self._set_opened(repeats, False)
        else:
            return False
        return True

    def _set_opened(self, repeats: Repeats, is_opened: bool) -> None:
        repeats.is_opened = is_opened
        behind = repeats.members[1:]
        if is_opened:
            self._matches = deque(sorted((*self._matches, *behind)))
            self.repeats -= len(behind)
        else:
            hidden = set(behind)
            self._matches = deque(at for at in self._matches if at not in hidden)
            self.repeats += len(behind)

    def _open_search(self, row: ExecRow) -> None:
        search = row.search
        assert search is not None
        head = search.head
        # Its members are few: one for each directory.
        self._leave(head.sequence, head)
        search.is_opened = not search.is_opened
        self._enter(head.sequence, head)

    # Rows that come, change, and go.

    def _enter(self, sequence: int, row: ExecRow) -> None:
        if (self.failures == "only" and not row.failed) or (self.failures == "none" and row.failed):
            return
        self._failed += row.failed
        if self.folds:
            search = row.search
            if search is not None:
                if search.head is row:
                    search.is_shown = True
                    if not search.is_opened:
                        self.searches += 1
                        self.attempts += len(search.members)
                        for attempt in search.members:
                            self._hide(attempt)
                else:
                    insort(search.members, sequence)
                    if search.is_shown and not search.is_opened:
                        self.attempts += 1
                        return
            repeats = row.repeats
            if repeats is not None:
                members = repeats.members
                if not members or sequence > members[-1]:
                    members.append(sequence)
                else:
                    insort(members, sequence)
                if len(members) > 1 and not repeats.is_opened:
                    self.repeats += 1
                    if members[0] != sequence:
                        return
                    self._hide(members[1])
        self._show(sequence)

    def _leave(self, sequence: int, row: ExecRow) -> None:
        self._failed -= row.failed
        if self.folds:
            search = row.search
            if search is not None:
                if search.head is row:
                    search.is_shown = False
                    if not search.is_opened:
                        self.searches -= 1
                        self.attempts -= len(search.members)
                        for attempt in search.members:
                            self._show(attempt)
                else:
                    search.members.remove(sequence)
                    if search.is_shown and not search.is_opened:
                        self.attempts -= 1
                        return
            repeats = row.repeats
            if repeats is not None:
                members = repeats.members
                at = bisect_left(members, sequence)
                del members[at]
                if members and not repeats.is_opened:
                    self.repeats -= 1
                    if at:
                        return
                    self._show(members[0])
        self._hide(sequence)

    def _holds(self, sequence: int, row: ExecRow) -> bool:
        """Return whether *row* matches, shown or hidden."""
        if not max(self._scanned_from, self.ring.first) <= sequence < self._next:
            return False
        if self.folds:
            if row.repeats is not None:
                members = row.repeats.members
                at = bisect_left(members, sequence)
                return at < len(members) and members[at] == sequence
            if row.search is not None and row.search.head is not row:
                return sequence in row.search.members
        at = self._index(sequence)
        return at < len(self._matches) and self._matches[at] == sequence

    def advance(self) -> None:
        if self._passes is not None or self.failures != "folded":
            super().advance()
            return
        # The usual case, without a call for each row that belongs to no group.
        start = max(self._next, self.ring.first)
        matches = self._matches
        for sequence, row in enumerate(self.ring.slice(start, self.ring.end), start):
            if row.repeats is None and row.search is None:
                matches.append(sequence)
                self._failed += row.exec.ret < 0
            else:
                self._enter(sequence, row)
        self._next = self.ring.end

    def is_new(self, row: ExecRow) -> bool:
        """Return whether *row* has not been taken in or passed over yet: its group may change without `regroup`."""
        return row.sequence >= self._next

    def regroup(self, row: ExecRow, change: Callable[[], None]) -> None:
        """Call *change*, by which *row* comes to belong to another group."""
        if row.sequence >= self._next or not self.folds or not self._holds(row.sequence, row):
            change()
            return
        self._leave(row.sequence, row)
        change()
        self._enter(row.sequence, row)

    def _evicted(self, row: ExecRow) -> None:
        """*row*, the oldest, is gone; what was hidden behind it is not."""
        sequence = row.sequence
        matches = self._matches
        if row.repeats is None and row.search is None:
            if matches and matches[0] == sequence:
                matches.popleft()
                self._first += 1
                self._failed -= row.exec.ret < 0
            return
        shown = bool(matches) and matches[0] == sequence
        held = shown
        heir = -1
        if self.folds:
            search, repeats = row.search, row.repeats
            if search is not None:
                if search.head is row:
                    if search.is_shown:
                        search.is_shown = False
                        self.searches -= not search.is_opened
                elif search.members and search.members[0] == sequence:
                    del search.members[0]
                    held = True
                    self.attempts -= search.is_shown and not search.is_opened
            if repeats is not None and repeats.members and repeats.members[0] == sequence:
                held = True
                del repeats.members[0]
                if repeats.members and not repeats.is_opened:
                    self.repeats -= 1
                    heir = repeats.members[0]
        self._failed -= held and row.failed
        if shown:
            matches.popleft()
            self._first += 1
        if heir >= 0:
            # Rows behind it keep their positions.
            insort(matches, heir)
            self._first -= 1

    # The list of rows that are shown.

    def _index(self, sequence: int) -> int:
        """Return where *sequence* is among the rows shown, or would be: mostly it is among the last."""
        matches = self._matches
        size = len(matches)
        if not size or matches[-1] < sequence:
            return size
        reach = 2
        while reach <= size and matches[-reach] >= sequence:
            reach *= 2
        return bisect_left(matches, sequence, max(0, size - reach), size - reach // 2)

    def _show(self, sequence: int) -> None:
        matches = self._matches
        if not matches or sequence > matches[-1]:
            matches.append(sequence)
        elif sequence < matches[0]:
            matches.appendleft(sequence)
            self._first -= self._scanning
        else:
            matches.insert(self._index(sequence), sequence)
            self._first -= self._scanning

    def _hide(self, sequence: int) -> None:
        at = self._index(sequence)
        if at < len(self._matches) and self._matches[at] == sequence:
            del self._matches[at]
            self._first += self._scanning
