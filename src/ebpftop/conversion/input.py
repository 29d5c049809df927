"""What is converted, and its two clocks: Unix time of its records, time since boot of the starts of processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Header, Record
from ebpftop.core.syscall_records import Syscalls

# A recording has its first reading within this.
_SEARCHED_S = 15.0
_SEARCHED_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Input:
    """Records, the header of their recording, and when the part begins that is converted (Unix seconds).

    Records that are older say what held then.
    """

    header: Header
    records: Iterable[Record]
    begin: float
    is_part: bool = False


def with_boot_offset(records: Iterable[Record]) -> tuple[int, Iterator[Record]]:
    """Return Unix time minus time since boot, in ns, and *records*, of which the first ones were read for that.

    A reading of system calls says it. Without one it is at most what the processes say that start: each starts before
    it executes something. 0 if there is nothing at all: then the boot was in 1970.
    """
    rest = iter(records)
    head: list[Record] = []
    most: int | None = None
    first: float | None = None
    for record in rest:
        head.append(record)
        if isinstance(record, Header):
            continue
        if isinstance(record, Syscalls) and record.boot_ns:
            return ns(record.time) - record.boot_ns, itertools.chain(head, rest)
        if isinstance(record, (Exec, Exit)) and record.start_ns:
            offset = ns(record.time) - record.start_ns
            most = offset if most is None else min(most, offset)
        # What held when a part begins is older.
        first = record.time if first is None else max(first, min(record.time, first + _SEARCHED_S))
        if len(head) >= _SEARCHED_RECORDS or record.time > first + _SEARCHED_S:
            break
    return most or 0, itertools.chain(head, rest)


def ns(seconds: float) -> int:
    """Return Unix seconds in ns."""
    return round(seconds * 1e9)
