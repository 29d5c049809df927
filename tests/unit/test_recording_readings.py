"""Readings as what changed in them, and whole again."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import msgspec
import pytest

from ebpftop.core.record_lines import encode
from ebpftop.core.records import Probe, Record, TableReading
from ebpftop.core.state_records import States
from ebpftop.core.syscall_records import (
    InFlight,
    ProcessCalls,
    ProcessTotal,
    SyscallRow,
    Syscalls,
    TableSlot,
    UserCalls,
)
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.recording.parse import read_line
from ebpftop.recording.readings import MAX_ROWS, WHOLE_EVERY_BYTES, WHOLE_EVERY_S, ReadingDecoder, ReadingEncoder
from ebpftop.sources.history import History
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import HEADER, START, drain, play, syscalls_at, users_at, write
from tests.unit.state_samples import reading as states_at
from tests.unit.state_samples import row as process

SECOND_NS = 1_000_000_000


class Machine:
    """Readings of a machine on which things happen by chance: rows come, change, rest and go."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time = START
        self.boot_ns = 10**12
        self._totals: dict[str, dict[Any, list[int]]] = {name: {} for name in ("calls", "pairs", "processes", "users")}
        self._waits: dict[int, int] = {}
        self._families: dict[str, int] = {}
        self._uring: dict[str, int] | None = None
        self._slots: set[int] = {1, 2}
        self.evicted = 0

    def _move(self, name: str, keys: int) -> list[tuple[Any, list[int]]]:
        rows = self._totals[name]
        for _ in range(self.random.randrange(4)):
            totals = rows.setdefault(self.random.randrange(keys), [0, 0])
            totals[0] += self.random.randrange(1, 1000)
            totals[1] += self.random.randrange(2)
        if rows and self.random.random() < 0.3:
            del rows[self.random.choice(list(rows))]
        return sorted(rows.items())

    def syscalls(self) -> Syscalls:
        """Return a reading a second later."""
        self.time += 1.0 if self.random.random() < 0.95 else 20.0
        self.boot_ns += self.random.choice((SECOND_NS, SECOND_NS + 12_345, 3 * SECOND_NS))
        for tid in list(self._waits):
            if self.random.random() < 0.2:
                del self._waits[tid]
        if self.random.random() < 0.4:
            self._waits[self.random.randrange(50)] = self.boot_ns - self.random.randrange(10**9)
        if self.random.random() < 0.3:
            family = self.random.choice(("exec", "timer_create"))
            self._families[family] = self._families.get(family, 0) + 1
        if self.random.random() < 0.1:
            self._uring = (
                None if self._uring is not None and self.random.random() < 0.3 else {**(self._uring or {}), "nop": 7}
            )
        if self.random.random() < 0.1:
            self._slots ^= {self.random.randrange(5)}
        self.evicted = self.evicted + 1 if self.random.random() < 0.9 else 0
        return Syscalls(
            time=self.time,
            rows=tuple(
                SyscallRow(
                    abi="x86_64", nr=nr, name=f"call{nr}", count=count, errors=errors,
                    histogram_ns=(0, count), errnos={"ENOENT": errors} if errors else {},
                )
                for nr, (count, errors) in self._move("calls", 8)
            ),
            in_flight=tuple(
                InFlight(
                    pid=tid // 2, tid=tid, comm="w", abi="x86_64", nr=0, name="read", ns=self.boot_ns - entered_ns,
                    running=tid % 7 == 0 and self.random.random() < 0.2,
                )
                for tid, entered_ns in sorted(self._waits.items())
            ),
            processes=tuple(
                ProcessCalls(pid=at // 2, comm="p", abi="x86_64", nr=at, name="n", count=n, errors=e, start_ns=at * 10,
                    total_ns=n * 7, max_ns=n)
                for at, (n, e) in self._move("pairs", 12)
            ),
            process_totals=tuple(
                ProcessTotal(pid=pid, comm="p", count=count, errors=errors, start_ns=5)
                for pid, (count, errors) in self._move("processes", 8)
            ),
            users=tuple(UserCalls(uid=uid, count=n, errors=e) for uid, (n, e) in self._move("users", 3)),
            evicted=self.evicted,
            families=dict(self._families),
            io_uring=None if self._uring is None else dict(self._uring),
            table=tuple(TableSlot(slot=n, abi="x86_64", nr=n, name="x", handler="exec") for n in sorted(self._slots)),
            boot_ns=self.boot_ns,
        )  # fmt: skip


def on(time: float) -> Probe:
    return Probe(time=time, probe="syscalls", state="on", via="x", reason=None)


def lines_of(records: list[Record]) -> list[bytes]:
    encoder = ReadingEncoder()
    return [encoder.encode(record) for record in records]


def whole_again(lines: list[bytes]) -> list[Record]:
    decoder = ReadingDecoder()
    found = [decoder.whole(read_line(line)) for line in lines]
    return [record for record in found if record is not None]


def is_whole(line: bytes) -> bool:
    return bool(msgspec.json.decode(line)["whole"])


@pytest.mark.parametrize("seed", range(40))
def test_readings_are_read_as_they_were(seed: int) -> None:
    machine = Machine(seed)
    readings: list[Record] = [machine.syscalls() for _ in range(60)]
    for at in (20, 40):
        readings.insert(at, on(machine.time))
    lines = lines_of(readings)
    assert whole_again(lines) == readings
    assert 3 <= sum(b'"whole":false' in line for line in lines) < 58


@pytest.mark.parametrize("seed", range(20))
def test_a_line_that_is_missing_makes_rows_late_and_never_wrong(seed: int) -> None:
    machine = Machine(seed)
    readings: list[Record] = [machine.syscalls() for _ in range(80)]
    lines = lines_of(readings)
    kept = [at for at in range(len(lines)) if at == 0 or machine.random.random() < 0.7]
    known = whole_again([lines[at] for at in kept])
    assert len(known) == len(kept)
    healed = False
    past: dict[int, set[int]] = {}
    for at, found in enumerate(known):
        number = kept[at]
        healed = is_whole(lines[number]) or (healed and kept[at - 1] == number - 1)
        truth = readings[number]
        assert isinstance(found, Syscalls)
        assert isinstance(truth, Syscalls)
        if healed:
            assert found == truth
        for before in readings[: number + 1]:
            assert isinstance(before, Syscalls)
            for row in before.rows:
                past.setdefault(row.nr, set()).add(row.count)
        assert all(row.count in past[row.nr] for row in found.rows), "a total that never was"


def test_a_reading_is_whole_each_minute_and_after_a_probe_changed_its_state() -> None:
    records: list[Record] = [syscalls_at(START + at, 10 + at) for at in range(130)]
    whole = [at for at, line in enumerate(lines_of(records)) if is_whole(line)]
    assert whole == [0, int(WHOLE_EVERY_S), 2 * int(WHOLE_EVERY_S)]
    lines = lines_of([*records[:10], on(START + 9.5), *records[10:20]])
    assert [at for at, line in enumerate(lines) if b'"whole":true' in line] == [0, 11]


def test_a_reading_is_whole_where_a_reader_that_seeks_has_far_to_read() -> None:
    encoder = ReadingEncoder()
    rows = tuple(UserRow(uid=u // 2, user="x" * 50, execs=1, failed=0) for u in range(9000))
    big = Users(time=START, rows=rows)
    size = len(encoder.encode(big))
    found = [is_whole(encoder.encode(syscalls_at(START, 5)))]
    for at in range(2 * WHOLE_EVERY_BYTES // size + 2):
        encoder.encode(msgspec.structs.replace(big, time=START + at))  # it is written whole: its first row is twice
        found.append(is_whole(encoder.encode(syscalls_at(START + at / 100, 5))))
    assert 3 <= sum(found) <= 5


def test_counts_that_begin_again_are_whole() -> None:
    first = msgspec.structs.replace(syscalls_at(START, 10), evicted=5, families={"exec": 3}, boot_ns=7)
    changes: tuple[dict[str, Any], ...] = (
        {"evicted": 4},
        {"families": {"exec": 2}},
        {"families": {}},
        {"io_uring": {}},
        {"boot_ns": 6},
    )
    for change in changes:
        again = msgspec.structs.replace(first, time=START + 1, **change)
        lines = lines_of([first, again])
        assert is_whole(lines[1]), change
        assert whole_again(lines) == [first, again]


def test_a_clock_that_was_set_back_is_no_reason_to_wait_for_a_whole_reading() -> None:
    lines = lines_of([syscalls_at(START, 1), syscalls_at(START - 3600, 2), syscalls_at(START - 3599, 3)])
    assert list(map(is_whole, lines)) == [True, True, False]


def test_at_rest_nothing_is_written_again() -> None:
    call = InFlight(pid=7, tid=8, comm="w", abi="x86_64", nr=0, name="read", ns=5 * SECOND_NS)
    reading = msgspec.structs.replace(
        Machine(1).syscalls(),
        in_flight=(call,),
        boot_ns=100 * SECOND_NS,
        table=(TableSlot(slot=1, abi="x86_64", nr=1, name="x", handler="exec"),),
    )
    older = msgspec.structs.replace(call, ns=6 * SECOND_NS)
    later = msgspec.structs.replace(reading, time=reading.time + 1, boot_ns=101 * SECOND_NS, in_flight=(older,))
    lines = lines_of([reading, later])
    part = msgspec.json.decode(lines[1])
    assert {name for name, value in part.items() if value} == {"kind", "time", "evicted", "boot_ns"} - (
        {"evicted"} if not reading.evicted else set()
    )
    assert whole_again(lines) == [reading, later]
    off_by_one = msgspec.structs.replace(later, in_flight=(msgspec.structs.replace(older, ns=older.ns + 1),))
    assert whole_again(lines_of([reading, off_by_one])) == [reading, off_by_one]


def test_rows_in_another_order_or_twice_are_written_whole() -> None:
    rows = users_at(START, 5).rows
    pair = (msgspec.structs.replace(rows[0], uid=2), msgspec.structs.replace(rows[0], uid=1))
    for strange in (pair, (pair[0], pair[0])):
        records: list[Record] = [Users(time=START + at, rows=strange) for at in range(3)]
        lines = lines_of(records)
        assert all(map(is_whole, lines))
        assert whole_again(lines) == records


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A row of somebody else's reading."""

    place: str
    value: int


class Gauges(TableReading, frozen=True, kw_only=True, tag="gauges"):
    """A reading of somebody else."""

    gauges: tuple[Gauge, ...]
    note: str = ""
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"gauges": ("place",)}


def test_a_reading_of_somebody_else_is_written_in_parts_too() -> None:
    readings = [
        Gauges(
            time=START + at,
            gauges=tuple(Gauge(place=place, value=at if place == "b" else 1) for place in "abcd"[: 4 - at % 2]),
            note=str(at),
        )
        for at in range(5)
    ]
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    for at, reading in enumerate(readings):
        part = msgspec.json.decode(encoder.encode(reading), type=Gauges)
        assert part.whole == (at == 0)
        assert len(part.gauges) == (4 if at == 0 else 1 if at % 2 else 2)
        assert decoder.whole(part) == reading


def test_parts_without_a_whole_reading_are_not_shown() -> None:
    machine = Machine(3)
    lines = lines_of([machine.syscalls() for _ in range(5)])
    parts = [line for line in lines if not is_whole(line)]
    assert parts
    assert whole_again(parts) == []


@pytest.mark.parametrize(
    "change",
    [
        {"removed": {"processes": [[1, 2, "x86_64", 3], []], "rows": [["x"], [1, 2, 3]], "nothing": [[1]]}},
        {"rows": [], "families": {}, "io_uring": None},
        {"in_flight": [], "boot_ns": 0},
        {"boot_ns": 2**64 - 1},
        {"boot_ns": -(2**63)},
    ],
)
def test_hostile_parts_change_only_what_they_name(change: dict[str, Any]) -> None:
    reading = Machine(5).syscalls()
    assert reading.in_flight
    part = {"kind": "syscalls", "time": reading.time + 1, "whole": False, "rows": [], **change}
    found = whole_again([encode(reading), msgspec.json.encode(part)])[-1]
    assert isinstance(found, Syscalls)
    assert (found.rows, found.processes, found.table) == (reading.rows, reading.processes, reading.table)
    # Calls in flight are as many seconds older as the clock says, as far as that is a duration.
    assert read_line(encode(found)) == found
    assert found.whole
    assert found.removed == {}


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"users","time":1,"whole":null,"rows":[]}',
        b'{"kind":"users","time":1,"whole":0,"rows":[]}',
        b'{"kind":"users","time":1,"whole":false,"removed":[],"rows":[]}',
        b'{"kind":"users","time":1,"whole":false,"removed":{"rows":[[null]]},"rows":[]}',
        b'{"kind":"users","time":1,"whole":false,"rows":[{"uid":1,"user":null,"execs":-1,"failed":0}]}',
    ],
)
def test_parts_that_are_no_records_are_broken_lines(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expected|negative"):
        read_line(line)


def test_parts_cannot_add_up_to_more_rows_than_a_reading_may_have() -> None:
    decoder = ReadingDecoder()
    rows = [{"uid": uid, "user": None, "execs": 1, "failed": 0} for uid in range(15_000)]
    for begin in (0, 10_000):
        part = [{**row, "uid": int(str(row["uid"])) + begin} for row in rows]
        line = msgspec.json.encode({"kind": "users", "time": START, "whole": begin == 0, "rows": part})
        if begin == 0:
            assert decoder.whole(read_line(line)) is not None
            continue
        with pytest.raises(ValueError, match=f"more than {MAX_ROWS} rows"):
            decoder.whole(read_line(line))
    assert decoder.whole(read_line(b'{"kind":"users","time":1795352001,"whole":false,"rows":[]}')) is None


@pytest.mark.parametrize("way", ["file", "history"])
def test_what_is_recorded_is_smaller_and_played_as_it_was(way: str, tmp_path: Any) -> None:
    machine = Machine(9)
    records: list[Record] = [machine.syscalls() for _ in range(150)]
    if way == "file":
        path = write(tmp_path / "a.jsonl", records)
        assert path.stat().st_size < 0.8 * sum(len(encode(record)) + 1 for record in records)
        assert play(path)[0] == records
        return
    history = History()
    for record in records:
        history.add([record])
    data = b"".join(history.load(number).data for number in range(history.first, history.stop))
    assert len(data) < 0.8 * sum(len(encode(record)) + 1 for record in records)
    assert whole_again(data.splitlines()) == records
    assert HEADER.schema == 2


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst"])
@pytest.mark.parametrize("every_bytes", [WHOLE_EVERY_BYTES, 1 << 30], ids=["ours", "rarely whole"])
def test_a_recording_shows_and_plays_whole_readings_from_any_moment_on(
    suffix: str, every_bytes: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each second is a chunk or more, so that the last whole reading is many chunks before."""
    monkeypatch.setattr("ebpftop.recording.readings.WHOLE_EVERY_BYTES", every_bytes)
    machine = Machine(11)
    readings: list[Record] = [
        msgspec.structs.replace(machine.syscalls(), time=START + at, evicted=at, io_uring=None, families={})
        for at in range(50)
    ]
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60_000))
    records: list[Record] = []
    for reading in readings:
        assert isinstance(reading, Syscalls)
        records += [reading, *(Trace(time=reading.time, cpu=at, pid=1, task="t", message=noise) for at in range(2))]
    source = ReplaySource(str(write(tmp_path / f"a.{suffix}", records)), speed=0)
    try:
        source.pause()
        for at in (48, 23, 9, 36):
            moment = readings[at].time  # type: ignore[union-attr]
            shown = [record for batch in source.timeline.snapshot_at(moment).batches for record in batch.records]
            assert [record for record in shown if isinstance(record, Syscalls)][-1] == readings[at]
            source.jump(moment - 0.5, source.next_jump())
            source.resume()
            played = drain(source, lambda: source.finished)
            source.pause()
            assert [record for record in played if isinstance(record, Syscalls)] == readings[at:]
    finally:
        source.close()


def test_why_processes_wait_is_read_as_it_was_though_rows_come_rest_and_go() -> None:
    rests, moves, comes = process(0, 0, 5, pid=1), process(1, 0, 0, pid=2), process(0, 1, 0, pid=3)
    readings: list[Record] = [
        states_at(1, rests, moves),
        states_at(2, rests, process(1, 0, 1, pid=2), busy=1),
        states_at(3, rests, process(1, 0, 1, pid=2, ended=True), comes),
        states_at(4, rests, comes),
        states_at(5, rests),
        states_at(6, rests, comes),
    ]
    lines = lines_of(readings)
    parts = [read_line(line) for line in lines]
    assert [[row.pid for row in part.rows] for part in parts if isinstance(part, States)] == [
        [1, 2],
        [2],
        [2, 3],
        [],
        [],
        [3],
    ]
    assert [part.whole for part in parts if isinstance(part, States)] == [True, *[False] * 5]
    assert whole_again(lines) == readings
    assert whole_again(lines[1:]) == [], "a part alone is no reading"
    late = whole_again([lines[0], lines[2]])
    assert late == [readings[0], readings[2]], "what is missing between is in the totals"
