"""What changed of a program of one's own: its events, its runs, and the entries of its maps that count."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import msgspec

from ebpftop.core.load_records import (
    BpfEvent,
    Diagnostic,
    Field,
    Loaded,
    LoadedMap,
    LoadedProgram,
    MapReading,
    MapRow,
    ProgramRun,
    ProgramRuns,
)
from ebpftop.core.records import Probe, Record
from ebpftop.models.changed import compare
from ebpftop.models.changed_rows import Changed
from ebpftop.models.changed_text import figure_text
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


DATA = Field(
    type="struct data_t",
    kind="struct",
    fields=(
        Field(name="how", type="enum how", kind="enum"),
        Field(name="uid", type="u32", kind="uint", meaning="uid", size=4),
        Field(name="sent", type="u64", kind="uint", meaning="bytes", size=8),
        Field(name="delay_ns", type="u64", kind="uint", meaning="ns", size=8),
        Field(name="address", type="u64", kind="uint", size=8),
    ),
)
FILE = Loaded(
    time=START,
    file="own.c",
    path="/own.c",
    state="on",
    generation=1,
    source=("int hello(void *ctx)", "{", "}"),
    programs=(LoadedProgram(name="hello", type="kprobe", attached=("kprobe:x",)),),
    maps=(
        LoadedMap(name="output", type="ringbuf", value=DATA),
        LoadedMap(name="config", type="hash", key=U64, value=U64),
        LoadedMap(name="slots", type="prog_array", key=U64, value=Field(type="char[16]", kind="string")),
        LoadedMap(name="idle", type="hash", key=U64, value=U64),
    ),
)


def of_a_file(
    how: Mapping[str, float], held: Mapping[str, Mapping[int, object]], *loads: Loaded, delay_ns: int = 1000
) -> Iterator[Record]:
    """Yield what is recorded while so many events a second have each `how`, and maps *held* that all the time."""
    chance = random.Random(repr(how))
    yield Probe(time=START, probe="load", state="on", via="x", reason=None)
    yield FILE
    later = list(loads)
    for second in range(60):
        time = START + second
        while later and later[0].time <= time:
            yield later.pop(0)
        yield ProgramRuns(time=time, rows=(ProgramRun(program="hello", runs=10 * second, run_ns=1),))
        for name, entries in held.items():
            rows = tuple(MapRow(id=f"{key:08x}", key=key, value=value) for key, value in entries.items())
            yield MapReading(time=time, map=name, type="hash", rows=rows, entries=len(rows))
        for word, rate in how.items():
            for _ in range(sum(chance.random() < rate / 10 for _ in range(10))):
                yield BpfEvent(
                    time=time,
                    map="output",
                    fields={
                        "how": word,
                        "uid": 1000,
                        "sent": 100 if word == "OK" else 10_000,
                        "delay_ns": delay_ns + chance.randrange(100),
                        "address": chance.randrange(1 << 40),
                    },
                    names={"uid": "ann"},
                )


HELD: Mapping[str, Mapping[int, object]] = {"config": {0: 1, 7: 9}, "slots": {257: "hello_exec"}, "idle": {5: 40}}


def shown(changed: Changed) -> dict[tuple[str, str], str]:
    return {(row.what, row.name): row.mark for row in changed.rows}


def test_what_fields_of_events_have_is_compared() -> None:
    a = figures(of_a_file({"OK": 8, "FAILED": 1}, HELD), written=True)
    b = figures(of_a_file({"OK": 2, "FAILED": 6, "RETRIED": 2}, HELD, delay_ns=9000), written=True)
    changed = compare(a, b)
    found = shown(changed)
    assert found["field", "output.how=OK"] == "down"
    assert found["field", "output.how=FAILED"] == "up"
    assert found["field", "output.how=RETRIED"] == "+"
    assert found["field", "output.sent"] == "up"
    assert ("field", "output.uid=1000 ann") in {(row.what, row.name) for row in (*changed.same, *changed.rows)}
    (took,) = [row for row in changed.rows if row.name == "output.delay_ns"]
    assert (took.mark, took.what in ("p50", "p90", "p99")) == ("up", True)
    assert not any("address=" in row.name for row in (*changed.rows, *changed.few, *changed.same))
    assert "fields with more values than can be compared: output.address" in changed.notes
    assert (round(changed.a.events or 0), round(changed.b.events or 0)) == (9, 10)


def test_entries_that_do_not_count_are_compared_by_what_they_are() -> None:
    other: Mapping[str, Mapping[int, object]] = {"config": {0: 5, 8: 1}, "slots": {257: "hello_two"}, "idle": {5: 90}}
    found = compare(figures(of_a_file({}, HELD), written=True), figures(of_a_file({}, other), written=True)).rows
    assert {(row.mark, row.what, row.name, row.before, row.after) for row in found} == {
        ("up", "value", "config[0]", 1, 5),
        ("-", "key", "config[7] = 9", None, None),
        ("+", "key", "config[8] = 1", None, None),
        ("-", "value", "slots[257] = hello_exec", None, None),
        ("+", "value", "slots[257] = hello_two", None, None),
    }
    assert figure_text(next(row for row in found if row.after == 5), 5.0) == "5"


def test_an_entry_that_came_or_went_in_a_span_is_not_sure() -> None:
    def short(begin: int, end: int) -> Iterator[Record]:
        for record in of_a_file({}, HELD):
            if isinstance(record, MapReading) and record.map == "config" and begin <= record.time - START < end:
                extra = MapRow(id="00000063", key=99, value=1)
                yield msgspec.structs.replace(record, rows=(*record.rows, extra))
            else:
                yield record

    before = figures(of_a_file({}, HELD), written=True)
    assert shown(compare(before, figures(short(0, 60), written=True))) == {("key", "config[99] = 1"): "+"}
    for begin, end in ((5, 60), (0, 30), (20, 40)):
        assert shown(compare(before, figures(short(begin, end), written=True))) == {}


def test_what_was_loaded_is_compared() -> None:
    again = msgspec.structs.replace(
        FILE,
        time=START + 20,
        generation=2,
        source=("int hello(void *ctx)", "{", "return 0;", "}"),
        programs=(LoadedProgram(name="hello", type="tracepoint", attached=("tracepoint:x",)), *PROGRAMS),
        maps=FILE.maps[:-1],
    )
    failed = msgspec.structs.replace(
        again,
        time=START + 40,
        state="failed",
        source=("nonsense",),
        running=again.source,
        diagnostics=(Diagnostic(stage="clang", line=3, message="expected ';'"),),
    )
    changed = compare(figures(of_a_file({}, HELD)), figures(of_a_file({}, HELD, again, failed), written=True))
    own = [note for note in changed.notes if "neither of the two" not in note]
    assert [note.partition(" at ")[0] for note in own[:2]] == [
        "own.c was loaded again in B",
        "own.c could not be loaded in B",
    ]
    assert own[1].endswith(": line 3: expected ';'; the last good one ran on")
    assert own[2:] == [
        "bye did not run in B: no such function",
        "own.c is not the same in both: 0 lines of A, 1 of B",
        "programs of B alone: bye",
        "maps of A alone: idle",
        "hello is attached to kprobe:x in A, to tracepoint:x in B",
    ]


PROGRAMS = (LoadedProgram(name="bye", type="kprobe", reason="no such function"),)


def test_probes_that_neither_has_are_a_line() -> None:
    notes = compare(figures(of_a_file({}, HELD)), figures(of_a_file({}, HELD))).notes
    assert notes == ["execs, syscalls, users are not compared: neither of the two has them"]


def test_the_time_that_compiling_took_is_not_of_its_rates() -> None:
    figures = SpanFigures(HEADER)
    row = ProgramRun(program="hello", runs=30)
    figures.feed(
        (
            Probe(time=START, probe="load", state="on", via=None, reason=None),
            ProgramRuns(time=START + 1, whole=True),
            ProgramRuns(time=START + 4, whole=True),
            msgspec.structs.replace(LOADED, time=START + 5, generation=1),
            ProgramRuns(time=START + 8, whole=True, rows=(row,)),
        )
    )
    figures.close()
    assert figures.known_s("load") == 3
    assert figures.total("run") == 30
