"""The last request counts: keys come faster than probes are attached, filters applied, and handlers set."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LatestRequests(Generic[Key, Value]):
    """Requests by key; only the last of a key counts. Any thread may put; one thread at a time iterates, to do them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Key, Value] = {}
        self._begun: dict[Key, Value] = {}
        self._running = False

    def put(self, key: Key, value: Value) -> bool:
        """Request *value*; return whether a thread has to be started to do it."""
        with self._lock:
            self._waiting[key] = value
            start = not self._running
            self._running = True
            return start

    def last(self, key: Key) -> Value | None:
        """Return the last request that is not done yet."""
        with self._lock:
            return self._waiting.get(key, self._begun.get(key))

    def is_superseded(self, key: Key) -> bool:
        """Return whether there is a newer request than the one in progress."""
        with self._lock:
            return key in self._waiting

    def __iter__(self) -> Iterator[tuple[Key, Value]]:
        """Yield the requests until there are none; the next step means that the one before is done."""
        while True:
            with self._lock:
                self._begun.clear()
                if not self._waiting:
                    self._running = False
                    return
                key = next(iter(self._waiting))
                value = self._begun[key] = self._waiting.pop(key)
            yield key, value

    def drop(self) -> None:
        """Drop all requests: one failed."""
        with self._lock:
            self._waiting.clear()
            self._begun.clear()
            self._running = False
