"""How many rows one reading has room for: a line that is longer than any reader takes would be lost whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from ebpftop.core.program_records import ProgramMap, ProgramRow

ROWS_MAX = 16_384
"""Programs, and maps, of one reading."""
OWNERS_MAX = PLACES_MAX = 16
"""Of one program: a server that forks hands its descriptors to a thousand processes."""
VALUES_MAX = 290_000
BYTES_MAX = (4 << 20) - 8192
"""A little less than what a line may have (recording/parse.py): 300,000 values, 4 MiB."""

_MAPS_SHARE = 4
"""Maps have a fourth of the room."""
_Row = TypeVar("_Row", bound=msgspec.Struct)


def programs_that_fit(rows: Sequence[ProgramRow]) -> tuple[ProgramRow, ...]:
    """Return *rows*, or those that ran longest if there is no room for all; their order stays."""
    rest = _MAPS_SHARE - 1
    return rows_that_fit(rows, _run_ns, VALUES_MAX * rest // _MAPS_SHARE, BYTES_MAX * rest // _MAPS_SHARE)


def maps_that_fit(rows: Sequence[ProgramMap]) -> tuple[ProgramMap, ...]:
    """Return *rows*, or the largest."""
    return rows_that_fit(rows, _memory, VALUES_MAX // _MAPS_SHARE, BYTES_MAX // _MAPS_SHARE)


def rows_that_fit(
    rows: Sequence[_Row],
    importance: Callable[[_Row], int],
    values: int = VALUES_MAX,
    length: int = BYTES_MAX,
) -> tuple[_Row, ...]:
    """Return *rows*, or the most important if all would be too many *values* or too many bytes; their order stays."""
    sizes = [_size(row) for row in rows]
    if len(rows) <= ROWS_MAX and sum(one for one, _ in sizes) <= values and sum(one for _, one in sizes) <= length:
        return tuple(rows)
    kept = set()
    for at in sorted(range(len(rows)), key=lambda at: importance(rows[at]), reverse=True)[:ROWS_MAX]:
        values, length = values - sizes[at][0], length - sizes[at][1]
        if values < 0 or length < 0:
            break
        kept.add(at)
    return tuple(row for at, row in enumerate(rows) if at in kept)


def _run_ns(row: ProgramRow) -> int:
    return row.run_ns


def _memory(row: ProgramMap) -> int:
    return row.bytes


_encode = msgspec.json.Encoder().encode


def _size(row: msgspec.Struct) -> tuple[int, int]:
    """Return how many values, and bytes, a row is in a line."""
    line = _encode(row)
    return line.count(b",") + 1, len(line) + 1
