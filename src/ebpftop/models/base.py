"""The interface of all models, and how models are rebuilt for another moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ebpftop.core.records import ProbeName
from ebpftop.core.snapshot import EventCounts, Snapshot
from ebpftop.core.source import Batch
from ebpftop.models.overview import Overview
from ebpftop.models.processes import ENDED_BYTES, ENDED_KEPT, Processes


class Model(Protocol):
    """Pure state that batches are fed into: what a pane shows.

    To make one, take what is needed of the records in `feed`, and bound what is kept. It has no clock: the time is that
    of the batch, so a recording leads to the same state. It is made without arguments, and a moment of the past is
    shown by a new one that is fed again. `ebpftop.models.eventlog.EventLog` is one for logs of events.
    """

    def begin_after(self, before: EventCounts) -> None:
        """Continue from a moment with these counts. The model is empty."""

    def feed(self, batch: Batch) -> None:
        """Add the records of one batch."""


def share_processes(models: Iterable[Model]) -> None:
    """Let those of *models* that know processes share one table. They are new, and will be fed the same batches."""
    shared = Processes(ENDED_KEPT, ENDED_BYTES)
    for model in models:
        if isinstance(getattr(model, "processes", None), Processes):
            model.processes = shared  # type: ignore[attr-defined]  # it has one


def rebuild(past: Snapshot, takers: Mapping[ProbeName, Iterable[Model]]) -> Overview:
    """Bring empty models to a moment, and return its overview. *takers*: the models that get the batches of a probe."""
    if past.before is not None:
        for model in {id(model): model for models in takers.values() for model in models}.values():
            model.begin_after(past.before)
    overview = Overview()
    for batch in past.batches:
        overview.feed(batch)
        for model in takers.get(batch.probe, ()):
            model.feed(batch)
    overview.recall(past.seconds)
    return overview
