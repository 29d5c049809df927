"""Figures of a past moment, and of a box of the heat map, are those that the lines of the recording add up to.

The counts here are made by nothing but `json` and dictionaries: docs/records.md says how.
"""

from __future__ import annotations

import importlib.resources
import json
import random
import time as clock
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import pytest

from ebpftop.models.box import Box
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording import zstd_frames
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.rebuilding import Rebuilt, rebuild_at

Line: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

DEMO = importlib.resources.files("ebpftop") / "demo" / "demo.jsonl.zst"
LINES: list[Line] = [json.loads(line) for line in zstd_frames.zstd.decompress(DEMO.read_bytes()).splitlines()]
BEGIN, END = LINES[0]["started"], LINES[-1]["time"]
KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "users": {"rows": ("uid",)},
    "syscalls": {"rows": ("abi", "nr"), "in_flight": ("pid", "tid"), "processes": ("pid", "start_ns", "abi", "nr")},
}


# A direct count.


def readings(kind: str) -> Iterator[tuple[float, dict[str, dict[tuple[Any, ...], Row]]]]:
    """Yield the tables of each reading, put together as docs/records.md says, and its time."""
    tables: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in KEYS[kind]}
    before_ns = 0
    for line in LINES:
        if line["kind"] != kind:
            continue
        passed_ns, before_ns = line.get("boot_ns", 0) - before_ns, line.get("boot_ns", 0)
        for key, row in tables.get("in_flight", {}).items():
            tables["in_flight"][key] = {**row, "ns": row["ns"] + passed_ns}
        for name, keys in KEYS[kind].items():
            if line["whole"]:
                tables[name] = {}
            for key in line["removed"].get(name, ()):
                tables[name].pop(tuple(key), None)
            for row in line.get(name, ()):
                tables[name][tuple(row[key] for key in keys)] = row
        yield line["time"], {name: dict(rows) for name, rows in tables.items()}


READINGS = {kind: list(readings(kind)) for kind in KEYS}


def rows_at(kind: str, moment: float, name: str = "rows") -> dict[tuple[Any, ...], Row]:
    """Return the rows of the last reading until *moment*."""
    found: dict[tuple[Any, ...], Row] = {}
    for time, tables in READINGS[kind]:
        if time <= moment:
            found = tables[name]
    return found


def events(kind: str, begin: float, end: float) -> list[Line]:
    return [line for line in LINES if line["kind"] == kind and begin < line["time"] <= end]


def less(now: list[int], before: list[int]) -> list[int]:
    return without_zeros([count - (before[at] if at < len(before) else 0) for at, count in enumerate(now)])


def without_zeros(counts: list[int]) -> list[int]:
    while counts and not counts[-1]:
        counts = counts[:-1]
    return counts


@dataclass
class Count:
    """What the panes are to say."""

    execs: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    users: dict[int, tuple[int, int]] = field(default_factory=dict)
    calls: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    traced: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    printed: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    waiting: set[tuple[Any, ...]] = field(default_factory=set)


def counted(begin: float, end: float, buckets: range | None = None) -> Count:
    """Count what happened after *begin*, until *end*."""
    ends = {(line["pid"], line["start_ns"]): line for line in events("exit", BEGIN - 1e9, end)}
    count = Count()
    started = {(line["pid"], line["start_ns"]): line["time"] for line in events("exec", begin, end) if line["ret"] >= 0}
    for line in events("exec", begin, end):
        process = line["pid"], line["start_ns"]
        # Its end is that of the program that the process ran last.
        last = line["ret"] >= 0 and started[process] == line["time"]
        how = (ends[process]["code"], ends[process]["signal"]) if last and process in ends else None
        count.execs[line["time"], line["pid"], tuple(line["argv"]), line["ret"], how] += 1
    before = rows_at("users", begin) if begin > BEGIN else {}
    for key, row in rows_at("users", end).items():
        was = before.get(key, {"execs": 0, "failed": 0})
        made = row["execs"] - was["execs"], row["failed"] - was["failed"]
        if made[0]:
            count.users[row["uid"]] = made
    before = rows_at("syscalls", begin) if begin > BEGIN else {}
    nothing: Row = {"count": 0, "errors": 0, "histogram_ns": [], "errnos": {}}
    for key, row in rows_at("syscalls", end).items():
        was = before.get(key, nothing)
        latencies = less(row["histogram_ns"], was["histogram_ns"])
        made_calls = row["count"] - was["count"]
        errnos = {name: number - was["errnos"].get(name, 0) for name, number in row["errnos"].items()}
        if made_calls and (buckets is None or any(latencies[buckets.start : buckets.stop])):
            failed = row["errors"] - was["errors"]
            gained = tuple(sorted((name, number) for name, number in errnos.items() if number))
            count.calls[key] = made_calls, failed, tuple(latencies), gained
    for line in events("syscall", begin, end):
        in_range = buckets is None or (line["ns"] is not None and max(0, line["ns"].bit_length() - 1) in buckets)
        if in_range:
            count.traced[line["time"], line["pid"], line["name"], tuple(line["args"])] += 1
    for line in events("trace", begin, end):
        count.printed[line["time"], line["pid"], line["message"]] += 1
    for row in rows_at("syscalls", end, "in_flight").values():
        if buckets is None or (row["abi"], row["nr"]) in count.calls:
            count.waiting.add((row["pid"], row["tid"], row["name"], row["ns"]))
    return count


# What the models say.


@dataclass(eq=False)
class PaneOf:
    """What is rebuilt for a pane depends on no more of it."""

    probe: str
    model: object
    extra_probes: tuple[str, ...]


def pane(probe: str, model: object, *extra: str) -> Pane:
    return cast(Pane, PaneOf(probe, model, extra))


PANES = (
    pane("execs", ExecLog()),
    pane("users", UsersModel(), "execs", "syscalls"),
    pane("syscalls", SyscallsModel(), "execs"),
    pane("trace", TraceLog(), "execs"),
)


def said(rebuilt: Rebuilt) -> Count:
    log, users, calls, trace = (rebuilt.models[one] for one in PANES)
    assert isinstance(log, ExecLog)
    assert isinstance(users, UsersModel)
    assert isinstance(calls, SyscallsModel)
    assert isinstance(trace, TraceLog)
    count = Count()
    for row in log.ring.slice(log.ring.first, log.ring.end):
        record = row.exec
        how = None if row.exit is None else (row.exit.code, row.exit.signal)
        count.execs[record.time, record.pid, record.argv, record.ret, how] += 1
    count.users = {user.row.uid: (user.row.execs, user.row.failed) for user in users.shown if user.row.execs}
    assert users.execs == sum(made for made, _ in count.users.values())
    assert users.failed == sum(failed for _, failed in count.users.values())
    for call in calls.shown(last=False):
        if made := call.count(last=False):
            errnos = tuple(sorted((name, number) for name, number in call.errnos().items() if number))
            latencies = tuple(without_zeros(list(call.buckets(last=False))))
            count.calls[call.key] = made, call.errors(last=False), latencies, errnos
    for traced in calls.traced.slice(calls.traced.first, calls.traced.end):
        count.traced[traced.time, traced.pid, traced.name, traced.args] += 1
    for line in trace.ring.slice(trace.ring.first, trace.ring.end):
        count.printed[line.time, line.pid, line.message] += 1
    count.waiting = {(wait.pid, wait.tid, wait.name, wait.ns) for wait in calls.in_flight}
    return count


@pytest.fixture(scope="module")
def timeline() -> Iterator[Timeline]:
    source = ReplaySource(str(DEMO))
    source.pause()
    until_s = clock.monotonic() + 30
    while source.timeline.indexed < 1:
        assert clock.monotonic() < until_s
        clock.sleep(0.02)
    yield source.timeline
    source.close()


def rebuilt(timeline: Timeline, moment: float, box: Box | None = None) -> Rebuilt:
    return rebuild_at(timeline, PANES, registry().names, ViewFilter(), moment, box)


dice = random.Random(16)
MOMENTS = [0.9, 1.5, END - BEGIN, *(dice.uniform(1, END - BEGIN) for _ in range(8))]
BOXES = [
    (5.0, 6.0, None),
    (0.5, 70.0, None),
    (30.0, 50.0, range(12, 16)),
    (40.0, 41.5, range(20, 30)),
    *((at, at + dice.uniform(0.5, 20), None) for at in (dice.uniform(1, 50) for _ in range(6))),
]


@pytest.mark.parametrize("seconds", MOMENTS, ids=lambda seconds: f"{seconds:.1f}s")
def test_a_past_moment_counts_what_the_recording_does(timeline: Timeline, seconds: float) -> None:
    moment = BEGIN + seconds
    found, wanted = said(rebuilt(timeline, moment)), counted(BEGIN - 1, moment)
    compare(found, wanted)


@pytest.mark.parametrize(("begin", "end", "buckets"), BOXES)
def test_a_box_counts_what_the_recording_does(
    timeline: Timeline, begin: float, end: float, buckets: range | None
) -> None:
    box = Box(BEGIN + begin, BEGIN + end, buckets)
    found, wanted = said(rebuilt(timeline, box.end, box)), counted(box.begin, box.end, buckets)
    compare(found, wanted)


@pytest.mark.parametrize("seconds", MOMENTS, ids=lambda seconds: f"{seconds:.1f}s")
def test_a_past_moment_knows_who_ran_and_who_called(timeline: Timeline, seconds: float) -> None:
    moment = BEGIN + seconds
    past = rebuilt(timeline, moment)
    users, calls = past.models[PANES[1]], past.models[PANES[2]]
    assert isinstance(users, UsersModel)
    assert isinstance(calls, SyscallsModel)
    running: dict[int, int] = {}
    for line in LINES:
        if line["kind"] in ("process", "exec") and line["time"] <= moment and line.get("ret", 0) >= 0:
            running[line["pid"]] = line["uid"]
        elif line["kind"] == "exit" and line["time"] <= moment:
            running.pop(line["pid"], None)
    known = Counter(running.values()) if rows_at("users", moment) else {}
    assert {user.row.uid: user.running for user in users.users.values() if user.running} == known
    pairs = rows_at("syscalls", moment, "processes")
    read = max(line["pairs_time"] for line in LINES if line["kind"] == "syscalls" and line["time"] <= moment)
    for key, total in rows_at("syscalls", read).items():
        found = {(caller.pid, caller.start): caller.count for caller in calls.callers(key) if caller.pid is not None}
        assert found == {(pid, start): row["count"] for (pid, start, *call), row in pairs.items() if tuple(call) == key}
        others = [caller.count for caller in calls.callers(key) if caller.pid is None]
        assert sum(found.values()) + sum(others) >= total["count"]


@pytest.mark.parametrize(("begin", "end", "buckets"), BOXES)
def test_who_called_in_a_box_is_never_said_to_have_made_more_than_it_did(
    timeline: Timeline, begin: float, end: float, buckets: range | None
) -> None:
    box = Box(BEGIN + begin, BEGIN + end, buckets)
    calls = rebuilt(timeline, box.end, box).models[PANES[2]]
    assert isinstance(calls, SyscallsModel)
    before, pairs = (rows_at("syscalls", moment, "processes") for moment in (box.begin, box.end))
    named = 0
    for key in rows_at("syscalls", box.end):
        for caller in calls.callers(key):
            if caller.pid is not None:
                pair = caller.pid, caller.start, *key
                was = before[pair]["count"] if pair in before else 0
                assert caller.count <= pairs[pair]["count"] - was
                named += 1
    assert named or end - begin < 8


def compare(found: Count, wanted: Count) -> None:
    for name in vars(wanted):
        assert getattr(found, name) == getattr(wanted, name), name
