"""A recording as numbered chunks of whole lines: a reader can start anywhere without reading the rest.

Chunk *k* holds the lines (or frames) that begin in the *k*-th stretch of the file. So the number of chunks and their
places follow from the size of the file alone. Reading uses pread: if the file is cut short meanwhile, it just ends
early; a mapped file would kill the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ebpftop.core.records import Record
from ebpftop.recording import zstd_frames
from ebpftop.recording.parse import MAX_LINE_BYTES, ReadError, ReadErrors, read_lines
from ebpftop.recording.readings import ReadingDecoder

PLAIN_STRETCH = 512 << 10
# Compressed about 10:1: a stretch unpacks to half a megabyte, in less than a millisecond.
ZST_STRETCH = 48 << 10
# Each chunk has an index entry, so a huge file has longer chunks: beyond 32 GiB, or 3 GiB compressed.
MAX_CHUNKS = 65_536
# No recording has frames that unpack to more than this many times the stretch. A reader holds a whole chunk in memory.
_MAX_RATIO = 32
_MOST_LINES = 10_000_000
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Part:
    """Whole lines, and what is wrong behind them: *lost* lines are missing (None: unknown) for *reason*."""

    data: bytes
    lost: int | None = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines (the last one of a file may lack its newline), and the gaps between them."""

    parts: tuple[Part, ...] = ()

    @property
    def data(self) -> bytes:
        """All its lines."""
        return b"".join(part.data for part in self.parts)

    @property
    def lines(self) -> int:
        """Lines that it had when it was written, as far as known."""
        cut = bool(self.parts) and self.parts[-1].data[-1:] not in (b"", b"\n")
        return cut + sum(part.data.count(b"\n") + (part.lost or 0) for part in self.parts)

    def records(
        self, damage: ReadErrors | None = None, first: int = 1, readings: ReadingDecoder | None = None
    ) -> Iterator[Record]:
        """Yield its records as `parse.read_lines` does, and count its gaps in *damage* too."""
        for part in self.parts:
            yield from read_lines(part.data, damage, first, readings)
            first += part.data.count(b"\n")
            if damage and part.reason:
                damage.add(ReadError(first, part.lost, part.reason))
            first += part.lost or 0


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


class OpenChunks(Chunks, Protocol):
    """Those of a file, or of several."""

    def close(self) -> None:
        """Close them; later loads return nothing. Safe to call twice."""


class _File:
    """A descriptor that is closed when no thread uses it any more: its number must not be reused while one reads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class FileChunks:
    """The chunks of a file: chunk *k* holds the lines that begin in its stretch."""

    first = 0
    # What is between two lines; a line begins right behind it. Beyond the bound, its end is not looked for.
    _separator = b"\n"
    _lead = 1
    _max_bytes = MAX_LINE_BYTES

    def __init__(self, fd: int, stretch: int = PLAIN_STRETCH) -> None:
        """Take over *fd*, a regular file."""
        self._file: _File | None = _File(fd)
        self._stretch = max(stretch, -(-os.fstat(fd).st_size // MAX_CHUNKS))
        self.stop = -(-os.fstat(fd).st_size // self._stretch)
        self.upgrade: Callable[[bytes], bytes] | None = None
        """Makes lines of schema 2 of those of the file."""
        self.chosen: Callable[[bytes], bytes] | None = None
        """Leaves only the lines of one host."""

    def close(self) -> None:
        """Close the file; later loads return nothing. Safe to call twice."""
        self._file = None

    def load(self, number: int) -> Chunk:
        """Return a chunk; an empty one if nothing begins in it."""
        parts = self._parts(self._piece(number), number)
        for change in filter(None, (self.chosen, self.upgrade)):
            parts = tuple(Part(change(part.data), part.lost, part.reason) for part in parts)
        return Chunk(parts)

    def _parts(self, piece: bytes, number: int) -> tuple[Part, ...]:
        return (Part(piece),)

    def _piece(self, number: int) -> bytes:
        """Return what begins in a stretch of the file, to its end."""
        # A line begins exactly at the start only if the byte before is a newline.
        start = number * self._stretch - (self._lead if number else 0)
        behind = self._stretch - (0 if number else self._lead)
        overlap = len(self._separator) - 1
        data = bytearray(self._read(start, behind + overlap))
        begin = data.find(self._separator) + self._lead if number else 0
        if begin < self._lead and number:
            return b""
        search_from = behind
        while (end := data.find(self._separator, search_from)) < 0 and len(data) - behind <= self._max_bytes:
            more = self._read(start + len(data), self._stretch)
            if not more:
                break
            search_from = max(behind, len(data) - overlap)
            data += more
        return bytes(data[begin:] if end < 0 else data[begin : end + self._lead])

    def _read(self, offset: int, count: int) -> bytes:
        file = self._file
        try:
            return os.pread(file.fd, count, offset) if file else b""
        except OSError:
            # The disk failed, so these lines are lost; the chunk ends here.
            return b""


class ZstChunks(FileChunks):
    """A file of marked frames (`zstd_frames.pack`): chunk *k* holds the frames whose mark begins in its stretch."""

    _separator = zstd_frames.MARK
    _lead = 0
    _max_bytes = zstd_frames.MAX_FRAME_BYTES

    def __init__(self, fd: int, stretch: int = ZST_STRETCH) -> None:
        """Take over *fd*."""
        super().__init__(fd, stretch)

    def _parts(self, piece: bytes, number: int) -> tuple[Part, ...]:
        unpacker = _Unpacker(max(zstd_frames.MAX_FRAME_BYTES, _MAX_RATIO * self._stretch))
        before, *segments = piece.split(zstd_frames.MARK)
        unpacker.unframed(before)
        left = len(piece) - len(before)
        for segment in segments:
            if unpacker.is_full:
                unpacker.miss(None, f"{left} bytes behind frames that unpack to too much")
                break
            unpacker.segment(segment)
            left -= len(zstd_frames.MARK) + len(segment)
        return unpacker.parts()


class _Unpacker:
    """Unpacks what is between marks: lines, and the damage in them."""

    def __init__(self, max_bytes: int) -> None:
        """Unpack at most about *max_bytes*."""
        self._done: list[Part] = []
        self._lines: list[bytes] = []
        self._left = max_bytes
        # A bound on unpacked bytes that are of no use: they take time too.
        self._in_vain = 8 * max_bytes

    def parts(self) -> tuple[Part, ...]:
        """Return all."""
        return (*self._done, Part(b"".join(self._lines)))

    @property
    def is_full(self) -> bool:
        """Whether no more is unpacked."""
        return self._left <= 0 or self._in_vain <= 0

    def segment(self, packed: bytes) -> None:
        """Unpack what is behind a mark: the number of lines, the frame, and nothing else if all is well."""
        count = int.from_bytes(packed[: zstd_frames.COUNT_BYTES], "little")
        # If the count is impossible for one second of records, it is damaged itself.
        said = count if count <= _MOST_LINES else None
        if not packed.startswith(zstd_frames.MAGIC, zstd_frames.COUNT_BYTES):
            # Setting up a decompressor takes 50 us, and there may be thousands of marks without a frame.
            self.miss(said, "a mark without a frame")
            return
        frame = self._unpack(packed, zstd_frames.COUNT_BYTES)
        if frame.fault is None:
            self.unframed(packed[frame.end :])
            return
        missing = -1 if said is None else said - self._lines[-1].count(b"\n")
        self.miss(missing if missing >= 0 else None, frame.fault)

    def unframed(self, packed: bytes) -> None:
        """Unpack bytes without a mark: a frame whose mark is damaged, or unreadable bytes."""
        if len(packed) <= _CHECKSUM_BYTES:
            # Too short for a line: at most the checksum of a frame whose checksum flag was damaged.
            return
        if packed.startswith(zstd_frames.MAGIC, zstd_frames.MARK_BYTES) and not self.is_full:
            frame = self._unpack(packed, zstd_frames.MARK_BYTES)
            if frame.fault is None and frame.end == len(packed):
                return
        self.miss(None, f"{len(packed)} damaged bytes")

    def _unpack(self, packed: bytes, start: int) -> zstd_frames.Frame:
        """Unpack a frame; of a damaged one, only whole lines are of use."""
        frame = zstd_frames.unpack(packed, start, min(zstd_frames.MAX_FRAME_BYTES, self._left))
        data = frame.data if frame.fault is None else frame.data[: frame.data.rfind(b"\n") + 1]
        self._in_vain -= len(frame.data) - len(data)
        self._left -= len(data)
        self._lines.append(data)
        return frame

    def miss(self, lines: int | None, reason: str) -> None:
        """Note that *lines* (None: nobody knows how many) are missing here."""
        if lines != 0:
            self._done.append(Part(b"".join(self._lines), lines, reason))
            self._lines.clear()
