"""From bytes that anybody may have written to records, and an account of what could not be read.

A recording comes from another machine, another version, a full disk or a hostile hand. What leaves this file is as safe
as what the kernel side makes: text escaped, times that are dates, integers of 64 bits. The rest is a fault with its
place.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ebpftop.records import Cost, Exit, Header, Record, decode, decode_all
from ebpftop.text import escape

MAX_LINE_BYTES = 16 << 20
# The last second that datetime can show: a pane that prints the time of a record must not fail on it.
LAST_TIME = 253402300799.0
FAULTS_KEPT = 100

_REASON_CHARS = 160
_INT64 = 1 << 63
# Every digit becomes "0", a point stays one, every other byte becomes a blank: a whole number with too many digits to
# be sure that they make 64 bits is then one `in` away, and the digits of a fraction are not taken for one.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x2E if byte == 0x2E else 0x20 for byte in range(256))
_TOO_MANY_DIGITS = b" " + b"0" * 19


def read_line(line: bytes) -> Record | None:
    """Return the record of one line without its newline; None for a kind that this version does not know.

    Raises ValueError with a reason fit for a terminal where the line is no record, or holds values that none can have.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        record = decode(line)
        if record is None:
            return None
        if not _is_tame(line) or _TOO_MANY_DIGITS in line.translate(_DIGITS):
            record = msgspec.convert(_tame(msgspec.to_builtins(record)), type(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(escape(str(error))[:_REASON_CHARS]) from None
    _check_numbers(record)
    return record


def read_good_lines(lines: Sequence[bytes]) -> list[Record]:
    """Return the records of *lines*, without those that are none or of unknown kinds: `read_line` in bulk."""
    tame = [_is_tame(line) for line in lines]
    joined = b"\n".join(itertools.compress(lines, tame))
    try:
        if _TOO_MANY_DIGITS in joined.translate(_DIGITS):
            raise ValueError("to be seen one by one")
        bulk = iter(decode_all(joined))
        records = [next(bulk) if easy else read_line(line) for easy, line in zip(tame, lines, strict=True)]
        for record in records:
            if record is not None:
                _check_numbers(record)
    except (ValueError, StopIteration, RecursionError):
        return list(_one_by_one(lines))
    return [record for record in records if record is not None]


def _one_by_one(lines: Iterable[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            record = read_line(line)
        except ValueError:
            continue
        if record is not None:
            yield record


def _is_tame(line: bytes) -> bool:
    """Whether no text in *line* can be unsafe: it would need an escape, DEL or a character beyond ASCII."""
    return line.isascii() and b"\\" not in line and b"\x7f" not in line


def _tame(value: object) -> object:
    """Escape every text in *value* (what `msgspec.to_builtins` gives); ValueError for an integer beyond 64 bits."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {_tame(key): _tame(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tame(item) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < 2 * _INT64:
        raise ValueError("an integer beyond 64 bits")
    return value


def _check_numbers(record: Record) -> None:
    time = record.started if isinstance(record, Header) else record.time
    if not 0 <= time <= LAST_TIME:
        raise ValueError(f"{time:g} is no time")
    if isinstance(record, Exit) and record.seconds is not None and not 0 <= record.seconds <= LAST_TIME:
        raise ValueError(f"{record.seconds:g} is no duration")
    if isinstance(record, Cost) and not (math.isfinite(record.kernel) and math.isfinite(record.user)):
        raise ValueError("a cost that is no number")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read. `line` counts from 1, None where the lines before it were not counted.

    `lines` is how many lines are gone with it, None where nobody knows.
    """

    line: int | None
    lines: int | None
    reason: str

    def __str__(self) -> str:
        where = "somewhere" if self.line is None else f"line {self.line}"
        if self.lines is not None and self.lines > 1 and self.line is not None:
            where = f"lines {self.line} to {self.line + self.lines - 1}"
        return f"{where}: {self.reason}"


class Damage:
    """What could not be read of a recording, counted whole and named one by one up to `FAULTS_KEPT`.

    Written by the thread that reads, read by any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._broken = 0
        self._unknown = 0
        self._notes: list[str] = []

    @property
    def broken(self) -> int:
        """Lines that were passed over because they are no records; at least one for a fault of unknown extent."""
        return self._broken

    @property
    def unknown(self) -> int:
        """Lines of kinds that this version does not know."""
        return self._unknown

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The first faults, in the order in which they were met."""
        with self._lock:
            return tuple(self._faults)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be said of the recording: a later schema, an end that never came."""
        with self._lock:
            return tuple(self._notes)

    def add(self, fault: Fault) -> None:
        """Count *fault*, and keep it if it is among the first."""
        with self._lock:
            self._broken += 1 if fault.lines is None else fault.lines
            if len(self._faults) < FAULTS_KEPT:
                self._faults.append(fault)

    def add_unknown(self, lines: int) -> None:
        """Count lines of unknown kinds."""
        with self._lock:
            self._unknown += lines

    def note(self, text: str) -> None:
        """Say *text* once."""
        with self._lock:
            if text not in self._notes:
                self._notes.append(text)

    def report(self) -> list[str]:
        """Return lines for stderr, empty where all was well."""
        lines = list(self.notes)
        if self._broken:
            plural = "" if self._broken == 1 else "s"
            lines.append(f"{self._broken} broken line{plural} passed over")
            lines += [f"  {fault}" for fault in self.faults]
            if self._broken > FAULTS_KEPT:
                lines.append("  and more")
        if self._unknown:
            plural = "" if self._unknown == 1 else "s"
            lines.append(f"{self._unknown} line{plural} of kinds that this version does not know passed over")
        return lines


def read_lines(data: bytes, on_fault: Callable[[int, str], None], on_unknown: Callable[[], None]) -> Iterator[Record]:
    """Yield the records of *data*, whole lines; the last may lack its newline.

    *on_fault* is told the number of the line in *data*, from 0, and the reason. Blank lines are passed over in silence.
    """
    lines = data.split(b"\n")
    whole = not lines[-1]
    if whole:
        lines.pop()
    last = len(lines) - 1
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            record = read_line(line)
        except ValueError as error:
            cut = number == last and not whole and len(line) <= MAX_LINE_BYTES
            on_fault(number, "cut off" if cut else str(error))
            continue
        if record is None:
            on_unknown()
        else:
            yield record
