"""Recordings in parts: their names, which parts there are, and all of them read as one recording.

A part is a recording of its own. The header of each but the first names what of its beginning is in the part before it,
too: `held` lines, which say what held when it began. Read together, these are left out, so nothing is there twice.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import accumulate, pairwise

import msgspec

from ebpftop.core.records import UNKNOWN_HOST, End, Header, Record
from ebpftop.core.source import SourceError
from ebpftop.recording.chunks import Chunk, FileChunks, Part
from ebpftop.recording.parse import NEVER_CLOSED, ReadErrors

_SUFFIX = re.compile(r"(?:\.jsonl)?(?:\.zst)?\Z|\.[^.]*\Z")
_STAMP = "%Y%m%dT%H%M%S.%f"
_STAMP_PATTERN = r"\d{8}T\d{6}\.\d{3}Z"
# Each is a descriptor, of which a process has 1,024.
MOST_PARTS = 512
# Programs that run, and the last readings: no real part says more of what held.
_MOST_HELD = 80_000
_END = b'{"kind":"end"'
_END_LINE = re.compile(rb'^\{"kind":"end".*$', re.MULTILINE)
# The last line of a file is in the last of these chunks that has one.
_LAST_CHUNKS = 4


class PartNames:
    """The names of the parts of *path*: of ``day.jsonl`` ``day-20261129T162000.000Z.jsonl``. They sort by time."""

    def __init__(self, path: str) -> None:
        self.folder, name = os.path.split(path)
        found = _SUFFIX.search(name, 1)
        at = found.start() if found else len(name)
        self._stem, self._suffix = name[:at], name[at:]
        self._pattern = re.compile(f"{re.escape(self._stem)}-({_STAMP_PATTERN}){re.escape(self._suffix)}")
        self.glob = f"{self._stem}-*{self._suffix}"

    def existing(self) -> list[str]:
        """Return the names of the parts that are there, the oldest first; none if the folder cannot be read."""
        with contextlib.suppress(OSError), os.scandir(self.folder or ".") as entries:
            return sorted(
                entry.name
                for entry in entries
                if self._pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            )
        return []

    def next(self, now: float, last: str | None) -> str:
        """Return the name of a part that begins at *now*, Unix seconds: behind *last*, whatever the clock says."""
        moment = datetime.fromtimestamp(now, timezone.utc)
        if last is not None and (found := self._pattern.fullmatch(last)) is not None:
            with contextlib.suppress(ValueError):  # 20269999T..: of somebody else
                before = datetime.strptime(found[1][:-1], _STAMP).replace(tzinfo=timezone.utc)
                moment = max(moment, before + timedelta(milliseconds=1))
        return f"{self._stem}-{moment.strftime(_STAMP)[:-3]}Z{self._suffix}"


def paths_of(path: str) -> list[str]:
    """Return the files that *path* means: itself, else the parts of this name, else what its pattern matches."""
    if os.path.lexists(path):
        return [path]
    names = PartNames(path)
    found = [os.path.join(names.folder, name) for name in names.existing()]
    if not found and glob.has_magic(path):
        found = sorted(one for one in glob.glob(path) if _is_file(one))
    if len(found) > MOST_PARTS:
        raise SourceError(
            f"{path}: {len(found)} parts; at most {MOST_PARTS} are read at once", "name some of them: 'FILE-20261129*'"
        )
    return found or [path]


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


class JoinedChunks:
    """The chunks of several files, one after the other, as those of one file."""

    first = 0

    def __init__(self, files: Sequence[FileChunks], skipped: Sequence[int]) -> None:
        """Take over *files*. Of each so many lines at its beginning are *skipped*, and all ends but the last one."""
        self._files = files
        self._stops = list(accumulate(one.stop for one in files))
        self.stop = self._stops[-1]
        self._skipped: dict[int, int] = {}
        for file, lines, stop in zip(files, skipped, self._stops, strict=True):
            left, at = lines, 0
            while left > 0 and at < file.stop:
                self._skipped[stop - file.stop + at] = left
                left -= file.load(at).lines
                at += 1

    def close(self) -> None:
        """Close the files; later loads return nothing. Safe to call twice."""
        for file in self._files:
            file.close()

    def load(self, number: int) -> Chunk:
        """Return a chunk; an empty one if nothing begins in it."""
        if not 0 <= number < self.stop:
            return Chunk()
        at = bisect_right(self._stops, number)
        file = self._files[at]
        chunk = file.load(number - self._stops[at] + file.stop)
        is_last = at + 1 == len(self._files)
        skipped = self._skipped.get(number, 0)
        if not skipped and (is_last or all(_END not in part.data for part in chunk.parts)):
            return chunk
        parts = []
        for part in chunk.parts:
            data = part.data
            lines = min(skipped, data.count(b"\n"))
            skipped = max(0, skipped - lines - (part.lost or 0))
            if lines:
                data = b"\n" * lines + data.split(b"\n", lines)[lines]
            if not is_last:
                data = _END_LINE.sub(b"", data)
            parts.append(Part(data, part.lost, part.reason))
        return Chunk(tuple(parts))


def joined(files: Sequence[tuple[str, Header, FileChunks]], damage: ReadErrors) -> tuple[Header, JoinedChunks]:
    """Return the header and the chunks of recordings with these names, in the order of their time."""
    files = _in_order(files)
    first = files[0][1]
    known, number = first, first.part or 0
    skipped = [0]
    for (name, _, chunks), (_, header, _) in pairwise(files):
        end = _end_of(chunks)
        if end is None:
            damage.note(f"{name}: {NEVER_CLOSED}")
        elif end.reason:
            damage.note(f"{name}: recording ended early: {end.reason}")
        number += 1
        if header.host == UNKNOWN_HOST:  # its header is damaged: which part it is cannot be known
            skipped.append(0)
            continue
        is_same = is_same_run(known, header)
        if is_same and header.part != number:
            damage.note(f"behind {name} a part is missing")
        # What is of another run holds anew; of the same one its header alone would go back in time.
        skipped.append(1 + _held(header) if is_same else 0)
        known, number = header, header.part or 0
    if first.host == UNKNOWN_HOST:
        named = next((header for _, header, _ in files if header.host != UNKNOWN_HOST), first)
        first = msgspec.structs.replace(named, begin=max(first.started, named.started))
    return first, JoinedChunks([chunks for _, _, chunks in files], skipped)


def _in_order(files: Sequence[tuple[str, Header, FileChunks]]) -> list[tuple[str, Header, FileChunks]]:
    """Return *files* in the order of their time. One whose time is not known stays behind the one before it."""
    begins: list[float] = []
    for _, header, _ in files:
        before = begins[-1] if begins else -math.inf
        begins.append(before if header.host == UNKNOWN_HOST else _begin(header))
    return [files[at] for at in sorted(range(len(files)), key=begins.__getitem__)]


class HeldSkipper:
    """Leaves out what a part repeats of the one before, of parts that come one after the other by a pipe."""

    def __init__(self) -> None:
        self._header = Header()
        self._left = 0

    def pass_through(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield *records* without those that came before."""
        for record in records:
            if isinstance(record, Header):
                goes_on = is_next(self._header, record)
                self._header, self._left = record, _held(record) if goes_on else 0
            elif self._left > 0:
                self._left -= 1
                continue
            yield record


def is_same_run(before: Header, header: Header) -> bool:
    """Whether both are of parts of one recording."""
    return header.part is not None and (header.host, header.started) == (before.host, before.started)


def is_next(before: Header, header: Header) -> bool:
    """Whether no part is missing between these."""
    return is_same_run(before, header) and header.part == (before.part or 0) + 1


def _held(header: Header) -> int:
    return min(header.held or 0, _MOST_HELD)


def _begin(header: Header) -> float:
    return header.started if header.begin is None else header.begin


def _end_of(chunks: FileChunks) -> End | None:
    for number in range(chunks.stop - 1, max(-1, chunks.stop - 1 - _LAST_CHUNKS), -1):
        *_, last = None, *chunks.load(number).records()
        if last is not None:
            return last if isinstance(last, End) else None
    return None
