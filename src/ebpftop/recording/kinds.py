"""Find the kind of the lines of a recording from their first bytes, without decoding them.

An hour of a busy machine is millions of lines, and the screen shows a few thousand of them. Lines that another program
formatted are handled by slower code, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from ebpftop.core.records import Event, Reading
from ebpftop.probes.registry import registry
from ebpftop.recording.parse import windows

_KINDS = {kind.encode(): record for kind, record in registry().kinds.items()}
_PROBES = {kind: registry().types[record] for kind, record in _KINDS.items() if issubclass(record, Event)}
_GROUPS = tuple(dict.fromkeys(_PROBES.values()))
# Events, by the pane that shows them, those of the exec log first; the other kinds are counters and states.
EVENT_GROUP = {kind: _GROUPS.index(probe) for kind, probe in _PROBES.items()}
GROUPS = len(_GROUPS)
READINGS = frozenset(kind for kind, record in _KINDS.items() if issubclass(record, Reading))

# Kind, whole second (empty if it is not easy to read), digits of the pid that follows (or empty), offset in the data.
Mark: TypeAlias = tuple[bytes, bytes, bytes, int]

_PREFIX = b'{"kind":"'
# The format of `records.encode`: the kind, the time, and mostly the pid. Ten digits are a second from 2001 to 2286.
_OURS = rb'\{"kind":"([a-z]{1,16})"(?:,"time":([0-9]{10}(?![0-9]))?[^,}]{0,24}(?:,"pid":([0-9]{1,10}))?)?'
_LINES = re.compile(rb"\n" + _OURS)
_LINE = re.compile(_OURS)
_READING_LINES = re.compile(rb'\n\{"kind":"(?:' + b"|".join(sorted(READINGS)) + rb')"')
_PART = re.compile(rb'"whole"\s*:\s*false')
_KIND = re.compile(rb'"kind"\s*:\s*"([a-z]{1,16})"')
_PID = re.compile(rb'"pid"\s*:\s*([0-9]{1,10})')
_FAILED = re.compile(rb'"ret"\s*:\s*-')


def marks(data: bytes) -> Iterator[Mark]:
    """Yield a mark for each line of *data* that has a kind."""
    for begin, end in windows(data):
        for kind, second, pid, at in _marks_of(data[begin:end]):
            yield kind, second, pid, begin + at


def _marks_of(data: bytes) -> list[Mark]:
    found = [
        (kind, second, pid, match.start())
        for match in _LINES.finditer(b"\n" + data)
        for kind, second, pid in (match.groups(b""),)
    ]
    if len(found) == data.count(b"\n") + (bool(data) and not data.endswith(b"\n")):
        return found
    # Some lines have another format: blank, damaged, or written by another program.
    found = []
    begin = 0
    for line in data.split(b"\n"):
        if not line:
            begin += 1
            continue
        mine = _LINE.match(line)
        if mine is not None:
            kind, second, digits = mine.groups(b"")
            found.append((kind, second, digits, begin))
        elif kind := kind_of(line):
            pid = _PID.search(line)
            found.append((kind, b"", pid[1] if pid else b"", begin))
        begin += len(line) + 1
    return found


def readings_of(data: bytes) -> list[bytes]:
    """Return the lines of *data* that are readings."""
    begins = [match.start() for match in _READING_LINES.finditer(b"\n" + data)]
    # None begins in our format: another program may have written them.
    begins = begins or [begin for kind, _, _, begin in marks(data) if kind in READINGS]
    return [line_at(data, begin) for begin in begins]


def line_at(data: bytes, begin: int) -> bytes:
    """Return the line of *data* that begins there, without its newline."""
    end = data.find(b"\n", begin)
    return data[begin:] if end < 0 else data[begin:end]


def kind_of(line: bytes) -> bytes:
    """Return the kind of a line, empty if it has none."""
    if line.startswith(_PREFIX):
        return line[9 : line.find(b'"', 9, 32)]
    found = _KIND.search(line)
    return found[1] if found else b""


def exec_failed(line: bytes) -> bool:
    """Whether an exec line is of a failed execve. Text in the line cannot imitate this: its quotes are escaped."""
    return b'"ret":-' in line if line.startswith(_PREFIX) else _FAILED.search(line) is not None


def is_part(line: bytes) -> bool:
    """Whether a line of a reading holds only what changed. Text in the line cannot imitate this, as above."""
    return b'"whole":false' in line if line.startswith(_PREFIX) else _PART.search(line) is not None
