"""A user's C file in the kernel: compiled, loaded, attached, and again each time it is saved."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ebpftop.kernel import tracefs
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.bpf_syscall import fentry_refusal
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.load import programs
from ebpftop.kernel.load.attempt import Attempt
from ebpftop.kernel.load.buffers import Buffers
from ebpftop.kernel.load.build import Build
from ebpftop.kernel.load.deadline import LOAD_S
from ebpftop.kernel.load.events import Event
from ebpftop.kernel.load.generation import Failure, Generation
from ebpftop.kernel.load.ladder import Ladder
from ebpftop.kernel.load.limits import MAP_BYTES
from ebpftop.kernel.load.loading import Loading, ProgramFacts, ProgramState, RawEvent
from ebpftop.kernel.load.maps import OpenMap
from ebpftop.kernel.load.saved import Watch
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.load.slots import Slots
from ebpftop.kernel.load.source import Source
from ebpftop.kernel.load.source_files import resolved
from ebpftop.kernel.offsets import function_id, syscall_prefix

_NO_EVENTS: Mapping[str, tuple[Event, ...]] = MappingProxyType({})


def kernel_features() -> KernelFeatures:
    """Return what decides where programs can be attached."""
    return KernelFeatures(tracefs.find(), fentry_refusal(function_id(f"{syscall_prefix()}sys_execve")))


def _counted_lost(generation: Generation | None) -> dict[str, int]:
    """Return how often a write to each buffer failed, where its programs count that."""
    if generation is None or generation.lost is None:
        return {}
    with suppress(OSError):
        return generation.lost.lost()
    return {}


class LoadedFile:
    """One file. It is safe to use from several threads only if its owner locks it."""

    def __init__(
        self,
        path: Path,
        *,
        attach: Mapping[str, tuple[Event, ...]] = _NO_EVENTS,
        features: KernelFeatures | None = None,
        load_server: LoadServer | None = None,
        map_bytes_max: int = MAP_BYTES,
        load_s: float = LOAD_S,
    ) -> None:
        """Nothing is read or loaded yet. Links on the way to *path* are followed now, and not when it is read.

        *attach*: events of functions, which win over those that the file names.

        *load_s*: how long it may take to load it, on a machine of usual speed.
        """
        self.path = resolved(path)
        self._attach = attach
        self._features = features
        self._server = load_server
        self._map_bytes_max = map_bytes_max
        self._load_s = load_s
        self._watch = Watch(self.path)
        self._ladder = Ladder()
        self._buffers = Buffers()
        self._slots = Slots()
        self._now: Generation | None = None
        self._lost: dict[str, int] = {}
        """How often a write to each buffer failed before what runs now was loaded."""
        self.generation = 0
        """How often it was loaded without an error."""
        self.loading: Loading | None = None
        """What the last attempt came to."""
        self.good: Loading | None = None
        """What runs now; None if nothing does."""
        self.counting = False
        """Whether programs that are loaded from now on count how often each line runs."""

    @property
    def maps(self) -> Mapping[str, OpenMap]:
        """The maps of what runs now, by name."""
        return self._now.maps if self._now else {}

    @property
    def programs(self) -> Mapping[str, ProgramState]:
        """The programs of what runs now, by name."""
        return {one.name: one for one in self.good.programs} if self.good else {}

    def saved(self) -> bool:
        """Return whether the file, or one that it includes, was saved since the last `load` began."""
        return self._watch.has_changed()

    def begin(self, *, counting: bool | None = None) -> Attempt:
        """Begin to load it as it is now. Call `Attempt.build`, in any thread, and give `finish` what it returns.

        *counting*: whether its lines are counted then; None: as they are now.
        """
        if self._features is None:
            self._features = kernel_features()
        return Attempt(
            self.path,
            self._attach,
            self._watch,
            self._ladder,
            self._features,
            self._server,
            self._map_bytes_max,
            load_s=self._load_s,
            counting=self.counting if counting is None else counting,
            text_before=self.loading.source if self.loading is not None else "",
        )

    def build(self, attempt: Attempt) -> Build | Loading:
        """Do the slow part of an attempt, see `Attempt.build`. What runs must stay as it is meanwhile. Raises Ended."""
        return attempt.build(self._now, self.generation)

    def finish(self, attempt: Attempt, result: Build | Loading) -> Loading | None:
        """Attach what was built, and detach what ran before; return what the attempt came to. It does not take long.

        None: it cannot be attached so, and has to be built again, for other places. If it fails, what ran before runs
        on.
        """
        if isinstance(result, Build):
            source = attempt.source
            assert source is not None
            switched = self._switch(source, result)
            if switched is None:
                return None
            result = switched.loading(source, self.generation) if isinstance(switched, Failure) else switched
        attempt.deadline.close()
        seconds = time.monotonic() - attempt.started_s
        self.loading = replace(result, seconds=seconds, saved=attempt.saved)
        if result.ok:
            self.good, self.counting = self.loading, attempt.counting
        return self.loading

    def discard(self, build: Build) -> None:
        """Remove what was built, instead of `finish`."""
        build.close(self._now)

    def load(self) -> Loading:
        """Compile, load and attach it as it is now. If that fails, what ran before runs on. Raises Ended."""
        return self._whole(self.begin())

    def _whole(self, attempt: Attempt) -> Loading:
        try:
            while (loading := self.finish(attempt, self.build(attempt))) is None:
                pass
        finally:
            attempt.deadline.close()
        return loading

    def _switch(self, source: Source, build: Build) -> Loading | Failure | None:
        """Attach what was built, then detach what ran before."""
        new = build.generation()
        try:
            for one in new.maps.values():
                self._buffers.add(one)
        except LoadError as error:
            return self._undo(new, build.failure("map", str(error)))
        slot_errors = self._slots.fill(source, new)
        failed: dict[str, str] = {}
        states = []
        for state in new.programs:
            function = build.function(state.name)
            attached: tuple[str, ...] = ()
            reasons: tuple[str, ...] = ()
            if state.fd is not None:
                copies = new.copies.get(state.name, {})
                attached, reasons = self._ladder.attach(function, state.fd, copies, new.links)
            if reasons and not attached:
                failed[function] = "; ".join(reasons)
            states.append(replace(state, attached=attached, reason="; ".join(reasons) or state.reason))
        if failed and self._ladder.climb(failed):
            self._undo(new, None)
            return None
        for function, reason in failed.items():
            self._ladder.fail(function, reason)
        states = [replace(state, attempts=self._ladder.attempts(build.function(state.name))) for state in states]
        if not any(state.attached for state in states) and any(state.events for state in states):
            reasons = tuple(dict.fromkeys(state.reason for state in states if state.reason))
            build.states = states
            return self._undo(new, build.failure("attach", "; ".join(reasons)))
        old, self._now = self._now, new
        new.programs[:] = states
        if old is not None:
            self._note_lost(old)
            old.close(new)
        self._buffers.keep_only(new.maps.values())
        self.generation += 1
        return build.loading(self.generation, tuple(states), slot_errors)

    def _undo(self, new: Generation, failure: Failure | None) -> Failure | None:
        """Remove what was not to be; what ran before runs on."""
        new.close(self._now)
        self._buffers.keep_only(self.maps.values())
        return failure

    def events(self) -> list[RawEvent]:
        """Return what programs wrote to perf and ring buffers since the last call."""
        return self._buffers.read()

    def lost(self) -> dict[str, int | None]:
        """Return how often a write to each buffer failed, since the file was started; None if that is not counted.

        Its programs count it. Where one of them does not, it is what the kernel says, which of a ring is nothing.
        """
        counted = _counted_lost(self._now)
        return {
            name: self._lost.get(name, 0) + counted[name] if name in counted else count
            for name, count in self._buffers.lost().items()
        }

    def release_plain(self) -> None:
        """Remove the programs that do not count and whose copies run, once their code was read."""
        if self._now is None or self.good is None:
            return
        for one in self._now.programs:
            if one.plain_fd is not None:
                os.close(one.plain_fd)
        self._now.programs[:] = [replace(one, plain_fd=None) for one in self._now.programs]
        self.good = replace(self.good, programs=tuple(self._now.programs))

    def _note_lost(self, old: Generation) -> None:
        """Keep what programs that are replaced have counted."""
        for name, count in _counted_lost(old).items():
            self._lost[name] = self._lost.get(name, 0) + count

    def write(self, name: str, key: bytes, value: bytes) -> None:
        """Set a key of a map. Raises OSError, ValueError for a wrong size, KeyError for an unknown map."""
        self.maps[name].write(key, value)

    def delete(self, name: str, key: bytes) -> bool:
        """Delete a key of a map; False if it was not there. Raises as `write`."""
        return self.maps[name].delete(key)

    def set_slot(self, name: str, index: int, program: str | None) -> None:
        """Put a program of the file into a slot of an array of programs, also after later loads; None empties it.

        Raises OSError, KeyError for an unknown map or program.
        """
        if self._now is None:
            raise KeyError(name)
        self._slots.set(self._now, name, index, program)

    def slots(self, name: str) -> Mapping[int, str]:
        """Return the programs in the slots of an array of programs, by name."""
        return self._slots.of(name)

    def facts(self, program: str) -> ProgramFacts:
        """Return what the kernel says about a program. Raises OSError, KeyError."""
        fd = self.programs[program].fd
        if fd is None:
            raise KeyError(program)
        return programs.facts(fd)

    def count_lines(self, on: bool) -> Loading:
        """Count how often each line runs, or stop: it is loaded again for that. It costs 5 to 10 ns at each branch."""
        return self._whole(self.begin(counting=on))

    def line_counts(self) -> dict[int, int]:
        """Return how often each line ran since it was loaded; nothing of programs that do not count. Raises OSError.

        A line that only calls functions which are inlined has no instructions of its own, and is not counted.
        """
        counters = self._now.counters if self._now else None
        return counters.runs() if counters else {}

    def detach(self) -> None:
        """Let its programs run no more. Their maps and what they wrote can be read until `close`."""
        for link in self._now.links if self._now is not None else ():
            link.close()

    def close(self) -> None:
        """Detach and remove everything. Safe to call twice."""
        self._buffers.close()
        if self._now is not None:
            self._now.close(None)
            self._now = None
        self.good = None
