"""The probes from the main screen: their keys, toggling one and offering to undo it, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from textual.app import App
from textual.binding import Binding

from ebpftop.core.escape import printable
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Source
from ebpftop.models.overview import Overview
from ebpftop.probes.registry import registry
from ebpftop.sources.capabilities import own_programs_of
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.polling import PollingPane
from ebpftop.ui.registry import panes
from ebpftop.ui.textual_fixes.app_errors import SurvivingApp

UNDO_S = 6.0
"""Seconds for which undoing is offered."""

CONFIRM_S = 5.0
"""For so long a probe's key that was pressed once asks for the second time."""

_PROBES = Binding.Group("probes ", compact=True)
_KEYS_MAX = 9


def probe_keys() -> Iterator[Binding]:
    """Yield the key of each pane: of its probe, if it has one. The footer has room for those that are usually on."""
    for probe, pane in panes().classes.items():
        number = panes().number(probe)
        if number <= _KEYS_MAX:
            label = printable(pane.label)
            usual = registry().rows[probe].on
            does = "probe on or off" if number else "go to this pane (ebpftop run)"
            yield Binding(
                str(number),
                f"probe('{probe}')",
                label,
                group=_PROBES,
                show=usual,
                tooltip=f"{label}: {does}",
                id=f"probe.{probe}",
            )


class ProbeController:
    """Toggles the probes that have a pane."""

    def __init__(
        self,
        app: Callable[[], App[Any]],
        source: Source,
        all_panes: Sequence[Pane],
        overview: Callable[[], Overview],
    ) -> None:
        self._app = app
        self._source = source
        self._panes = all_panes
        self._overview = overview
        self.asks_first: Callable[[], bool] = lambda: False
        """Is a probe's key to be pressed twice?"""
        self._pressed: tuple[ProbeName, float] = ("", 0.0)

    def toggle(self, probe: ProbeName) -> bool:
        """Attach or detach *probe*; False if it cannot be toggled, or its key is to be pressed once more."""
        app = self._app()
        if not self._source.live:
            app.notify("A recording has no probes to toggle", severity="warning")
            return False
        pane = next((pane for pane in self._panes if pane.probe == probe), None)
        if pane is None:
            app.notify(f"The pane of {probe} is disabled", severity="warning")
            return False
        if self.asks_first() and not self._is_second_press(probe):
            verb = "detach" if pane.state == "on" else "attach"
            app.notify(f"Press it once more to {verb} the probe of {pane.label}")
            return False
        if pane.past:
            app.notify(f"The probe of {pane.label} is toggled now; the screen shows the past")
        pane.start_toggle()
        return True

    def offer_undo(self, pane: PollingPane, *, on: bool) -> None:
        """Say what was toggled; a click on Undo, or the same key, toggles it back."""
        app = self._app()
        did = "attached" if on else "detached, nothing of it is left in the kernel"
        key = f" (or {pane.number})" if pane.number <= _KEYS_MAX else ""
        assert isinstance(app, SurvivingApp)
        app.offer(f"{pane.label}: probe {did}. ", "Undo", f"app.toggle_probe({pane.number})", key, UNDO_S)

    def _is_second_press(self, probe: ProbeName) -> bool:
        """Was the key of this probe pressed a moment ago? Then it is not asked again."""
        before, self._pressed = self._pressed, (probe, monotonic())
        if before[0] != probe or self._pressed[1] - before[1] > CONFIRM_S:
            return False
        self._pressed = ("", 0.0)
        return True

    def open(self, probe: ProbeName) -> None:
        """Show what a probe is attached to, what it tried before, what it cannot see, and what was lost of it."""
        from ebpftop.ui.panes.own_programs import OwnReader
        from ebpftop.ui.screens.details import open_sheet
        from ebpftop.ui.screens.diagnostics import probe_details

        pane = next(pane for pane in self._panes if pane.probe == probe)
        reader = OwnReader(own_programs_of(self._source), probe, lambda: self._overview().own.get(probe))
        open_sheet(self._app(), probe_details(probe, pane.label, self._overview, reader))
