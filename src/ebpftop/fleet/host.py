"""One host of the fleet: what comes of it is counted, kept for its panes, and offered to the merged log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ebpftop.core.escape import escape
from ebpftop.fleet.figures import Figures
from ebpftop.fleet.kept import RECENT_BYTES, Kept
from ebpftop.fleet.rows import GONE_S, STALE_S, HostRow, HostState
from ebpftop.fleet.seen import (
    Seen,
    SeenCalls,
    SeenCost,
    SeenEnd,
    SeenExec,
    SeenExit,
    SeenFullest,
    SeenHeader,
    SeenLost,
    SeenProbe,
    SeenProcess,
    SeenReading,
    decoder,
)
from ebpftop.fleet.trouble import Trouble

PENDING_MAX = 256
"""Lines of programs that wait for the merged log, failed ones and others; older ones are left out of it."""
ENDS_MAX = 512
_SAID_MAX = 300
_LONGEST = 4 << 20

_decode_all = decoder()


class Host:
    """A host. All moments that end in ``_s`` are of the monotonic clock; the caller has the clock."""

    def __init__(self, name: str, now_s: float, *, stale_s: float = STALE_S, recent_bytes: int = RECENT_BYTES) -> None:
        self.name = escape(name)
        self.figures = Figures()
        self.kept = Kept(recent_bytes)
        self.state: HostState = "connecting"
        self.since_s = now_s
        self.said = self.remedy = ""
        self.retry_s: float | None = None
        self.last_s: float | None = None
        self.dropped = 0
        """Lines that were dropped here because the panes did not take them."""
        self.broken = 0
        """Lines that are not records."""
        self.left_out = 0
        """Programs that are not in the merged log."""
        self.failed: deque[bytes] = deque()
        self.started: deque[bytes] = deque()
        """Lines of programs for the merged log."""
        self.logged: dict[tuple[int, int], int] = {}
        """The processes in the merged log that run, and their numbers there."""
        self.early_ends: dict[tuple[int, int], bytes] = {}
        """Lines of the ends of processes that may still wait for the merged log."""
        self.ends: deque[tuple[int, bytes]] = deque(maxlen=ENDS_MAX)
        """Lines of the ends of processes in the merged log."""
        self.vanished: list[int] = []
        """Numbers of processes in the merged log that ended while nothing came: how is not known."""
        self.watcher: Callable[[bytes], None] | None = None
        """Takes whole lines for the panes of this host, while these are open."""
        self._stale_s = stale_s
        self._header = SeenHeader()
        self._failed_probes: dict[str, tuple[str, str]] = {}
        self._unsettled: set[tuple[int, int]] = set()
        """Processes in the merged log from before the last header, which it has not said yet to run."""

    # What comes.

    def take(self, lines: bytes, now_s: float) -> None:
        """Take *lines*, whole ones, which came at *now_s*."""
        if not lines:
            return
        split = lines.split(b"\n")
        if not split[-1]:
            split.pop()
        try:
            records: list[Any] = _decode_all.decode_lines(lines)
        except (ValueError, RecursionError):
            records = []
        if len(records) != len(split):
            split, records = self._one_by_one(split)
        if not records:
            return
        self.kept.next()
        self._count(split, records)
        newest = max(record.time for record in records)
        if newest:
            self.figures.clock.take(newest, now_s, time.time())
        self.last_s = now_s
        if self.state != "up":
            self._become("up", now_s)
        if self.watcher is not None:
            self.watcher(lines)

    def _one_by_one(self, lines: list[bytes]) -> tuple[list[bytes], list[Any]]:
        """Decode each of *lines* alone, since not all are records that are known; count those that are none."""
        good: list[bytes] = []
        records: list[Any] = []
        for line in lines:
            if not line.strip():
                continue
            try:
                record = _decode_all.decode(line) if len(line) <= _LONGEST else None
            except (ValueError, RecursionError):
                record = None
            if record is None:
                self.broken += 1
            else:
                good.append(line)
                records.append(record)
        return good, records

    def _count(self, lines: list[bytes], records: list[Any]) -> None:
        figures, kept = self.figures, self.kept
        events: list[bytes] = []
        for line, record in zip(lines, records, strict=True):
            kind = type(record)
            if kind is SeenExec:
                events.append(line)
                if record.ret == 0:
                    figures.execs += 1
                    kept.started(record.pid, record.start_ns, line)
                    self._offer(self.started, line)
                else:
                    figures.failures += 1
                    self._offer(self.failed, line)
            elif kind is SeenExit:
                events.append(line)
                key = record.pid, record.start_ns
                kept.ended(*key)
                number = self.logged.pop(key, None)
                if number is not None:
                    self.ends.append((number, line))
                elif self.started and len(self.early_ends) < PENDING_MAX:
                    self.early_ends[key] = line
            elif isinstance(record, SeenReading):
                if isinstance(record, SeenCalls):
                    figures.calls.take(record)
                kept.reading(_series(kind, line), line, whole=record.whole)
            elif kind is SeenProcess:
                kept.started(record.pid, record.start_ns, line)
                self._unsettled.discard((record.pid, record.start_ns))
            elif isinstance(record, Seen) and kind in _STATES:
                self._take_state(record, line)
            else:
                events.append(line)
        if events:
            events.append(b"")
            kept.add(b"\n".join(events))

    def _take_state(self, record: Seen, line: bytes) -> None:
        match record:
            case SeenHeader():
                self._header = record
                self.figures.begin()
                self.kept.begin(line)
                self._failed_probes.clear()
                self._unsettled = set(self.logged)
            case SeenProbe():
                self.kept.named("probe", record.probe, line=line)
                self._failed_probes.pop(record.probe, None)
                if record.state == "failed" and len(self._failed_probes) < len(_STATES) * 8:
                    self._failed_probes[record.probe] = record.reason or "", record.remedy or ""
            case SeenLost():
                self.kept.named("lost", record.probe, record.where, line=line)
                self.figures.take_lost(record)
            case SeenFullest():
                self.kept.named("fullest", record.probe, line=line)
            case SeenCost():
                self.kept.named("cost", line=line)
                self.figures.take_cost(record)
                self._settle()
            case SeenEnd():
                self.said = escape(record.reason)[:_SAID_MAX]

    def _settle(self) -> None:
        """All that ran when the stream began was told before its first cost: what was not has ended."""
        self.vanished += (self.logged.pop(key) for key in self._unsettled & self.logged.keys())
        self._unsettled.clear()

    def _offer(self, to: deque[bytes], line: bytes) -> None:
        if len(to) >= PENDING_MAX:
            to.popleft()
            self.left_out += 1
        to.append(line)

    # What becomes of it.

    def _become(self, state: HostState, now_s: float, said: str = "", remedy: str = "") -> None:
        if state != self.state:
            self.since_s = now_s
        self.state, self.said, self.remedy, self.retry_s = state, said, remedy, None

    def connecting(self) -> None:
        """Another connection is tried; what is known to be wrong stays until something comes."""
        self.retry_s = None

    def ended(self, trouble: Trouble, now_s: float, retry_s: float | None) -> None:
        """Nothing more comes, unless it is tried again at *retry_s*."""
        if trouble.state == "gone" and self.last_s is None:
            trouble = trouble._replace(state="failed")  # it never was there
        since_s = self.since_s if self.state == trouble.state else now_s
        self._become(trouble.state, now_s, trouble.said, trouble.remedy)
        self.since_s = self.last_s if self.last_s is not None and trouble.state == "gone" else since_s
        self.retry_s = retry_s

    def tick(self, now_s: float) -> None:
        """Time passes: a host that says nothing is stale, then gone."""
        if self.state == "up":
            self.figures.sample(now_s)
        if self.last_s is None:
            if self.state == "connecting" and self.broken > _GREETING_LINES:
                self._become("failed", now_s, "what comes is no record of ebpftop", _NO_RECORDS)
            return
        silent_s = now_s - self.last_s
        if self.state == "up" and silent_s > self._stale_s:
            self._become("stale", now_s, f"no record for more than {self._stale_s:g} s", _SILENT)
        elif self.state == "stale" and silent_s > GONE_S + self._stale_s:
            self._become("gone", now_s, "no record for more than a minute", _SILENT)
            self.since_s = self.last_s

    @property
    def row(self) -> HostRow:
        """What the screen shows of it."""
        figures, is_known = self.figures, self.state in ("up", "stale")
        said, remedy = self.said, self.remedy
        if self.state == "up" and self._failed_probes:
            probe, (reason, helps) = next(iter(self._failed_probes.items()))
            said, remedy = escape(f"probe {probe} failed: {reason}")[:_SAID_MAX], escape(helps)[:_SAID_MAX]
        return HostRow(
            name=self.name,
            state=self.state,
            since_s=self.since_s,
            said=said,
            remedy=remedy,
            retry_s=self.retry_s,
            last_s=self.last_s,
            execs=figures.exec_pace.rate if is_known else None,
            failures=figures.failure_pace.rate if is_known else None,
            calls=figures.calls.calls if is_known else None,
            errors=figures.calls.errors if is_known else None,
            lost=min(figures.lost, _MOST),
            dropped=self.dropped,
            broken=self.broken,
            cost=figures.cost if is_known else None,
            clock_s=figures.clock.ahead_s,
            kernel=escape(self._header.kernel)[:_SAID_MAX],
            version=escape(self._header.version)[:_SAID_MAX],
            opens=bool(self.kept.header),
        )


_MOST = (1 << 63) - 1
_SILENT = "the network, or the machine, hangs; it stays here until something comes"
_NO_RECORDS = "see what `ssh HOST ebpftop stream` prints there, or the command before the pipe"
_GREETING_LINES = 200
"""More lines than a login prints before the first record."""
_STATES: tuple[type[Seen], ...] = (SeenHeader, SeenProbe, SeenLost, SeenFullest, SeenCost, SeenEnd)


def _series(kind: type[Seen], line: bytes) -> str:
    """Return what readings go on from each other: those of a kind, and of one map."""
    tag = str(kind.__struct_config__.tag)
    if tag != "map":
        return tag
    at = line.find(b'"map":')
    return tag + line[at : at + 80].partition(b",")[0].decode("utf-8", "backslashreplace")
