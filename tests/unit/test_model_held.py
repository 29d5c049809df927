"""What a paused screen holds back is bounded, and comes out whole and in order."""

from __future__ import annotations

import pytest

from ebpftop.core.records import Cost, Header, Lost, Probe, Record
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models import held
from ebpftop.models.held import Held


def line(number: int, text: str = "") -> Trace:
    return Trace(time=float(number), cpu=0, pid=number, task="sh", message=text)


def batch(*records: Record, time: float = 0.0) -> Batch:
    return Batch("trace", time, records)


def numbers(batches: list[tuple[str, Batch]]) -> list[float]:
    return [each.time for _, each in batches]


def test_it_holds_so_much_memory_and_gives_out_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "BYTES_MAX", 100_000)
    queue: Held[str] = Held()
    out: list[tuple[str, Batch]] = []
    for number in range(20):
        out += queue.put("pane", batch(line(number, "x" * 10_000), time=number))
        assert queue.bytes <= 100_000
    assert queue.has_overflowed
    assert 5 <= len(queue) < 10
    assert numbers(out) == list(range(20 - len(queue)))
    out += queue.take(1000)
    assert numbers(out) == list(range(20))
    assert (len(queue), queue.weight, queue.bytes) == (0, 0, 0)


def test_it_holds_so_many_records_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "RECORDS_MAX", 10)
    queue: Held[str] = Held()
    rows = tuple(UserRow(uid=uid, user=None, execs=1, failed=0) for uid in range(7))
    assert list(queue.put("pane", batch(Users(time=0.0, rows=rows)))) == []
    assert (queue.weight, queue.has_overflowed) == (8, False)
    assert list(queue.put("pane", batch(line(1), line(1), time=1.0))) == []
    assert numbers(list(queue.put("pane", batch(line(2), time=2.0)))) == [0.0]
    assert queue.weight == 3


def test_rows_that_did_not_change_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading of a second has a thousand rows, most of them the same objects as before: a pause lasts minutes."""
    monkeypatch.setattr(held, "BYTES_MAX", 2_000_000)
    queue: Held[str] = Held()
    same = tuple(UserRow(uid=uid, user=None, execs=1, failed=0) for uid in range(1000))
    for number in range(60):
        changed = UserRow(uid=1000, user=None, execs=number, failed=0)
        reading = Users(time=float(number), rows=(*same, changed))
        assert list(queue.put("pane", batch(reading, time=number))) == []
    assert not queue.has_overflowed
    before = queue.bytes
    other = tuple(UserRow(uid=uid, user=None, execs=2, failed=0) for uid in range(1000))
    list(queue.put("pane", batch(Users(time=60.0, rows=other), time=60.0)))
    assert queue.bytes - before > 200 * len(other), "what has changed is counted"
    assert len(list(queue.take(1_000_000))) == 61
    assert (queue.weight, queue.bytes) == (0, 0)


def test_what_is_taken_is_a_little_more_than_was_asked_for() -> None:
    queue: Held[str] = Held()
    for number in range(4):
        list(queue.put("pane", batch(line(number), line(number), time=number)))
    assert numbers(list(queue.take(3))) == [0.0, 1.0]
    assert queue.weight == 4
    assert numbers(list(queue.take(2))) == [2.0], "these are just as many as were asked for"


def test_what_is_said_of_the_stream_itself_is_not_held() -> None:
    queue: Held[str] = Held()
    own: tuple[Record, ...] = (
        Probe(time=1.0, probe="trace", state="on", via=None, reason=None),
        Lost(time=1.0, probe="trace", where="ring", count=1),
        Cost(time=1.0, kernel=None, user=0.1, runs=None),
        Header(schema=2, version="1", host="here", kernel="6.1", abi="x86_64", started=1.0),
    )
    assert list(queue.put("pane", batch(*own))) == []
    assert len(queue) == 0
    list(queue.put("pane", batch(*own, line(2))))
    ((_, kept),) = queue.take(1)
    assert kept.records == (own[0], line(2)), "what a probe read next may not go on from what it had read"
