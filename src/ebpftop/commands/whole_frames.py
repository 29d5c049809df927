"""Write lines as zstd frames into a pipe: many together, and none kept back for long."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ebpftop.commands.whole_lines import LineWriter
from ebpftop.recording import zstd_frames

LATEST_S = 0.25
"""A line waits so long for others: without that frames take a fifth more, with twice as much a twentieth less."""
_FRAME_BYTES = 512 << 10


class FrameWriter:
    """Writes lines as the frames of a recording, each whole; raises OSError (EPIPE: the reader has gone)."""

    def __init__(self, fd: int, latest_s: float = LATEST_S) -> None:
        self._out = LineWriter(fd)
        self._latest_s = latest_s
        self._lines: list[bytes] = []
        self._size = 0
        self._due_s = 0.0
        self.written = 0
        """Lines in whole frames that were written."""

    def write(self, lines: Iterable[bytes]) -> None:
        """Add *lines*, each with its newline, none at all too; write the frames that are full, or due by now."""
        for line in lines:
            if not self._lines:
                # The first one, a header, goes at once: whoever waits for it sees that it works.
                self._due_s = time.monotonic() + (self._latest_s if self.written else 0.0)
            self._lines.append(line)
            self._size += len(line)
            if self._size >= _FRAME_BYTES:
                self.flush()
        if self._lines and time.monotonic() >= self._due_s:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._lines:
            return
        frame = zstd_frames.pack(b"".join(self._lines), len(self._lines))
        self._out.write([frame])
        self.written += len(self._lines)
        self._lines, self._size = [], 0
