"""A recording as numbered chunks of whole lines: a reader can start anywhere without reading the rest.

Chunk *k* holds the lines (or frames) that begin in the *k*-th stretch of the file. So the number of chunks and their
places follow from the size of the file alone. Reading uses pread: if the file is cut short meanwhile, it just ends
early; a mapped file would kill the process.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from dataclasses import dataclass
from typing import Protocol

from ebpftop.recording import zstd_frames
from ebpftop.recording.parse import LAST_TIME, MAX_LINE_BYTES

PLAIN_STRETCH = 512 << 10
# Compressed about 10:1: a stretch unpacks to half a megabyte, in less than a millisecond.
ZST_STRETCH = 48 << 10
# Each chunk has an index entry, so a huge file has longer chunks: beyond 32 GiB, or 3 GiB compressed.
MAX_CHUNKS = 65_536
# No recording has frames that unpack to more than this many times the stretch. A reader holds a whole chunk in memory.
_MAX_RATIO = 32

_PEEK_BYTES = 16 << 10
_TIME = re.compile(rb'"(?:time|started)"\s*:\s*([0-9]{1,12}(?:\.[0-9]+)?)')


@dataclass(frozen=True, slots=True)
class Gap:
    """Damage inside a chunk: the number of lines before it, and the number of lines that are lost (None: unknown)."""

    after: int
    lines: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines (the last one of a file may lack its newline), and the gaps between them."""

    data: bytes
    gaps: tuple[Gap, ...] = ()

    @property
    def lines(self) -> int:
        """Lines that it had when it was written, as far as known."""
        cut = bool(self.data) and not self.data.endswith(b"\n")
        return self.data.count(b"\n") + cut + sum(gap.lines or 0 for gap in self.gaps)


class Chunks(Protocol):
    """Chunks by number, from `first` up to, but not including, `stop`. Any thread may use it."""

    @property
    def first(self) -> int:
        """Number of the oldest chunk that is still there."""

    @property
    def stop(self) -> int:
        """One more than the number of the newest chunk."""

    def load(self, number: int) -> Chunk:
        """Return a chunk; an empty one if nothing begins in it, or if it was dropped."""

    def time_of(self, number: int) -> float | None:
        """Return the time of its first record, None if it has none."""


class FileChunks(Chunks, Protocol):
    """The chunks of a file that is open."""

    def close(self) -> None:
        """Close the file; later loads return nothing. Safe to call twice."""


def first_time(data: bytes) -> float | None:
    """Return the time of the first record in *data* that has one."""
    return _time(_TIME.search(data))


def last_time(data: bytes) -> float | None:
    """Return the time of the last record in *data* that has one."""
    return _time(_TIME.search(data, max(data.rfind(b'"time"'), 0)))


def _time(found: re.Match[bytes] | None) -> float | None:
    if found is None:
        return None
    time = float(found[1])
    return time if time <= LAST_TIME else None


class _FileChunks:
    """What plain and compressed files share: a descriptor, a size, and a cache of times."""

    def __init__(self, fd: int, stretch: int) -> None:
        """Take over *fd*, a regular file."""
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._stretch = max(stretch, -(-self._size // MAX_CHUNKS))
        self._times: dict[int, float | None] = {}
        self._lock = threading.Lock()
        self._readers = 0
        self._closing = False

    first = 0

    @property
    def stop(self) -> int:
        return -(-self._size // self._stretch)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def close(self) -> None:
        """Close the file; later loads return nothing. Safe to call twice."""
        with self._lock:
            self._closing = True
            self._close_unread()

    def _close_unread(self) -> None:
        if self._closing and not self._readers and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def load(self, number: int) -> Chunk:
        raise NotImplementedError

    def peek(self, number: int) -> bytes:
        """Return the first lines of a chunk, enough for its time; it may return fewer lines than there are."""
        raise NotImplementedError

    def time_of(self, number: int) -> float | None:
        if number not in self._times:
            time = first_time(self.peek(number))
            self._times[number] = first_time(self.load(number).data) if time is None else time
        return self._times[number]

    def _read(self, offset: int, count: int) -> bytes:
        # Not under the lock: a disk may be slow, and two readers of different places must not wait for each other.
        with self._lock:
            if self._closing:
                return b""
            self._readers += 1
        try:
            return os.pread(self._fd, count, offset)
        except OSError:
            # The disk failed, so these lines are lost; the chunk ends here.
            return b""
        finally:
            with self._lock:
                self._readers -= 1
                self._close_unread()


class PlainChunks(_FileChunks):
    """A file of lines: chunk *k* holds the lines that begin in its stretch."""

    def __init__(self, fd: int, stretch: int = PLAIN_STRETCH) -> None:
        """Take over *fd*."""
        super().__init__(fd, stretch)

    def load(self, number: int) -> Chunk:
        start = number * self._stretch
        stop = start + self._stretch
        # Read one byte before: a line begins exactly here only if that byte is a newline.
        data = self._read(start - 1, self._stretch + 1) if number else self._read(0, self._stretch)
        begin = data.find(b"\n") + 1 if number else 0
        if number and not begin:
            return Chunk(b"")
        if len(data) == self._stretch + bool(number) and not data.endswith(b"\n"):
            data += self._rest_of_line(stop)
        return Chunk(data[begin:])

    def peek(self, number: int) -> bytes:
        data = self._read(max(0, number * self._stretch - 1), _PEEK_BYTES)
        return data[data.find(b"\n") + 1 :] if number else data

    def _rest_of_line(self, offset: int) -> bytes:
        """Read up to the newline. If the line is too long, read only enough to detect that."""
        parts: list[bytes] = []
        length = 0
        while length <= MAX_LINE_BYTES:
            part = self._read(offset + length, self._stretch)
            end = part.find(b"\n") + 1
            if end or not part:
                parts.append(part[:end])
                break
            parts.append(part)
            length += len(part)
        return b"".join(parts)


class ZstChunks(_FileChunks):
    """A file of marked frames (`zstd_frames.pack`): chunk *k* holds the frames whose mark begins in its stretch."""

    def __init__(self, fd: int, stretch: int = ZST_STRETCH) -> None:
        """Take over *fd*."""
        super().__init__(fd, stretch)

    def load(self, number: int) -> Chunk:
        packed, marks = self._segments(number)
        reader = _SegmentReader(max(zstd_frames.MAX_FRAME_BYTES, _MAX_RATIO * self._stretch))
        if number == 0:
            reader.unframed(packed[: marks[0]])
        for begin, end in itertools.pairwise(marks):
            if reader.is_full:
                reader.leave_out(len(packed) - begin)
                break
            reader.segment(packed[begin:end])
        return Chunk(b"".join(reader.parts), tuple(reader.gaps))

    def peek(self, number: int) -> bytes:
        packed = self._read(number * self._stretch, self._stretch + len(zstd_frames.MARK) - 1)
        at = packed.find(zstd_frames.MARK)
        return zstd_frames.unpack(packed, at + zstd_frames.MARK_BYTES, _PEEK_BYTES).data if at >= 0 else b""

    def _segments(self, number: int) -> tuple[bytes, list[int]]:
        """Return bytes, and the offsets in them: the start of each mark of this chunk, the end of the last frame."""
        start = number * self._stretch
        packed = bytearray(self._read(start, self._stretch + len(zstd_frames.MARK) - 1))
        marks = []
        at = packed.find(zstd_frames.MARK, 0, self._stretch + len(zstd_frames.MARK) - 1)
        while at >= 0:
            marks.append(at)
            at = packed.find(zstd_frames.MARK, at + 1)
        if not marks and number:
            return b"", [0]
        search_from = self._stretch
        while (end := packed.find(zstd_frames.MARK, search_from)) < 0:
            more = self._read(start + len(packed), self._stretch)
            if not more or len(packed) > zstd_frames.MAX_FRAME_BYTES:
                end = len(packed)
                break
            search_from = max(self._stretch, len(packed) - len(zstd_frames.MARK) + 1)
            packed += more
        return bytes(packed[:end]), [*marks, end]


class _SegmentReader:
    """Reads a run of segments (each a mark and its frame): their lines, and the damage in them."""

    def __init__(self, max_bytes: int) -> None:
        """Unpack at most about *max_bytes*."""
        self.parts: list[bytes] = []
        self.gaps: list[Gap] = []
        self._lines = 0
        self._left = max_bytes
        # A bound on unpacked bytes that are of no use: they take time too.
        self._in_vain = 8 * max_bytes

    @property
    def is_full(self) -> bool:
        """Whether no more is unpacked."""
        return self._left <= 0 or self._in_vain <= 0

    def _add(self, data: bytes) -> None:
        self.parts.append(data)
        self._left -= len(data)
        self._lines += data.count(b"\n")

    def segment(self, packed: bytes) -> None:
        """Read one segment, from its mark up to the next one."""
        count = int.from_bytes(packed[len(zstd_frames.MARK) : zstd_frames.MARK_BYTES], "little")
        if not packed.startswith(zstd_frames.MAGIC, zstd_frames.MARK_BYTES):
            # Setting up a decompressor takes 50 us, and there may be thousands of marks without a frame.
            self._miss(count if count <= _MOST_LINES else None, "a mark without a frame")
            return
        frame = zstd_frames.unpack(packed, zstd_frames.MARK_BYTES, min(zstd_frames.MAX_FRAME_BYTES, self._left))
        if frame.fault is None:
            self._add(frame.data)
            self.unframed(packed[frame.end :])
            return
        whole = frame.data[: frame.data.rfind(b"\n") + 1]
        self._in_vain -= len(frame.data) - len(whole)
        self._add(whole)
        missing = count - whole.count(b"\n")
        # If the count is impossible for one second of records, it is damaged itself.
        self._miss(missing if 0 <= missing <= _MOST_LINES else None, frame.fault)

    def unframed(self, packed: bytes) -> None:
        """Read bytes without a mark: a frame whose mark is damaged, or unreadable bytes."""
        if len(packed) <= _CHECKSUM_BYTES:
            # Too short for a line: at most the checksum of a frame whose checksum flag was damaged.
            return
        if (
            packed[zstd_frames.MARK_BYTES : zstd_frames.MARK_BYTES + len(zstd_frames.MAGIC)] == zstd_frames.MAGIC
            and not self.is_full
        ):
            frame = zstd_frames.unpack(packed, zstd_frames.MARK_BYTES, min(zstd_frames.MAX_FRAME_BYTES, self._left))
            self._add(frame.data[: frame.data.rfind(b"\n") + 1])
            if frame.fault is None and frame.end == len(packed):
                return
        self._miss(None, f"{len(packed)} damaged bytes")

    def leave_out(self, size: int) -> None:
        """Note that *size* bytes are not read, because the bytes before them unpack to more than any recording has."""
        self._miss(None, f"{size} bytes behind frames that unpack to too much")

    def _miss(self, lines: int | None, reason: str) -> None:
        if lines != 0:
            self.gaps.append(Gap(self._lines, lines, reason))


_MOST_LINES = 10_000_000
_CHECKSUM_BYTES = 4
