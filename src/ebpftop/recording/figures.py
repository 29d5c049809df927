"""The records of a span for what counts them: readings as they were written, and where their totals began."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from ebpftop.core.load_records import Loaded
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import Header, Lost, Probe, Record, SeriesKey, TableReading, series_of
from ebpftop.recording.grouping import BACKWARDS_S
from ebpftop.recording.readings import ReadingDecoder


def figures(
    records: Iterable[Record],
    span: tuple[float, float],
    readings: ReadingDecoder,
    broken: Callable[[ValueError], None] = lambda _: None,
) -> Iterator[Record]:
    """Yield those of *records* that are of *span* (Unix seconds); *readings* knows the readings before them.

    Before the span come states of probes, losses, the file that is loaded, and the last reading of each kind, which is
    whole, as is the first one of a kind that had none. *broken* gets what is wrong with a reading that is left out.
    """
    begin, end = span
    given: set[SeriesKey] = set()
    has_begun = begin == -math.inf
    for record in records:
        if isinstance(record, (Header, Foreign)):
            continue
        if record.time > end + BACKWARDS_S:
            return
        if not has_begun and record.time >= begin:
            has_begun = True
            for whole in readings.readings():
                given.add(series_of(whole))
                yield whole
        if isinstance(record, TableReading):
            try:
                is_known = readings.follow(record)
            except ValueError as error:
                broken(error)
                continue
            if not is_known or not has_begun:
                continue
            if series_of(record) not in given:
                given.add(series_of(record))
                yield readings.whole_of(record)
                continue
        if has_begun or isinstance(record, (Probe, Lost, Loaded)):
            yield record
