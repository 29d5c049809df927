"""Outbox: events that wait to be sent, bounded in bytes. What has no room is counted, never waited for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

BATCH_EVENTS = 512
BATCH_BYTES = 1 << 20
LATEST_S = 1.0
"""A batch is closed when it has so many events or bytes, or when its first event has waited so long."""
_BATCH_SHARE = 4
"""A batch has at most this part of the room: while one is sent, there is room for what comes."""

_LONGEST_WAIT_S = 3600.0
"""Of one call of the C library, which takes no endless time."""


class Counts(NamedTuple):
    """What became of the events: made = acknowledged + lost + waiting.

    Lost are those that had no room (`full`), that the receiver did not take (`refused`), and that were left at the end.
    """

    made: int
    acknowledged: int
    full: int
    refused: int
    left: int
    waiting: int

    @property
    def lost(self) -> int:
        """All that never will be acknowledged."""
        return self.full + self.refused + self.left


class Batch:
    """Events that are sent together. Only the sending thread changes it."""

    def __init__(self, records: list[bytes], size: int) -> None:
        self.events = len(records)
        self.records = records
        self.body: bytes | None = None
        """What is sent, once it is made."""
        self.size = size
        """Bytes that it holds."""


class Outbox:
    """Any thread may put events into it; one thread takes them out. *pack* makes of events what is sent."""

    def __init__(self, limit_bytes: int, pack: Callable[[Sequence[bytes]], bytes]) -> None:
        self._limit_bytes = limit_bytes
        self._batch_bytes = min(BATCH_BYTES, limit_bytes // _BATCH_SHARE)
        self._pack = pack
        self._changed = threading.Condition()
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._open_since_s = 0.0
        self._batches: deque[Batch] = deque()
        self._to_pack: deque[Batch] = deque()
        """Those of them that are not packed. A search would cost 3 ms a batch after a night without a collector."""
        self._closed_bytes = 0
        self._made = self._acknowledged = self._full = self._refused = self._left = self._waiting = 0
        self._draining = self._abandoned = self._poked = False

    def put(self, records: Sequence[bytes]) -> None:
        """Add events; those that have no room are lost."""
        with self._changed:
            self._made += len(records)
            if self._abandoned:
                self._left += len(records)
                return
            for record in records:
                if self._open_bytes + self._closed_bytes + len(record) > self._limit_bytes:
                    self._full += 1
                    continue
                if not self._open:
                    self._open_since_s = time.monotonic()
                    self._changed.notify()  # the sender has to wake up when the batch is old enough
                self._open.append(record)
                self._open_bytes += len(record)
                self._waiting += 1
                if len(self._open) >= BATCH_EVENTS or self._open_bytes >= self._batch_bytes:
                    self._close_batch()

    def _close_batch(self) -> None:
        batch = Batch(self._open, self._open_bytes)
        self._batches.append(batch)
        self._to_pack.append(batch)
        self._closed_bytes += self._open_bytes
        self._open, self._open_bytes = [], 0
        self._changed.notify()

    def wait(self, until_s: float, *, for_batches: bool) -> None:
        """Wait until *until_s* (monotonic), or for something to pack; *for_batches*: also for something to send."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                due_s = 0.0 if self._draining else self._open_since_s + LATEST_S
                if self._open and due_s <= now_s:
                    self._close_batch()
                has_work = self._unpacked() is not None or (self._batches and for_batches)
                if self._poked or has_work or now_s >= until_s:
                    break
                wake_s = min(until_s, due_s) if self._open else until_s
                self._changed.wait(min(wake_s - now_s, _LONGEST_WAIT_S))
            self._poked = False

    def drain(self) -> None:
        """From now on, no batch waits to become larger."""
        with self._changed:
            self._draining = self._poked = True
            self._changed.notify()

    def _unpacked(self) -> Batch | None:
        """Return the first batch that is not packed: they are packed in their order."""
        return self._to_pack[0] if self._to_pack else None

    def pack(self) -> None:
        """Make of each batch that is closed what is sent, which takes a tenth of the room if it is compressed."""
        while True:
            with self._changed:
                batch = self._unpacked()
            if batch is None:
                return
            body = self._pack(batch.records)
            with self._changed:
                if self._to_pack:  # not abandoned meanwhile
                    self._to_pack.popleft()
                batch.body, batch.records = body, []
                self._closed_bytes += len(body) - batch.size
                batch.size = len(body)

    def first(self) -> Batch | None:
        """Return the oldest batch that is packed. It stays until `acknowledge` or `refuse`."""
        with self._changed:
            return self._batches[0] if self._batches and self._batches[0].body is not None else None

    def acknowledge(self, rejected: int = 0) -> None:
        """The oldest batch was taken, but for so many events of it."""
        with self._changed:
            if not self._abandoned:
                events = self._remove_first()
                rejected = max(0, min(rejected, events))
                self._acknowledged += events - rejected
                self._refused += rejected

    def refuse(self) -> None:
        """The oldest batch will never be taken."""
        with self._changed:
            if not self._abandoned:
                self._refused += self._remove_first()

    def _remove_first(self) -> int:
        batch = self._batches.popleft()
        self._closed_bytes -= batch.size
        self._waiting -= batch.events
        return batch.events

    def abandon(self) -> Counts:
        """Count all that still waits as lost: nothing is sent or acknowledged any more."""
        with self._changed:
            self._abandoned = self._poked = True
            self._left += self._waiting
            self._waiting = 0
            self._open, self._open_bytes, self._closed_bytes = [], 0, 0
            self._batches.clear()
            self._to_pack.clear()
            self._changed.notify()
            return self.counts()

    def counts(self) -> Counts:
        """Return what became of the events until now."""
        with self._changed:
            return Counts(self._made, self._acknowledged, self._full, self._refused, self._left, self._waiting)
