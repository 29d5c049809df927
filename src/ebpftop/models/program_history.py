"""What else the exec log knows of a program: how often it was seen, where it is, and how its children ended.

The rows are looked at once, when details are opened; later only those that came since.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

from ebpftop.models.exec_row import ExecRow
from ebpftop.models.folding import SEARCH_GAP_S
from ebpftop.models.ring import Ring

CHILDREN_MAX = 64
"""Children that are kept, the newest: one of them may be why their parent ended badly."""

STARTS_MAX = 16
"""Starts of which it is found out whether they come regularly."""

REGULAR_MIN = 4
REGULAR_SHARE = 0.1
"""Starts are regular if there are so many, each as far from the one before as usual, give or take this share."""


class Seen(NamedTuple):
    """How often a program was seen since the log begins (Unix seconds), and how often it failed.

    `good` is when it last ended with exit code 0 after it had started; `every_s` how far its starts are apart, if they
    come regularly.
    """

    since: float
    times: int
    failed: int
    good: float | None
    every_s: float | None


class ProgramHistory:
    """What the rows of a log say of the program of one of them.

    The same program is the same file; of one that did not start, the same name in any directory: it is in none. Of a
    search in PATH only the row that shows it counts.
    """

    def __init__(self, ring: Ring[ExecRow], row: ExecRow) -> None:
        self._ring = ring
        self._row = row
        self._next = 0
        self._settled = self._settled_failed = 0
        self._good: float | None = None
        self._unsettled: list[ExecRow] = []
        self._starts: deque[float] = deque(maxlen=STARTS_MAX)
        self.children: deque[ExecRow] = deque(maxlen=CHILDREN_MAX)
        """What its process started, oldest first, also what did not start."""
        self.attempts: deque[ExecRow] = deque(maxlen=CHILDREN_MAX)
        """What its process could not run in its own place after this."""
        self.elsewhere: ExecRow | None = None
        """The newest program of that name that started, if this one did not."""

    def update(self) -> None:
        """Look at the rows that came since the last time."""
        ring, row = self._ring, self._row
        start, self._next = max(self._next, ring.first), ring.end
        pid, start_ns, file, sequence, failed = row.exec.pid, row.exec.start_ns, row.exec.file, row.sequence, row.failed
        name = file.rpartition("/")[2]
        for other in ring.slice(start, ring.end):
            e = other.exec
            if e.file.endswith(name) and (
                e.file == file or ((failed or e.ret < 0) and e.file.rpartition("/")[2] == name)
            ):
                self._unsettled.append(other)
                if failed and e.ret >= 0:
                    self.elsewhere = other
            if e.ppid == pid and e.start_ns >= start_ns:
                self.children.append(other)
            elif e.pid == pid and e.ret < 0 and e.start_ns == start_ns and other.sequence > sequence:
                self.attempts.append(other)

    def seen(self, now: float) -> Seen:
        """Return how often it was seen; *now*: of the newest batch."""
        self._settle(now)
        times, failed, good, starts = self._settled, self._settled_failed, self._good, list(self._starts)
        for row in self._unsettled:
            if _counts(row):
                times += 1
                failed += row.went_wrong
                starts.append(row.exec.time)
        ring = self._ring
        since = ring[ring.first].exec.time if len(ring) else self._row.exec.time
        return Seen(min(since, self._row.exec.time), times, failed, good, _every_s(starts[-STARTS_MAX:]))

    def _settle(self, now: float) -> None:
        """Count those of which nothing more will be known."""
        unsettled = []
        for row in self._unsettled:
            # The next attempt of a search may still come.
            if (row.exec.time + SEARCH_GAP_S > now) if row.failed else row.ended is None:
                unsettled.append(row)
            elif _counts(row):
                self._settled += 1
                self._settled_failed += row.went_wrong
                self._starts.append(row.exec.time)
                if row.exit is not None and row.exit.code == 0:
                    self._good = max(self._good or 0.0, row.exec.time)
        self._unsettled = unsettled


def _counts(row: ExecRow) -> bool:
    return not row.failed or row.search is None or row.search.head is row


def _every_s(starts: list[float]) -> float | None:
    """Return how far *starts* are apart, if they come regularly."""
    if len(starts) < REGULAR_MIN:
        return None
    starts = sorted(starts)
    apart = sorted(after - before for before, after in pairwise(starts))
    usual = apart[len(apart) // 2]
    regular = usual >= 1 and all(abs(gap - usual) <= REGULAR_SHARE * usual for gap in apart)
    return usual if regular else None
