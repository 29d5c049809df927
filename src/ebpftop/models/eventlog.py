"""A log of events of one kind: the newest of them, and the filtered view."""

from __future__ import annotations

from typing import Generic, TypeVar

from ebpftop.core.record_memory import weight
from ebpftop.core.records import Event
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.filters.query import Language, Query
from ebpftop.models.event_fields import language_of
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.processes import ENDED_BYTES, ENDED_KEPT, Processes
from ebpftop.models.ring import Ring, View
from ebpftop.probes.registry import kind_of

LoggedEvent = TypeVar("LoggedEvent", bound=Event)


class EventLog(Generic[LoggedEvent]):
    """The newest events of one kind, and the filtered view of them.

    To make one, name the `kind`, and return in `searchable` the text that an expression searches; `about` is what it
    may be anchored to. Fields are typed by the names of the record's (`event_fields`). It is fed the batches of
    its probe, and of the exec log, which show whose an event was. `ebpftop.ui.panes.log.LogPane` shows it.
    """

    kind: type[LoggedEvent]
    budget = 10 << 20
    """Bytes of kept events, with the default of `--memory`."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.ring: Ring[LoggedEvent] = Ring(capacity, self.budget)
        self.view = View(self.ring)
        self.processes = Processes(ENDED_KEPT, ENDED_BYTES)
        self.view_filter = ViewFilter()
        self.query: Query[LoggedEvent] | None = None
        self.language: Language[LoggedEvent] = language_of(self.kind, self.searchable, self.about)

    def searchable(self, event: LoggedEvent) -> str:
        """Return all that is shown of an event as one text."""
        raise NotImplementedError

    def about(self, event: LoggedEvent) -> str:
        """Return what an event is about: the text that ``^`` anchors an expression to."""
        return self.searchable(event)

    def matches(self, event: LoggedEvent) -> bool | None:
        """Return whether the filter matches an event; None if that is not known yet."""
        return self.view_filter.matches_event(event, self.processes)

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The log is empty."""
        self.ring.begin_at(before.of(kind_of(self.kind)))

    def feed(self, batch: Batch) -> None:
        """Add the events of one batch, and the records of the exec log that show whose they were."""
        self.processes.feed(batch)
        for record in batch.records:
            if isinstance(record, self.kind):
                self.ring.append(record, weight(record))
        self.view.advance()

    def apply_filter(self, view_filter: ViewFilter, query: Query[LoggedEvent] | None = None) -> None:
        """Show only events that match both; `view.scan` then searches the older ones."""
        self.view_filter, self.query = view_filter, query
        self.view.set_filter(self._is_shown if view_filter or query is not None else None)

    def _is_shown(self, event: LoggedEvent) -> bool | None:
        if self.query is not None and not self.query.matches(event):
            return False
        return self.matches(event)
