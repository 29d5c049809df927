"""The exec log: every program that starts, every execve that fails, every process that ends (bpf/execs.c)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar

from ebpftop.core.cgroup_path import container_of, unit_of
from ebpftop.core.escape import c_string, comm_text, escape
from ebpftop.core.process_records import TICK_NS, EnvDifference, Exec, Exit
from ebpftop.core.records import Record, Where
from ebpftop.core.shared import Shared
from ebpftop.kernel import clocks, maps
from ebpftop.kernel.attach import names
from ebpftop.kernel.cgroups import path_of_id
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.event_buffer import RING_BYTES_MAX, Events
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Context, KernelProbe, ProbeError
from ebpftop.probes.ending_totals import EndingTotals
from ebpftop.probes.environments import Environments, difference
from ebpftop.probes.exec_event import (
    CGROUP_CUT,
    CGROUP_V1,
    EXEC,
    EXIT,
    FAILED,
    HEAD_BYTES,
    NO_LOGINUID,
    TIME_AT,
    ExecEvent,
    cut_names,
    environment_of,
    event_of,
    executed_path,
    known_cgroup_path,
    split_argv,
)
from ebpftop.probes.exec_ladders import exit_ladder, failure_ladder, failure_options, start_ladder
from ebpftop.probes.exec_places import CUT_PREFIX
from ebpftop.probes.exit_event import FREES_LATE_SINCE, CpuTime, ending_of, take_freed
from ebpftop.probes.procfs import ProcessTable, SeenProcess
from ebpftop.syscalls.errno_names import error_name, signal_name

_ATTEMPT_BYTES = 72  # struct attempt
_NO_RING_BYTES = 4096  # the smallest that there is
_ALIVE_MAX = 200_000
_ENDED_MAX = 4096
# How often to look for exits without an event: lost ones, or of a process that the filter no longer matches (new user).
_ABSENT_EVERY_S = 10.0

# A perf sample's size is 16 bits wide; a ring accepts more than the argument lists that Linux allows by default.
_ARGV_BYTES = {"ring": 128 << 10, "perf": 32 << 10}
_ENV_BYTES = {"ring": 32 << 10, "perf": 4 << 10}
# If no values are asked for: 2 KiB are usual, and the ring shall not be full of them.
_ENV_NAMES_BYTES = {"ring": 8 << 10, "perf": 4 << 10}


class ExecsProbe(KernelProbe):
    """Exec and Exit records from a buffer; Process records of what already ran, and of parents that only forked.

    An Endings record at each reading: totals that are exact whatever the buffer lost. If only these are asked for, one
    small program is attached, and there is no buffer.
    """

    file: ClassVar[str] = "execs.c"
    ring_bytes: int = RING_BYTES_MAX

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._events: Events | None = None
        if not context.exec_events:
            self.ring_bytes = _NO_RING_BYTES
        self._endings = EndingTotals()
        self._sees_endings = False
        self._just_attached = False
        self._rescan_due = False
        self._absent_due_s = 0.0
        self._exits_missed = 0, 0  # exits at most, as of the last two looks at /proc
        self._started_at: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._ended: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._shared: Shared[int] = Shared()
        # Survives a toggle: processes that end while the probe is off are found when it starts again.
        self._processes = ProcessTable(context.users)
        self._environments = Environments()

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {}
        known = failure_options(self.context.defines)
        if self.may_need(known.fexit):
            flags["WITH_FENTRY"] = 1
        if self.may_need(known.kretprobe, known.fexit):
            flags["WITH_KPROBES"] = 1
        options = failure_ladder(self.context.defines)
        for flag, option in (("WITH_RAW_SYSCALLS", known.raw), ("WITH_TRACEPOINTS", known.tracepoint)):
            if self.may_need(option, *options[: options.index(option)]):
                flags[flag] = 1
        for ladder in (start_ladder(), exit_ladder()):
            if self.may_need(ladder[1], ladder[0]):
                flags["WITH_SCHED_TRACEPOINTS"] = 1
        return flags

    def parameters(self) -> Mapping[str, int]:
        buffer = self.context.buffer
        env_bytes = (_ENV_BYTES if self.context.env else _ENV_NAMES_BYTES)[buffer] if self.context.env_names else 0
        late = kernel_version() >= FREES_LATE_SINCE
        return {
            "ARGV_BYTES": _ARGV_BYTES[buffer],
            "ENV_BYTES": env_bytes,
            "FREES_LATE": late,
            "ONLY_COUNTS": not self.context.exec_events,
        }

    def map_entries(self) -> Mapping[str, int]:
        return dict.fromkeys(("exec_scratch", "failed_scratch", "failed_claims"), maps.CPUS)

    def prepare(self, module: Module) -> None:
        self._sees_endings = False
        if not self.context.exec_events:
            return
        self._events = Events(module, self.context.buffer, TIME_AT)
        self._exits_missed = 0, 0
        self._started_at.clear()  # programs may start in place of others while the probe is off
        self._just_attached = True

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        parts = {"": start_ladder(), "exits": exit_ladder(), "failures": failure_ladder(self.context.defines)}
        return {part: names(options) for part, options in parts.items()}

    def attach(self, module: Module) -> str:
        if not self.context.exec_events:
            return self._attach_endings(module)
        # Endings are attached before starts (and detached after them): if a start is seen, its exit is seen too.
        if self.context.exits:
            self._sees_endings = self.attach_first(module, exit_ladder(), "exits").via is not None
        exits, self.attempts = self.attempts, ()
        try:
            via = self.attach_first_or_fail(module, start_ladder(), "starting programs")
            if self.context.failures:
                self.attach_first(module, failure_ladder(self.context.defines), "failures")
        finally:
            self.attempts += exits
        return via

    def _attach_endings(self, module: Module) -> str:
        via = self.attach_first(module, exit_ladder(only_totals=True), "exits").via
        if via is None:
            raise ProbeError("the ends of processes cannot be seen on this kernel", attempts=self.attempts)
        self._sees_endings = True
        return via

    def read_counters(self, now: float) -> list[Record]:
        return [self._endings.read(self.module, now)] if self.module is not None and self._sees_endings else []

    def save_totals(self, module: Module) -> None:
        if self._sees_endings:
            self._endings.save(module)

    @property
    def expects_events(self) -> bool:
        return self.context.exec_events

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None

    def lost_now(self) -> dict[Where, int]:
        lost = super().lost_now()
        if unfollowed := self.context.unfollowed():
            lost["map"] = lost.get("map", 0) + unfollowed
        return lost

    def pending_attempts(self) -> int:
        """Return how many threads are inside execve now, if the attach option in use tracks them."""
        if self.module is None:
            return 0
        tables = (self.module.table(name) for name in ("attempts", "more_attempts"))
        return sum(1 for table in tables for _ in maps.items(table, 8, _ATTEMPT_BYTES))

    def seen(self) -> dict[str, int]:
        """Return how many execs, failures and exits the kernel saw since the probe started.

        Records + lost events = this number, exactly.
        """
        if self.module is None:
            return {}
        kinds = {"exec": EXEC, "failed": FAILED, "exit": EXIT}
        return {name: maps.per_cpu_sum(self.module.table("seen"), kind) for name, kind in kinds.items()}

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._events is None:
            return []
        came_up, self._just_attached = self._just_attached, False
        rescan, self._rescan_due = self._rescan_due, False
        # An exit event is sent before the process leaves /proc: so no exit event of these comes after this reading.
        gone = self._gone(thorough=came_up or rescan)
        events, freed = take_freed(self._events.drain(everything=everything or bool(gone)))
        # Report these exits first, since a pid may be reused by now, unless an event here is about the process.
        reported = {_process(raw) for raw in events} if gone else ()
        records = [self._unseen_exit(process, now) for process in gone if process.key not in reported]
        if came_up:
            records += self._processes.all_running(now, self.context.matches)
        offset = clocks.unix_offset()
        for raw in events:
            event = event_of(raw)
            if event.kind == EXIT:
                ended = self._exit(event, raw, offset, freed.get((event.pid, event.start_ns)))
                if ended is not None:
                    records.append(ended)
                continue
            records += self._processes.missing(event.ppid, event.parent_start_ns, now, self.context.matches)
            records.append(self._exec(event, raw, offset))
        records += [self._unseen_exit(process, now) for process in gone if self._processes.has(process.key)]
        if rescan:
            records += self._processes.all_running(now, self.context.matches)
        return records

    def _gone(self, *, thorough: bool) -> list[SeenProcess]:
        """Return processes that have ended without an exit event; if not *thorough*, only now and then and by pid.

        A check by pid finds no zombies. So if exits were lost or a program was skipped, the next two checks are
        thorough: at the first one, a process whose exit was lost may not have ended completely.
        """
        now_s = time.monotonic()
        if not thorough and now_s < self._absent_due_s:
            return []
        self._absent_due_s = now_s + _ABSENT_EVERY_S
        lost = self._lost_in_kernel()
        missed = lost["exits"] + lost["recursion"]
        thorough = thorough or missed > self._exits_missed[0]
        self._exits_missed = self._exits_missed[1], missed
        return self._processes.ended() if thorough else self._processes.absent()

    def filter_changed(self) -> None:
        """At the next reading report the running processes that match, and those that ended unseen."""
        self._rescan_due = True

    def _unseen_exit(self, process: SeenProcess, now: float) -> Record:
        self._processes.forget(process.pid, process.start_ns)
        self._environments.ended(process.pid, process.start_ns)
        self._started_at.pop((process.pid, process.start_ns), None)
        self._note_end((process.pid, process.start_ns))
        return Exit(
            time=now, pid=process.pid, uid=process.uid, comm=process.comm, code=None, signal=None, duration_s=None,
            start_ns=process.start_ns, ppid=process.ppid,
        )  # fmt: skip

    def _note_end(self, process: tuple[int, int]) -> None:
        self._ended[process] = None
        if len(self._ended) > _ENDED_MAX:
            self._ended.popitem(last=False)

    def _exec(self, event: ExecEvent, raw: bytes, offset: float) -> Exec:
        file, interp, cgroup, places, argv, env, flags = event.strings(raw)
        # Records are kept for long: what is equal in them is one object.
        shared, pid = self._shared, event.pid
        uid, ppid = shared[event.uid], shared[event.ppid]
        if event.kind == EXEC:
            self._started_at[pid, event.start_ns] = event.time_ns
            self._processes.add(SeenProcess(pid, event.start_ns, uid, comm_text(event.comm), ppid))
            if len(self._started_at) > _ALIVE_MAX:
                self._started_at.popitem(last=False)
        path = known_cgroup_path(cgroup)
        cut = cut_names(flags, values=bool(self.context.env))
        names, differs = self._environment(event, env, whole="env_names" not in cut)
        if flags & CGROUP_CUT:
            whole = path_of_id(event.cgroup_id, v1=bool(flags & CGROUP_V1))
            path = f"{CUT_PREFIX}{path}" if whole is None else escape(whole)
            cut = cut if whole is None else [name for name in cut if name != "cgroup"]
        return Exec(
            time=event.time_ns / 1e9 + offset,
            pid=pid,
            tid=pid if event.tid == pid else event.tid,
            ppid=ppid,
            uid=uid,
            user=self.context.users.get(event.uid),
            comm=comm_text(event.comm),
            file=executed_path(event.dirfd, file),
            argv=split_argv(argv),
            truncated="argv" in cut,
            ret=event.ret,
            error=error_name(-event.ret) if event.ret < 0 else None,
            cgroup=path,
            start_ns=event.start_ns,
            pcomm=comm_text(event.pcomm),
            euid=shared[event.euid],
            loginuid=None if event.loginuid == NO_LOGINUID else shared[event.loginuid],
            interp=c_string(interp) if event.interp_len else None,
            pidns=shared[event.pidns],
            nspid=pid if event.nspid == pid else event.nspid,
            container=container_of(path),
            unit=unit_of(path),
            cut=(*cut, *places.cut),
            exe=places.exe,
            exe_inode=places.exe_inode,
            cwd=places.cwd,
            root=places.root,
            tty=places.tty,
            sid=shared[places.sid],
            stdio=places.stdio,
            env=environment_of(env, self.context.env) if self.context.env and event.kind == EXEC else None,
            env_names=names,
            env_differs=differs,
        )

    def _environment(
        self, event: ExecEvent, raw: bytes, *, whole: bool
    ) -> tuple[tuple[str, ...] | None, EnvDifference | None]:
        """Return the names in the environment of a program that started, and how it differs from its parent's."""
        if event.kind != EXEC or not self.context.env_names:
            return None, None
        own = self._environments.of_exec(raw)
        self._environments.started(event.pid, event.start_ns, own if whole else None)
        known = whole and event.origin_pid
        parents = self._environments.of_process(event.origin_pid, event.origin_start_ns) if known else None
        return own.names, difference(own, parents) if parents is not None else None

    def _exit(self, event: ExecEvent, raw: bytes, offset: float, cpu: CpuTime | None) -> Exit | None:
        process = event.pid, event.start_ns
        if process in self._ended:  # its last two threads ended at the same time, and each saw itself as the last
            return None
        self._note_end(process)
        self._environments.ended(*process)
        started_ns = self._started_at.pop(process, None)
        seen = self._processes.forget(event.pid, event.start_ns)
        pid, start_ns = process
        if seen is not None and (seen.pid, seen.start_ns) == process:
            pid, start_ns, *_ = seen  # the same objects as in the record of its start
        signal = event.ret & 0x7F
        return Exit(
            time=event.time_ns / 1e9 + offset,
            pid=pid,
            uid=self._shared[event.uid],
            comm=comm_text(event.comm),
            code=None if signal else event.ret >> 8 & 0xFF,
            signal=signal_name(signal) if signal else None,
            duration_s=None if started_ns is None else (event.time_ns - started_ns) / 1e9,
            start_ns=start_ns,
            ppid=self._shared[event.ppid],
            core=bool(event.ret & 0x80),
            **ending_of(raw, HEAD_BYTES, cpu)._asdict(),
        )


def _process(raw: bytes) -> tuple[int, int]:
    """Return which process an event is about, as `SeenProcess.key` does."""
    event = event_of(raw)
    return event.pid, event.start_ns // TICK_NS
