"""Signals: the record of one, and the newest of them."""

from __future__ import annotations

from ebpftop.core.records import Event
from ebpftop.models.eventlog import EventLog


class Signal(Event, frozen=True, kw_only=True, tag="signal"):
    """A process sent a signal to the process *target*."""

    pid: int
    comm: str
    signal: str
    target: int


class SignalLog(EventLog[Signal]):
    """The newest signals."""

    kind = Signal

    def searchable(self, event: Signal) -> str:
        return f"{event.pid} {event.comm} {event.signal} {event.target}"
