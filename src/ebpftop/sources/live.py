"""KernelSource: the live kernel as a Source."""

from __future__ import annotations

import logging
import math
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ebpftop import __version__
from ebpftop.core.escape import printable
from ebpftop.core.own_programs import OwnFile
from ebpftop.core.records import SCHEMA, Header, Probe, ProbeName, Record
from ebpftop.core.source import Batch, SourceError, UsageError, WatchedList
from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.filters.spec import Filter
from ebpftop.kernel import compile_helper, task_cache_map, tracefs
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.bpf_syscall import fentry_refusal
from ebpftop.kernel.compiler import WITH_TYPES
from ebpftop.kernel.defines import kernel_defines, kernel_version
from ebpftop.kernel.errors import DamagedError
from ebpftop.kernel.event_buffer import Buffer
from ebpftop.kernel.filter_check import with_processes
from ebpftop.kernel.filter_maps import KernelFilter
from ebpftop.kernel.overhead import OverheadSampler
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.threads import own_pids
from ebpftop.kernel.unseen import PREEMPTIBLE_SINCE
from ebpftop.lifecycle.invoker import invoker
from ebpftop.lifecycle.priority import stand_back
from ebpftop.lifecycle.process import hold_back_signals, process
from ebpftop.probes.base import Context, KernelProbe, ProbeError
from ebpftop.probes.registry import LOAD, ProbeRow, registry
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.probes.user_names import UserNames
from ebpftop.sources.live_options import Options
from ebpftop.sources.load_edits import LoadEdits
from ebpftop.sources.plugin_probes import checked_records, probe_of
from ebpftop.sources.reading_pace import ReadingPace
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.tracing import BadTrace, parse_condition

if TYPE_CHECKING:
    from ebpftop.kernel.own_file import FileReader
    from ebpftop.probes.load import LoadProbe

_log = logging.getLogger(__name__)

_NOT_HIDDEN = (
    "ebpftop itself is shown too: it runs in a pid namespace and does not know its pids on the host; "
    "run it in the host's (--pid=host), or with --no-hide-self"
)

_OF_EVENTS = "the filter holds for events of {0} that say of which process they are; its maps count everything"


_AGAIN_S = 0.5

Probing = TypeVar("Probing", bound=KernelProbe)


def _begin_thread() -> None:
    stand_back()
    hold_back_signals()  # also for the threads that a probe starts


class KernelSource(LoadEdits):
    """The probes on the live kernel. See `ebpftop.core.source.Source`."""

    live = True
    reads_all = True

    def __init__(self, options: Options, root: RootWork | None = None, *, attach: bool = True) -> None:
        """Attach the probes. If one fails, its first batch has the reason. Raises SourceError.

        Call it before there are other threads: tracefs may have to be mounted in a namespace of our own. *root* does
        what needs root's rights later, and is closed with the source; None: this process keeps them. If not *attach*,
        all is ready for `attach` or `attach_soon`, which need no more rights than toggling a probe does.
        """
        self.options = options
        place = tracefs.mount_privately()
        self.tracefs = str(place) if place else None
        if place is not None:
            tracefs.remove_leftovers(place)
            process.set_tracefs(place)
        defines = {**kernel_defines(), **({WITH_TYPES: "1"} if options.btf else {})}
        self.buffer: Buffer = options.buffer or ("ring" if "HAVE_RING" in defines else "perf")
        self._root = root or RootWork(tracefs.instance_path(place))
        self._filter = KernelFilter(defines, own_pids())
        self.filter, self.notes = with_processes(options.filter)
        if options.filter.hide_self and not own_pids():
            self.notes += (_NOT_HIDDEN,)
        if options.load is not None and self.filter:
            self.notes += (_OF_EVENTS.format(printable(options.load.path.name)),)
        self.notes += tuple(map(str, registry().disabled))
        self._filter.apply(self.filter)
        execve_id = defines.get("EXECVE_ID")
        context = Context(
            defines=defines,
            shared=self._filter.shared,
            dispatch=self._filter.dispatcher.attach,
            probes=frozenset(options.probes + options.off),
            preempts=kernel_version() >= PREEMPTIBLE_SINCE,
            matches=self._filter.matches,
            is_self=self._filter.is_self,
            unfollowed=lambda: self._filter.lost,
            filtering=lambda: bool(self.filter),
            gone=lambda: self._filter.gone,
            features=KernelFeatures(
                tracefs=place, no_fentry=fentry_refusal(execve_id if isinstance(execve_id, int) else None)
            ),
            root=self._root,
            own_programs=self._programs,
            users=UserNames(),
            buffer=self.buffer,
            attach=options.attach,
            failures=options.failures,
            exec_events=options.exec_events,
            latency=options.latency,
            processes=options.processes,
            pairs_every_s=options.pairs_every_s,
            pairs_calm_s=options.pairs_calm_s,
            in_flight=options.in_flight,
            waits_of_all=options.waits_of_all,
            printk=options.printk,
            env=options.env,
            env_names=options.env_names,
            printers=None if options.load is None else self._loaded_programs,
            measures=options.measures,
            ignored=options.ignore,
            traced=options.trace,
            trace_limit=options.trace_limit,
            stacks=options.stacks,
            followed=self._filter,
            cache_tasks="HAVE_TASK_BTF" in defines and task_cache_map.should_cache_task(kernel_version()),
        )
        self._load_probe: LoadProbe | None = None
        self._probes = {
            row.name: self._made(row, context)
            for row in registry().rows.values()
            if row.name in options.probes or row.name in options.off
        }
        self._readers: dict[ProbeName, FileReader] = {}
        self._locks = {name: threading.Lock() for name in self._probes}
        self._pace = ReadingPace(self._probes, options.interval_s)
        self._news: dict[ProbeName, list[Record]] = {name: [] for name in self._probes}
        self._gone_reported: dict[ProbeName, tuple[str, ...]] = dict.fromkeys(self._probes, ())
        self._closed = threading.Event()
        self._is_interrupted = False
        # Those that are attached for the first time, or wait for that.
        self._starting = set(options.probes)
        self._attaching: threading.Thread | None = None
        self._cost = OverheadSampler(self._root)
        self.header = Header(
            schema=SCHEMA,
            version=__version__,
            host=options.host,
            kernel=printable(os.uname().release),
            abi=abis.native_abi(platform.machine()),
            started=time.time(),
            filter=tuple(map(printable, self.filter.options)),
        )
        for name in self._probes.keys() - set(options.probes):
            self._news[name].append(self._probes[name].state(time.time()))
        # When all requested probes were attached, on the monotonic clock.
        self.attached_s = math.inf
        try:
            self._require_options(options.attach)
            if invoker() is not None:  # the user that we become may not write the cache, which is root's
                for name in options.probes:
                    self._probes[name].compile()
            if attach:
                self.attach()
        except BaseException:  # Ctrl-C too: what is already attached must not stay
            self.close()
            raise

    def _made(self, row: ProbeRow, context: Context) -> KernelProbe:
        load = self.options.load
        if row.name != LOAD or load is None:
            return probe_of(row, context)
        from ebpftop.probes.load import LoadProbe  # with all that reads object files

        self._load_probe = LoadProbe(context, load)
        return self._load_probe

    def _loaded_programs(self) -> frozenset[int]:
        return self._load_probe.program_ids() if self._load_probe is not None else frozenset()

    def load_failures(self) -> tuple[str, ...]:
        """Return why nothing of the C file runs, line by line; () if it runs, or if there is none."""
        return self._load_probe.failures() if self._load_probe is not None else ()

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._pace.wake()

    def _require_options(self, chosen: Mapping[str, str]) -> None:
        """Raise UsageError if one of the attach options that were *chosen* does not exist; not if it may not work."""
        for ladder, option in chosen.items():
            name, _, part = ladder.partition(".")
            known: tuple[str, ...] = ()
            if name in self._probes:
                with self._failing_alone(name):
                    known = self._probes[name].ladders().get(part, ())
            kinds = tuple(dict.fromkeys(via.partition(":")[0] for via in known))
            if known and option not in (*known, *kinds):
                raise UsageError(
                    f"--attach {ladder}={option}: {ladder} is attached by {', '.join(kinds)}",
                    "`ebpftop check` lists all of them, with their places",
                )

    def attach(self) -> None:
        """Attach the requested probes side by side; return when all of them are attached, or have failed."""
        # The kernel verifies for a tenth of a second in each thread: the screen, if there is one, is drawn first.
        with ThreadPoolExecutor(thread_name_prefix="start", initializer=_begin_thread) as starting:
            list(starting.map(self._start_first, self.options.probes))
        if self._attaching is None:
            self._wait_for_file()
        compile_helper.rest()
        self.attached_s = time.monotonic()

    def _wait_for_file(self) -> None:
        """Wait until the C file is loaded, or has failed, and no thread works for it any more."""
        probe = self._load_probe
        if probe is None or not probe.is_loading:
            return
        while probe.is_loading:
            probe.wait(_AGAIN_S)
            with self._locks[LOAD]:
                probe.advance()
        with self._locks[LOAD]:  # the state before is not worth a record
            # Its code was read since it was attached: that takes a second.
            self._news[LOAD] = [probe.state(probe.attached_at or time.time())]

    def attach_soon(self) -> None:
        """Attach them in other threads, and return at once. Whatever fails is the first batch of its probe."""

        self._attaching = threading.Thread(target=self.attach, name="attach")
        self._attaching.start()

    def _start_first(self, name: ProbeName) -> None:
        try:
            with self._locks[name]:
                if not self._closed.is_set():
                    self._start(name)
        except Exception as error:
            if self._attaching is None:
                raise
            # The screen is open, and the others go on.
            _log.error("the probe %s could not start", name, exc_info=error)
            self._failed(name, ProbeError(str(error) if isinstance(error, SourceError) else repr(error)))
        finally:
            self._starting.discard(name)
            self._pace.wake(name)

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        """The requested probes, and those that can be attached later."""
        return tuple(self._probes)

    @property
    def failed(self) -> tuple[Probe, ...]:
        """The states of the probes that could not be attached, before these were polled."""
        news = [record for records in self._news.values() for record in records]
        return tuple(record for record in news if isinstance(record, Probe) and record.state == "failed")

    def find(self, kind: type[Probing]) -> Probing:
        """Return the probe of a class; LookupError if it was not requested."""
        for probe in self._probes.values():
            if isinstance(probe, kind):
                return probe
        raise LookupError(kind.__name__)

    def _start(self, name: ProbeName) -> None:
        probe = self._probes[name]
        with self._failing_alone(name):
            try:
                try:
                    probe.start()
                except DamagedError:  # by now it is as the compiler makes it
                    probe.start()
                self._news[name].append(probe.state(time.time()))
                self._note_own_file(name)
            except ProbeError as error:
                self._failed(name, error)
        self._pace.make_due(name)  # at once: rates are differences, and need a first reading

    @contextmanager
    def _failing_alone(self, name: ProbeName) -> Iterator[None]:
        """If the probe is another package's, nothing that it raises in here ends more than this probe."""
        try:
            yield
        except Exception as error:
            if name not in registry().plugins:
                raise
            probe = self._probes[name]
            with suppress(Exception):  # the probe's again; its programs are unloaded all the same
                probe.stop()
            self._failed(name, ProbeError(f"{type(error).__name__}: {error}", attempts=probe.attempts))

    def _failed(self, name: ProbeName, error: ProbeError) -> None:
        self._news[name].append(
            Probe(
                time=time.time(),
                probe=name,
                state="failed",
                via=None,
                reason=printable(error.reason),
                remedy=error.remedy or None,
                attempts=error.attempts,
            )
        )

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        """Return the next batch of *probe* as soon as it is time to read one; None if that is in *timeout_s* or later.

        With a timeout of 0 it is read now. All probes are read at the same moments, so that the process sleeps between.
        """
        until_s = time.monotonic() + timeout_s
        while not self._closed.is_set():
            if timeout_s and not self._pace.wait(probe, until_s):
                break
            if self._is_interrupted:
                break
            self._pace.reading(probe)
            with self._locks[probe]:
                batch = self._read(probe)
                one = self._probes[probe]
                # The first one also samples what ebpftop costs, and looks after the filter.
                for_events = probe == self.probes[0] or (one.on and one.expects_events)
                self._pace.was_read(probe, len(batch.records) if batch else 0, on=one.on, for_events=for_events)
            if batch is not None:
                return batch
            if time.monotonic() >= until_s:
                break
        return None

    def read_all(self) -> list[Batch]:
        """Return what every probe has now, and the counters even if they are not due."""
        self._pace.make_due()
        batches = []
        for name, lock in self._locks.items():
            with lock:
                batch = self._read(name, everything=True)
            if batch is not None:
                batches.append(batch)
        return batches

    def finish(self) -> Iterator[Batch]:
        """Detach one probe after the other; yield all that each saw until then. Afterwards, call `close`."""
        for name, probe in self._probes.items():
            with self._locks[name]:
                with self._failing_alone(name):
                    self._note_own_file(name)
                    probe.detach()
                self._pace.make_due(name)
                batch = self._read(name, everything=True)
            if batch is not None:
                yield batch

    def _read(self, name: ProbeName, *, everything: bool = False) -> Batch | None:
        probe = self._probes[name]
        now = time.time()
        records, self._news[name] = self._news[name], []
        gone = self._filter.refresh() if name == self.probes[0] else self._filter.gone
        if gone != self._gone_reported[name]:
            self._gone_reported[name] = gone
            records.append(probe.state(now))
        if probe.on:
            with self._failing_alone(name):
                records += self._read_probe(name, everything=everything)
            failed, self._news[name] = self._news[name], []
            records += failed
        cost = self._cost.poll(now, self._programs()) if name == self.probes[0] else None
        if cost is not None:
            records.append(cost)
        return Batch(name, now, tuple(records)) if records else None

    def _read_probe(self, name: ProbeName, *, everything: bool) -> list[Record]:
        probe, now = self._probes[name], time.time()
        records = checked_records(name, probe.read_events(now, everything=everything))
        self._pace.events_read(name, len(records))
        if self._pace.counters_due(name):
            records += checked_records(name, probe.read_counters(now))
            records += probe.lost(now)
        return records

    def _programs(self) -> dict[int, str]:
        """Return the names of our programs by their descriptors."""
        modules = [probe.module for probe in self._probes.values()]  # another thread may attach one now
        own = [item for module in modules if module is not None for item in module.programs.items()]
        return {fd: name.partition("@")[0] for name, fd in (*own, *self._filter.dispatcher.programs.items())}

    def own_file(self, probe: ProbeName) -> OwnFile | None:
        """Return what is loaded of *probe*; None if nothing is. Slow: call it from a thread."""
        with self._locks[probe]:
            return self._own_file(probe)

    def _own_file(self, probe: ProbeName) -> OwnFile | None:
        one = self._probes[probe]
        if one.module is None:
            return None
        from ebpftop.kernel.own_file import FileReader  # with all that reads types and code

        return self._readers.setdefault(probe, FileReader(self._root)).read(one.module, probe)

    def _note_own_file(self, probe: ProbeName) -> None:
        """If it is asked for, record what is loaded of a probe now."""
        if self.options.own_programs:
            with suppress(OSError):
                if (own := self._own_file(probe)) is not None:
                    self._news[probe].append(own)

    def is_on(self, probe: ProbeName) -> bool:
        """Return whether a probe is attached now, or will be when its start is over."""
        return probe in self._starting or (probe in self._probes and self._probes[probe].on)

    def toggle(self, probe: ProbeName) -> None:
        """Detach or attach a probe; its next batch has the new state, and what it saw last."""
        with self._locks[probe]:
            one = self._probes[probe]
            if one.on:
                with self._failing_alone(probe):
                    # Detaching takes a tenth of a second or more; what happens meanwhile is read too.
                    one.detach()
                    batch = self._read_last(probe)
                    one.stop()
                    self._news[probe] += [*batch, one.state(time.time())]
            else:
                self._start(probe)
                compile_helper.rest()
        self._pace.wake(probe)

    def _read_last(self, name: ProbeName) -> list[Record]:
        probe, now = self._probes[name], time.time()
        last = [*probe.read_events(now, everything=True), *probe.read_counters(now)]
        return [*checked_records(name, last), *probe.lost(now)]

    def set_interval(self, seconds: float) -> None:
        """Poll the counters every *seconds* from now on."""
        self._pace.set_interval(seconds)

    def watch(self, lists: frozenset[WatchedList]) -> None:
        """Read these lists with every reading. The next poll reads them, if nobody looked at them before."""
        with suppress(LookupError):
            if self.find(SyscallsProbe).watch(lists):
                self._pace.make_due("syscalls")
                self._pace.wake("syscalls")

    def watch_process(self, pid: int | None) -> None:
        """List the calls in flight of *pid* before all others, from the next reading on."""
        with suppress(LookupError):
            self.find(SyscallsProbe).watched_pid = pid

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        """Return *requested* with processes instead of threads, and notes about that."""
        return with_processes(requested)

    def set_filter(self, requested: Filter) -> float:
        """Let the kernel deliver only what matches *requested*, from the returned moment on; raises SourceError."""
        for name, probe in self._probes.items():
            with self._locks[name], self._failing_alone(name):
                self._news[name] += checked_records(name, probe.before_filter(time.time(), clears=not requested))
        try:
            self._filter.apply(requested)
            self.filter = requested
            # What is recorded from now on together with what was before is of no one filter.
            self.header = msgspec.structs.replace(self.header, filter=None)
        finally:
            for name, probe in self._probes.items():
                with self._locks[name], self._failing_alone(name):
                    probe.after_filter()
        since = time.time()
        for name, probe in self._probes.items():
            with self._locks[name], self._failing_alone(name):
                probe.filter_changed()
                if probe.on:
                    # Later counts are measured against these readings.
                    self._news[name] += checked_records(name, probe.read_counters(time.time()))
        self._pace.wake()
        return since

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        """Set what the kernel does with system calls, at once."""
        try:
            parsed = [one for text in conditions if (one := parse_condition(text)) is not None]
        except BadTrace as error:
            raise SourceError(str(error)) from error
        with self._locks["syscalls"]:
            self.find(SyscallsProbe).set_handlers(calls, handler, parsed)
        self._pace.wake("syscalls")

    @contextmanager
    def _editing(self) -> Iterator[LoadProbe]:
        probe = self._load_probe
        if probe is None:
            raise SourceError("no program of your own is loaded", "`ebpftop load FILE.c` loads one")
        with self._locks[LOAD]:
            yield probe
        self._pace.make_due(LOAD)
        self._pace.wake(LOAD)

    def close(self) -> None:
        """Detach everything. Safe to call twice."""
        self._closed.set()
        self._pace.wake()
        compile_helper.close()  # a probe that is being compiled need not wait for it
        if self.options.load is not None:
            from ebpftop.kernel.load import server as load_server

            if self._load_probe is not None:
                self._load_probe.abandon()
            load_server.close()
        if self._attaching is not None:
            self._attaching.join()
        self._cost.close()
        for name, probe in self._probes.items():
            with self._locks[name], self._failing_alone(name):
                probe.stop()
        self._filter.close()
        self._root.close()
