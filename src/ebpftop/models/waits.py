"""Why processes wait: what each did in the last seconds, what it is blocked in, and who woke it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ebpftop.core.records import Probe
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.core.state_records import BlockedCall, ProcessStates, States, ThreadNow
from ebpftop.core.syscall_records import Abi, InFlight
from ebpftop.models.deadlock import deadlock
from ebpftop.models.wait_text import brief_target, circle_text
from ebpftop.syscalls.families import WAITS

PROBE = "states"

SPAN_S = 10
"""Seconds that all figures are of, and letters of a row."""

QUEUED = 0.25
"""From so many threads on that waited for a CPU on average, that explains why it is slow more than anything else."""

BUSY = 0.5
"""What wants this much of a CPU is busy: so says its letter of a second, too."""

ON_CPU = "on CPU"

AT_ATTACH_S = 0.05
"""What began so shortly before the probe was attached, or earlier, began before it: nobody saw that."""

RUNS, IS_QUEUED, IS_BLOCKED, UNKNOWN = "r", "q", "b", "·"

Key = tuple[int, int]
"""The pid and the start of a process."""

_Call = tuple[Abi | None, int | None]


class Times(NamedTuple):
    """How long threads ran, waited for a CPU and were blocked, in ns."""

    running: int
    queued: int
    blocked: int

    @property
    def all(self) -> int:
        return self.running + self.queued + self.blocked

    def minus(self, before: Times) -> Times | None:
        """Return what came since *before*; None if it is not before: the probe was attached anew."""
        new = Times(*(now - then for now, then in zip(self, before, strict=True)))
        return new if min(new) >= 0 else None


class _Step(NamedTuple):
    """A reading: its time in Unix seconds, how many seconds before it the one before was, and what came meanwhile."""

    time: float
    seconds: float
    times: Times
    wakeups: int
    blocked_in: Mapping[_Call, int]


class Waiter:
    """A process: as it was read last, and what it did in the last `SPAN_S` seconds."""

    __slots__ = ("_blocked_in", "_steps", "_total", "_wakeups", "calls", "recent", "row")

    def __init__(self, row: ProcessStates) -> None:
        self.row = row
        self.calls: Sequence[InFlight] = ()
        """The calls in flight of its threads that are known."""
        self.recent = Times(0, 0, 0)
        self._steps: deque[_Step] = deque()
        self._total: Times | None = None
        self._wakeups = 0
        self._blocked_in: Mapping[_Call, int] = {}

    @property
    def key(self) -> Key:
        return self.row.pid, self.row.start_ns

    def read(self, row: ProcessStates, time: float, seconds: float) -> None:
        """Read it again, *seconds* after the reading before, or after the probe was attached."""
        total = Times(row.running_ns, row.runnable_ns, row.blocked_ns)
        blocked_in = {(call.abi, call.nr): call.ns for call in row.blocked}
        new = total.minus(self._total) if self._total is not None else total
        if new is None:
            self._steps.clear()
            new, self._wakeups, self._blocked_in = total, 0, {}
        since = {key: ns - self._blocked_in.get(key, 0) for key, ns in blocked_in.items()}
        self._steps.append(_Step(time, seconds, new, row.wakeups - self._wakeups, since))
        # The first one may be of hours.
        while len(self._steps) > 1 and (self._steps[0].time <= time - SPAN_S or self._steps[0].seconds > SPAN_S):
            self._steps.popleft()
        self.row, self._total, self._wakeups, self._blocked_in = row, total, row.wakeups, blocked_in
        self.recent = Times(*(sum(part) for part in zip(*(step.times for step in self._steps), strict=True)))

    @property
    def _span_ns(self) -> float:
        return sum(step.seconds for step in self._steps) * 1e9

    @property
    def seconds(self) -> int:
        """Of how many seconds its figures are: fewer than `SPAN_S` if more are not known, more if no finer ones are."""
        return _whole_seconds(sum(step.seconds for step in self._steps))

    @property
    def running(self) -> float:
        """How much of one CPU its threads had: 2.0 if two of them ran all the time, as top and htop count."""
        return self.recent.running / self._span_ns if self.recent.running else 0.0

    @property
    def queued(self) -> float:
        """How many of its threads waited for a CPU, on average."""
        return self.recent.queued / self._span_ns if self.recent.queued else 0.0

    @property
    def blocked(self) -> float:
        """The share of its threads' time that they were blocked, 1.0 at most."""
        return self.recent.blocked / self.recent.all if self.recent.all else 0.0

    @property
    def wakeups(self) -> int:
        """How often one of its threads was woken."""
        return sum(step.wakeups for step in self._steps)

    def letters(self, now: float) -> str:
        """Return a letter for each of the last seconds: what it mostly did.

        It ran, or waited for a CPU, if its threads together wanted one for half of that second; else it was blocked.
        """
        return "".join(map(self._letter, (now - SPAN_S + 0.5 + second for second in range(SPAN_S))))

    def _letter(self, moment: float) -> str:
        for step in self._steps:
            if step.time - step.seconds <= moment < step.time:
                if step.times.running + step.times.queued < BUSY * step.seconds * 1e9:
                    return IS_BLOCKED
                return RUNS if step.times.running >= step.times.queued else IS_QUEUED
        return UNKNOWN

    @property
    def most_blocked(self) -> BlockedCall | None:
        """The call that it was blocked in for most of the time; None if it was not blocked."""
        spent: dict[_Call, int] = {}
        for step in self._steps:
            for key, ns in step.blocked_in.items():
                spent[key] = spent.get(key, 0) + ns
        calls = [call for call in self.row.blocked if spent.get((call.abi, call.nr), 0) > 0]
        return max(calls, key=lambda call: spent[call.abi, call.nr], default=None)

    @property
    def thread(self) -> ThreadNow | None:
        """The thread that says most of why it waits now; None if none is known."""
        return max(self.row.now, key=self._tells, default=None)

    @property
    def deadlock(self) -> tuple[InFlight, ...]:
        """The calls of its threads that wait for each other; empty if there are none."""
        return deadlock(self.calls)

    def _tells(self, thread: ThreadNow) -> int:
        if any(call.tid == thread.tid for call in self.deadlock):
            return 3
        call = self.call_of(thread)
        return 2 if thread.state == "uninterruptible" else 1 if call is not None and _hangs(call) else 0

    def call_of(self, thread: ThreadNow) -> InFlight | None:
        """Return the call in flight that a thread is blocked in; None if it is not listed, or in no call.

        The probe does not know the calls of threads that were in them before it was attached.
        """
        if thread.state not in ("blocked", "uninterruptible"):
            return None
        return next((one for one in self.calls if one.tid == thread.tid and thread.nr in (None, one.nr)), None)

    @property
    def awaited(self) -> int | None:
        """The pid of who ends the wait: who holds the lock, the child, or whoever else; None if that is not known."""
        thread = self.thread
        call = self.call_of(thread) if thread is not None else None
        others = [one.pid for one in call.awaited] if call is not None else []
        return next((pid for pid in others if pid != self.row.pid), None)

    @property
    def awaits_itself(self) -> bool:
        """Whether one of its own threads ends the wait: the lock is one within a process."""
        thread = self.thread
        call = self.call_of(thread) if thread is not None else None
        return call is not None and call.lock is not None and bool(call.awaited)

    @property
    def urgency(self) -> int:
        """How much it says that it is blocked: 3 if at most SIGKILL ends that, 0 if nothing is known of the wait.

        3 as well: its threads wait for each other. 2: a thread holds a lock that it wants, or it is in a call that is
        not meant to wait.
        """
        if any(thread.state == "uninterruptible" for thread in self.row.now) or self.deadlock:
            return 3
        if any(map(_hangs, self.calls)):
            return 2
        return 1 if self.calls or any(thread.syscall for thread in self.row.now) else 0

    def waited(self, thread: ThreadNow, latest: States) -> tuple[int, bool]:
        """Return for how many ns a thread has done what it does now, and whether that is a lower bound."""
        call = self.call_of(thread)
        if call is not None:
            return call.ns, call.before
        ns = max(0, latest.boot_ns - thread.since_ns)
        return ns, ns >= (latest.duration_s - AT_ATTACH_S) * 1e9


def _hangs(call: InFlight) -> bool:
    """Return whether a call is not meant to wait, or waits for a lock that somebody holds."""
    return call.name not in WAITS or (call.lock is not None and bool(call.awaited))


class Machine(NamedTuple):
    """All of it in the last *seconds*: the share of all CPUs that ran threads, and how many waited for one on average.

    The seconds are those that are known: more than `SPAN_S` if readings are so far apart.
    """

    cpus: int
    running: float
    queued: float
    seconds: int


class WaitsModel:
    """Every process that the filter matches. All times are those of the readings; there is no other clock."""

    def __init__(self) -> None:
        self.latest: States | None = None
        self.readings = 0
        self._waiters: dict[Key, Waiter] = {}
        self._machine: deque[tuple[float, float, int, int]] = deque()
        """Readings: time, seconds since the one before, time that CPUs ran, and that threads waited for one (ns)."""

    def begin_after(self, before: EventCounts) -> None:
        """Nothing of it depends on what was before."""

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""
        for record in batch.records:
            if isinstance(record, States):
                self._read(record)
            elif isinstance(record, Probe) and record.probe == PROBE and record.state != "on":
                self._cut()

    def _cut(self) -> None:
        self.latest = None
        self.readings += 1
        self._waiters.clear()
        self._machine.clear()

    def _read(self, reading: States) -> None:
        before = self.latest
        if before is not None and (reading.time <= before.time or reading.duration_s < before.duration_s):
            self._cut()
            before = None
        seconds = reading.duration_s if before is None else reading.time - before.time
        waiters: dict[Key, Waiter] = {}
        for row in reading.rows:
            waiter = self._waiters.get((row.pid, row.start_ns))
            of = seconds
            if waiter is None:
                # It may have been there for long: a filter or too many others left it out.
                waiter, of = Waiter(row), max(seconds, min(reading.duration_s, (reading.boot_ns - row.start_ns) / 1e9))
            waiter.read(row, reading.time, of)
            waiters[waiter.key] = waiter
        self._waiters = waiters
        self._machine.append((reading.time, seconds, *_of_machine(reading, before)))
        while len(self._machine) > 1 and (self._machine[0][0] <= reading.time - SPAN_S or self._machine[0][1] > SPAN_S):
            self._machine.popleft()
        self.latest = reading
        self.readings += 1

    @property
    def waiters(self) -> list[Waiter]:
        """All processes, by pid."""
        return list(self._waiters.values())

    def find(self, pid: int) -> Waiter | None:
        """Return the process that has a pid now."""
        found = [waiter for (number, _), waiter in self._waiters.items() if number == pid]
        return found[-1] if found else None

    def connect(self, in_flight: Sequence[InFlight]) -> None:
        """Take the calls in flight of the same moment: they say what a call waits for."""
        calls: dict[int, list[InFlight]] = {}
        for call in in_flight:
            calls.setdefault(call.pid, []).append(call)
        for waiter in self._waiters.values():
            waiter.calls = calls.get(waiter.row.pid, ())

    @property
    def machine(self) -> Machine | None:
        """The whole machine in the last seconds; None if that is not known."""
        latest, seconds = self.latest, sum(step[1] for step in self._machine)
        if latest is None or seconds <= 0:
            return None
        running, queued = (sum(step[which] for step in self._machine) / seconds / 1e9 for which in (2, 3))
        return Machine(latest.cpus, running / max(1, latest.cpus), queued, _whole_seconds(seconds))


def _whole_seconds(seconds: float) -> int:
    """Return *seconds* for a title; readings come a little early or late."""
    return max(1, round(seconds)) if not SPAN_S <= seconds < SPAN_S + 1 else SPAN_S


def _of_machine(reading: States, before: States | None) -> tuple[int, int]:
    """Return how long CPUs ran threads since *before*, and how long threads waited for one, in ns."""
    then = {cpu.cpu: cpu.running_ns for cpu in before.machine.cpus} if before is not None else {}
    running = sum(max(0, cpu.running_ns - then.get(cpu.cpu, 0)) for cpu in reading.machine.cpus)
    queued = reading.machine.runnable_ns - (before.machine.runnable_ns if before is not None else 0)
    return running, max(0, queued)


def most_on(waiter: Waiter, machine: Machine | None) -> str:
    """Return what a process is mostly on, in words: a CPU, or a call and what that waits for; empty: neither.

    What no call explains is a page fault, or a thread of the kernel.
    """
    thread, most = waiter.thread, waiter.most_blocked
    if waiter.row.ended:
        return "ended"
    if waiter.deadlock:
        return circle_text(waiter.deadlock)
    if waiter.queued >= QUEUED:
        return cpu_wanted(machine)
    if thread is not None and thread.state == "stopped":
        return "stopped by a signal"
    call = waiter.call_of(thread) if thread is not None else None
    # A busy process may have a thread that waits for a lock of another one: its CPU time stands in the row.
    if waiter.running + waiter.queued >= BUSY and not (call is not None and call.lock is not None and call.awaited):
        return ON_CPU
    if call is not None:
        return call_and_target(call)
    if thread is not None and thread.syscall:
        return thread.syscall
    return most.syscall or "" if most is not None else ""


def call_and_target(call: InFlight) -> str:
    """Return a call and what it waits for, in as few words as possible: ``lock 0x7f2c10 ← php-fpm 812``."""
    target = brief_target(call)
    if call.lock is not None:
        return target
    return " ".join(filter(None, (call.name, target)))


def cpu_wanted(machine: Machine | None) -> str:
    """Return why a process waits for a CPU: how many threads want each, on average."""
    if machine is None:
        return "CPU"
    wanted = machine.running + machine.queued / max(1, machine.cpus)
    return f"CPU: {wanted:.1f} wanted per CPU"


def woken_by(row: ProcessStates) -> Iterator[tuple[str, int, int | None]]:
    """Yield who woke threads of a process, how often, and the pid if it is a process; the most frequent first."""
    for waker in row.wakers:
        if waker.pid is None:
            yield waker.context or "interrupt", waker.count, None
        else:
            yield f"{waker.comm or 'process'} {waker.pid}", waker.count, waker.pid
