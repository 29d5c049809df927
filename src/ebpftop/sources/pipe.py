"""A stream that another machine sends through a pipe, as a Source: live until it ends."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence

from ebpftop.core.record_memory import weight
from ebpftop.core.records import SCHEMA, Abi, End, Handler, Header, ProbeName, Record
from ebpftop.core.source import Batch, FilterUnsupported, SourceError
from ebpftop.filters.spec import Filter
from ebpftop.probes.registry import registry
from ebpftop.recording import reader, schema1, zstd_frames
from ebpftop.recording.chunks import Chunk, Part
from ebpftop.recording.grouping import MAX_SLICE_BYTES, Grouper
from ebpftop.recording.parse import ReadError, ReadErrors, read_lines
from ebpftop.recording.readings import ReadingDecoder
from ebpftop.sources.queues import Channels

_READ_BYTES = 256 << 10
# At most this much may come before the first record: damaged lines, or messages of a remote shell.
_SEARCHED_BYTES = 64 << 20
# Closing takes at most this long: the reader checks for it this often.
_CHECK_EVERY_S = 0.2


class PipeSource:
    """Lines or zstd frames from a file descriptor: `source.Source`.

    What comes is delivered at once. Without polling nothing is read, so the sender blocks and counts what it drops.
    """

    def __init__(self, fd: int) -> None:
        """Own *fd* and wait for its first record; SourceError if the stream ends without one."""
        self.damage = ReadErrors()
        self._reader = _Reader(fd, self.damage)
        self._channels = Channels(self.probes)
        self._ended = False
        self._closed = threading.Event()
        first = b""
        header: Header | None = None
        # One iterator for all: one read of the pipe may have more pieces after the first one with a record.
        self._pieces = self._reader.chunks(self._closed)
        for first in self._pieces:
            header = reader.header_of(Chunk((Part(first),)), self.damage)
            if header is not None or self._reader.came > _SEARCHED_BYTES:
                break
            # It has no record: count its lines as errors, and drop it.
            for _ in self._reader.records(first):
                pass
        if header is None:
            self._reader.close()
            what = (
                "no recording comes by the pipe"
                if self._reader.came > _SEARCHED_BYTES
                else "the pipe ended without a record"
            )
            raise SourceError(what, "look at the messages of the other side; it must run as root")
        self._set_header(header)
        self._subscriber: Callable[[Sequence[Record]], None] | None = None
        self._thread = threading.Thread(target=self._read_on, args=(first,), name="pipe", daemon=True)
        self._starting = threading.Lock()

    def subscribe_ordered(self, subscriber: Callable[[Sequence[Record]], None]) -> None:
        """Call *subscriber* with all records as they come. Call this before the first poll.

        A pipe that was blocked brings seconds of records at once, and one probe is polled before the other.
        """
        self._subscriber = subscriber

    @property
    def header(self) -> Header:
        return self._header

    @property
    def live(self) -> bool:
        """Whether more records may come."""
        return not self._ended

    @property
    def finished(self) -> bool:
        """Whether the stream ended and everything was polled."""
        return self._ended and self._channels.empty

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        return registry().names

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        with self._starting:
            if self._thread.ident is None and not self._closed.is_set():
                self._thread.start()
        return self._channels.poll(probe, timeout_s)

    def is_on(self, probe: ProbeName) -> bool | None:
        return None

    def toggle(self, probe: ProbeName) -> None:
        raise SourceError(f"the {probe} probe runs on the other machine", "choose the probes there, with --probes")

    def set_interval(self, seconds: float) -> None:
        """The other machine keeps its own interval."""

    def set_handler(self, abi: Abi, nr: int, handler: Handler) -> None:
        raise SourceError("system calls are handled on the other machine", "start it there with --ignore or --trace")

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        return requested, ()

    def set_filter(self, requested: Filter) -> float:
        raise FilterUnsupported(
            "a recording holds what was recorded", "filter when recording: ebpftop record --uid ..."
        )

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._channels.close()
        with self._starting:
            if self._thread.ident is not None:
                self._thread.join()
        self._reader.close()

    def _set_header(self, header: Header) -> None:
        self._reader.is_old = header.schema < SCHEMA
        self._header = reader.as_schema2(header)

    def _read_on(self, first: bytes) -> None:
        self._hand_on(self._reader.records(first))
        for data in self._pieces:
            self._hand_on(self._reader.records(data))
        self._ended = True

    def _hand_on(self, records: Iterator[Record]) -> None:
        pending: list[Record] = []
        size = 0
        for record in records:
            pending.append(record)
            size += weight(record)
            if size > MAX_SLICE_BYTES:
                self._hand_on_all(pending)
                pending, size = [], 0
        self._hand_on_all(pending)

    def _hand_on_all(self, records: Sequence[Record]) -> None:
        grouper = Grouper(float("inf"))
        if self._subscriber is not None:
            self._subscriber([record for record in records if not isinstance(record, (Header, End))])
        batches: list[Batch] = []
        for record in records:
            if isinstance(record, Header):
                self._set_header(record)
            elif isinstance(record, End) and record.reason:
                self.damage.note(f"recording ended early: {record.reason}")
            batches += grouper.add(record)
        for batch in (*batches, *grouper.flush()):
            self._channels.put(batch, lambda: not self._closed.is_set())


class _Reader:
    """Reads whole lines from a descriptor, and records from these."""

    def __init__(self, fd: int, damage: ReadErrors) -> None:
        self._fd = fd
        self._damage = damage
        self._line = 1
        self._joiner = reader.LineJoiner()
        self.came = 0
        """Bytes that came, in good lines or not."""
        self._readings = ReadingDecoder()
        self.is_old = False
        """Whether lines may be of schema 1."""
        self._zst: zstd_frames.Stream | None = None
        self._begun = False

    def close(self) -> None:
        os.close(self._fd)

    def chunks(self, closed: threading.Event) -> Iterator[bytes]:
        """Yield whole lines as they come, until the end or *closed*; the last may lack its newline."""
        while not closed.is_set():
            if not select.select([self._fd], [], [], _CHECK_EVERY_S)[0]:
                continue
            try:
                data = os.read(self._fd, _READ_BYTES)
            except OSError as error:
                self._damage.add(ReadError(None, None, f"reading failed: {error.strerror}"))
                data = b""
            if not data:
                if self._zst is not None and self._zst.inside:
                    self._damage.add(ReadError(None, None, "cut off inside a zstd frame"))
                yield self._joiner.rest()
                return
            for piece in self._unpack(data):
                self.came += len(piece)
                yield self._joiner.add(piece)

    def records(self, lines: bytes) -> Iterator[Record]:
        """Yield the records of *lines*, and count what is not a record."""
        first, self._line = self._line, self._line + lines.count(b"\n")
        yield from read_lines(schema1.upgrade(lines) if self.is_old else lines, self._damage, first, self._readings)

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield what *data* holds, in pieces of bounded size."""
        if not self._begun:
            self._begun = True
            if data.startswith((zstd_frames.MAGIC, zstd_frames.MARK[:4])):
                self._zst = zstd_frames.Stream()
        if self._zst is None:
            yield data
            return
        try:
            yield from self._zst.feed(data)
        except zstd_frames.ZstdError as error:
            # Continue at the next frame that begins in the data read from here on.
            self._damage.add(ReadError(None, None, f"a damaged zstd frame ({error})"))
            self._zst = zstd_frames.Stream(skip_to_mark=True)
            self._joiner.rest()
