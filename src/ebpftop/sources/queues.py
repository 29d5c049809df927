"""Queues between the thread that reads a recording and the threads that poll it, one for each probe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from ebpftop.core.record_memory import weight_of
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch

# The reader is at most this far ahead, so that a long recording at full speed does not fill the memory. If a thread
# waits for another probe, the reader continues, up to a second bound: a recording may have no records of that probe.
MAX_QUEUED_BYTES = 8 << 20
MAX_WAITED_BYTES = 2 * MAX_QUEUED_BYTES


class Channels:
    """A queue of batches for each probe."""

    def __init__(self, probes: tuple[ProbeName, ...]) -> None:
        self._queues: dict[ProbeName, deque[tuple[Batch, int]]] = {probe: deque() for probe in probes}
        self._queued = 0
        self._waiting = 0
        self._closed = False
        self.condition = threading.Condition()

    def put(self, batch: Batch, is_current: Callable[[], bool]) -> bool:
        """Wait for room and add *batch*; return False if it is no longer current by then.

        There is more room while a thread waits for another probe: otherwise it would wait for ever.
        """
        size = batch.size or weight_of(batch.records)

        def may_go_on() -> bool:
            room = self._queued < (MAX_WAITED_BYTES if self._waiting else MAX_QUEUED_BYTES)
            return room or self._closed or not is_current()

        with self.condition:
            self.condition.wait_for(may_go_on)
            if self._closed or not is_current():
                return False
            queue = self._queues.get(batch.probe)
            if queue is not None:
                queue.append((batch, size))
                self._queued += size
                self.condition.notify_all()
            return True

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        """Return the next batch of *probe*, None if none came within *timeout_s*."""
        queue = self._queues[probe]
        with self.condition:
            if not queue:
                self._waiting += 1
                self.condition.notify_all()
                self.condition.wait_for(lambda: bool(queue) or self._closed, timeout_s)
                self._waiting -= 1
            if not queue:
                return None
            batch, size = queue.popleft()
            self._queued -= size
            self.condition.notify_all()
            return batch

    @property
    def empty(self) -> bool:
        """Whether everything that was put has been polled."""
        with self.condition:
            return not any(self._queues.values())

    def clear(self) -> None:
        """Drop all batches that were not polled yet."""
        with self.condition:
            for queue in self._queues.values():
                queue.clear()
            self._queued = 0
            self.condition.notify_all()

    def wait_closed(self, timeout_s: float) -> None:
        """Wait for the end, at most *timeout_s*."""
        with self.condition:
            self.condition.wait_for(lambda: self._closed, timeout_s)

    def close(self) -> None:
        """Wake up all waiting threads."""
        with self.condition:
            self._closed = True
            self.condition.notify_all()
