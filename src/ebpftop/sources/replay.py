"""A recording as a Source: for the screen it is like the kernel."""

from __future__ import annotations

import itertools
import threading
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import Cost, End, Header
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.user_records import Users
from ebpftop.models.series import Series
from ebpftop.probes.registry import is_of_a_file, registry
from ebpftop.recording import reader
from ebpftop.recording.grouping import BACKWARDS_S, Grouper
from ebpftop.recording.index import Index
from ebpftop.recording.parse import NEVER_CLOSED
from ebpftop.recording.timeline import SLICE_S, Timeline
from ebpftop.sources.recorded import RecordedSource

# At full speed there is no time between slices: larger ones cost the screen less.
_FULL_SPEED_SLICE_S = 1.0
# A longer wait is skipped: nothing happened meanwhile, or a damaged record is far ahead.
_LONGEST_WAIT_S = 30.0

# No machine takes longer to attach the programs.
_ATTACHING_S = 10.0

_HEAD_START_S = 0.5
_YIELD_S = 0.001
_OUT_OF_THE_WAY_S = 0.01


class ReplaySource(RecordedSource):
    """A recording that plays: a `source.Source`, with a `timeline` to seek in.

    *speed* 1 plays as it was recorded, 60 a minute per second, 0 as fast as it is polled. Two threads run: one plays,
    and one indexes the file ahead of it, so that the timeline is complete soon. The file is never held in memory.
    """

    live = False
    reads_all = False

    def __init__(
        self, path: str, speed: float = 1.0, fd: int | reader.Parts | None = None, host: str | None = None
    ) -> None:
        """Open *path*; SourceError if it is not a recording or cannot be read.

        Of records of several hosts those of *host* are shown.

        *fd*: it is already open, perhaps by a process with more rights, and now owned here.
        """
        super().__init__()
        fd = reader.open_files(path) if fd is None else fd
        self.header, self._chunks = reader.open_recording(fd, path, self.damage, host)
        self._index = Index()
        self.series = Series()
        """What the machine did, as far as it is indexed."""
        self._indexing = threading.Lock()
        self.timeline = Timeline(self.header, self._chunks, self._index)
        self._part_begin = float("-inf") if self.header.begin is None else self.timeline.span[0]
        """When a part begins: what is older says what held then, and is played at once."""
        self._clock = _Clock(self._first_moment(), speed, self._channels.condition)
        # What is played: the number of the jump, the chunk to begin with, the time behind which records are new.
        self._begin = (0, 0, float("-inf"))
        self._jumps = itertools.count(1)
        # Read them now: the states of probes at the start, and the span, which later needs no disk.
        self._index_next(0)
        _ = self.timeline.span
        self._threads = [
            threading.Thread(target=self._play, name="replay", daemon=True),
            threading.Thread(target=self._build_index, name="replay-index", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_of_a_file(self) -> bool:
        """Whether it holds a program of the user's own, and no other probe but the one of what that prints."""
        registered = registry()
        records = self._chunks.load(0).records()
        held = {registered.probe_of(record) for record in records if not isinstance(record, Cost)}
        return is_of_a_file(probe for probe in held if probe is not None)

    @property
    def position(self) -> float:
        """The moment being played, Unix seconds."""
        first, last = self.timeline.span
        return min(max(self._clock.now, first), last)

    @property
    def speed(self) -> float:
        """Recorded seconds per second; 0 as fast as possible."""
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._clock.set(speed=speed)

    @property
    def paused(self) -> bool:
        """Whether the recording is paused."""
        return self._clock.paused

    def pause(self) -> None:
        """Pause; what is already queued can still be polled."""
        self._clock.set(paused=True)

    def resume(self) -> None:
        """Continue after a pause."""
        self._clock.set(paused=False)

    def next_jump(self) -> int:
        """Return the number of a jump to come: the `Batch.jump` of all that is played after it.

        Batches with another number, polled but not shown yet, belong to the old place: drop them.
        """
        return next(self._jumps)

    def jump(self, time: float, number: int) -> None:
        """Continue playing from *time*, unless a jump with a higher *number* took place. It may read the file."""
        chunk = self.timeline.find(time)
        with self._channels.condition:
            if number < self._begin[0]:
                return
            self._begin = (number, chunk, time)
            self._finished = False
            self._channels.clear()
            self._clock.set(time)

    def _close_input(self) -> None:
        self._chunks.close()

    def _first_moment(self) -> float:
        """Return where playing starts: when all counters had been read once, if that was soon after the start.

        Until then ebpftop was attaching its programs; what was recorded meanwhile is delivered at once. A part of a
        recording starts where it begins.
        """
        if self.header.begin is not None:
            return self._part_begin
        firsts: dict[type, float] = {}
        begun: float | None = None
        for record in self._chunks.load(0).records():
            if isinstance(record, (Header, Foreign)):
                continue
            begun = record.time if begun is None else begun
            if isinstance(record, (Users, Syscalls)):
                firsts.setdefault(type(record), record.time)
            if len(firsts) == 2 or not begun <= record.time <= begun + _ATTACHING_S:
                break
        if begun is None:
            return self.header.started
        return max((time for time in firsts.values() if time <= begun + _ATTACHING_S), default=begun)

    def _play(self) -> None:
        while not self._closed:
            begin = self._begin
            is_current = partial(self._is_current, begin)
            for batch in self._batches(begin):
                if not self._clock.wait_until(max(batch.time, self._part_begin), is_current):
                    break
                if not self._channels.put(replace(batch, jump=begin[0]), is_current):
                    break
            with self._channels.condition:
                self._finished = self._begin == begin
                while is_current():
                    self._channels.condition.wait()

    def _is_current(self, begin: tuple[int, int, float]) -> bool:
        return not self._closed and self._begin == begin

    def _batches(self, begin: tuple[int, int, float]) -> Iterator[Batch]:
        """Yield what is played from a place on, to the end."""
        _, start, after = begin
        grouper = Grouper(SLICE_S if self.speed else _FULL_SPEED_SLICE_S)
        readings = self.timeline.readings_before(start)
        for number in range(start, self._chunks.stop):
            self._index_next(number)
            for record in self._chunks.load(number).records(readings=readings):
                # Only near the start: the moment that is shown there already has late records of itself.
                if isinstance(record, (Header, Foreign)) or (number <= start + 1 and record.time <= after):
                    continue
                yield from grouper.add(record)
            # A chunk may have nothing to wait with.
            if not self._is_current(begin):
                return
        yield from grouper.flush()

    def _build_index(self) -> None:
        # The first screen comes first.
        self._channels.wait_closed(_HEAD_START_S)
        while self._index.stop < self._chunks.stop and not self._closed:
            self._index_next(self._index.stop)
            # The playing and the drawing thread have priority.
            clock.sleep(_YIELD_S)
            while self.timeline.busy:
                clock.sleep(_OUT_OF_THE_WAY_S)

    def _index_next(self, number: int) -> None:
        """Add chunk *number* to the index if it is the next one. Damage is counted here, so once."""
        with self._indexing:
            if number != self._index.stop:
                return
            chunk = self._chunks.load(number)
            self._index.add(self.series.following(chunk.records(self.damage, self._index.line)), chunk.lines)
            if self._index.stop == self._chunks.stop:
                end = self._index.last_record
                if not isinstance(end, End):
                    self.damage.note(NEVER_CLOSED)
                elif end.reason:
                    self.damage.note(f"recording ended early: {end.reason}")


class _Clock:
    """Recorded time: it advances at a speed, or is paused."""

    def __init__(self, start: float, speed: float, condition: threading.Condition) -> None:
        self._condition = condition
        self._time = start
        self._since_s = clock.monotonic()
        self.speed = speed
        self.paused = False

    @property
    def now(self) -> float:
        """Unix seconds of the recording."""
        if self.paused:
            return self._time
        return self._time + (clock.monotonic() - self._since_s) * self.speed

    def set(self, time: float | None = None, speed: float | None = None, paused: bool | None = None) -> None:
        """Continue at *time*, at *speed*, pause or do not; what is None stays as it is."""
        with self._condition:
            self._time, self._since_s = self.now if time is None else time, clock.monotonic()
            self.speed = self.speed if speed is None else speed
            self.paused = self.paused if paused is None else paused
            self._condition.notify_all()

    def wait_until(self, time: float, is_current: Callable[[], bool]) -> bool:
        """Wait until *time*; return False once it is no longer *is_current*."""
        with self._condition:
            if time < self.now - BACKWARDS_S or time > self.now + _LONGEST_WAIT_S * max(self.speed, 1.0):
                self.set(time)
            while is_current():
                if not self.paused:
                    if not self.speed:
                        self._time = time
                        return True
                    rest_s = (time - self.now) / self.speed
                    if rest_s <= 0:
                        return True
                    self._condition.wait(rest_s)
                else:
                    self._condition.wait()
            return False
