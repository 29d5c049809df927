"""What holds at a moment: programs that run, the states of probes, losses."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.process_records import Exit, Process
from ebpftop.core.records import Record
from ebpftop.recording.index import Key, key_of

_MOST = 65_536  # the ends of some may have been lost


class Lasting:
    """The records that hold after all that were followed."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records: dict[Key, Record] = {}
        for record in records:
            self.follow(record)

    def follow(self, record: Record) -> None:
        """Note what *record* starts, changes or ends."""
        key = key_of(record)
        if isinstance(record, Exit):
            self._records.pop(record.pid, None)
        elif key is not None and (not isinstance(record, Process) or key not in self._records):
            self._records[key] = record
            if len(self._records) > _MOST:
                del self._records[next(iter(self._records))]

    def records(self) -> list[Record]:
        """Return them, the oldest first."""
        return list(self._records.values())
