"""The counters of a Perfetto trace: what happened each second, what was lost, and what ebpftop itself cost."""

from __future__ import annotations

from collections.abc import Hashable

from ebpftop.conversion.input import ns
from ebpftop.conversion.perfetto_writer import TraceWriter
from ebpftop.core.records import Cost, Fullest, Lost, Record
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users


class Totals:
    """Totals of rows, of which a reading may have only those that changed."""

    def __init__(self) -> None:
        self._rows: dict[Hashable, int] = {}
        self.sum = 0

    def set(self, key: Hashable, total: int) -> None:
        """Note the total of a row."""
        self.sum += total - self._rows.get(key, 0)
        self._rows[key] = total


class Rate:
    """A counter track of what happened each second, from one reading to the next."""

    def __init__(self, writer: TraceWriter, track: int) -> None:
        self._writer = writer
        self._track = track
        self._last: tuple[int, int] | None = None

    def add(self, at_ns: int, total: int) -> None:
        """Add a reading of the total. The rate holds since the reading before it."""
        if self._last is not None:
            before_ns, before = self._last
            if at_ns <= before_ns:
                return
            # A total that is smaller was reset: the probe was turned off and on.
            passed = total - before if total >= before else total
            self._writer.counter(before_ns, self._track, 1e9 * passed / (at_ns - before_ns))
        self._last = at_ns, total

    def finish(self) -> None:
        """End it at the last reading."""
        if self._last is not None:
            self._writer.counter(self._last[0], self._track, 0)


class Counters:
    """Makes the counter tracks below *root*, each with the first record that it needs."""

    def __init__(self, writer: TraceWriter, root: int, boot_offset_ns: int) -> None:
        self._writer = writer
        self._offset_ns = boot_offset_ns
        self._machine = writer.track("machine", "Machine", root, rank=0)
        self._root = root
        self._users = 0
        self._rates: dict[Hashable, Rate] = {}
        self._tracks: dict[str, int] = {}
        self._programs, self._failed, self._calls, self._errors, self._lost = (Totals() for _ in range(5))

    def follow(self, record: Record) -> None:
        """Add what *record* says."""
        if isinstance(record, Users):
            at_ns = self._boot(record)
            for row in record.rows:
                self._programs.set(row.uid, row.execs - row.failed)
                self._failed.set(row.uid, row.failed)
            self._rate("programs", "programs started", 0).add(at_ns, self._programs.sum)
            self._rate("failed", "execve failed", 1).add(at_ns, self._failed.sum)
            for row in record.rows:
                self._of_user(row.uid, row.user).add(at_ns, row.execs)
        elif isinstance(record, Syscalls):
            at_ns = self._boot(record)
            for call in record.rows:
                self._calls.set((call.abi, call.nr), call.count)
                self._errors.set((call.abi, call.nr), call.errors)
            self._rate("calls", "system calls", 2).add(at_ns, self._calls.sum)
            self._rate("errors", "system calls failed", 3).add(at_ns, self._errors.sum)
        elif isinstance(record, Lost):
            self._lost.set((record.probe, record.where), record.count)
            self._set("lost", "events lost so far", "events", 4, self._boot(record), self._lost.sum)
        elif isinstance(record, Cost):
            at_ns = self._boot(record)
            if record.kernel is not None:
                self._set("cost in the kernel", "ebpftop in the kernel", "% CPU", 5, at_ns, 100 * record.kernel)
            self._set("cost of the process", "ebpftop itself", "% CPU", 6, at_ns, 100 * record.user)
        elif isinstance(record, Fullest):
            name = f"{record.probe}: buffer, fullest so far"
            self._set(name, name, "%", 7, self._boot(record), 100 * record.share)

    def finish(self) -> None:
        """End them."""
        for rate in self._rates.values():
            rate.finish()

    def _boot(self, record: Users | Syscalls | Lost | Cost | Fullest) -> int:
        return ns(record.time) - self._offset_ns

    def _rate(self, key: str, name: str, rank: int) -> Rate:
        rate = self._rates.get(key)
        if rate is None:
            track = self._writer.counter_track(f"counter {key}", name, self._machine, "/s", rank=rank)
            rate = self._rates[key] = Rate(self._writer, track)
        return rate

    def _of_user(self, uid: int, user: str | None) -> Rate:
        rate = self._rates.get(uid)
        if rate is None:
            if not self._users:
                self._users = self._writer.track("users", "Users: execve", self._root, rank=1)
            track = self._writer.counter_track(f"user {uid}", user or str(uid), self._users, "/s", rank=uid % (1 << 31))
            rate = self._rates[uid] = Rate(self._writer, track)
        return rate

    def _set(self, key: str, name: str, unit: str, rank: int, at_ns: int, value: float) -> None:
        track = self._tracks.get(key)
        if track is None:
            track = self._writer.counter_track(f"counter {key}", name, self._machine, unit, rank=rank)
            self._tracks[key] = track
        self._writer.counter(at_ns, track, value)
