"""What the probes have in common: start, stop, and counting losses."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from ebpftop.core.records import Attempt, Fullest, Lost, Probe, ProbeName, Record, Where
from ebpftop.core.syscall_records import Abi
from ebpftop.kernel import event_buffer, maps
from ebpftop.kernel.attach import AttachOption, AttachResult, KernelFeatures, absent, attach_first
from ebpftop.kernel.barrier import wait_for_programs
from ebpftop.kernel.compiled import Compiled
from ebpftop.kernel.compiler import compiled
from ebpftop.kernel.errors import LoadError, NotCompiledError
from ebpftop.kernel.event_buffer import Buffer
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Dispatch, Module
from ebpftop.kernel.maps import Map
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes.trace_conditions import Followed, NoProcesses
from ebpftop.probes.user_names import UserNames
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT
from ebpftop.syscalls.tracing import TracedCall

# enum lost_where of bpf/ebpftop.h. LOST_BUSY (another program uses the buffer of that CPU) counts as recursion too.
LOST_IN_KERNEL: tuple[Where, ...] = ("ring", "map", "argv", "exits", "recursion", "rate")


@dataclass(frozen=True)
class Context:
    """What a probe needs to know about the kernel and the user's options."""

    defines: Defines
    shared: Mapping[str, Map]  # the filter's maps, and the tables of bpf/dispatch.h
    features: KernelFeatures
    root: RootWork
    users: UserNames
    buffer: Buffer
    dispatch: Dispatch | None = None
    probes: frozenset[ProbeName] = frozenset()  # all that may be attached, now or later
    preempts: bool = False  # whether the kernel may preempt programs at sys_enter and sys_exit
    attach: Mapping[str, str] = field(default_factory=dict)  # --attach: probe name (or probe.part) to attach option
    failures: bool = True
    exits: bool = True
    exec_events: bool = True  # False: of the exec log only how processes ended, counted
    latency: bool = True
    processes: bool = True
    pairs_every_s: float = 0.0  # how often to read who makes which call while nobody looks; 0: with each reading
    pairs_calm_s: float = 0.0  # the same while there are few calls
    in_flight: bool = True  # which calls are in progress
    waits_of_all: bool = True  # ask what each call in flight waits for, also while nobody looks
    printk: bool = False
    env: tuple[str, ...] = ()  # --env: names of variables whose values are reported
    env_names: bool = True  # the names of all variables, and how they differ from the parent's
    ignored: tuple[tuple[Abi, int], ...] = ()  # --ignore
    traced: tuple[TracedCall, ...] = ()  # --trace
    trace_limit: int = DEFAULT_TRACE_LIMIT  # --trace-limit
    stacks: bool = False  # --stacks
    followed: Followed = field(default_factory=NoProcesses)
    # Whether the filter matches a process that already ran: pid, uid, comm.
    matches: Callable[[int, int, bytes], bool] = lambda _pid, _uid, _comm: True
    # Whether an event of a process (pid, comm) is left out because it is ebpftop's own.
    is_self: Callable[[int, bytes], bool] = lambda _pid, _comm: False
    # Processes that --pid could not follow because its map was full.
    unfollowed: Callable[[], int] = lambda: 0
    filtering: Callable[[], bool] = lambda: False
    # What the filter names but no longer exists.
    gone: Callable[[], tuple[str, ...]] = tuple
    # The programs of all probes, and of the filter: their descriptors, and their whole names.
    own_programs: Callable[[], Mapping[int, str]] = dict
    # The programs whose lines the trace log has, by their ids; None: those of the machine, and a greeting of our own.
    printers: Callable[[], frozenset[int]] | None = None
    measures: bool = False  # what attach options cost, also if it is clear which one is used
    cache_tasks: bool = False  # ebpftop.kernel.task_cache_map

    @property
    def tracefs(self) -> Path | None:
        """Where tracefs is mounted."""
        return self.features.tracefs


class ProbeError(Exception):
    """A probe cannot start: the reason, the remedy, and what was tried."""

    def __init__(self, reason: str, remedy: str = "", attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.attempts = attempts


class KernelProbe(ABC):
    """One probe on the live kernel. Not thread-safe: its owner locks.

    To write one, name its C file in `file`, and say in `attach` where its programs go. The compiler gets `defines`,
    which describe the kernel; what is chosen for a run is in `parameters` and `map_entries`, and compiles nothing. Open
    buffers and fill maps in `prepare`, close them in `release`. Deliver events in `read_events`, counters in
    `read_counters`; of a counter that must survive a toggle, keep the total in `save_totals`. What the C file counts in
    the map `lost` is reported; count other losses in `lost_now`. The rest has a meaning without being overridden.
    docs/adding-a-probe.md goes through one of them.
    """

    name: ProbeName
    """As in its row of `ebpftop.probes.registry`; set when it is made."""
    file: ClassVar[str]
    """A file in bpf/, or the path of a file that includes those of bpf/ by name."""
    _events: event_buffer.Events | None = None
    """Its buffer, while it has one: how full that was is reported."""
    ring_bytes: int = 0
    """The size of its ring buffer, if the file includes bpf/events.h; a power of two."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.module: Module | None = None
        self.via: str | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self._compile_all = False
        self._compiled: tuple[Defines, Compiled] | None = None
        self._lost_before: dict[Where, int] = {}
        self._lost_reported: dict[Where, int] = {}
        self._fullest = 0.0

    @property
    def on(self) -> bool:
        """True while the probe is attached."""
        return self.module is not None

    def compile(self) -> None:
        """Compile what `start` will load, or find it in the cache, while that may be written. `start` raises errors."""
        with suppress(Exception):
            defines = self._all_defines()
            self._compiled = defines, compiled(self.file, defines)

    def _all_defines(self) -> Defines:
        return {**self.context.defines, **self.defines()}

    def start(self) -> None:
        """Compile, load and attach; raises ProbeError, SourceError, and DamagedError if starting again can help."""
        try:
            self._start()
        except OSError as error:
            self._discard()
            raise ProbeError(
                f"{error.filename or self.file}: {error.strerror or error}", attempts=self.attempts
            ) from error
        except LoadError as error:
            self._discard()
            raise ProbeError(
                f"{error}",
                "press ! for the output of the compiler (without the screen: ebpftop check -v)",
                self.attempts,
            ) from error
        except BaseException:
            self._discard()
            raise

    def _start(self) -> None:
        """Start; again with all programs if one is missing. DamagedError if a cache entry is the cause of a failure."""
        try:
            try:
                self._load_and_attach()
            except NotCompiledError:  # an attach option that seemed to work failed when it was tried
                if self.module is not None:
                    self.module.verify_cached()
                self._discard()
                self._compile_all = True
                self._load_and_attach()
        except (LoadError, NotCompiledError, ProbeError, OSError, LookupError, ValueError, struct.error):
            if self.module is not None:
                self.module.verify_cached()
            raise

    def _load_and_attach(self) -> None:
        parameters, entries = {**self.parameters()}, {**self.map_entries()}
        if self.ring_bytes:
            parameters |= event_buffer.parameters(self.context.buffer)
            entries |= event_buffer.map_entries(self.context.buffer, self.ring_bytes)
        defines = self._all_defines()
        ahead, self._compiled = self._compiled, None
        self.module = Module(
            self.file,
            defines,
            {**self.context.shared, **self.extra_maps()},
            parameters=parameters,
            entries=entries,
            made=ahead[1] if ahead is not None and ahead[0] == defines else None,
            dispatch=self.context.dispatch,
        )
        self.prepare(self.module)
        self.attempts = ()
        self.via = self.attach(self.module)

    def detach(self) -> None:
        """Detach its programs. Their data stays, to be read before `stop`, so that nothing is lost in between."""
        if self.module is not None:
            self.module.detach()
            wait_for_programs()

    def stop(self) -> None:
        """Detach and unload. Nothing of the probe stays in the kernel; its totals are saved here."""
        try:
            if self.module is not None:
                for where, count in self._lost_in_kernel().items():
                    self._lost_before[where] = self._lost_before.get(where, 0) + count
                self.save_totals(self.module)
        finally:
            self._discard()

    def _discard(self) -> None:
        module, self.module, self.via = self.module, None, None
        if module is not None:
            try:
                self.release()
            finally:
                module.close()

    def state(self, now: float) -> Probe:
        """Return the record of the present state."""
        return Probe(
            time=now,
            probe=self.name,
            state="on" if self.on else "off",
            via=self.via,
            reason=None,
            attempts=self.attempts,
            gone=self.context.gone(),
        )

    # ---- what the probes define ----

    def defines(self) -> Defines:
        """Return further `-D` flags: what this kernel is like. Each set of flags is compiled and cached separately."""
        return {}

    def parameters(self) -> Mapping[str, int]:
        """Return the value of each parameter that the C file declares: what the user chose, rates, limits."""
        return {}

    def map_entries(self) -> Mapping[str, int]:
        """Return the sizes, in entries, of the maps that the C file declares with one entry."""
        return {}

    def extra_maps(self) -> Mapping[str, Map]:
        """Return maps of the probe that are made elsewhere."""
        return {}

    def prepare(self, module: Module) -> None:  # noqa: B027
        """Fill maps and open buffers before anything is attached."""

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        """Return what `--attach` may choose from: for the probe ("") and each part of it, the names of its options.

        Another choice is refused before anything is attached; of a ladder that is not named here, when it is attached.
        """
        return {}

    @abstractmethod
    def attach(self, module: Module) -> str:
        """Attach everything; return the attach option in use."""

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        """Return what arrived since the last call, without waiting; *everything* if there will be no next call.

        Called about 10 times a second, more often while much arrives. *now*: Unix seconds.
        """
        return []

    @property
    def expects_events(self) -> bool:
        """Whether `read_events` may return something now: if not, it is called when counters are read."""
        return type(self).read_events is not KernelProbe.read_events

    def read_counters(self, now: float) -> list[Record]:
        """Return what the counters are. Called every `--interval`, and once after the programs were detached."""
        return []

    def before_filter(self, now: float, *, clears: bool) -> list[Record]:
        """The filter is about to change, to none if that *clears* it: return what must be read before."""
        return []

    def after_filter(self) -> None:  # noqa: B027
        """The filter has changed, or could not be changed."""

    def filter_changed(self) -> None:  # noqa: B027
        """The filter has changed, and what comes from now on counts as matched by it."""

    def save_totals(self, module: Module) -> None:  # noqa: B027
        """Save totals before the maps are closed."""

    def release(self) -> None:  # noqa: B027
        """Free what does not belong to the module."""

    # ---- helpers ----

    def attach_first(self, module: Module, options: tuple[AttachOption, ...], part: str = "") -> AttachResult:
        """Attach the first option that works; keep the options for `check` and the details. *part* names the ladder."""
        key = f"{self.name}.{part}" if part else self.name
        result = attach_first(module, options, self.context.features, self.context.attach.get(key))
        prefix = f"{part}: " if part else ""
        self.attempts += tuple(
            msgspec.structs.replace(attempt, via=prefix + attempt.via) for attempt in result.attempts
        )
        return result

    def may_need(self, option: AttachOption, *before: AttachOption) -> bool:
        """Return whether *option* may be used, so that its programs must be compiled: most of the start's time.

        It is not used if the kernel lacks it. It is not used either if one of the options *before* it seems to work and
        `--attach` names no ladder of this probe.
        """
        if self._compile_all or any(ladder.partition(".")[0] == self.name for ladder in self.context.attach):
            return True
        features = self.context.features
        return absent(option, features) is None and all(absent(other, features) is not None for other in before)

    def attach_first_or_fail(self, module: Module, options: tuple[AttachOption, ...], what: str) -> str:
        """Attach the first option that works of a required ladder; raises ProbeError with every option's reason."""
        result = self.attach_first(module, options)
        if result.via is None:
            reasons = "; ".join(f"{attempt.via}: {attempt.reason}" for attempt in result.attempts)
            raise ProbeError(
                f"{what} cannot be seen on this kernel: {reasons}",
                "run `ebpftop check` for what this kernel offers",
                self.attempts,
            )
        return result.via

    def _lost_in_kernel(self) -> dict[Where, int]:
        module = self.module
        if module is None:
            return {}
        lost = {where: maps.per_cpu_sum(module.table("lost"), i) for i, where in enumerate(LOST_IN_KERNEL)}
        lost["recursion"] += module.missed_runs()
        return lost

    def lost_now(self) -> dict[Where, int]:
        """Return the totals of every kind of loss since the start, toggles included."""
        lost = dict(self._lost_before)
        for where, count in self._lost_in_kernel().items():
            lost[where] = lost.get(where, 0) + count
        return lost

    def lost(self, now: float) -> list[Record]:
        """Return a record for every kind of loss that grew since the last call, and if the buffer was fuller."""
        records: list[Record] = []
        for where, count in self.lost_now().items():
            if count > self._lost_reported.get(where, 0):
                self._lost_reported[where] = count
                records.append(Lost(time=now, probe=self.name, where=where, count=count))
        events = self._events
        if events is not None and events.fullest / events.size > self._fullest:
            self._fullest = events.fullest / events.size
            records.append(Fullest(time=now, probe=self.name, share=self._fullest, size=events.size))
        return records


class UnusableProbe(KernelProbe):
    """Stands for a probe whose class cannot be used; starting it fails with the reason."""

    file: ClassVar[str] = ""

    def __init__(self, context: Context, reason: str) -> None:
        super().__init__(context)
        self._reason = reason

    def start(self) -> None:
        raise ProbeError(self._reason, "repair or uninstall the package that it is from")

    def attach(self, module: Module) -> str:
        raise NotImplementedError
