"""What changed of a program of one's own: its events, its runs, and the entries of its maps that count."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from ebpftop.core.load_records import BpfEvent, Field, Loaded, LoadedMap, MapReading, MapRow, ProgramRun, ProgramRuns
from ebpftop.core.records import Probe, Record
from ebpftop.models.changed import compare
from ebpftop.models.span_figures import SpanFigures
from ebpftop.recording.parse import read_line
from ebpftop.recording.readings import ReadingEncoder
from tests.unit.spans import HEADER, START

U64 = Field(type="u64", kind="uint", size=8)
VALUE = Field(
    type="struct value",
    kind="struct",
    size=16,
    fields=(
        Field(name="count", type="u64", kind="uint", size=8),
        Field(name="ts", type="u64", kind="uint", meaning="time", size=8),
    ),
)
LOADED = Loaded(
    time=START,
    file="count.c",
    path="/count.c",
    state="on",
    maps=(
        LoadedMap(name="counts", type="hash", key=U64, value=U64),
        LoadedMap(name="stats", type="hash", key=U64, value=VALUE),
        LoadedMap(name="start", type="hash", key=U64, value=U64),
    ),
)


def records(rates: Mapping[int, float], seed: int, events: float = 2.0, seconds: int = 120) -> Iterator[Record]:
    """Yield what is recorded while each key is counted so often a second."""
    chance = random.Random(seed)
    counts = dict.fromkeys(rates, 5000)
    yield Probe(time=START, probe="load", state="on", via="tracepoint", reason=None)
    yield LOADED
    runs = 0
    for second in range(seconds):
        time = START + second
        for key, rate in rates.items():
            counts[key] += sum(chance.random() < rate / 20 for _ in range(20)) if second else 0
        runs += 50
        yield ProgramRuns(time=time, rows=(ProgramRun(program="hello", runs=runs, run_ns=1),))
        rows = tuple(
            MapRow(id=f"{key:08x}", key=key, value=count, names={"key": "ann"} if key == 1000 else {})
            for key, count in sorted(counts.items())
        )
        yield MapReading(time=time, map="counts", type="hash", rows=rows, entries=len(rows))
        yield MapReading(
            time=time,
            map="stats",
            type="hash",
            rows=tuple(
                MapRow(id=f"{key:08x}", key=key, value={"count": count, "ts": int(time * 1e9)})
                for key, count in sorted(counts.items())
            ),
        )
        # The time at which each call began that has not returned.
        begun = {chance.randrange(1000): 10**13 + second * 10**9 for _ in range(3)}
        yield MapReading(
            time=time,
            map="start",
            type="hash",
            rows=tuple(MapRow(id=f"{key:08x}", key=key, value=at) for key, at in sorted(begun.items())),
        )
        for _ in range(chance.choice((0, 1, 2, 3)) if events == 2.0 else int(events)):
            yield BpfEvent(time=time, map="output", fields={})


def figures(found: Iterator[Record], *, written: bool = False) -> SpanFigures:
    span = SpanFigures(HEADER)
    if written:
        encoder = ReadingEncoder()
        span.feed([read_line(encoder.encode(record)) for record in found])
    else:
        span.feed(found)
    span.close()
    return span


BEFORE = {0: 5.0, 1000: 2.0, 7: 1.0}
AFTER = {0: 5.0, 1000: 8.0, 7: 1.0}


def test_what_an_entry_gained_is_compared_and_times_are_not() -> None:
    changed = compare(figures(records(BEFORE, 1)), figures(records(AFTER, 2, events=9)))
    assert {(row.mark, row.what, row.name) for row in changed.rows} == {
        ("up", "entry", "counts[1000 ann]"),
        ("up", "entry", "stats[1000 count]"),
        ("up", "event", "output"),
    }
    assert not any("start" in row.name for row in (*changed.rows, *changed.few, *changed.same))
    assert ("run", "hello") in {(row.what, row.name) for row in changed.same}


def test_what_a_map_had_before_the_span_is_not_of_it() -> None:
    changed = compare(figures(records(BEFORE, 1)), figures(records(BEFORE, 3)))
    (row,) = [row for row in changed.same if row.name == "counts[0]"]
    assert row.count_before < 1000
    assert changed.rows == []


def test_readings_as_they_were_written_give_the_same_figures() -> None:
    whole, parts = figures(records(AFTER, 5)), figures(records(AFTER, 5), written=True)
    assert {item: whole.counted(item) for item in whole.items.all_keys()} == {
        item: parts.counted(item) for item in parts.items.all_keys()
    }


def test_a_recording_without_a_file_says_nothing_about_one() -> None:
    bare = [Probe(time=START, probe="execs", state="on", via="x", reason=None)]
    assert not [note for note in compare(figures(iter(bare)), figures(iter(bare))).notes if "of your own" in note]
    notes = compare(figures(records(BEFORE, 1)), figures(iter(bare))).notes
    assert [note for note in notes if "of your own" in note] == [
        "maps, events and runs of a program of your own are not compared: load not recorded in B"
    ]
