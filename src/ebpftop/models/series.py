"""What the whole machine did over time: programs, calls, errors, latency, losses, and what ebpftop costs.

It is made of readings, which come once a second or so. Events cost nothing, but for execs if nothing else counts them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from operator import add
from typing import Literal, TypeAlias, get_args

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Cost, Lost, Probe, Record
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.latency import difference, quantile
from ebpftop.models.track import EventTrack, LatencyTrack, Track

What: TypeAlias = Literal["execs", "failed", "calls", "errors", "p99", "lost", "cost"]

WHATS: tuple[What, ...] = get_args(What)

BUCKETS = 64
ROWS_MAX = 50_000
"""Users, and calls, whose last totals are kept; a recording may name any number of them."""

_COST_MAX_S = 60.0
"""A reading of the cost stands for so many seconds at most."""


class Series:
    """Grows by `feed`, in the order of time, and shrinks by `drop_before`. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tracks = {name: Track() for name in ("execs", "failed", "calls", "errors", "cost")}
        self._lost_then = EventTrack()
        self._seen = {"execs": EventTrack(), "failed": EventTrack()}
        """What the exec log saw while nothing counted it."""
        self._latency = LatencyTrack()
        self._users: dict[int, UserRow] = {}
        self._calls: dict[tuple[str, int], SyscallRow] = {}
        self._has_users = self._has_calls = False
        """Whether a whole reading came: totals of a part alone may be of any time."""
        self._sees_execs: bool | None = None
        """Whether the exec log is on. None: nothing came of it, so that nothing started is not known."""
        self._begun = 0.0
        self._lost: dict[tuple[str, str], int] = {}
        self._cost_s = 0.0
        self._newest = 0.0
        self.readings = 0
        """How many readings came: until another one comes, no figure changes but that of execs that nothing counts."""
        self._notes: dict[type[Record], Callable[..., None]] = {
            Exec: self._note_exec,
            Users: self._note_users,
            Syscalls: self._note_calls,
            Lost: self._note_lost,
            Cost: self._note_cost,
            Probe: self._note_probe,
        }

    def feed(self, records: Iterable[Record]) -> None:
        """Add what *records* say."""
        with self._lock:
            for record in records:
                note = self._notes.get(type(record))
                if note is not None:
                    note(record)

    def following(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield *records*, and add what they say."""
        notes, lock = self._notes, self._lock
        for record in records:
            note = notes.get(type(record))
            if note is not None:
                with lock:
                    note(record)
            yield record

    def drop_before(self, time: float) -> None:
        """Drop what was before *time*."""
        with self._lock:
            for track in (*self._tracks.values(), *self._seen.values(), self._lost_then):
                track.drop_before(time)
            self._latency.drop_before(time)

    # What is known.

    @property
    def newest(self) -> float:
        """The time of the newest reading (Unix seconds)."""
        return self._newest

    def columns(self, what: What, span: tuple[float, float], count: int) -> tuple[float | None, ...]:
        """Return *what* in *count* equal parts of *span*, None where it is not known.

        Rates per second; nanoseconds of ``p99``, 0 if no call returned; shares of one CPU of ``cost``.
        """
        first, last = span
        edges = [first + (last - first) * i / count for i in range(count)] + [last]
        with self._lock:
            if what == "p99":
                found = [self._latency.between(a, b) for a, b in pairwise(edges)]
                return tuple(None if one is None else quantile(one[0], 0.99) or 0.0 for one in found)
            return tuple(self._rate(what, a, b) for a, b in pairwise(edges))

    def at(self, what: What, time: float) -> float | None:
        """Return *what* as of the last reading up to *time*, None if not known; of ``lost`` how much up to then."""
        with self._lock:
            if what == "p99":
                buckets = self._latency.at(time)
                return None if buckets is None else quantile(buckets, 0.99) or 0.0
            if what == "lost":
                return self._lost_then.sum_at(time)
            rate = self._tracks[what].rate_at(time)
            return rate if rate is not None or what not in self._seen else self._rate(what, time - 1, time)

    def latencies(self, begin: float, end: float) -> tuple[tuple[int, ...], float, float] | None:
        """Return how long all calls took that returned between two times, and the time that the readings cover."""
        with self._lock:
            return self._latency.between(begin, end)

    def latency_columns(self, span: tuple[float, float], count: int) -> tuple[tuple[int, ...] | None, ...]:
        """Return the histogram of all calls in *count* equal parts of *span*, None where it is not known."""
        first, last = span
        edges = [first + (last - first) * i / count for i in range(count)] + [last]
        with self._lock:
            found = [self._latency.between(a, b) for a, b in pairwise(edges)]
        return tuple(None if one is None else one[0] for one in found)

    def _rate(self, what: str, begin: float, end: float) -> float | None:
        if what == "lost":
            return self._lost_then.rate_until(begin, end, self._newest)
        rate = self._tracks[what].rate(begin, end)
        seen = self._seen.get(what)
        return rate if rate is not None or seen is None else seen.rate_until(begin, end, self._newest)

    # What comes. The lock is held.

    def _came(self, time: float) -> None:
        if not self._newest:
            self._begun = time
            self._lost_then.mend(time)
        self._newest = max(self._newest, time)

    def _read(self, time: float) -> None:
        self._came(time)
        self.readings += 1

    def _note_exec(self, record: Exec) -> None:
        if not self._has_users:
            self._came(record.time)
            if self._sees_execs is None:
                self._sees_execs = True  # a recording may say nothing of its probes
                for seen in self._seen.values():
                    seen.mend(self._begun)
            self._seen["execs"].gain(record.time, 1)
            if record.ret < 0:
                self._seen["failed"].gain(record.time, 1)

    def _note_users(self, record: Users) -> None:
        self._read(record.time)
        begins = not self._has_users
        self._has_users = self._has_users or record.whole
        if not self._has_users:
            return
        for seen in self._seen.values():
            seen.cut(record.time)
        known, execs, failed = self._users, 0, 0
        for row in record.rows:
            before = known.get(row.uid)
            if before is row:
                continue
            known[row.uid] = row
            if before is None or row.execs < before.execs:
                execs, failed = execs + row.execs, failed + row.failed
            else:
                execs, failed = execs + row.execs - before.execs, failed + max(0, row.failed - before.failed)
        if len(known) > ROWS_MAX:
            known.clear()
            self._has_users = False
        self._tracks["execs"].gain(record.time, 0 if begins else execs)
        self._tracks["failed"].gain(record.time, 0 if begins else failed)

    def _note_calls(self, record: Syscalls) -> None:
        self._read(record.time)
        begins = not self._has_calls
        self._has_calls = self._has_calls or record.whole
        if not self._has_calls:
            return
        known, calls, errors = self._calls, 0, 0
        histogram: list[int] = [0] * BUCKETS
        for row in record.rows:
            key = row.abi, row.nr
            before = known.get(key)
            if before is row:
                continue
            known[key] = row
            if before is None or row.count < before.count:
                calls, errors, gained = calls + row.count, errors + row.errors, row.histogram_ns
            else:
                calls, errors = calls + row.count - before.count, errors + max(0, row.errors - before.errors)
                gained = difference(row.histogram_ns, before.histogram_ns)
            histogram[: len(gained)] = map(add, histogram, gained)
        if len(known) > ROWS_MAX:
            known.clear()
            self._has_calls = False
        self._tracks["calls"].gain(record.time, 0 if begins else calls)
        self._tracks["errors"].gain(record.time, 0 if begins else errors)
        self._latency.gain(record.time, () if begins else histogram)

    def _note_lost(self, record: Lost) -> None:
        self._read(record.time)
        if record.where == "rate":
            return  # so much was asked for: the status bar counts it apart, too
        key = record.probe, record.where
        before = self._lost.get(key, 0)
        gained = record.count - before if record.count >= before else record.count
        self._lost[key] = record.count
        if gained:
            self._lost_then.gain(record.time, gained)

    def _note_cost(self, record: Cost) -> None:
        self._read(record.time)
        since_s = record.time - self._cost_s if self._cost_s else 0.0
        self._cost_s = record.time
        if since_s > _COST_MAX_S:
            self._tracks["cost"].cut(record.time - since_s)
        if since_s >= 0:
            self._tracks["cost"].gain(record.time, since_s * (record.user + (record.kernel or 0.0)))

    def _note_probe(self, record: Probe) -> None:
        self._read(record.time)
        # Off, or attached again: the kernel may count anew, and what happened in between was not seen.
        if record.probe == "users":
            self._has_users = False
            self._users.clear()
            self._cut(record.time, "execs", "failed")
        elif record.probe == "syscalls":
            self._has_calls = False
            self._calls.clear()
            self._cut(record.time, "calls", "errors")
            self._latency.cut(record.time)
        elif record.probe == "execs":
            self._sees_execs = record.state == "on"
        for seen in self._seen.values():
            if self._sees_execs and not self._has_users:
                seen.mend(record.time)
            else:
                seen.cut(record.time)

    def _cut(self, time: float, *names: str) -> None:
        for name in names:
            self._tracks[name].cut(time)
