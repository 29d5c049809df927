"""What is said at the end of a stream or a recording: how many records there are, what is missing, what was lost."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.core.format import counted
from ebpftop.core.load_records import ProgramRuns, hidden_text
from ebpftop.core.records import Header, Lost, Record


class Delivered:
    """Counts what is handed over. The header does not count."""

    def __init__(self) -> None:
        self.records = 0
        self._lost: dict[tuple[str, str], int] = {}
        self._runs: ProgramRuns | None = None

    def note(self, records: Iterable[Record]) -> None:
        """Count *records*, and note what they say was lost."""
        for record in records:
            self.records += not isinstance(record, Header)
            if isinstance(record, Lost):
                self._lost[record.probe, record.where] = record.count
            elif isinstance(record, ProgramRuns):
                self._runs = record

    def lost_text(self) -> str:
        """Return what was lost or left out before it became a record: ``; 12 execs lost (ring)``; else nothing.

        Of a program of one's own also its events that are of ebpftop, or that the filter does not match.
        """
        lost = "".join(f"; {count:,} {probe} lost ({where})" for (probe, where), count in self._lost.items())
        if self._runs is None or not (hidden := hidden_text(self._runs.own_events, self._runs.excluded_events)):
            return lost
        return f"{lost}; events {hidden}"

    def written_text(self, written: int, *, header: bool = False) -> str:
        """Return how many records were *written*, and how many not: ``after 9 records, 2 more were not written``.

        *header*: it was written, too; it is named if nothing else was.
        """
        missing = max(0, self.records - written)
        if header and not written:
            what = f", {counted(missing, 'record', whole=True)} {'was' if missing == 1 else 'were'} not written"
            return f"after the header{what if missing else ''}{self.lost_text()}"
        more = f", {missing:,} more {'was' if missing == 1 else 'were'} not written" if missing else ""
        return f"after {counted(written, 'record', whole=True)}{more}{self.lost_text()}"
