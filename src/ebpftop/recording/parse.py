"""Read untrusted bytes as records, and report what could not be read.

A recording may come from another machine, another version, a full disk or an attacker. The records from here are as
safe as those of a live source: text is escaped, times are dates, integers have 64 bits. Everything else is a fault with
its place.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.format import counted
from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import LAST_TIME, Header, Record, TableReading
from ebpftop.core.shared import ENVIRONMENTS
from ebpftop.probes.registry import decode, registry
from ebpftop.recording.hosts import OneHost
from ebpftop.recording.readings import MAX_ROWS, ReadingDecoder

# The record of the longest command line, or of all users that are counted one by one, has 2 MiB.
MAX_LINE_BYTES = 4 << 20
# Values in a line: each takes up to 64 bytes when decoded. All counters of all calls of five ABIs are 250,000.
MAX_VALUES = 300_000
FAULTS_KEPT = 100
NEVER_CLOSED = "it was never closed: if it was cut off, the last second may be missing"

_REASON_CHARS = 160
# A line is decoded before it is checked. A shorter line cannot have a text that is too long.
_UNCHECKED_BYTES = 1024
# Characters of a name (a user's may have 256 bytes, a cgroup's 255), and of a path of 4096 bytes; all may be escaped.
_NAME_CHARS = 2 << 10
_LONG_TEXT = re.compile(rb'"[^"]{680}')  # a byte may become three characters
_PATH_CHARS = 32 << 10
_PATHS = frozenset(("file", "interp", "exe", "cwd", "root", "cgroup", "reason", "remedy"))
_LONG = frozenset(("message", "env"))
# After this many damaged lines of a window, one without a kind is not examined further: that takes ten times as long.
_FAULTS_LOOKED_AT = 100
# Bytes of whole lines that are split at a time: a line may be one byte long, and costs sixty.
_WINDOW_BYTES = 128 << 10
_INT64 = 1 << 63
# Every digit becomes "0", a point stays a point, every other byte becomes a blank. Then one `in` finds a whole number
# with so many digits that it may exceed 64 bits, and does not match the digits of a fraction.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x2E if byte == 0x2E else 0x20 for byte in range(256))
_TOO_MANY_DIGITS = b" " + b"0" * 19


def read_line(line: bytes) -> Record:
    """Return the record of one line without its newline, `Foreign` for a kind that nothing here knows.

    Raises ValueError, with a reason that is safe for a terminal, if the line is not a record or has impossible values.
    """
    if _is_too_much(line):
        long = len(line) > MAX_LINE_BYTES
        raise ValueError(f"longer than {MAX_LINE_BYTES >> 20} MiB" if long else "more values than any record has")
    try:
        record = decode(line)
        if isinstance(record, Foreign):
            if not 0 <= record.time <= LAST_TIME:
                raise ValueError(f"{record.time:g} is not a time")
        elif not _is_tame(line) or _TOO_MANY_DIGITS in line.translate(_DIGITS):
            record = msgspec.convert(_sanitize(msgspec.to_builtins(record)), type(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(escape(str(error))[:_REASON_CHARS]) from None
    _check(record, line)
    if isinstance(record, Exec) and record.env_names is not None:
        msgspec.structs.force_setattr(record, "env_names", ENVIRONMENTS[record.env_names])
    return record


def _is_too_much(line: bytes) -> bool:
    """Whether *line* may take more memory than any record should."""
    return len(line) > MAX_VALUES and (len(line) > MAX_LINE_BYTES or line.count(b",") > MAX_VALUES)


def _is_tame(line: bytes) -> bool:
    """Whether no text in *line* can be unsafe: unsafe text needs an escape, DEL or a character beyond ASCII."""
    return line.isascii() and b"\\" not in line and b"\x7f" not in line


def _sanitize(value: object) -> object:
    """Escape every text in *value* (what `msgspec.to_builtins` gives); ValueError for an integer beyond 64 bits."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {_sanitize(key): _sanitize(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sanitize(item) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < 2 * _INT64:
        raise ValueError("an integer beyond 64 bits")
    return value


def _check(record: Record, line: bytes) -> None:
    """Raise ValueError for what the types of the fields do not exclude, but no real record has."""
    if isinstance(record, (Header, Foreign)):
        return
    record.check()
    if len(line) > _UNCHECKED_BYTES and (_LONG_TEXT.search(line) or line.count(b"{") > MAX_ROWS):
        _check_sizes(record, "", {*_PATHS, *record.paths})


def _check_sizes(value: object, name: str, paths: Collection[str]) -> None:
    """Raise ValueError for rows that are too many, or for a text of a field that is too long: only arguments may be."""
    if isinstance(value, str):
        if len(value) > (MAX_LINE_BYTES if name in _LONG else _PATH_CHARS if name in paths else _NAME_CHARS):
            raise ValueError(f"{name}: longer than any")
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            _check_sizes(getattr(value, field), field, paths)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_sizes(key, name, ())
            _check_sizes(item, name, paths)
    elif isinstance(value, list):
        for item in value:
            _check_sizes(item, name, paths)
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        if len(value) > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS} rows of one kind")
        for row in value:
            _check_sizes(row, name, paths)


@dataclass(frozen=True, slots=True)
class ReadError:
    """Something that could not be read. `line` counts from 1, None if the lines before it were not counted.

    `lines` is how many lines are lost, None if unknown.
    """

    line: int | None
    lines: int | None
    reason: str

    def __str__(self) -> str:
        where = "somewhere" if self.line is None else f"line {self.line}"
        if self.lines is not None and self.lines > 1 and self.line is not None:
            where = f"lines {self.line} to {self.line + self.lines - 1}"
        return f"{where}: {self.reason}"


class ReadErrors:
    """What could not be read of a recording: the total, and the first `FAULTS_KEPT` faults.

    The reading thread writes it, any thread may read it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[ReadError] = []
        self._notes: list[str] = []
        self.broken = 0
        """Lines that were skipped because they are not records; at least one for a fault of unknown size."""
        self._has_more = False
        """There were more faults than are kept."""
        self._is_least = False
        """Of some fault it is not known how many lines it is."""
        self.unknown = 0
        """Lines of kinds that this version does not know."""
        self.hosts: list[OneHost] = []
        """Whose lines are read, and whose are left out: one for each file."""

    @property
    def faults(self) -> tuple[ReadError, ...]:
        """The first faults, in the order in which they were found."""
        with self._lock:
            return tuple(self._faults)

    @property
    def notes(self) -> tuple[str, ...]:
        """Other messages about the recording: a later schema, a missing end."""
        with self._lock:
            return tuple(self._notes)

    def add(self, fault: ReadError) -> None:
        """Count *fault*, and keep it if it is among the first."""
        with self._lock:
            self.broken += 1 if fault.lines is None else fault.lines
            self._is_least |= fault.lines is None
            if len(self._faults) < FAULTS_KEPT:
                self._faults.append(fault)
            else:
                self._has_more = True

    def add_unknown(self, lines: int) -> None:
        """Count lines of unknown kinds."""
        with self._lock:
            self.unknown += lines

    def note(self, text: str) -> None:
        """Add the message *text*, once."""
        with self._lock:
            if text not in self._notes:
                self._notes.append(text)

    @property
    def in_brief(self) -> str:
        """What is missing, in a few words: ``damaged: at least 3 lines missing``; empty if nothing is."""
        least = "at least " if self._is_least else ""
        parts = [f"damaged: {least}{counted(self.broken, 'line')} missing"] if self.broken else []
        parts += ["never closed"] if NEVER_CLOSED in self.notes else []
        parts += ["other hosts left out"] if any(one.left_out_text() for one in self.hosts) else []
        return ", ".join(parts)

    def report(self) -> list[str]:
        """Return lines for stderr, empty if there was no error."""
        lines = list(self.notes)
        lines += dict.fromkeys(filter(None, (one.left_out_text() for one in self.hosts)))
        if self.broken:
            lines.append(f"{counted(self.broken, 'broken line', whole=True)} passed over")
            alike = Counter(fault.reason for fault in self.faults)
            first = {fault.reason: fault for fault in reversed(self.faults)}
            for reason, count in alike.items():
                lines.append(f"  {first[reason]}{f'; {count - 1:,} more like it' if count > 1 else ''}")
            if self._has_more:
                lines.append("  and more")
        if self.unknown:
            lines.append(
                f"{counted(self.unknown, 'line', whole=True)} of kinds that this version does not know passed over"
            )
        return lines


def read_lines(
    data: bytes, damage: ReadErrors | None = None, first: int = 1, readings: ReadingDecoder | None = None
) -> Iterator[Record]:
    """Yield the records of *data*, whole lines; the last may lack its newline. *readings* makes readings whole.

    Lines that are not records are counted in *damage*; *first* is the number of the first line. Lines of unknown kinds
    are counted too, and yielded as `Foreign` records. Blank lines, and parts of unknown readings, are skipped.
    """
    for begin, end in windows(data):
        lines = data[begin:end].split(b"\n")
        easy = [bool(line) and len(line) <= MAX_VALUES and _is_tame(line) for line in lines]
        decoded = _decode_all(list(itertools.compress(lines, easy)))
        faults = 0
        for at, line in enumerate(lines):
            try:
                if decoded and easy[at]:
                    record = next(decoded)
                    _check(record, line)
                elif not line.strip():
                    continue
                elif faults > _FAULTS_LOOKED_AT and b'"kind"' not in line:
                    raise ValueError("no record")
                else:
                    record = read_line(line)
                whole = readings.whole(record) if readings and isinstance(record, TableReading) else record
            except ValueError as error:
                faults += 1
                if damage:
                    # Behind the last newline there is nothing, or the begin of a line.
                    is_cut = at + 1 == len(lines) and len(line) <= MAX_LINE_BYTES
                    damage.add(ReadError(first + at, 1, "cut off" if is_cut else str(error)))
                continue
            if damage and isinstance(record, Foreign):
                damage.add_unknown(1)
            if whole is not None:
                yield whole
        first += len(lines) - 1


def _decode_all(lines: Sequence[bytes]) -> Iterator[Record] | None:
    """Return the record of each of *lines*, whose texts need no look; None if they have to be decoded one by one."""
    joined = b"\n".join(lines)
    if _TOO_MANY_DIGITS in joined.translate(_DIGITS):
        return None
    try:
        records = registry().decoder.decode_all(joined)
    except (ValueError, RecursionError):
        return None
    return iter(records) if len(records) == len(lines) else None


def windows(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield *data* in small parts of whole lines, as start and end offsets.

    The results of one part are used up before the next one comes, so memory does not depend on how short lines are.
    """
    begin = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + _WINDOW_BYTES) + 1
        if not end:
            end = data.find(b"\n", begin + _WINDOW_BYTES) + 1 or len(data)
        yield begin, end
        begin = end
