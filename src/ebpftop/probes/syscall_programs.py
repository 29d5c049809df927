"""How the probe of system calls attaches: where calls begin and return, what sees io_uring, what is loaded for that."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from ebpftop.core.records import Attempt
from ebpftop.core.source import SourceError
from ebpftop.kernel import clocks, entry_cost, maps
from ebpftop.kernel.attach import AttachOption, AttachResult, absent, attach_first, matches, names
from ebpftop.kernel.errors import NotCompiledError
from ebpftop.kernel.event_buffer import RING_BYTES_MAX
from ebpftop.kernel.loader import Kind, Module
from ebpftop.probes import syscall_callers
from ebpftop.probes.base import Context, ProbeError
from ebpftop.probes.call_programs import WAITING_MAX, CallPrograms, fill
from ebpftop.probes.entered_before import CALLS_MAX, EnteredBefore, what_is_refused
from ebpftop.probes.syscall_handlers import HandlerTable
from ebpftop.probes.syscall_options import (
    TRACEPOINTS,
    enter_option,
    function_option,
    ladder,
    not_tried,
    returns_option,
    shared_tracepoints,
    uring_option,
)
from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT

_RING_BYTES = 4 << 20  # with the usual limit
SLEPT_MAX = 4096  # traced calls that wait at one moment, of which the stack in the kernel is known

# Programs by their places: enum enter_slow_path, enum slow_path.
_ENTER_SLOW_PATHS = {0: "sys_enter_slow_path"}
_ENTER_TRACED = {
    **{1: "handle_trace_before", 2: "handle_trace_value"},
    **{3: "handle_trace_strings", 4: "handle_trace_files"},
}
_EXIT_SLOW_PATHS = {0: "sys_exit_slow_path", 1: "sys_exit_no_slot"}
_EXIT_TRACED = {
    **{2: "sys_exit_traced", 3: "sys_exit_value", 4: "sys_exit_entries"},
    **{5: "sys_exit_listed", 6: "sys_exit_files"},
}


class SyscallPrograms(CallPrograms):
    """The programs of bpf/syscalls.c: which of them are loaded, and where they are attached."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.latency = context.latency
        self.ring_bytes = _ring_bytes(context.trace_limit)
        self.processes = context.processes
        self.printk = context.printk
        self.slots = Slots(platform.machine())
        self._at_function = False
        self._shared = shared_tracepoints(context)
        requested = context.attach.get("syscalls")
        self._caches_tasks &= requested is None or matches(enter_option("raw_tracepoint"), requested)
        self._table = HandlerTable(self.slots, context.followed)
        self._returns: AttachResult | None = None
        self._has_tracing = False
        self._sees_uring = False
        self._before_attach: EnteredBefore | None = None

    def start(self) -> None:
        """Start with raw tracepoints, else tracepoints, whose programs get other contexts and are compiled again.

        If it is asked for, start at the functions by which the kernel enters calls.
        """
        requested = self.context.attach.get(self.name)
        function = function_option(self.context.defines)
        self._at_function = requested is not None and matches(function, requested)
        if self._at_function:
            self._start_at_function(function, requested)
        else:
            self._start_at_tracepoint(requested)
            self._add_function_option(function, requested)

    def _add_function_option(self, option: AttachOption, requested: str | None) -> None:
        """Add the option that is used only if it is asked for, with what it costs and what the tracepoint costs."""
        # If fentry is refused, it does not matter which functions there are, and that takes time to find out.
        refused = self.context.features.no_fentry is not None
        if platform.machine() != "x86_64" or not (refused or entry_cost.is_traceable(self.context.tracefs)):
            return
        reason = absent(option, self.context.features)
        if reason is None:
            reason = not_tried(requested, self.via)
            if self.context.measures:
                with suppress(OSError):
                    reason = f"{reason} ({entry_cost.measure()})"
        self.attempts += (option.attempt(reason),)

    def _start_at_function(self, option: AttachOption, requested: str | None) -> None:
        # The programs of several ABIs would mix what a CPU remembers.
        self._caches_tasks = False
        self._kind = "raw_tracepoint"
        reason = absent(option, self.context.features)
        others = tuple(enter_option(kind).attempt(not_tried(requested, None)) for kind in TRACEPOINTS)
        try:
            if reason is not None:
                raise ProbeError(f"system calls cannot be seen there: {reason}", attempts=(option.attempt(reason),))
            super().start()
        except ProbeError as error:
            self.attempts = error.attempts + others
            raise ProbeError(error.reason, error.remedy, self.attempts) from error
        self.attempts += others

    def _start_at_tracepoint(self, requested: str | None) -> None:
        if self.start_caching_tasks():
            self._add_tracepoint_option(requested)
            return
        tried: tuple[Attempt, ...] = ()
        for kind in TRACEPOINTS:
            self._kind = kind
            try:
                super().start()
            except ProbeError as error:
                tried += error.attempts
                if kind == "tracepoint" or not error.attempts:
                    raise ProbeError(error.reason, error.remedy, tried) from error
            else:
                self.attempts = tried + self.attempts
                if kind == "raw_tracepoint":
                    self._add_tracepoint_option(requested)
                return

    def _add_tracepoint_option(self, requested: str | None) -> None:
        self.attempts += (enter_option("tracepoint").attempt(not_tried(requested, self.via)),)

    def parameters(self) -> Mapping[str, int]:
        return {
            **super().parameters(),
            "LATENCY": self.latency,
            "PROCESSES": self.processes,
            "PRINTK": self.printk,
            "TRACED_PER_SECOND": self.context.trace_limit,
            "AT_FUNCTION": self._at_function,
            "STACKS": self.context.stacks,
        }

    def map_entries(self) -> Mapping[str, int]:
        return {
            **syscall_callers.map_entries(),
            "waiting": WAITING_MAX,
            "slept": SLEPT_MAX if self.context.stacks else 1,
            **dict.fromkeys(("traced_scratch", "entered_scratch"), maps.CPUS),
            "entered_before_attach": CALLS_MAX,
        }

    def prepare(self, module: Module) -> None:
        # Programs reach each other by tail calls only if they are of one kind, and of functions with one prototype.
        enter: tuple[Kind, str | None] = ("fentry", entry_cost.FUNCTION) if self._at_function else (self._kind, None)
        self._table.load(module, *enter)
        fill(module, "enter_slow_path", _ENTER_SLOW_PATHS, *enter)
        if self.latency:
            fill(module, "exit_slow_paths", _EXIT_SLOW_PATHS, self._kind)
        self._has_tracing = False
        if self._table.traces:
            self._load_tracing(module)

    def _load_tracing(self, module: Module) -> None:
        """Load what traced calls need: that is half of all, so a start without them does not wait for it."""
        if not self._has_tracing:
            enter: tuple[Kind, str | None] = (
                ("fentry", entry_cost.FUNCTION) if self._at_function else (self._kind, None)
            )
            fill(module, "enter_slow_path", _ENTER_TRACED, *enter)
            fill(module, "exit_slow_paths", _EXIT_TRACED, self._kind)
            self._has_tracing = True

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names(ladder(self.context.defines))}

    def attach(self, module: Module) -> str:
        enter = function_option(self.context.defines) if self._at_function else enter_option(self._kind, self._shared)
        self.attach_task_cache(module)
        if self.processes:
            syscall_callers.attach(module)
        requested = self.context.attach.get(self.name)
        # The program where calls begin is attached last: if an entry is seen, its waiting and return are seen too.
        if (self.latency or self._table.traces) and (requested is None or matches(enter, requested)):
            self._attach_returns(module)
        self._attach_uring(module)
        returns, self.attempts = self.attempts, ()
        try:
            via = self.attach_first_or_fail(module, (enter,), "system calls")
        finally:
            self.attempts += returns
        if self.latency:
            # From here on a return without an entry is a call that did not reach sys_enter.
            self.count_unentered_since(module, clocks.since_boot_ns())
        if self.latency and self.context.in_flight:
            attached_ns = clocks.monotonic_ns()
            table = module.table("entered_before_attach")
            self._before_attach = EnteredBefore(self.context.root, table, self.slots, attached_ns, self._matches)
            attempt = what_is_refused(self.context.root)
            self.attempts += (attempt,) if attempt else ()
        return via

    def _attach_returns(self, module: Module) -> None:
        option = returns_option(self._kind, self._shared)
        self._returns = attach_first(module, (option,), self.context.features)
        self.attempts += tuple(
            msgspec.structs.replace(attempt, via=f"returns: {attempt.via}") for attempt in self._returns.attempts
        )

    def _attach_uring(self, module: Module) -> None:
        """Count io_uring's operations, if this kernel and our rights allow it."""
        option = uring_option(self.context.tracefs)
        try:
            (attempt,) = attach_first(module, (option,), self.context.features).attempts
        except NotCompiledError:
            attempt = option.attempt("the format of the event is not as it is known")
        self._sees_uring = attempt.reason is None
        self.attempts += (msgspec.structs.replace(attempt, via=f"io_uring: {attempt.via}"),)

    @property
    def times_calls(self) -> bool:
        return self.latency

    def release(self) -> None:
        super().release()
        self._table.release()
        if self._before_attach is not None:
            self._before_attach.close()
        self._before_attach = None
        self._returns = None
        self._sees_uring = False

    def _ensure_returns(self, module: Module) -> None:
        if self._returns is None:
            self._attach_returns(module)
        if self._returns is None or self._returns.used is None:
            raise SourceError("calls cannot be traced: this kernel offers no event where they return")

    def _detach_returns(self, module: Module) -> None:
        if self._returns is not None:
            for link in self._returns.links:
                module.release(link)
            self._returns = None
            self.attempts = tuple(attempt for attempt in self.attempts if not attempt.via.startswith("returns: "))

    def _matches(self, pid: int, comm: bytes) -> bool:
        """Return whether the filter matches the thread *comm* of process *pid*; False if the process has ended."""
        try:
            return self.context.matches(pid, os.stat(f"/proc/{pid}").st_uid, comm.partition(b"\0")[0])
        except OSError:
            return False


def _ring_bytes(trace_limit: int) -> int:
    """Return the size of a buffer for what comes at once at the beginning of a second: a power of two."""
    times = -(-trace_limit // DEFAULT_TRACE_LIMIT)
    return min(_RING_BYTES << (times - 1).bit_length(), RING_BYTES_MAX)
