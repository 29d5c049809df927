"""A part of a recording as it is typed: ``FILE@14:02..14:05``, ``FILE@+90s..``, ``FILE@..-1m``."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ebpftop.core.clock import whole_text
from ebpftop.core.source import UsageError

FORMS = "14:02:11, 2026-11-28T14:02, +90s or -1m30s"
"""What a moment may be, for messages."""

_DAYTIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(Z?)")
_OFFSET = re.compile(r"([+-])(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d+)?)s?)?")
_UNIX = re.compile(r"\d{9,12}(?:\.\d+)?")
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TypedSpan:
    """From one moment to another, as typed; an empty one is where the recording begins or ends."""

    begin: str
    end: str

    def resolve(self, first: float, last: float | None) -> tuple[float, float]:
        """Return it in Unix seconds, for a recording from *first* to *last* (None: not known).

        A time of day is that of the day on which the recording began, or of the next one if it is earlier than that; of
        the end, the first one behind the beginning. Raises UsageError if it is not a part of the recording.
        """
        begin = _moment(self.begin, first, first, last) if self.begin else -math.inf
        end = _moment(self.end, max(begin, first), first, last) if self.end else math.inf
        if begin >= end:
            raise UsageError(f"{self}: it ends before it begins", "name the earlier moment first")
        if begin > (math.inf if last is None else last) or end < first:
            until = "" if last is None else f" to {whole_text(last)}"
            raise UsageError(f"{self}: the recording has nothing there", f"it is of {whole_text(first)}{until}")
        return begin, end

    def __str__(self) -> str:
        return f"{self.begin}..{self.end}"


def split_span(text: str) -> tuple[str, TypedSpan | None]:
    """Split ``FILE@FROM..TO`` into the file and the part of it; None if *text* is a file, or names no part.

    Raises UsageError if what is behind the last @ has two dots, but is no part of a recording.
    """
    path, at, rest = text.rpartition("@")
    begin, dots, end = rest.partition("..")
    if not (path and at and dots) or "/" in rest or os.path.exists(text):
        return text, None
    for typed in filter(None, (begin, end)):
        if not _is_moment(typed):
            raise UsageError(f"{text}: {typed!r} is not a moment", f"write it as {FORMS}")
    return path, TypedSpan(begin, end)


def _is_moment(text: str) -> bool:
    if _DAYTIME.fullmatch(text) or _UNIX.fullmatch(text) or (len(text) > 1 and _OFFSET.fullmatch(text)):
        return True
    return _iso(text) is not None


def _iso(text: str) -> float | None:
    # Python 3.10 knows no Z.
    try:
        return datetime.fromisoformat(re.sub("Z$", "+00:00", text)).timestamp() if "-" in text[1:] else None
    except (ValueError, OverflowError):
        return None


def _moment(text: str, not_before: float, first: float, last: float | None) -> float:
    """Return the Unix seconds of *text*, which is a moment; of a time of day, the first one *not_before*."""
    if found := _DAYTIME.fullmatch(text):
        return _daytime(found, not_before)
    if _UNIX.fullmatch(text):
        return float(text)
    if (offset := _OFFSET.fullmatch(text)) is not None:
        hours, minutes, seconds = (float(part or 0) for part in offset.groups()[1:])
        passed_s = 3600 * hours + 60 * minutes + seconds
        if offset[1] == "+":
            return first + passed_s
        if last is None:
            raise UsageError(f"{text}: nobody knows yet where a stream ends", "count from its beginning: +90s")
        return last - passed_s
    iso = _iso(text)
    assert iso is not None
    return iso


def _daytime(found: re.Match[str], not_before: float) -> float:
    """Return the first moment of this time of day that is not earlier than the second of *not_before*."""
    beside = datetime.fromtimestamp(not_before, timezone.utc if found[4] else None)
    midnight = beside.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = timedelta(hours=int(found[1]), minutes=int(found[2]), seconds=float(found[3] or 0))
    moment = (midnight + passed).timestamp()
    return moment if moment >= math.floor(not_before) else (midnight + timedelta(days=1) + passed).timestamp()
