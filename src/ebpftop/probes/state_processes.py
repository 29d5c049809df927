"""Threads together: what a process did is the sum of its threads, of those that have ended too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ebpftop.core.escape import c_string
from ebpftop.core.state_records import (
    CALLS_MAX,
    ROWS_MAX,
    THREADS_MAX,
    WAKERS_MAX,
    BlockedCall,
    Interrupt,
    ProcessStates,
    ThreadNow,
    Waker,
)
from ebpftop.core.syscall_records import Abi
from ebpftop.probes.state_threads import (
    BLOCKED,
    CALL_BEFORE,
    NO_CALL,
    RUNNABLE,
    RUNNING,
    STATES,
    UNINTERRUPTIBLE,
    WAKER_INTERRUPT,
    WAKER_IRQ,
    WAKER_SOFTIRQ,
    CallTime,
    Thread,
)
from ebpftop.syscalls import abi as abis

Identity = tuple[int, int]
"""Pid, and start of the process in ns since boot."""

_COMPAT_CALL, _X32_CALL = 1 << 31, 1 << 30
_CONTEXTS: Mapping[int, Interrupt] = {WAKER_SOFTIRQ: "softirq", WAKER_IRQ: "irq", WAKER_INTERRUPT: "interrupt"}
# Of a process with many threads, this is what matters first.
_MATTERS = {UNINTERRUPTIBLE: 0, RUNNABLE: 1, RUNNING: 2}
_WAKERS_KEPT = 16
_NAMES_MAX = 65536


class CallNames:
    """What the kernel side calls a call, as records have it."""

    def __init__(self, machine_abis: Sequence[Abi]) -> None:
        self._abis = machine_abis
        self._known: dict[int, tuple[Abi | None, int | None, str | None]] = {
            NO_CALL: (None, None, None),
            CALL_BEFORE: (None, None, None),
        }

    def of(self, call: int) -> tuple[Abi | None, int | None, str | None]:
        """Return ABI, number and name; nothing if it is not a call."""
        known = self._known.get(call)
        if known is None:
            abi, nr = self._abis[0], call
            if call & _COMPAT_CALL and len(self._abis) > 1:
                abi, nr = self._abis[1], call & ~_COMPAT_CALL
            elif call & _X32_CALL and len(self._abis) > 2:
                abi, nr = self._abis[2], call & ~_X32_CALL
            known = abi, nr, abis.name(abi, nr)
            if len(self._known) < _NAMES_MAX:
                self._known[call] = known
        return known


@dataclass(slots=True)
class _Call:
    ns: int = 0
    max_ns: int = 0
    count: int = 0
    threads: int = 0
    since_ns: int | None = None


@dataclass(slots=True)
class _Sums:
    """The sums of some threads of one process; `shown` are those that it has now."""

    comm: bytes = b""
    uid: int = 0
    running_ns: int = 0
    runnable_ns: int = 0
    blocked_ns: int = 0
    preempted: int = 0
    wakeups: int = 0
    calls: dict[int, _Call] = field(default_factory=dict)
    wakers: dict[int, int] = field(default_factory=dict)
    shown: list[Thread] = field(default_factory=list)

    def add(self, thread: Thread, call_before: int) -> None:
        """Add what *thread* did; *call_before* is the call that it was in when the probe was attached."""
        if thread.tid == thread.tgid or not self.comm:
            self.comm, self.uid = thread.comm, thread.uid
        self.running_ns += thread.running_ns
        self.runnable_ns += thread.runnable_ns
        self.blocked_ns += thread.blocked_ns
        self.preempted += thread.preempted
        self.wakeups += thread.wakeups
        for call in thread.calls:
            self.add_call(call_before if call.call == CALL_BEFORE else call.call, call)
        for pid, count in thread.wakers:
            self.wakers[pid] = self.wakers.get(pid, 0) + count

    def add_call(self, call: int, time: CallTime) -> None:
        """Add the time in one call."""
        sums = self.calls.setdefault(call, _Call())
        sums.ns += time.ns
        sums.count += time.waits
        sums.max_ns = max(sums.max_ns, time.max_ns)

    def add_present(self, thread: Thread, call: int, now_ns: int) -> None:
        """Add the state that goes on; *call*: the one that it is in if it is blocked."""
        self.shown.append(thread)
        passed_ns = max(0, now_ns - thread.since_ns)
        if thread.state == RUNNING:
            self.running_ns += passed_ns
        elif thread.state == RUNNABLE:
            self.runnable_ns += passed_ns
        else:
            self.blocked_ns += passed_ns
            sums = self.calls.setdefault(call, _Call())
            sums.ns += passed_ns
            sums.count += 1
            sums.max_ns = max(sums.max_ns, passed_ns)
            sums.threads += 1
            sums.since_ns = thread.since_ns if sums.since_ns is None else min(sums.since_ns, thread.since_ns)

    def join(self, other: _Sums) -> None:
        """Add the sums of threads that have ended."""
        if not self.comm:
            self.comm, self.uid = other.comm, other.uid
        self.running_ns += other.running_ns
        self.runnable_ns += other.runnable_ns
        self.blocked_ns += other.blocked_ns
        self.preempted += other.preempted
        self.wakeups += other.wakeups
        for call, had in other.calls.items():
            self.add_call(call, CallTime(call, had.ns, had.max_ns, had.count))
        for pid, count in other.wakers.items():
            self.wakers[pid] = self.wakers.get(pid, 0) + count


class Processes:
    """Makes the rows of a reading."""

    def __init__(self, names: CallNames) -> None:
        self._names = names
        self._ended_threads: dict[Identity, _Sums] = {}
        self._comms: dict[int, bytes] = {}

    def rows(
        self,
        threads: Iterable[Thread],
        ended: Iterable[Thread],
        moved: Mapping[Identity, list[CallTime]],
        *,
        calls_before: Mapping[int, int],
        matches: Callable[[Thread], bool],
        now_ns: int,
        asleep_ns: int,
    ) -> tuple[tuple[ProcessStates, ...], list[Identity]]:
        """Return the rows, in the order of their keys, and the processes that have ended.

        *ended* are the threads that have since the last reading. *calls_before*: the calls of threads when the probe
        was attached, by tid. *now_ns* is on the kernel's CLOCK_MONOTONIC, to which CLOCK_BOOTTIME adds *asleep_ns*.
        """
        threads = list(threads)
        for thread in ended:
            sums = self._ended_threads.setdefault((thread.tgid, thread.start_ns), _Sums())
            sums.add(thread, calls_before.get(thread.tid, NO_CALL))
            # Threads that come and go must not make this grow.
            if len(sums.wakers) > _WAKERS_KEPT:
                sums.wakers = dict(_most_frequent(sums.wakers, _WAKERS_KEPT // 2))
            if thread.tid == thread.tgid:
                self._comms[thread.tgid] = thread.comm
        self._note_names(threads)
        live: dict[Identity, _Sums] = {}
        alive: set[Identity] = set()
        for thread in threads:
            identity = thread.tgid, thread.start_ns
            alive.add(identity)
            if not matches(thread):
                continue
            sums = live.setdefault(identity, _Sums())
            before = calls_before.get(thread.tid, NO_CALL)
            sums.add(thread, before)
            sums.add_present(thread, before if thread.call == CALL_BEFORE else thread.call, now_ns)
        over = [identity for identity in self._ended_threads if identity not in alive]
        found = []
        for identity in {**live, **dict.fromkeys(over)}:
            sums = live.get(identity) or _Sums()
            has_ended = self._ended_threads.get(identity)
            if has_ended is not None:
                sums.join(has_ended)
            for call in moved.get(identity, ()):
                sums.add_call(call.call, call)
            found.append((identity, sums))
        for identity in over:
            del self._ended_threads[identity]
        if len(found) > ROWS_MAX:
            found.sort(key=lambda each: each[1].wakeups + each[1].preempted, reverse=True)
            del found[ROWS_MAX:]
        found.sort(key=lambda each: each[0])
        return tuple(self._row(identity, sums, asleep_ns) for identity, sums in found), over

    def _note_names(self, threads: Iterable[Thread]) -> None:
        """Note the names of processes: one that wakes others may have ended when that is reported."""
        if len(self._comms) > _NAMES_MAX:
            self._comms.clear()
        for thread in threads:
            if thread.tid == thread.tgid:
                self._comms[thread.tgid] = thread.comm

    def _row(self, identity: Identity, sums: _Sums, asleep_ns: int) -> ProcessStates:
        pid, start_ns = identity
        return ProcessStates(
            pid=pid,
            start_ns=start_ns,
            comm=c_string(sums.comm),
            uid=sums.uid,
            threads=len(sums.shown),
            running_ns=sums.running_ns,
            runnable_ns=sums.runnable_ns,
            blocked_ns=sums.blocked_ns,
            preempted=sums.preempted,
            wakeups=sums.wakeups,
            blocked=tuple(
                self._blocked(call, time, asleep_ns)
                for call, time in sorted(sums.calls.items(), key=lambda each: (-each[1].ns, each[0]))[:CALLS_MAX]
            ),
            wakers=tuple(self._waker(pid, count) for pid, count in _most_frequent(sums.wakers, WAKERS_MAX)),
            now=tuple(self._now(thread, asleep_ns) for thread in _that_matter(sums.shown)),
            ended=not sums.shown,
        )

    def _blocked(self, call: int, time: _Call, asleep_ns: int) -> BlockedCall:
        abi, nr, name = self._names.of(call)
        return BlockedCall(
            abi=abi,
            nr=nr,
            syscall=name,
            ns=time.ns,
            max_ns=time.max_ns,
            count=time.count,
            threads=time.threads,
            since_ns=None if time.since_ns is None else time.since_ns + asleep_ns,
        )

    def _waker(self, pid: int, count: int) -> Waker:
        if pid in _CONTEXTS:
            return Waker(pid=None, comm=None, context=_CONTEXTS[pid], count=count)
        comm = self._comms.get(pid)
        return Waker(pid=pid, comm=None if comm is None else c_string(comm), context=None, count=count)

    def _now(self, thread: Thread, asleep_ns: int) -> ThreadNow:
        blocked = thread.state in (BLOCKED, UNINTERRUPTIBLE)
        abi, nr, name = self._names.of(thread.call if blocked else NO_CALL)
        return ThreadNow(
            tid=thread.tid,
            comm=c_string(thread.comm),
            state=STATES[thread.state],
            since_ns=thread.since_ns + asleep_ns,
            abi=abi,
            nr=nr,
            syscall=name,
        )


def _most_frequent(wakers: Mapping[int, int], most: int) -> list[tuple[int, int]]:
    return sorted(wakers.items(), key=lambda waker: (-waker[1], waker[0]))[:most]


def _that_matter(threads: list[Thread]) -> list[Thread]:
    """Return a few: the first thread of the process, and those before it of which it matters more what they do."""
    if len(threads) > 1:
        threads = sorted(threads, key=lambda thread: (_MATTERS.get(thread.state, 3), thread.since_ns, thread.tid))
    if len(threads) <= THREADS_MAX:
        return threads
    some, rest = threads[: THREADS_MAX - 1], threads[THREADS_MAX - 1 :]
    main = (thread for thread in rest if thread.tid == thread.tgid)
    return [*some, next(chain(main, rest))]
