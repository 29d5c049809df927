"""A stream that another machine sends through a pipe, as a Source: live until it ends."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from ebpftop.core.record_memory import weight
from ebpftop.core.records import SCHEMA, End, Header, ProbeName, Record
from ebpftop.core.source import Batch, SourceError
from ebpftop.recording import reader, schema1
from ebpftop.recording.chunks import Chunk, Part
from ebpftop.recording.grouping import MAX_SLICE_BYTES, group
from ebpftop.recording.hosts import OneHost
from ebpftop.recording.lines import lines_of
from ebpftop.recording.parse import ReadError, read_lines
from ebpftop.recording.parts import HeldSkipper
from ebpftop.recording.readings import ReadingDecoder
from ebpftop.sources.recorded import RecordedSource

_READ_BYTES = 256 << 10
# At most this much may come before the first record: damaged lines, or messages of a remote shell.
_SEARCHED_BYTES = 64 << 20
# Closing takes at most this long: the reader checks for it this often.
_CHECK_EVERY_S = 0.2


class PipeSource(RecordedSource):
    """Lines or zstd frames from a file descriptor: `source.Source`.

    What comes is delivered at once. Without polling nothing is read, so the sender blocks and counts what it drops.
    """

    _no_toggle = "runs on the other machine", "choose the probes there, with --probes"
    _no_handler = "system calls are handled on the other machine", "start it there with --ignore or --trace"

    def __init__(self, fd: int, host: str | None = None, *, called: str = "") -> None:
        """Own *fd* and wait for its first record; SourceError if the stream ends without one.

        Of records of several hosts those of *host* are shown, without it those of the first: `damage` says that the
        others are left out. A stream cannot be looked through before, and others may come at any time.

        *called*: what the host is called here, if not as in its records.
        """
        super().__init__()
        self._hosts = OneHost(host, in_order=True)
        self.damage.hosts.append(self._hosts)
        self._fd = fd
        self._called = called
        self._came = 0
        """Bytes that came, in good lines or not."""
        self._line = 1
        self._readings = ReadingDecoder()
        self._skipper = HeldSkipper()
        self._is_old = False
        """Whether lines may be of schema 1."""
        self._subscriber: Callable[[Sequence[Record]], None] | None = None
        self._polled = threading.Event()
        first = b""
        header: Header | None = None
        # One iterator for all: one read of the pipe may have more pieces after the first one with a record.
        self._pieces = self._read()
        for first in self._pieces:
            header = reader.header_of(Chunk((Part(first),)), self.damage)
            if header is not None or self._came > _SEARCHED_BYTES:
                break
            # It has no record: count its lines as errors, and drop it.
            for _ in self._records(first):
                pass
        if header is None:
            self._close_input()
            is_long = self._came > _SEARCHED_BYTES
            what = "no recording comes by the pipe" if is_long else "the pipe ended without a record"
            raise self._hosts.not_found("the stream") or SourceError(
                what, "look at the messages of the other side; it must run as root"
            )
        self._set_header(header)
        self._threads = [threading.Thread(target=self._read_on, args=(first,), name="pipe", daemon=True)]
        self._threads[0].start()

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
        return not self._finished

    reads_all = False

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        self._polled.set()
        return super().poll(probe, timeout_s)

    def _close_input(self) -> None:
        os.close(self._fd)

    def _set_header(self, header: Header) -> None:
        self._is_old = header.schema < SCHEMA
        header = reader.as_schema2(header)
        self._header = msgspec.structs.replace(header, host=self._called or header.host)

    def _read_on(self, first: bytes) -> None:
        while not self._polled.wait(_CHECK_EVERY_S) and not self._closed:
            pass
        self._deliver(first)
        for lines in self._pieces:
            self._deliver(lines)
        self._finished = True

    def _deliver(self, lines: bytes) -> None:
        pending: list[Record] = []
        size = 0
        for record in self._records(lines):
            pending.append(record)
            size += weight(record)
            if size > MAX_SLICE_BYTES:
                self._deliver_all(pending)
                pending, size = [], 0
        self._deliver_all(pending)

    def _deliver_all(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, Header):
                self._set_header(record)
            elif isinstance(record, End) and record.reason:
                self.damage.note(f"recording ended early: {record.reason}")
        if self._subscriber is not None:
            self._subscriber([record for record in records if not isinstance(record, (Header, End))])
        for batch in group(records, float("inf")):
            self._channels.put(batch, lambda: not self._closed)

    def _records(self, lines: bytes) -> Iterator[Record]:
        """Yield the records of *lines*, and count what is not a record."""
        first, self._line = self._line, self._line + lines.count(b"\n")
        data = schema1.upgrade(lines) if self._is_old else lines
        return self._skipper.pass_through(read_lines(data, self.damage, first, self._readings))

    def _read(self) -> Iterator[bytes]:
        """Yield whole lines as they come, until the end or `close`; the last may lack its newline."""
        return map(self._hosts.lines_of, lines_of(self._inputs(), self.damage, self._count))

    def _count(self, came: int) -> None:
        self._came += came

    def _inputs(self) -> Iterator[bytes]:
        """Yield what comes, at the end an empty input; nothing more after `close`."""
        while not self._closed:
            if not select.select([self._fd], [], [], _CHECK_EVERY_S)[0]:
                continue
            try:
                data = os.read(self._fd, _READ_BYTES)
            except OSError as error:
                self.damage.add(ReadError(None, None, f"reading failed: {error.strerror}"))
                data = b""
            yield data
            if not data:
                return
