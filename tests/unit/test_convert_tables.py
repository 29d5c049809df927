"""Recordings as CSV and as JSON Lines, read again by the csv module and by ebpftop."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

import msgspec
import pytest

from ebpftop.conversion import loaded_tables, tables
from ebpftop.conversion.input import Input
from ebpftop.conversion.jsonl import JsonLines
from ebpftop.core.load_records import BpfEvent, Field, Loaded, LoadedMap, MapReading, MapRow
from ebpftop.core.process_records import Exec, Exit, Killer
from ebpftop.core.record_lines import Foreign, encode
from ebpftop.core.records import Record
from ebpftop.core.syscall_records import ProcessCalls, Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.probes.registry import kind_of, registry
from ebpftop.recording.index import time_of
from ebpftop.recording.parse import read_lines
from tests.unit.recording_samples import HEADER, START, exec_at, exit_at, story


def table(records: list[Record], name: str = tables.RUNS, *, exact: bool = False) -> list[dict[str, str]]:
    data = b"".join(tables.to_csv(Input(HEADER, records, START), name, exact=exact))
    assert data.endswith(b"\r\n")
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len({*rows[0]}) == len(rows[0])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_program_and_its_end_are_one_row() -> None:
    start = msgspec.structs.replace(exec_at(START + 1, 20), start_ns=77)
    killer = Killer(pid=9, comm="php-fpm", uid=33)
    end = msgspec.structs.replace(
        exit_at(START + 3, 20), start_ns=77, code=None, signal="SIGKILL", killer=killer, user_s=0.5, core=True
    )
    (row,) = table([start, end])
    assert (row["time_unix_s"], row["pid"], row["start_ns"]) == (repr(START + 1), "20", "77")
    assert (row["outcome"], row["signal"], row["code"]) == ("signal", "SIGKILL", "")
    assert row["end_time_unix_s"] == repr(START + 3)
    assert (row["user_s"], row["duration_s"], row["core"]) == ("0.5", "0.5", "true")
    assert (row["killer_pid"], row["killer_comm"], row["killer_uid"]) == ("9", "php-fpm", "33")
    assert json.loads(row["argv"]) == list(start.argv)


def test_each_way_in_which_a_program_ends_has_a_word() -> None:
    def program(pid: int, ret: int = 0) -> Exec:
        return exec_at(START + pid / 100, pid, ret)

    became = msgspec.structs.replace(program(3), time=START + 1, comm="vi")
    unseen = msgspec.structs.replace(exit_at(START + 2, 4), code=None)
    reused = msgspec.structs.replace(program(5), time=START + 1, start_ns=10**15)
    records: list[Record] = [
        *(program(1), program(2, -2), program(3), program(4), program(5), exit_at(START + 1, 1)),
        *(became, unseen, reused),
    ]
    found = [(row["pid"], row["comm"], row["outcome"]) for row in table(records)]
    assert sorted(found) == [
        *(("1", "job1", "exited"), ("2", "job2", "failed"), ("3", "job3", "exec"), ("3", "vi", "running")),
        *(("4", "job4", "unknown"), ("5", "job5", "running"), ("5", "job5", "unknown")),
    ]


def test_every_record_of_a_kind_is_a_row_and_comes_back_as_it_was() -> None:
    records = list(story(3))
    for name, kind in (("exec", Exec), ("exit", Exit)):
        expected = [record for record in records if type(record) is kind]
        rows = table(records, name, exact=True)
        assert len(rows) == len(expected)
        for row, record in zip(rows, expected, strict=True):
            for field, value in json.loads(encode(record)).items():
                if field in ("kind", "killer", "env_differs"):
                    continue
                cell = row["time_unix_s" if field == "time" else field]
                assert cell == (
                    ""
                    if value is None
                    else value
                    if isinstance(value, str)
                    else json.dumps(value, separators=(",", ":"))
                )


def test_readings_have_a_row_for_each_of_theirs_with_the_readings_own_numbers() -> None:
    ann = UserRow(uid=1000, user="ann", execs=5, failed=1, last="vi")
    records: list[Record] = [
        Users(time=START, rows=(ann, msgspec.structs.replace(ann, uid=1))),
        Users(time=START + 1, whole=False, rows=(msgspec.structs.replace(ann, execs=6),)),
        Syscalls(
            time=START + 2,
            rows=(),
            boot_ns=44,
            pairs_time=START + 1.5,
            processes=(ProcessCalls(pid=7, comm="vi", abi="x86_64", nr=0, name="read", count=3, total_ns=9),),
        ),
    ]
    users = table(records, "users")
    assert [(row["time_unix_s"], row["uid"], row["execs"]) for row in users] == [
        *((repr(START), "1000", "5"), (repr(START), "1", "5"), (repr(START + 1), "1000", "6")),
    ]
    (calls,) = table(records, "syscalls.processes")
    assert (calls["boot_ns"], calls["pairs_time_unix_s"], calls["total_ns"]) == ("44", repr(START + 1.5), "9")
    assert calls["max_ns"] == ""


def test_every_kind_has_its_tables() -> None:
    for name in tables.tables():
        assert table([], name) == []
    for kind in ("exec", "syscall", "users", "programs.maps", "lost", "cost"):
        assert kind in tables.tables()
    assert {name.partition(".")[0] for name in tables.tables()} - {tables.RUNS} == {*registry().kinds} - {
        "header",
        "end",
    }


def test_what_a_spreadsheet_would_run_is_guarded_unless_it_is_to_be_exact() -> None:
    evil = msgspec.structs.replace(exec_at(START, 20), comm="=cmd()", file='a,"b"\r\nc')
    assert table([evil], "exec")[0]["comm"] == "'=cmd()"
    assert table([evil], "exec", exact=True)[0]["comm"] == "=cmd()"
    assert table([evil], "exec", exact=True)[0]["file"] == 'a,"b"\r\nc'


def lines(records: Iterable[Record], kinds: tuple[str, ...] = ()) -> tuple[JsonLines, list[Record]]:
    made = JsonLines(kinds)
    data = b"".join(made.convert(Input(HEADER, records, START)))
    assert data.endswith(b"\n")
    return made, list(read_lines(data))


def test_json_lines_are_the_recording() -> None:
    records = list(story(2))
    made, read = lines(records)
    assert read == [HEADER, *records]
    assert json.loads(made.end("disk full")) == {
        **{"kind": "end", "records": len(records), "reason": "disk full"},
        "time": max(map(time_of, records)),
    }


def test_json_lines_of_some_kinds() -> None:
    unknown = Foreign(time=START, line=b'{"kind":"later","time":1,"x":2}')
    _, read = lines([*story(2), unknown], ("exit", "later"))
    assert {kind_of(type(record)) for record in read if not isinstance(record, Foreign)} == {"header", "exit"}
    assert read[-1] == msgspec.structs.replace(unknown, time=1.0)


@pytest.mark.parametrize("raw", ["\u202e", "\x9b31m"])
def test_lines_of_unknown_kinds_say_nothing_raw_to_a_terminal(raw: str) -> None:
    line = json.dumps({"kind": "later", "time": 1, "x": raw}, ensure_ascii=False).encode()
    data = b"".join(JsonLines().convert(Input(HEADER, [Foreign(time=1, line=line)], START)))
    assert data.isascii()
    assert json.loads(data.splitlines()[1])["x"] == raw


def of_a_file(second: int, value: Field, counted: object) -> tuple[Loaded, MapReading]:
    loaded = Loaded(
        time=START + second,
        file="count.c",
        path="/count.c",
        state="on",
        maps=(
            LoadedMap(name="counts", type="hash", key=KEY, value=value),
            LoadedMap(name="output", type="perf_event_array", value=KEY),
        ),
    )
    row = MapRow(
        id="e8030000", key={"uid": 1000, "in": {"pid": 7}}, value=counted, cpus=(1, 2), names={"key.uid": "ann"}
    )
    return loaded, MapReading(time=START + second, map="counts", type="hash", rows=(row,), entries=1)


U64 = Field(type="u64", kind="uint", size=8)
INNER = Field(name="in", type="struct b", kind="struct", fields=(Field(name="pid", type="u32", kind="uint", size=4),))
KEY = Field(
    type="struct a",
    kind="struct",
    fields=(Field(name="uid", type="u32", kind="uint", meaning="uid", size=4), INNER),
)
STATS = Field(
    type="struct s",
    kind="struct",
    fields=(
        msgspec.structs.replace(U64, name="count"),
        Field(name="each", type="u64[2]", kind="array", count=2, fields=(U64,)),
    ),
)


def test_a_map_of_ones_own_has_a_column_for_each_member() -> None:
    records = of_a_file(0, STATS, {"count": 5, "each": [1, 2]})
    (row,) = table([*records], "map.counts")
    assert row == {
        "time_unix_s": repr(START),
        "id": "e8030000",
        "key.uid": "1000",
        "key.uid.name": "ann",
        "key.in.pid": "7",
        "value.count": "5",
        "value.each": "[1,2]",
        "cpus": "[1,2]",
    }
    # Without types: by the row.
    (bare,) = table([records[1]], "map.counts")
    assert {**row, "key.in.pid.name": "", "value.count.name": "", "value.each.name": ""} == bare
    # All maps in one table: whole values.
    (whole,) = table([*records], "map")
    assert json.loads(whole["value"]) == {"count": 5, "each": [1, 2]}
    assert json.loads(whole["key"]) == {"uid": 1000, "in": {"pid": 7}}


def test_events_of_ones_own_have_a_column_for_each_member() -> None:
    loaded, _ = of_a_file(0, STATS, None)
    fields = {"uid": 1000, "in": {"pid": 7}}
    event = BpfEvent(time=START, map="output", uid=1000, fields=fields, names={"uid": "ann"}, size=8)
    (row,) = table([loaded, event, msgspec.structs.replace(event, map="other")], "event.output")
    assert (row["uid"], row["fields.uid"], row["fields.uid.name"], row["fields.in.pid"]) == ("1000", "1000", "ann", "7")
    one = msgspec.structs.replace(event, map="other", fields={"data": "=cmd()"})
    (row,) = table([loaded, one], "event.other")
    assert row["fields.data"] == "'=cmd()"


def test_what_has_no_column_is_said() -> None:
    said: list[str] = []
    old, new = of_a_file(0, U64, 3), of_a_file(1, STATS, {"count": 5, "each": []})
    text = b"".join(tables.to_csv(Input(HEADER, [*old, *new], START), "map.counts", report=said.append))
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    # The whole of what was a number is in its column.
    assert [row["value"] for row in rows] == ["3", '{"count":5,"each":[]}']
    assert said == []
    text = b"".join(tables.to_csv(Input(HEADER, [*new, *old], START), "map.counts", report=said.append))
    assert said == [
        "map counts had other members before or after a reload, which have no column: value; "
        "convert that part by itself, as FILE@FROM.."
    ]


def test_an_empty_table_says_which_are_not() -> None:
    said: list[str] = []
    records = [*of_a_file(0, U64, 3), BpfEvent(time=START, map="output", fields={})]
    for name in (tables.RUNS, "map.nothing"):
        data = b"".join(tables.to_csv(Input(HEADER, records, START), name, report=said.append))
        assert data.count(b"\r\n") == 1
        assert said.pop() == (
            f"no row of {name} is in it; --kind has others: "
            "event.output (1 record), loaded (1 record), map.counts (1 record)"
        )
    assert not tables.is_table("map.")
    assert not tables.is_table("maps.a")


def test_the_tables_of_a_file_of_ones_own_are_named() -> None:
    maps = (LoadedMap(name="counts", type="hash"), LoadedMap(name="output", type="ringbuf"))
    loaded = Loaded(time=START, file="a.c", path="/a.c", state="on", maps=maps)
    assert loaded_tables.names_in([loaded, loaded]) == ("event.output", "map.counts")
