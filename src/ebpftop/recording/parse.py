"""Read untrusted bytes as records, and report what could not be read.

A recording may come from another machine, another version, a full disk or an attacker. The records from here are as
safe as those of a live source: text is escaped, times are dates, integers have 64 bits. Everything else is a fault with
its place.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.records import Cost, Exit, Foreign, Header, Lost, Record, Syscalls, Users
from ebpftop.probes.registry import decode, registry
from ebpftop.recording.readings import MAX_ROWS, ReadingDecoder

# The record of the longest command line, or of all users that are counted one by one, has 2 MiB.
MAX_LINE_BYTES = 4 << 20
# Values in a line: each takes up to 64 bytes when decoded. All counters of all calls of five ABIs are 250,000.
MAX_VALUES = 300_000
# The last day that datetime can show in every time zone: a pane that prints the time of a record must not fail on it.
LAST_TIME = 253402300799.0 - 86_400
FAULTS_KEPT = 100

_REASON_CHARS = 160
# A line is decoded before it is checked. A shorter line cannot have a text too long or a row too many.
_UNCHECKED_BYTES = 1024
# Characters of a name (a user's may have 256 bytes, a cgroup's 255), and of a path of 4096 bytes; all may be escaped.
_NAME_CHARS = 2 << 10
_PATH_CHARS = 32 << 10
# Buckets of 64 bits.
_BUCKETS_MAX = 64
_ERRNOS_MAX = 1024
_URING_MAX = 256  # opcodes
# After this many damaged lines, a line without a kind is not examined further: that takes ten times as long.
_FAULTS_LOOKED_AT = 1000
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
        safe = _is_sane(line) and _TOO_MANY_DIGITS not in line.translate(_DIGITS)
        if not safe and not isinstance(record, Foreign):
            record = msgspec.convert(_sanitize(msgspec.to_builtins(record)), type(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(escape(str(error))[:_REASON_CHARS]) from None
    _check(record, len(line))
    return record


def read_good_lines(lines: Sequence[bytes]) -> list[Record]:
    """Return the records of *lines*, without bad lines and unknown kinds: `read_line` in bulk."""
    return [record for record in read_each(lines) if record is not None]


def read_each(lines: Sequence[bytes]) -> list[Record | None]:
    """Return the record of each of *lines*, None for bad lines and unknown kinds."""
    tame = [_is_sane(line) for line in lines]
    joined = b"\n".join(itertools.compress(lines, tame))
    try:
        if _TOO_MANY_DIGITS in joined.translate(_DIGITS) or any(map(_is_too_much, lines)):
            raise ValueError("to be seen one by one")
        bulk = iter(registry().decoder.decode_all(joined))
        records = [next(bulk) if easy else read_line(line) for easy, line in zip(tame, lines, strict=True)]
        for record, line in zip(records, lines, strict=True):
            _check(record, len(line))
    except (ValueError, StopIteration, RecursionError):
        return list(map(_read_good, lines))
    return [None if isinstance(record, Foreign) else record for record in records]


def _read_good(line: bytes) -> Record | None:
    try:
        record = read_line(line)
    except ValueError:
        return None
    return None if isinstance(record, Foreign) else record


def _is_too_much(line: bytes) -> bool:
    """Whether *line* may take more memory than any record should."""
    return len(line) > MAX_VALUES and (len(line) > MAX_LINE_BYTES or line.count(b",") > MAX_VALUES)


def _is_sane(line: bytes) -> bool:
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


def _check(record: Record, size: int) -> None:
    """Raise ValueError for values that no real record has; *size* is the size of its line."""
    time = record.started if isinstance(record, Header) else record.time
    if not 0 <= time <= LAST_TIME:
        raise ValueError(f"{time:g} is not a time")
    if isinstance(record, (Users, Syscalls)):
        _check_counters(record)
    elif isinstance(record, Exit):
        if record.duration_s is not None and not 0 <= record.duration_s <= LAST_TIME:
            raise ValueError(f"{record.duration_s:g} is not a duration")
    elif isinstance(record, Cost):
        if not (0 <= (record.kernel or 0.0) <= _SHARES_MAX and 0 <= record.user <= _SHARES_MAX):
            raise ValueError("a cost that is not a share of a CPU")
    elif isinstance(record, Lost) and record.count < 0:
        raise ValueError("a negative count")
    if not isinstance(record, Header):
        record.check()
    if size > _UNCHECKED_BYTES and not isinstance(record, Foreign):
        _check_texts(record)


# More CPUs than any kernel can be built for.
_SHARES_MAX = 65_536.0


def _check_counters(record: Users | Syscalls) -> None:
    tables: tuple[Sized, ...] = (record.rows,)
    if isinstance(record, Syscalls):
        tables = (record.rows, record.in_flight, record.processes, record.process_totals, record.users, record.table)
    if max(map(len, tables)) > MAX_ROWS:
        raise ValueError(f"more than {MAX_ROWS} rows of one kind")
    if isinstance(record, Users):
        good = all(row.execs >= 0 and row.failed >= 0 for row in record.rows)
    else:
        for row in record.rows:
            if len(row.histogram_ns) > _BUCKETS_MAX or len(row.errnos) > _ERRNOS_MAX:
                raise ValueError("a system call with more counters than any has")
        if len(record.families) > _ERRNOS_MAX:
            raise ValueError("more families of handlers than there are")
        if len(record.io_uring or ()) > _URING_MAX:
            raise ValueError("more operations of io_uring than there are")
        good = (
            all(
                min(row.count, row.errors, row.total_ns, row.max_ns, *row.histogram_ns, *row.errnos.values()) >= 0
                for row in record.rows
            )
            and all(call.ns >= 0 for call in record.in_flight)
            and all(min(pair.count, pair.errors) >= 0 for pair in record.processes)
            and all(min(total.count, total.errors) >= 0 for total in record.process_totals)
            and all(min(user.count, user.errors) >= 0 for user in record.users)
            and min(record.families.values(), default=0) >= 0
            and min((record.io_uring or {}).values(), default=0) >= 0
        )
    if not good:
        raise ValueError("a negative count")


def _check_texts(record: Record) -> None:
    """Raise ValueError for a name or a path that is longer than the kernel allows: only arguments may be long."""
    paths = () if isinstance(record, Header) else record.paths
    for kind in (record, *(getattr(record, table, ()) for table in ("rows", "attempts"))):
        for struct in kind if isinstance(kind, tuple) else (kind,):
            for field in struct.__struct_fields__:
                value = getattr(struct, field)
                if isinstance(value, str) and len(value) > (_PATH_CHARS if field in paths else _longest(field)):
                    raise ValueError(f"{field}: longer than any")
    if isinstance(record, Syscalls):
        others = (record.in_flight, record.processes, record.process_totals, record.table)
        names = (getattr(row, field, "") for rows in others for row in rows for field in ("comm", "name"))
        texts = (text for row in record.rows for text in row.errnos)
        if max(map(len, (*names, *texts, *record.families, *(record.io_uring or ()))), default=0) > _NAME_CHARS:
            raise ValueError("a name longer than any")


def _longest(field: str) -> int:
    return MAX_LINE_BYTES if field == "message" else _PATH_CHARS if field in _PATHS else _NAME_CHARS


_PATHS = frozenset(("file", "interp", "cgroup", "reason", "remedy"))


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
        self._broken = 0
        self._unknown = 0
        self._notes: list[str] = []

    @property
    def broken(self) -> int:
        """Lines that were skipped because they are not records; at least one for a fault of unknown size."""
        return self._broken

    @property
    def unknown(self) -> int:
        """Lines of kinds that this version does not know."""
        return self._unknown

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
            self._broken += 1 if fault.lines is None else fault.lines
            if len(self._faults) < FAULTS_KEPT:
                self._faults.append(fault)

    def add_unknown(self, lines: int) -> None:
        """Count lines of unknown kinds."""
        with self._lock:
            self._unknown += lines

    def note(self, text: str) -> None:
        """Add the message *text*, once."""
        with self._lock:
            if text not in self._notes:
                self._notes.append(text)

    def report(self) -> list[str]:
        """Return lines for stderr, empty if there was no error."""
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


def read_lines(
    data: bytes,
    on_fault: Callable[[int, str], None],
    on_unknown: Callable[[], None],
    readings: ReadingDecoder | None = None,
) -> Iterator[Record]:
    """Yield the records of *data*, whole lines; the last may lack its newline. *readings* makes readings whole.

    *on_unknown* is called for each line of an unknown kind, which is yielded as a `Foreign` record. *on_fault* gets the
    number of the line in *data*, from 0, and the reason. Blank lines are skipped without a fault.
    """
    number = faults = 0
    for begin, end in windows(data):
        lines = data[begin:end].split(b"\n")
        whole = not lines[-1]
        if whole:
            lines.pop()
        for at, line in enumerate(lines, number):
            if not line or not line.strip():
                continue
            if faults > _FAULTS_LOOKED_AT and b'"kind"' not in line:
                on_fault(at, "no record")
                continue
            try:
                record = read_line(line)
                whole_record = readings.whole(record) if readings else record
            except ValueError as error:
                faults += 1
                cut = not whole and at + 1 == number + len(lines) and len(line) <= MAX_LINE_BYTES
                on_fault(at, "cut off" if cut else str(error))
                continue
            if isinstance(record, Foreign):
                on_unknown()
            if whole_record is not None:
                yield whole_record
        number += len(lines)


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
