"""The last minutes of a live source, kept compressed and bounded in bytes, so that the screen can seek."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ebpftop.core.memory_budget import scaled
from ebpftop.core.records import Header, ProbeName, Record
from ebpftop.core.source import Batch, Source, WatchedList
from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.filters.spec import Filter
from ebpftop.models.series import Series
from ebpftop.recording import zstd_frames
from ebpftop.recording.chunks import Chunk, Part
from ebpftop.recording.index import Index, time_of
from ebpftop.recording.readings import ReadingEncoder
from ebpftop.recording.timeline import Timeline

KEEP_S = 15 * 60.0
MAX_BYTES = 56 << 20

# One chunk is a second of a quiet machine, or a megabyte of a busy one.
_CHUNK_S = 1.0
_CHUNK_BYTES = 1 << 20
# Level 1 compresses these lines 9:1, at three times the speed of the default level, which compresses them 10:1.
_LEVEL = 1
# The cost of a chunk besides its bytes: its entry in the index and its places in two queues.
_OVERHEAD_BYTES = 512


class History:
    """Records of the last *keep_s* seconds in at most *max_bytes*: `recording.chunks.Chunks` in memory.

    Any thread may add or read. To keep the bounds, the oldest chunks are dropped, in whole groups.
    """

    def __init__(self, keep_s: float = KEEP_S, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.keep_s = keep_s
        self.index = Index()
        self.series = Series()
        """What the machine did meanwhile."""
        self._adding = threading.Lock()
        """Held by a thread that adds, also while it compresses."""
        self._lock = threading.Lock()
        """Only held for a moment: the screen waits for it."""
        self._packed: deque[bytes] = deque()
        self._packed_bytes = 0
        self.first = 0
        self._open: list[Record] = []
        # In one piece: thousands of lines, freed each second, would leave holes in the memory between what stays.
        self._open_lines = bytearray()
        self._open_since = 0.0
        self._newest = 0.0
        self._encoder = ReadingEncoder()

    @property
    def bytes_used(self) -> int:
        """Bytes in use now, the index included."""
        return self._packed_bytes + len(self._open_lines) + self.index.bytes_used + _OVERHEAD_BYTES * len(self._packed)

    @property
    def stop(self) -> int:
        return self.first + len(self._packed) + bool(self._open)

    def add(self, records: Sequence[Record]) -> None:
        """Keep *records*, which are about as old as the last ones."""
        with self._adding:
            if not records:
                return
            lines = bytearray()
            for record in records:
                lines += self._encoder.encode(record)
                lines += b"\n"
            self._newest = max(self._newest, time_of(records[0]))
            if self._open and self._newest - self._open_since >= _CHUNK_S:
                self._seal()
            self.series.feed(records)
            with self._lock:
                if not self._open:
                    self._open_since = time_of(records[0])
                self._open += records
                self._open_lines += lines
            if len(self._open_lines) >= _CHUNK_BYTES:
                self._seal()

    def load(self, number: int) -> Chunk:
        with self._lock:
            at = number - self.first
            if not 0 <= at <= len(self._packed):
                return Chunk()
            if at == len(self._packed):
                return Chunk((Part(bytes(self._open_lines)),))
            packed = self._packed[at]
        return Chunk((Part(zstd_frames.unpack(packed, zstd_frames.MARK_BYTES).data),))

    def _seal(self) -> None:
        """Compress the open chunk. No other thread changes it meanwhile."""
        packed = zstd_frames.pack(self._open_lines, len(self._open), _LEVEL)
        self.index.add(self._open, len(self._open))
        with self._lock:
            self._packed.append(packed)
            self._packed_bytes += len(packed)
            self._open, self._open_lines = [], bytearray()
        while (stop := self._next_start()) is not None and (
            self.bytes_used + _CHUNK_BYTES > self.max_bytes or self._newest - stop[1] > self.keep_s
        ):
            with self._lock:
                chunks = stop[0] - self.first
                for _ in range(chunks):
                    self._packed_bytes -= len(self._packed.popleft())
                self.index.drop(chunks)
                self.first += chunks
            self.series.drop_before(stop[1])

    def _next_start(self) -> tuple[int, float] | None:
        """Return the number and time of the first chunk behind the oldest that a history can begin with.

        It has a whole reading; if there are no readings, it is enough to know what holds.
        """
        first, infos = self.index.infos()
        starts = [(first + at, info) for at, info in enumerate(infos) if at and self.index.may_start(first + at)]
        if infos and any(info.whole for info in infos):
            starts = [(number, info) for number, info in starts if info.whole]
        return next(((number, info.first) for number, info in starts), None)


@runtime_checkable
class OrderedSource(Protocol):
    """A source that delivers its records in their order. Polling its probes one by one may lose the order."""

    def subscribe_ordered(self, subscriber: Callable[[Sequence[Record]], None]) -> None:
        """Call *subscriber* with all records as they come. Call this before the first poll."""


class HistorySource:
    """A live source with a history: everything polled from it can be shown again through `timeline`.

    It is a `source.Source` itself; `source` is the wrapped one, with all its other methods. While the screen shows the
    past, polling continues and the screen drops the batches; a snapshot of the last moment of `timeline.span` brings it
    up to date.
    """

    def __init__(self, source: Source, keep_s: float = KEEP_S, max_bytes: int | None = None) -> None:
        """Keep *keep_s* seconds of *source* in at most *max_bytes*; None: in its part of `--memory`."""
        self.source = source
        self.history = History(keep_s, scaled(MAX_BYTES) if max_bytes is None else max_bytes)
        self.timeline = Timeline(source.header, self.history, self.history.index, source.probes)
        self._is_ordered = isinstance(source, OrderedSource)
        if isinstance(source, OrderedSource):
            source.subscribe_ordered(self.history.add)

    @property
    def header(self) -> Header:
        return self.source.header

    @property
    def live(self) -> bool:
        return self.source.live

    @property
    def reads_all(self) -> bool:
        return self.source.reads_all

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        return self.source.probes

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        batch = self.source.poll(probe, timeout_s)
        if batch is not None and not self._is_ordered:
            self.history.add(batch.records)
        return batch

    def interrupt(self) -> None:
        self.source.interrupt()

    def is_on(self, probe: ProbeName) -> bool | None:
        return self.source.is_on(probe)

    def toggle(self, probe: ProbeName) -> None:
        self.source.toggle(probe)

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        return self.source.resolve(requested)

    def set_filter(self, requested: Filter) -> float:
        since = self.source.set_filter(requested)
        self.timeline.header = self.source.header
        return since

    def set_interval(self, seconds: float) -> None:
        self.source.set_interval(seconds)

    def watch(self, lists: frozenset[WatchedList]) -> None:
        self.source.watch(lists)

    def watch_process(self, pid: int | None) -> None:
        self.source.watch_process(pid)

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        self.source.set_handlers(calls, handler, conditions)

    def close(self) -> None:
        self.source.close()
