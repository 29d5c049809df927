"""What a loaded file sends event by event, and prints: a log for each of its buffers, and one of its trace lines."""

from __future__ import annotations

from typing import Generic, TypeVar

from ebpftop.core.load_records import BpfEvent
from ebpftop.core.record_memory import weight
from ebpftop.core.records import Event
from ebpftop.core.trace_records import Trace
from ebpftop.models.load_fields import Leaf
from ebpftop.models.ring import Ring, View

Logged = TypeVar("Logged", bound=Event)

BUDGET = 8 << 20
"""Bytes of kept events of each log, with the default of `--memory`."""

CAPACITY = 50_000


class Log(Generic[Logged]):
    """The newest events of one kind. Each list that shows them has a view of its own."""

    def __init__(self) -> None:
        self.ring: Ring[Logged] = Ring(CAPACITY, BUDGET)

    def add(self, event: Logged) -> None:
        self.ring.append(event, weight(event))

    def view(self) -> View[Logged]:
        """Return a new view of all of them."""
        return View(self.ring)


class EventsLog(Log[BpfEvent]):
    """The events of one buffer, with the columns of its struct."""

    def __init__(self, leaves: tuple[Leaf, ...]) -> None:
        super().__init__()
        self.leaves = leaves


TraceLog = Log[Trace]
