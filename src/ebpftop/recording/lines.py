"""Whole lines of what comes in pieces: text, or zstd frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ebpftop.recording import zstd_frames
from ebpftop.recording.parse import MAX_LINE_BYTES, ReadError, ReadErrors

_KIND = b'{"kind"'


def lines_of(
    inputs: Iterable[bytes], damage: ReadErrors, came: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield whole lines of *inputs*, bytes of a stream as they come: lines, or zstd frames of them.

    An empty input is the end; then the last line may lack its newline. *came* is told how many bytes of lines come.
    """
    reader = StreamReader(damage, came)
    for data in inputs:
        yield from reader.feed(data)
        if not data:
            return


class StreamReader:
    """Makes whole lines of the bytes of one stream: lines, or zstd frames of them."""

    def __init__(self, damage: ReadErrors, came: Callable[[int], None] = lambda _: None) -> None:
        """*came* is told how many bytes of lines come."""
        self._damage = damage
        self._came = came
        self._joiner = LineJoiner()
        self._stream: zstd_frames.Stream | None = None
        self._is_text = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the whole lines that *data* adds, in pieces of bounded size; an empty one is the end."""
        joiner = self._joiner
        if not data:
            if self._stream is not None and self._stream.inside:
                self._damage.add(ReadError(None, None, "cut off inside a zstd frame"))
            yield joiner.rest()
            return
        rest = data
        if self._stream is None and not self._is_text:
            # Messages of a remote shell may come before it.
            before = 0 if data.startswith((zstd_frames.MAGIC, zstd_frames.MARK[:4])) else data.find(zstd_frames.MARK)
            if before >= 0:
                self._stream = zstd_frames.Stream()
                yield joiner.add(data[:before] + b"\n") if before else b""
                rest = data[before:]
            self._is_text = _KIND in data
        try:
            for piece in (rest,) if self._stream is None else self._stream.feed(rest):
                self._came(len(piece))
                yield joiner.add(piece)
        except zstd_frames.ZstdError as error:
            # Continue at the next frame that begins in the data read from here on.
            self._damage.add(ReadError(None, None, f"a damaged zstd frame ({error})"))
            self._stream = zstd_frames.Stream(skip_to_mark=True)
            joiner.rest()


class LineJoiner:
    """Makes whole lines of pieces that end anywhere."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_too_long = False

    def add(self, piece: bytes) -> bytes:
        """Return the lines that *piece* completes; of one that is too long, its first part, as if it were a line."""
        if self._is_too_long:
            end = piece.find(b"\n") + 1
            if not end:
                return b""
            self._is_too_long = False
            piece = piece[end:]
        # Search only the new piece: a line may come in millions of pieces.
        end = piece.rfind(b"\n") + 1
        if end:
            lines = bytes(self._rest) + piece[:end]
            self._rest = bytearray(piece[end:])
            return lines
        self._rest += piece
        if len(self._rest) <= MAX_LINE_BYTES:
            return b""
        self._is_too_long = True
        return self.rest() + b"\n"

    def rest(self) -> bytes:
        """Return the line that is not complete, and begin a new one."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest
