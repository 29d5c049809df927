"""Recordings of schema 1, which ebpftop 0.1 made. One of them is kept: a real one, of a user's programs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ebpftop.core.process_records import Exec, Process
from ebpftop.core.record_lines import encode
from ebpftop.core.records import SCHEMA, Header, Record
from ebpftop.core.syscall_records import Syscalls
from ebpftop.probes.registry import decode
from ebpftop.recording import schema1, zstd_frames
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import drain, exec_at, key, play, syscalls_at

OLD = Path(__file__).parent / "recordings" / "schema1.jsonl.zst"
# Each name by the kind of the record that it is in, and the rows.
RENAMED = {
    "exec": {"start": "start_ns"},
    "exit": {"start": "start_ns", "seconds": "duration_s"},
    "process": {"start": "start_ns", "wanted": "matched"},
    "probe": {"rungs": "attempts"},
    "users.rows": {"inside": "ns_uid"},
    "syscalls": {"forgotten": "evicted", "since_boot": "boot_ns"},
    "syscalls.rows": {"ns": "histogram_ns"},
    "syscalls.processes": {"start": "start_ns"},
    "syscalls.process_totals": {"start": "start_ns"},
}
# What older recordings do not have.
ADDED: dict[str, dict[str, Any]] = {
    "exec": {
        **dict.fromkeys(("exe", "exe_inode", "cwd", "root", "tty", "env", "env_names", "env_differs")),
        "sid": 0,
        "stdio": [],
    },
    "syscall": dict.fromkeys(("result", "stack", "kernel_stack")),
    "syscalls": {"pairs_time": None},
    "syscalls.rows": {"failed_histogram_ns": []},
    "syscalls.in_flight": {
        **dict.fromkeys(("fd", "path", "peer", "lock", "kernel_stack")),
        "awaited": [],
        "more": 0,
    },
    "syscalls.table": {"conditions": []},
    "syscalls.processes": {"total_ns": None, "max_ns": None},
    "syscalls.process_totals": {"total_ns": None, "max_ns": None},
    "syscalls.users": {"total_ns": None, "max_ns": None},
    "trace": {"program": None},
    "exit": {
        **dict.fromkeys(("user_s", "system_s", "max_rss_bytes", "major_faults", "minor_faults", "threads", "killer")),
        **dict.fromkeys(("read_bytes", "written_bytes", "storage_read_bytes", "storage_written_bytes")),
        **dict.fromkeys(("forked", "oom"), False),
    },
}


def old_lines() -> bytes:
    """Return the lines of the recording as they were written."""
    packed, at, data = OLD.read_bytes(), 0, b""
    while at < len(packed):
        frame = zstd_frames.unpack(packed, at + zstd_frames.MARK_BYTES)
        assert frame.fault is None
        data, at = data + frame.data, frame.end
    return data


def renamed(value: Any, place: str) -> Any:
    """Return a value of schema 1 with the names of schema 2, field by field."""
    if isinstance(value, list):
        return [renamed(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    names = RENAMED.get(place, {})
    added = ADDED.get(place, {})
    if "kind" in value and place in ("users", "syscalls"):
        added = {"whole": True, "removed": {}, **added}
    return {names.get(name, name): renamed(item, f"{place}.{name}") for name, item in value.items()} | added


def expected() -> list[Any]:
    """Return what the recording says, without its header and end."""
    lines = [json.loads(line) for line in old_lines().splitlines()]
    return [renamed(line, line["kind"]) for line in lines if line["kind"] not in ("header", "end")]


def plain(records: list[Record]) -> list[Any]:
    """Return the records as objects of JSON."""
    return [json.loads(encode(record)) for record in records]


def in_order(values: list[Any]) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values)


def piped(data: bytes) -> tuple[list[Record], PipeSource]:
    """Return what comes through a pipe."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        with os.fdopen(write_end, "wb") as file:
            file.write(data)
        os._exit(0)
    os.close(write_end)
    source = PipeSource(read_end)
    records = drain(source, lambda: source.finished)
    os.wait()
    source.close()
    return records, source


def test_the_recording_has_every_name_that_changed() -> None:
    lines = old_lines()
    assert b'"schema":1' in lines
    for names in RENAMED.values():
        for old, new in names.items():
            assert f'"{old}":'.encode() in lines
            assert f'"{new}":'.encode() not in lines


def test_a_recording_of_schema_1_replays_as_it_was_recorded() -> None:
    records, source = play(OLD)
    assert source.damage.report() == []
    assert source.header.schema == SCHEMA
    assert in_order(plain(records)) == in_order(expected())
    kinds = {value["kind"] for value in expected()}
    assert kinds >= {"probe", "exec", "exit", "process", "users", "syscalls", "syscall", "trace", "lost", "cost"}
    assert {record.matched for record in records if isinstance(record, Process)} == {False}
    last = [record for record in records if isinstance(record, Syscalls)][-1]
    assert last.boot_ns > 0
    assert any(row.histogram_ns for row in last.rows)
    assert any(record.in_flight for record in records if isinstance(record, Syscalls))


@pytest.mark.parametrize("form", ["plain", "zst", "without a header", "with a broken header", "with blanks"])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_it_is_read_in_any_form(form: str, way: str, tmp_path: Path) -> None:
    data = old_lines()
    header, rest = data.split(b"\n", 1)
    if form == "without a header":
        data = rest
    elif form == "with a broken header":
        data = header[:40] + b"\n" + rest
    elif form == "with blanks":
        data = b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in data.splitlines())
    elif form == "zst":
        data = OLD.read_bytes()
    if way == "pipe":
        records, source = piped(data)
        assert source.header.schema == SCHEMA
    else:
        path = tmp_path / ("old.jsonl.zst" if form == "zst" else "old.jsonl")
        path.write_bytes(data)
        records, replay = play(path)
        assert replay.header.schema == SCHEMA
    assert in_order(plain(records)) == in_order(expected())


def test_seeking_in_it_shows_the_moment() -> None:
    source = ReplaySource(str(OLD), 0.0)
    try:
        _, last = source.timeline.span
        times = sorted(value["time"] for value in expected())
        assert last == times[-1]
        for time in (times[len(times) // 2], last):
            shown = [record for batch in source.timeline.snapshot_at(time).batches for record in batch.records]
            readings = [value for value in expected() if value["kind"] == "syscalls" and value["time"] <= time]
            newest = [record for record in shown if isinstance(record, Syscalls)][-1]
            assert plain([newest]) == readings[-1:]
            execs = {(v["pid"], v["start_ns"]) for v in expected() if v["kind"] == "exec" and v["time"] <= time}
            assert {(record.pid, record.start_ns) for record in shown if isinstance(record, Exec)} == execs
    finally:
        source.close()


def test_what_is_saved_of_it_is_schema_2(tmp_path: Path) -> None:
    source = ReplaySource(str(OLD), 0.0)
    try:
        count = source.timeline.save(str(tmp_path / "new.jsonl"))
    finally:
        source.close()
    lines = (tmp_path / "new.jsonl").read_bytes().splitlines()
    assert json.loads(lines[0])["schema"] == SCHEMA
    assert count == len(expected())
    records, _ = play(tmp_path / "new.jsonl")
    assert sorted(map(key, records)) == sorted(map(key, play(OLD)[0]))


def test_no_text_changes() -> None:
    text = '"start":1,"ns":[1],\\"seconds":\'inside\' "rungs" : {"wanted":'
    records: list[Record] = [
        msgspec.structs.replace(exec_at(1.0, 5), argv=(text, "start", '"start":'), file=text),
        msgspec.structs.replace(syscalls_at(2.0, 3), families={"exec": 1}),
    ]
    for record in records:
        assert decode(schema1.upgrade(encode(record))) == record


def test_lines_of_schema_2_stay_as_they_are() -> None:
    records, _ = play(OLD)
    lines = b"\n".join(map(encode, records))
    assert schema1.upgrade(lines) == lines
    assert re.search(rb'"(start|seconds|since_boot|wanted|forgotten|inside|rungs)":', lines) is None


def test_a_stream_that_begins_again_with_another_schema_is_read_as_such() -> None:
    old = play(OLD)[1].header
    header = Header(schema=SCHEMA, version="", host=old.host, kernel="b", abi="x86_64", started=1.0)
    record = exec_at(1795353000.0, 77)
    records, source = piped(old_lines() + encode(header) + b"\n" + encode(record) + b"\n")
    assert record in records
    assert source.header.kernel == "b"
