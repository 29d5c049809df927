"""The zstd format of recordings: each frame holds whole lines, and a mark before it has their number.

The mark is a skippable frame (RFC 8878, 3.1.2), which every zstd tool skips. It lets a reader start anywhere in
the file, find the next whole frame after damage, and know how many lines the damage took.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

ZstdError = zstd.ZstdError
MAGIC = b"\x28\xb5\x2f\xfd"
# A skippable frame of 8 bytes: our own tag, and the number of lines, little-endian.
MARK = b"\x5e\x2a\x4d\x18\x08\x00\x00\x00btop"
COUNT_BYTES = 4
MARK_BYTES = len(MARK) + COUNT_BYTES
# A frame holds half a megabyte of lines, or one line. A larger one is from another program, or a decompression bomb.
MAX_FRAME_BYTES = 8 << 20

_STEP_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
# The input behind the end of a frame is copied at each end. This keeps the copies small if frames are very short.
_FED_BYTES = 16 << 10
# The memory that unpacking a frame may need: frames of `zstd --ultra -22` need 128 MiB, of -19 8 MiB.
_WINDOW_LOG_MAX = 25
_OPTIONS: dict[int, int] = {
    # A damaged frame must be detected.
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.content_size_flag: 1,
}


def _decompressor() -> zstd.ZstdDecompressor:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    # A variable with a type, here and below: the stubs of backports.zstd have no types for Python 3.10.
    decompressor: zstd.ZstdDecompressor = zstd.ZstdDecompressor(options=options)
    return decompressor


def pack(lines: bytes | bytearray, count: int, level: int = 3) -> bytes:
    """Return *lines* (*count* of them, each with its newline) as a mark and one independent frame."""
    compressor = zstd.ZstdCompressor(options={**_OPTIONS, zstd.CompressionParameter.compression_level: level})
    frame: bytes = compressor.compress(lines, zstd.ZstdCompressor.FLUSH_FRAME)
    return MARK + count.to_bytes(COUNT_BYTES, "little") + frame


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, unpacked: its bytes, where the input continues, and what is wrong with it (None if nothing is)."""

    data: bytes
    end: int
    fault: str | None = None


def unpack(packed: bytes, start: int, limit: int = MAX_FRAME_BYTES) -> Frame:
    """Unpack the frame that begins at *start* of *packed*, as far as it can be read, at most *limit* bytes.

    In steps: of a damaged frame, the blocks before the damage are kept.
    """
    decompressor = _decompressor()
    data = bytearray()
    fed = packed[start:] if start else packed
    try:
        while not decompressor.eof and len(data) < limit:
            piece = decompressor.decompress(fed, max_length=min(_STEP_BYTES, limit - len(data)))
            data += piece
            fed = b""
            if not piece and decompressor.needs_input:
                return Frame(bytes(data), len(packed), "cut off inside a zstd frame")
    except ZstdError as error:
        return Frame(bytes(data), start + len(MAGIC), f"a damaged zstd frame ({error})")
    if decompressor.eof:
        return Frame(bytes(data), len(packed) - len(decompressor.unused_data))
    return Frame(bytes(data), len(packed), f"a zstd frame of more than {MAX_FRAME_BYTES >> 20} MiB")


class Stream:
    """Unpacks frame after frame as bytes come in; it cannot go back."""

    def __init__(self, *, skip_to_mark: bool = False) -> None:
        """Begin at the next byte, or after damage at the next mark."""
        self._decompressor = _decompressor()
        self._skipped: bytes | None = b"" if skip_to_mark else None
        self.inside = False
        """Whether a frame has begun and not ended."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what *packed* adds, in pieces of bounded size. Raises ZstdError for damage."""
        if self._skipped is not None:
            packed = self._skipped + packed
            at = packed.find(MARK)
            if at < 0:
                self._skipped = packed[1 - len(MARK) :]
                return
            self._skipped, packed = None, packed[at:]
        for begin in range(0, len(packed), _FED_BYTES):
            yield from self._unpack(packed[begin : begin + _FED_BYTES])

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        while packed or (self.inside and not self._decompressor.needs_input):
            piece = self._decompressor.decompress(packed, max_length=_PIECE_BYTES)
            packed = b""
            self.inside = not self._decompressor.eof
            if self._decompressor.eof:
                packed = self._decompressor.unused_data
                self._decompressor = _decompressor()
            if piece:
                yield piece
