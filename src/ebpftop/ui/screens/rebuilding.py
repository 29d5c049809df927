"""The models of the panes as they were at a moment, or in a box of the heat map, from what a timeline remembers."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ebpftop.core.records import ProbeName
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.models import box as boxes
from ebpftop.models.base import Model, rebuild, share_processes
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.groups import GroupsModel
from ebpftop.models.overview import Overview
from ebpftop.models.users import UsersModel
from ebpftop.recording.timeline import Timeline

BOX_EVENTS = 20_000
"""Events of each pane that a box of the heat map holds."""

BOX_BYTES = 16 << 20
"""So much of what was recorded is read for one."""

BOX_LEAD_S = 75.0
"""Readings of so long before a box are read: its counters begin with the last one, and one a minute is whole."""


class Viewer(Protocol):
    """What shows a model that is fed with batches: a pane, or what feeds a screen above the panes."""

    model: Model
    past: bool
    newest_only: bool
    box: boxes.Box | None

    @property
    def probe(self) -> ProbeName:
        """The probe whose batches it shows."""

    @property
    def extra_probes(self) -> tuple[ProbeName, ...]:
        """Others whose batches the model reads."""

    @property
    def label(self) -> str:
        """What it is called."""

    def feed(self, batch: Batch) -> None:
        """Take a batch into the model."""

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        """Show *model* from now on, with this filter."""

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only what matches."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The models as they were at `moment`; `whole` if nothing came before what they were rebuilt from."""

    moment: float
    models: Mapping[Viewer, Model]
    overview: Overview
    whole: bool
    box: boxes.Box | None = None
    complete_from: float = 0.0


def rebuild_at(
    timeline: Timeline,
    viewers: Sequence[Viewer],
    probes: Sequence[ProbeName],
    view_filter: ViewFilter,
    moment: float,
    box: boxes.Box | None,
) -> Rebuilt:
    """Return the models of *viewers* at *moment*, or of what happened in *box*. Any thread may call this."""
    models: dict[Viewer, Model] = {viewer: type(viewer.model)() for viewer in viewers}
    share_processes(models.values())
    for model in models.values():
        if isinstance(model, (UsersModel, GroupsModel)):
            # Before it is fed: its counts begin with the first reading that the filter holds for.
            model.apply_filter(view_filter)
    takers: dict[ProbeName, list[Model]] = {
        probe: [models[viewer] for viewer in viewers if viewer.probe == probe or probe in viewer.extra_probes]
        for probe in probes
    }
    # A garbage collection during this would visit every record, and nothing here is garbage.
    gc.disable()
    try:
        if box is None:
            past = timeline.snapshot_at(moment)
            whole = past.before == EventCounts()
        else:
            window_s = moment - box.begin + BOX_LEAD_S
            past = boxes.only(timeline.snapshot_at(moment, BOX_EVENTS, window_s, BOX_BYTES), box)
            whole = past.complete_from <= box.begin
        overview = rebuild(past, takers)
    finally:
        gc.enable()
    return Rebuilt(moment, models, overview, whole, box, past.complete_from)
