"""The records of a program of one's own: each map goes on from its own last reading, and what it is holds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ebpftop.core.load_records import BpfEvent, Code, CodeLine, Field, Loaded, LoadedMap, MapReading, MapRow
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.models.held import Held
from ebpftop.models.watch import Watches, compile_watch
from ebpftop.recording.parse import read_line
from ebpftop.recording.passage import Passage
from ebpftop.recording.readings import MAX_SERIES, ReadingDecoder, ReadingEncoder
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import History
from tests.unit.recording_samples import HEADER, START, write

NUMBER = Field(name="n", type="u64", kind="uint", size=8)


def reading(second: float, name: str, values: dict[int, int], entries: int | None = None) -> MapReading:
    """Return a reading of map *name* with a number for each key."""
    rows = tuple(MapRow(id=f"{key:08x}", key=key, value=value) for key, value in sorted(values.items()))
    return MapReading(
        time=START + second, map=name, type="hash", rows=rows, entries=len(rows) if entries is None else entries
    )


def loaded(second: float, generation: int = 1) -> Loaded:
    """Return what became of a file of two lines."""
    return Loaded(
        time=START + second,
        file="count.c",
        path="/home/ann/count.c",
        state="on",
        generation=generation,
        source=("BPF_HASH(counts, u64);", 'int hello(void *ctx) { return 0; } // "x"'),
        maps=(
            LoadedMap(
                name="counts",
                type="hash",
                key=Field(type="u64", kind="uint", size=8),
                value=Field(
                    type="struct value",
                    kind="struct",
                    size=8,
                    fields=(Field(name="n", type="u64", kind="uint", size=8),),
                ),
            ),
        ),
    )


def two_maps(seconds: int) -> list[Record]:
    """Return readings of two maps, one of which hardly changes."""
    many = {key: key for key in range(100)}
    return [
        one
        for second in range(seconds)
        for one in (reading(second, "busy", {**many, 1: second}), reading(second, "calm", {**many, 2: second // 10}))
    ]


def test_readings_of_each_map_are_partial_against_its_own_last_one() -> None:
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    for number, record in enumerate(two_maps(30)):
        line = encoder.encode(record)
        part = read_line(line)
        assert isinstance(part, MapReading)
        assert part.whole == (number < 2)
        assert part.whole or len(part.rows) <= 1
        assert decoder.whole(part) == record
    assert {one.map for one in decoder.readings() if isinstance(one, MapReading)} == {"busy", "calm"}


def test_entries_of_a_map_may_become_fewer_without_a_whole_reading() -> None:
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    before = reading(0, "m", dict.fromkeys(range(9), 1))
    after = reading(1, "m", dict.fromkeys(range(8), 1))
    decoder.follow(read_line(encoder.encode(before)))
    part = read_line(encoder.encode(after))
    assert isinstance(part, MapReading)
    assert not part.whole
    assert part.removed == {"rows": (("00000008",),)}
    assert decoder.whole(part) == after


def test_a_recording_of_endless_maps_takes_bounded_memory() -> None:
    decoder = ReadingDecoder()
    for number in range(MAX_SERIES):
        assert decoder.follow(reading(0, f"m{number}", {}))
    with pytest.raises(ValueError, match="more than"):
        decoder.follow(reading(0, "another", {}))


def test_a_file_gives_each_map_whole_at_the_begin_of_a_span(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.jsonl", [HEADER, loaded(0), *two_maps(50)])
    for span in ((START + 20, START + 30), (START + 20.5, START + 22.5)):
        for whole in (False, True):
            with path.open("rb") as file:
                passage = Passage(_dup(file.fileno()), str(path))
                records = list(passage.records(span, whole=whole))
                passage.close()
            maps = [one for one in records if isinstance(one, MapReading)]
            assert [one.map for one in maps[:2]] == ["busy", "calm"]
            assert all(one.whole and len(one.rows) == 100 for one in (maps if whole else maps[:2]))
            assert [one for one in records if isinstance(one, Loaded)] == [loaded(0)]


def test_figures_of_a_span_begin_with_each_map_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.jsonl", [HEADER, *two_maps(50)])
    with path.open("rb") as file:
        passage = Passage(_dup(file.fileno()), str(path))
        maps = [one for one in passage.figures((START + 20, START + 30)) if isinstance(one, MapReading)]
        passage.close()
    assert [(one.map, one.whole, one.time) for one in maps[:2]] == [
        ("busy", True, START + 19),
        ("calm", True, START + 19),
    ]


def test_figures_of_a_span_know_the_file_that_was_loaded_before(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.jsonl", [loaded(0), *two_maps(400)])
    with path.open("rb") as file:
        passage = Passage(_dup(file.fileno()), str(path))
        records = list(passage.figures((START + 380, START + 390)))
        passage.close()
    assert [one for one in records if isinstance(one, Loaded)] == [loaded(0)]


def test_a_moment_of_the_history_has_every_map_and_the_file() -> None:
    history = History()
    code = Code(time=START, program="hello", xlated=(CodeLine(at=0, text="r0 = 0", line=2),))
    history.add([loaded(0), code])
    for record in two_maps(200):
        history.add([record])
    timeline = Timeline(HEADER, history, history.index)
    for second in (0.5, 100.5, 150.0):
        snapshot = timeline.snapshot_at(START + second, window_s=5, range_bytes=4_000)
        records = [one for batch in snapshot.batches for one in batch.records]
        assert loaded(0) in records
        assert code in records
        last = {one.map: one for one in records if isinstance(one, MapReading)}
        assert last["busy"].rows[1].value == int(second)
        assert last["calm"].rows[2].value == int(second) // 10


def test_of_two_states_of_the_file_the_later_one_holds() -> None:
    history = History()
    history.add([loaded(0)])
    history.add([reading(20, "counts", {1: 1})])
    history.add([loaded(30, generation=2)])
    history.add([reading(100, "counts", {1: 2})])
    records = [
        one
        for batch in Timeline(HEADER, history, history.index).snapshot_at(START + 100, window_s=5).batches
        for one in batch.records
    ]
    assert [one.generation for one in records if isinstance(one, Loaded)][-1] == 2


def test_what_a_paused_screen_holds_counts_rows_of_maps_once() -> None:
    held: Held[str] = Held()
    first = reading(0, "a", {key: key for key in range(1000)})
    for one in (first, msgspec.structs.replace(first, map="b")):
        list(held.put("taker", Batch("load", START, (one,))))
    before = held.bytes
    list(held.put("taker", Batch("load", START + 1, (msgspec.structs.replace(first, time=START + 1),))))
    assert held.bytes - before < before / 10
    assert held.weight == 3 + 3000


def test_values_keep_their_64_bits_and_their_depth_is_bounded() -> None:
    event = BpfEvent(time=START, map="m", fields={"a": (1 << 64) - 1, "b": -(1 << 63), "c": [[1, 2], {"d": "x"}]})
    assert read_line(msgspec.json.encode(event)) == event
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        read_line(msgspec.json.encode(BpfEvent(time=START, map="m", fields={"a": deep})))


def test_text_in_values_is_made_safe() -> None:
    record = read_line(msgspec.json.encode(BpfEvent(time=START, map="m", fields={"a": ["\x1b[2J", {"b\n": "\u202e"}]})))
    assert isinstance(record, BpfEvent)
    assert record.fields == {"a": ["\\x1b[2J", {"b\\x0a": "\\u202e"}]}


def _dup(fd: int) -> int:
    import os

    return os.dup(fd)


EVENT = BpfEvent(
    time=START,
    map="output",
    pid=812,
    fields={
        "pid": 812,
        "delta_ns": 7_000_000,
        "comm": "bash",
        "in": {"a": -5, "grid": [[1, 2], [3, 4]]},
        "how": "SECOND",
    },
    names={"pid": "bash"},
)
READING = MapReading(
    time=START,
    map="counts",
    type="hash",
    rows=(
        MapRow(id="00", key={"uid": 1000, "failed": 1}, value=5, names={"key.uid": "ann"}),
        MapRow(id="01", key={"uid": 0, "failed": 0}, value=900),
    ),
)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('event.map == "output" && event.fields.delta_ns > 5ms', True),
        ("event.fields.delta_ns > 8ms", False),
        ("event.fields.in.a == -5", True),
        ("event.fields.in.a < 0", True),
        ("event.fields.in.grid[1][0] == 3", True),
        ("event.fields.in.grid[7][0] == 3", False),
        ('event.fields.how in ["FIRST", "SECOND"]', True),
        ("event.fields.in in [1, 2]", False),
        ('event.fields.comm.startsWith("ba")', True),
        ('event.fields.pid.startsWith("ba")', False),
        ("event.fields.comm > 5", False),
        ("event.fields.nothing == null", True),
        ("event.fields.nothing > 1", False),
        ('event.names.pid == "bash" && event.pid == 812', True),
        ("map.rows.exists(r, r.value > 100)", True),
        ("map.rows.exists(r, r.value > 1000)", False),
        ("map.rows.exists(r, r.key.uid == 1000 && r.key.failed == 1 && r.value >= 5)", True),
        ('map.map == "counts" && map.rows.exists(r, r.key.uid == 1000 && r.value > 5)', False),
    ],
)
def test_what_is_watched_for_may_be_in_an_event_or_a_map(text: str, matches: bool) -> None:
    (test,) = compile_watch(text).tests.values()
    assert bool(test(EVENT if text.startswith("event") else READING)) == matches


def test_a_map_that_goes_on_matching_is_news_once_whatever_other_maps_do() -> None:
    watches = Watches([compile_watch("map.rows.exists(r, r.value > 100)")])
    other = msgspec.structs.replace(READING, map="other", rows=())
    said = [watches.feed([READING, other]) for _ in range(3)]
    assert [len(one) for one in said] == [1, 0, 0]
    assert said[0][0].summary == "map: key {'uid': 0, 'failed': 0}: value 900"


def test_an_event_is_summed_up_by_its_members() -> None:
    (found,) = Watches([compile_watch('event.fields.delta_ns > 5ms && event.fields.how == "SECOND"')]).feed([EVENT])
    assert found.summary == "output: pid 812 bash, delta_ns 7000000, comm bash, how SECOND"
