"""A recording or a stream from its beginning to its end, once: for what is made of it without a screen.

It takes the memory of a chunk, of what runs, and of one reading of each kind, however long the recording is.
"""

from __future__ import annotations

import math
import os
import re
import select
from collections.abc import Callable, Iterator

from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import SCHEMA, End, Header, Record, SeriesKey, TableReading, series_of
from ebpftop.core.source import SourceError
from ebpftop.recording import reader, schema1
from ebpftop.recording.chunks import Chunk, OpenChunks, Part
from ebpftop.recording.figures import figures
from ebpftop.recording.grouping import BACKWARDS_S
from ebpftop.recording.hosts import OneHost
from ebpftop.recording.index import Index, time_of
from ebpftop.recording.lasting import Lasting
from ebpftop.recording.lines import lines_of
from ebpftop.recording.parse import NEVER_CLOSED, ReadError, ReadErrors, read_lines
from ebpftop.recording.parts import HeldSkipper
from ebpftop.recording.readings import ReadingDecoder
from ebpftop.recording.timeline import Timeline

EVERYTHING = (-math.inf, math.inf)

_READ_BYTES = 256 << 10
_CHECK_EVERY_S = 0.2
# At most this much may come before the first record: damaged lines, or messages of a remote shell.
_SEARCHED_BYTES = 64 << 20
# Lines that say what holds from then on; in a recording of another program they may look different, and are missed.
_STATE = re.compile(rb'^\{"kind": ?"(?:probe|lost|loaded)".*', re.MULTILINE)
# The end of a file is looked for in so many chunks.
_LAST_CHUNKS = 16


class Passage:
    """The records of a file or a stream, in their order.

    `end` is the last record of a recording that was closed, None as long as it was not read. `is_over`: the end of the
    span came before it.
    """

    def __init__(
        self, fd: int | reader.Parts, name: str, ends: Callable[[], bool] = lambda: False, host: str | None = None
    ) -> None:
        """Own *fd*, a file, a pipe or a socket; SourceError if there is no recording.

        Of records of several hosts those of *host* are read. Without it, reading raises SourceError at the first record
        of a second one.

        A stream is also at its end when *ends* is true.
        """
        self.damage = ReadErrors()
        self.end: End | None = None
        self.is_over = False
        self._ends = ends
        self._name = name
        self._host = host
        self._chunks: OpenChunks | None = None
        if reader.is_stream(fd):
            self._lines = self._begin_stream(fd)
        else:
            self.header, self._chunks = reader.open_recording(fd, name, self.damage, host)

    def first_time(self) -> float:
        """Return the time of the first record of a file, of a stream that of its start; of a part, when it begins."""
        if self.header.begin is not None:
            return self.header.begin
        if self._chunks is None:
            return self.header.started
        chunk = self._chunks.load(0)
        times = (time_of(record) for record in chunk.records() if not isinstance(record, Header))
        return next(filter(None, times), self.header.started)

    def last_time(self) -> float | None:
        """Return the time of the last records of a file; None for a stream."""
        if self._chunks is None:
            return None
        # Other hosts may go on for hours after this one.
        searched = self._chunks.stop if any(one.others for one in self.damage.hosts) else _LAST_CHUNKS
        for number in range(self._chunks.stop - 1, max(-1, self._chunks.stop - 1 - searched), -1):
            times = [time_of(record) for record in self._chunks.load(number).records()]
            if times:
                return max(times)
        return self.header.started

    def records(self, span: tuple[float, float] = EVERYTHING, *, whole: bool = False) -> Iterator[Record]:
        """Yield the records of *span* (Unix seconds), without header and end; before them, what held when it began.

        Of each kind of readings the first one is whole; later ones are as they were written, or with *whole* all whole.
        Broken lines are counted in `damage`, as are those of unknown kinds, which are yielded as `Foreign`.
        """
        begin, end = span
        lasting: Lasting | None = Lasting() if begin > -math.inf else None
        readings = ReadingDecoder()
        given: set[SeriesKey] = set()
        for record in self._all():
            if isinstance(record, Header):
                continue
            if isinstance(record, End):
                self._note_end(record)
                continue
            if isinstance(record, TableReading) and not self._follow(readings, record):
                continue
            if record.time < begin and lasting is not None:
                lasting.follow(record)
                continue
            if record.time > end:
                # Those of other probes may be late.
                if record.time > end + BACKWARDS_S and not isinstance(record, Foreign):
                    self.is_over = True
                    return
                continue
            if lasting is not None:
                yield from lasting.records()
                lasting = None
            if isinstance(record, TableReading) and (whole or series_of(record) not in given):
                given.add(series_of(record))
                yield readings.whole_of(record)
            else:
                yield record
        if self._chunks is not None and self.end is None:
            self.damage.note(NEVER_CLOSED)

    def figures(self, span: tuple[float, float] = EVERYTHING) -> Iterator[Record]:
        """Yield the records of *span* as they were written, for what counts them.

        Before them come states of probes, losses, and the last reading of each kind, which is whole, as is the first
        one of a kind that had none. What is before the span in a file is searched for these, not read.
        """
        begin, readings, first, line = span[0], ReadingDecoder(), 0, 1
        if self._chunks is not None and begin > -math.inf:
            timeline = Timeline(self.header, self._chunks, Index())
            first = timeline.find(begin)
            lasting = Lasting()
            for number in range(first):
                chunk = self._chunks.load(number)
                line += chunk.lines
                for record in read_lines(b"\n".join(_STATE.findall(chunk.data))):
                    lasting.follow(record)
            yield from lasting.records()
            readings = timeline.readings_before(first)
        for record in figures(self._all(first, line), span, readings, self._note_broken):
            if isinstance(record, End):
                self._note_end(record)
            else:
                yield record

    def close(self) -> None:
        """Close the file."""
        if self._chunks is not None:
            self._chunks.close()

    def _follow(self, readings: ReadingDecoder, record: TableReading) -> bool:
        try:
            return readings.follow(record)
        except ValueError as error:
            self._note_broken(error)
            return False

    def _refuse_others(self) -> None:
        for hosts in self.damage.hosts:
            hosts.refuse_others(self._name)

    def _note_broken(self, error: ValueError) -> None:
        self.damage.add(ReadError(None, 1, str(error)))

    def _note_end(self, end: End) -> None:
        self.end = end
        if end.reason:
            self.damage.note(f"recording ended early: {end.reason}")

    def _all(self, first: int = 0, line: int = 1) -> Iterator[Record]:
        """Yield all records from chunk *first* on, which begins with *line*; a stream has but one."""
        if self._chunks is None:
            skipper = HeldSkipper()
            for lines in self._lines:
                self._refuse_others()
                data = schema1.upgrade(lines) if self._is_old else lines
                yield from skipper.pass_through(read_lines(data, self.damage, line))
                line += lines.count(b"\n")
            return
        for number in range(first, self._chunks.stop):
            chunk = self._chunks.load(number)
            self._refuse_others()
            yield from chunk.records(self.damage, line)
            line += chunk.lines

    def _begin_stream(self, fd: int) -> Iterator[bytes]:
        """Wait for the first record of *fd*; return an iterator over all lines."""
        came = 0

        def count(size: int) -> None:
            nonlocal came
            came += size

        hosts = OneHost(self._host, in_order=True)
        self.damage.hosts.append(hosts)
        pieces = map(hosts.lines_of, lines_of(self._inputs(fd), self.damage, count))
        for first in pieces:
            header = reader.header_of(Chunk((Part(first),)), self.damage)
            if header is not None:
                self._is_old = header.schema < SCHEMA
                self.header = reader.as_schema2(header)
                return _chain(first, pieces)
            for _ in read_lines(first, self.damage):
                pass  # it has no record: its lines are counted as broken
            if came > _SEARCHED_BYTES:
                break
        what = "no recording comes by the pipe" if came > _SEARCHED_BYTES else "the pipe ended without a record"
        raise hosts.not_found(self._name) or SourceError(
            what, "look at the messages of the other side; it must run as root"
        )

    def _inputs(self, fd: int) -> Iterator[bytes]:
        """Yield what comes from *fd*, at the end an empty input, and close it."""
        with os.fdopen(fd, "rb", buffering=0):
            while not self._ends():
                if not select.select([fd], [], [], _CHECK_EVERY_S)[0]:
                    continue
                try:
                    data = os.read(fd, _READ_BYTES)
                except OSError as error:
                    self.damage.add(ReadError(None, None, f"reading failed: {error.strerror}"))
                    data = b""
                yield data
                if not data:
                    return


def _chain(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others
