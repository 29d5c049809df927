"""What each process does: runs, waits for a CPU, or is blocked, in which call, until who wakes it (bpf/states.c)."""

from __future__ import annotations

import os
import platform
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import ClassVar

from ebpftop.core.process_records import TICK_NS
from ebpftop.core.records import Record, Where
from ebpftop.core.state_records import CpuStates, MachineStates, States
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.attach import Attach, AttachOption, names
from ebpftop.kernel.bpf_syscall import accepts_percpu
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Module
from ebpftop.probes import state_sleepers
from ebpftop.probes.base import Context, KernelProbe
from ebpftop.probes.state_processes import CallNames, Processes
from ebpftop.probes.state_sleepers import Sleepers, is_there
from ebpftop.probes.state_threads import (
    BLOCKED,
    MATCHES,
    RUNNABLE,
    UNDECIDED,
    UNINTERRUPTIBLE,
    MovedCalls,
    Thread,
    ThreadMap,
    pop_ended,
)
from ebpftop.probes.syscall_slots import Slots

THREADS_MAX = 32768
ENDED_MAX = 8192
MOVED_MAX = 8192

COST = "time at every switch from one thread to another, and at every wake-up"
WAKERS = "who woke a thread"
INTERRUPTS = "that an interrupt woke a thread: it counts as woken by the process that was interrupted"


def ladder(defines: Defines) -> tuple[AttachOption]:
    """Where threads are seen that change what they do. There is one option: other tracepoints do not say which task."""
    sees_interrupts = "PREEMPT_COUNT_ID" in defines or "OFF_TASK_PREEMPT_COUNT" in defines
    return (
        AttachOption(
            COST,
            (
                Attach("raw_tracepoint", "sched_switch", "states_on_sched_switch"),
                Attach("raw_tracepoint", "sched_wakeup", "states_on_sched_wakeup"),
                Attach("raw_tracepoint", "sched_wakeup_new", "states_on_sched_wakeup_new"),
                Attach("raw_tracepoint", "sched_waking", "states_on_sched_waking", without=WAKERS),
            ),
            () if sees_interrupts else (INTERRUPTS,),
        ),
    )


_CPU = struct.Struct("=7Q")  # struct cpu_time of bpf/states.c
_MATCHED_MAX = 65536
_LOOK_AGAIN_EVERY = 16  # readings: whether threads that no program has seen are still there


class StatesProbe(KernelProbe):
    """A States record at each reading: totals since the probe was attached."""

    file: ClassVar[str] = "states.c"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._slots = Slots(platform.machine())
        self._clock = clocks.SleepClock()
        self._names = CallNames(self._slots.abis)
        self._sees_interrupts: bool | None = None
        self._begin()

    def _begin(self) -> None:
        self._processes = Processes(self._names)
        self._threads: ThreadMap | None = None
        self._moved: MovedCalls | None = None
        self._attached_ns = 0
        self._unseen: dict[int, Thread] = {}
        """Threads that no program has seen yet, by tid."""
        self._sleepers: Sleepers | None = None
        self._calls_before: dict[int, int] = {}
        self._readings = 0
        self._filter_ns = 0
        self._matched: dict[tuple[int, int], bool] = {}
        """What the filter says to processes that did not run since it changed."""

    def defines(self) -> Defines:
        # Not every kernel lets programs read what its types describe, and to ask may take it ten milliseconds.
        variable_id = self.context.defines.get("PREEMPT_COUNT_VARIABLE")
        if self._sees_interrupts is None:
            self._sees_interrupts = isinstance(variable_id, int) and accepts_percpu(variable_id)
        return {"PREEMPT_COUNT_ID": variable_id} if self._sees_interrupts and variable_id is not None else {}

    def map_entries(self) -> Mapping[str, int]:
        return {"threads": THREADS_MAX, "ended_threads": ENDED_MAX, "moved_calls": MOVED_MAX}

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names(ladder(self._all_defines()))}

    def prepare(self, module: Module) -> None:
        self._begin()
        self._threads = ThreadMap(module.table("threads"))
        self._moved = MovedCalls(module.table("moved_calls"))

    def attach(self, module: Module) -> str:
        via = self.attach_first_or_fail(module, ladder(self._all_defines()), "what threads wait for")
        # From here on, on all CPUs at once.
        self._attached_ns = clocks.monotonic_ns()
        maps.update(module.table("watched"), bytes(4), struct.pack("=Q", self._attached_ns))
        self._sleepers = Sleepers(self.context.root, self._attached_ns, self._slots)
        self._note(self._sleepers.more(state_sleepers.PATIENCE_S))
        return via

    def _note(self, sleepers: Iterable[Thread]) -> None:
        for thread in sleepers:
            self._unseen[thread.tid] = thread
            self._calls_before[thread.tid] = thread.call

    def lost_now(self) -> dict[Where, int]:
        lost = super().lost_now()
        if self._sleepers is not None:
            lost["map"] = lost.get("map", 0) + self._sleepers.left_out
        return lost

    def filter_changed(self) -> None:
        self._filter_ns = clocks.monotonic_ns()
        self._matched.clear()

    def read_counters(self, now: float) -> list[Record]:
        module = self.module
        if module is None or self._threads is None or self._moved is None:
            return []
        now_ns = clocks.monotonic_ns()
        cpus = maps.lookup(module.table("cpu_times"), bytes(4), _CPU.size * maps.CPUS) or b""
        asleep_ns = self._clock.asleep_ns()
        # Before the threads that programs have seen: one that wakes up in between is in both.
        later = self._sleepers.more(state_sleepers.MORE_S) if self._sleepers is not None else []
        # Threads before those that ended: one that ends in between is in both.
        threads = self._threads.read()
        ended = pop_ended(module.table("ended_threads"))
        over = {(thread.task, thread.tid, thread.start_ns) for thread in ended}
        threads = [thread for thread in threads if (thread.task, thread.tid, thread.start_ns) not in over]
        if later:
            known = {thread.tid for thread in (*threads, *ended)}
            self._note(thread for thread in later if thread.tid not in known)
        self._drop_seen(threads, ended)
        seen = [*(thread for thread in threads if thread.tgid), *self._unseen.values()]
        rows, gone = self._processes.rows(
            seen,
            ended,
            self._moved.read(),
            calls_before=self._calls_before,
            matches=self._matches,
            now_ns=now_ns,
            asleep_ns=asleep_ns,
        )
        self._moved.delete(gone)
        return [
            States(
                time=now,
                duration_s=round((now_ns - self._attached_ns) / 1e9, 6),
                boot_ns=now_ns + asleep_ns,
                cpus=os.sysconf("SC_NPROCESSORS_ONLN"),
                rows=rows,
                machine=self._machine(cpus, seen, now_ns),
            )
        ]

    def _drop_seen(self, threads: list[Thread], ended: list[Thread]) -> None:
        """Drop the threads that a program has seen by now, and those that have ended where nobody saw it."""
        if not self._unseen:
            return
        starts: dict[int, int] = {}
        for thread in (*threads, *ended):
            self._unseen.pop(thread.tid, None)
            starts[thread.tgid] = thread.start_ns
        for tid, thread in self._unseen.items():
            # /proc rounds the start of a process down, and here is what it is.
            exact_ns = starts.get(thread.tgid, thread.start_ns)
            if exact_ns != thread.start_ns and exact_ns // TICK_NS == thread.start_ns // TICK_NS:
                self._unseen[tid] = thread._replace(start_ns=exact_ns)
        self._readings += 1
        if self._readings % _LOOK_AGAIN_EVERY == 0:
            self._unseen = {tid: thread for tid, thread in self._unseen.items() if is_there(thread)}

    def _matches(self, thread: Thread) -> bool:
        """Return whether the filter matches; the kernel decides, unless it had no occasion since the filter changed."""
        if thread.decision != UNDECIDED and (not self._filter_ns or thread.since_ns > self._filter_ns):
            return thread.decision == MATCHES
        identity = thread.tgid, thread.start_ns
        matched = self._matched.get(identity)
        if matched is None:
            matched = self.context.matches(thread.tgid, thread.uid, thread.comm.rstrip(b"\0"))
            if len(self._matched) >= _MATCHED_MAX:
                self._matched.clear()
            self._matched[identity] = matched
        return matched

    def _machine(self, raw: bytes, threads: list[Thread], now_ns: int) -> MachineStates:
        cpus, runnable_ns, running = [], 0, 0
        online = _online()
        for cpu, (since_ns, running_ns, idle_ns, switches, waited_ns, is_idle, _) in enumerate(_CPU.iter_unpack(raw)):
            if not since_ns and cpu not in online:
                continue
            # One that never switched had nothing to run: there are threads of the kernel that run now and then.
            passed_ns = max(0, now_ns - (since_ns or self._attached_ns))
            idles = is_idle or not since_ns
            runnable_ns += waited_ns
            running += not idles
            cpus.append(
                CpuStates(
                    cpu=cpu,
                    running_ns=running_ns + (0 if idles else passed_ns),
                    idle_ns=idle_ns + (passed_ns if idles else 0),
                    switches=switches,
                )
            )
        count = Counter(thread.state for thread in threads)
        waiting = (thread.since_ns for thread in threads if thread.state == RUNNABLE)
        return MachineStates(
            cpus=tuple(cpus),
            runnable_ns=runnable_ns + sum(max(0, now_ns - since_ns) for since_ns in waiting),
            running=running,
            runnable=count[RUNNABLE],
            blocked=sum(number for state, number in count.items() if state >= BLOCKED),
            uninterruptible=count[UNINTERRUPTIBLE],
        )


def _online() -> frozenset[int]:
    """Return the numbers of the CPUs that are online."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        ranges = (part.partition("-") for part in file.read().strip().split(","))
        return frozenset(cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1))
