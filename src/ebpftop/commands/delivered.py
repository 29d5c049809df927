"""What is said at the end of a stream or a recording: how many records there are, what is missing, what was lost."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.format import counted
from ebpftop.core.records import Header, Lost, Record


class Delivered:
    """Counts what is handed over. The header does not count."""

    def __init__(self) -> None:
        self.records = 0
        self._lost: dict[tuple[str, str], int] = {}

    def note(self, records: Iterable[Record]) -> None:
        """Count *records*, and note what they say was lost."""
        for record in records:
            self.records += not isinstance(record, Header)
            if isinstance(record, Lost):
                self._lost[record.probe, record.where] = record.count

    def lost_text(self) -> str:
        """Return what was lost before it became a record: ``; 12 execs lost (ring)``; empty if nothing was."""
        return "".join(f"; {count:,} {probe} lost ({where})" for (probe, where), count in self._lost.items())

    def written_text(self, written: int) -> str:
        """Return how many records were *written*, and how many not: ``after 9 records, 2 more were not written``."""
        missing = max(0, self.records - written)
        more = f", {missing:,} more {'was' if missing == 1 else 'were'} not written" if missing else ""
        return f"after {counted(written, 'record', whole=True)}{more}{self.lost_text()}"
