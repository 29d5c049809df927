"""What a recording and a pipe have in common: the records were made elsewhere, and nothing there can be changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, FilterUnsupported, SourceError, WatchedList
from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.filters.spec import Filter
from ebpftop.probes.registry import registry
from ebpftop.recording.parse import ReadErrors
from ebpftop.sources.queues import Channels


class RecordedSource:
    """A `source.Source` without its header: threads put batches into queues, until all is read or it is closed.

    A class that extends it adds its threads to `_threads`; they end soon once `_closed` is true.
    """

    # Why a probe cannot be toggled, and a system call not be handled in another way; and the remedies.
    _no_toggle = "cannot be turned off or on in a recording", ""
    _no_handler = "a recording's system calls cannot be ignored or traced any more", ""

    def __init__(self) -> None:
        self.damage = ReadErrors()
        self._channels = Channels(self.probes)
        self._threads: list[threading.Thread] = []
        self._finished = False
        self._closed = False

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        return registry().channels

    @property
    def finished(self) -> bool:
        """Whether the end was reached and everything polled."""
        return self._finished and self._channels.empty

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        return self._channels.poll(probe, timeout_s)

    def interrupt(self) -> None:
        self._channels.close()

    def is_on(self, probe: ProbeName) -> bool | None:
        return None

    def toggle(self, probe: ProbeName) -> None:
        reason, remedy = self._no_toggle
        raise SourceError(f"the {probe} probe {reason}", remedy)

    def set_interval(self, seconds: float) -> None:
        """The interval stays as it was recorded."""

    def watch(self, lists: frozenset[WatchedList]) -> None:
        """What was read is read."""

    def watch_process(self, pid: int | None) -> None:
        """What was read is read."""

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        raise SourceError(*self._no_handler)

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        return requested, ()

    def set_filter(self, requested: Filter) -> float:
        raise FilterUnsupported(
            "a recording holds what was recorded", "filter when recording: ebpftop record --uid ..."
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._channels.close()
        for thread in self._threads:
            thread.join()
        self._close_input()

    def _close_input(self) -> None:
        raise NotImplementedError
