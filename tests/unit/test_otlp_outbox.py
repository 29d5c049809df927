"""The queue of events: bounded, in order, and nothing leaves it without being counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from ebpftop.serving.otlp import outbox
from ebpftop.serving.otlp.outbox import BATCH_EVENTS, Counts, Outbox

FOREVER = float("inf")


def joined(records: Sequence[bytes]) -> bytes:
    return b"".join(records)


def tiny(records: Sequence[bytes]) -> bytes:
    """Compress very well."""
    return b"%d" % len(records)


def test_a_batch_is_closed_when_it_is_full_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Outbox(1 << 20, joined)
    box.put([b"a"] * (BATCH_EVENTS + 3))
    box.pack()
    first = box.first()
    assert first is not None
    assert first.body == b"a" * BATCH_EVENTS
    box.acknowledge()
    assert box.first() is None
    monkeypatch.setattr(outbox, "LATEST_S", 0.05)
    box.wait(FOREVER, for_batches=True)
    box.pack()
    second = box.first()
    assert second is not None
    assert second.body == b"aaa"
    assert box.counts() == Counts(BATCH_EVENTS + 3, BATCH_EVENTS, 0, 0, 0, 3)


def test_a_batch_has_only_so_many_bytes() -> None:
    box = Outbox(100 << 20, joined)
    box.put([b"a" * (outbox.BATCH_BYTES + 1), b"b"])
    box.pack()
    first = box.first()
    assert first is not None
    assert first.events == 1


def test_what_has_no_room_is_lost_and_counted() -> None:
    box = Outbox(1000, joined)
    box.put([b"a" * 100] * 15)
    assert box.counts() == Counts(15, 0, 5, 0, 0, 10)
    box.put([b"b" * 101, b""])  # a smaller one may still have room
    assert box.counts().full == 6
    box.drain()
    box.wait(FOREVER, for_batches=True)
    box.pack()
    while box.first() is not None:
        box.acknowledge()
    box.put([b"c" * 1000])
    assert box.counts() == Counts(18, 11, 6, 0, 0, 1)


def test_a_small_queue_is_sent_before_it_is_full() -> None:
    box = Outbox(1000, joined)
    box.put([b"a" * 100] * 3)
    box.pack()
    first = box.first()
    assert first is not None
    assert first.events == 3


def test_what_is_compressed_makes_room() -> None:
    box = Outbox(2 * BATCH_EVENTS * 100, tiny)
    for _ in range(20):
        box.put([b"a" * 95] * BATCH_EVENTS)
        box.pack()
    counts = box.counts()
    assert (counts.made, counts.lost, counts.waiting) == (20 * BATCH_EVENTS, 0, 20 * BATCH_EVENTS)
    box.drain()
    box.wait(FOREVER, for_batches=True)
    box.pack()
    while box.first() is not None:
        box.acknowledge()
    assert box.counts().waiting == 0
    box.put([b"a" * 100] * (2 * BATCH_EVENTS + 1))  # all of the room is there again, and no more
    assert box.counts().full == 1


def test_refused_rejected_and_left() -> None:
    box = Outbox(1 << 20, tiny)
    box.put([b"a"] * 4 * BATCH_EVENTS)
    box.pack()
    box.refuse()
    box.acknowledge(7)
    box.acknowledge(10**9)
    box.put([b"b"] * 3)
    counts = box.abandon()
    assert counts == Counts(4 * BATCH_EVENTS + 3, BATCH_EVENTS - 7, 0, 2 * BATCH_EVENTS + 7, BATCH_EVENTS + 3, 0)
    assert counts.made == counts.acknowledged + counts.lost
    # An answer that comes too late changes nothing, nor is anything waited for.
    box.acknowledge()
    box.put([b"c"])
    assert box.counts() == counts._replace(made=counts.made + 1, left=counts.left + 1)
    assert box.first() is None


def test_who_waits_is_woken() -> None:
    box = Outbox(1 << 20, joined)
    woken: list[str] = []

    def wait(name: str, *, for_batches: bool) -> threading.Thread:
        def run() -> None:
            box.wait(FOREVER, for_batches=for_batches)
            woken.append(name)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    thread = wait("by a batch", for_batches=True)
    box.put([b"a"] * BATCH_EVENTS)
    thread.join(60)
    box.pack()
    thread = wait("at the end", for_batches=False)  # there is nothing to pack
    time.sleep(0.05)
    assert woken == ["by a batch"]
    box.put([b"b"])
    box.drain()
    thread.join(60)
    assert woken == ["by a batch", "at the end"]


def test_many_threads_lose_no_event() -> None:
    box = Outbox(1 << 30, joined)

    def put() -> None:
        for _ in range(1000):
            box.put([b"a"] * 5)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = 0
    until_s = time.monotonic() + 60
    while (any(thread.is_alive() for thread in threads) or box.first()) and time.monotonic() < until_s:
        box.pack()
        if batch := box.first():
            taken += batch.events
            box.acknowledge()
    counts = box.abandon()
    assert counts.made == 20_000
    assert counts.acknowledged == taken
    assert counts.acknowledged + counts.lost == counts.made


def test_many_batches_cost_no_more_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_EVENTS", 1)
    box = Outbox(1 << 24, joined)
    began_s = time.thread_time()
    box.put([b"x"] * 20_000)
    box.pack()
    while box.first() is not None:
        box.wait(0.0, for_batches=True)
        box.acknowledge()
    assert time.thread_time() - began_s < 2.0  # a search for each took 10 s
    assert box.counts() == Counts(20_000, 20_000, 0, 0, 0, 0)
