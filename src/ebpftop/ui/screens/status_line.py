"""What the status line says, and what a click on a part of it does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from ebpftop.core.clock import dated_text
from ebpftop.core.format import age
from ebpftop.core.source import Source
from ebpftop.sources.capabilities import damage_of
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.widgets.axis import clock
from ebpftop.ui.widgets.status_bar import Status

STATUS_ACTIONS: Mapping[str, str] = {
    **{
        "name": "app.help",
        "lost": "app.losses",
        "limit": "app.losses",
        "cost": "app.diagnostics",
        "kernel": "app.diagnostics",
    },
    **{"probes": "app.diagnostics", "interval": "app.settings"},
    **{"filter": "filter", "paused": "pause", "clock": "pause"},
    "own": "workbench",
    **{"host": "app.diagnostics", "events": "app.diagnostics", "damage": "app.diagnostics"},
}
"""What a click on a part of the status line does."""


def status_of(
    source: Source, playback: PlaybackController, panes: Iterable[Pane], filter_text: str, interval_s: float, own: str
) -> Status:
    """Return the status line for *panes*, those whose probes it names; *own*: what does not run of the loaded file."""
    header, overview = source.header, playback.overview
    return Status(
        host=header.host,
        kernel=header.kernel,
        live=source.live,
        probes=tuple((pane.number, pane.state) for pane in panes),
        events_per_second=overview.events_per_second,
        lost=overview.went_missing,
        lost_kind=overview.only_kind_lost or "",
        beyond_limit=overview.beyond_limit,
        cost=overview.cost,
        filter=filter_text,
        gone=", ".join(overview.gone),
        own=own,
        mode=mode_text(source, playback),
        damage=damage.in_brief if (damage := damage_of(source)) is not None else "",
        paused=paused_texts(playback) if playback.paused else (),
        history=playback.kept if playback.paused else "",
        time=int(overview.time),
        interval_s=interval_s,
    )


def mode_text(source: Source, playback: PlaybackController) -> str:
    """Return what is shown, if it is not the present of this machine."""
    if playback.piped:
        return "remote stream" if source.live else "pipe ended"
    if source.live:
        return ""
    return " ".join(filter(None, ("recording", playback.speed_text, shlex.join(source.header.filter or ()))))


def paused_texts(playback: PlaybackController) -> tuple[str, ...]:
    """Return which moment is shown, how far it is behind the present, and whether collection goes on."""
    present = playback.position
    if playback.box is not None:
        moment = f"{clock(playback.box.begin)} to {clock(playback.box.end)}"
    else:
        moment = dated_text(playback.moment_or_shown, present)
    behind_s = present - playback.moment_or_shown
    behind = f"{age(abs(behind_s))} {'behind' if behind_s > 0 else 'ahead'}" if abs(behind_s) >= 1 else ""
    if playback.player is not None:
        return moment, behind
    full = playback.held.has_overflowed
    return moment, behind, "memory full: the oldest go on" if full else "still collecting"
