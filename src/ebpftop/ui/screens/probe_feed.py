"""A probe that no pane shows, but a screen that a key opens: attached, polled and kept while somebody looks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import ClassVar, Protocol, runtime_checkable

from ebpftop.core.records import Probe, ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.models.base import Model
from ebpftop.models.box import Box
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.overview import Overview
from ebpftop.models.requests import LatestRequests
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.polling import AGAIN_S, PATIENCE_S

log = logging.getLogger(__name__)


class Workers(Protocol):
    """Runs what takes long. The main screen is one."""

    def run_feeding(self, work: Callable[[], None]) -> None:
        """Run *work* in a thread. Only the screen's thread may ask for that."""

    def post(self, do: Callable[[], None]) -> None:
        """Have *do* called on the screen's thread. Any thread may ask for that."""


@runtime_checkable
class Filtered(Protocol):
    """A model whose rows filters can match."""

    view_filter: ViewFilter

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only what matches."""


class ProbeFeed:
    """The model of a probe, which `PlaybackController` feeds and rewinds as it does those of the panes.

    A live source has the probe attached from `open` to `close`, unless it was attached before; nothing runs, and
    nothing is polled, in between. What a recording or a pipe has of it is always taken.
    """

    extra_probes: ClassVar[tuple[ProbeName, ...]] = ()

    def __init__(self, source: Source, probe: ProbeName, label: str, make: Callable[[], Model]) -> None:
        self.probe = probe
        self.label = label
        self.model = make()
        """Of the moment that is shown."""
        self.past = False
        self.newest_only = False
        self.box: Box | None = None
        self.deliver: Callable[[Sequence[Batch]], None] = lambda _: self.acknowledge()
        """Takes what came, in the thread that polls; `acknowledge` is called when it was worked off."""
        self.shown_in: Callable[[], Pane | None] = lambda: None
        """The pane that shows now what it was fed; None if none does."""
        self.trouble = ""
        """Why the probe could not be attached or detached, or is not polled any more."""
        self._source = source
        self._workers: Workers
        self._has_opened = False
        self._requests: LatestRequests[ProbeName, bool] = LatestRequests()
        self._lock = threading.Lock()
        self._is_polling = False
        self._ended = threading.Event()
        self._taken = threading.Event()
        self._taken.set()

    # What the playback controller does with a pane's model, too.

    def feed(self, batch: Batch) -> None:
        """Add what came."""
        self.model.feed(batch)

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        """Show *model* from now on."""
        self.model = model
        if isinstance(model, Filtered) and model.view_filter.filter != view_filter.filter:
            model.apply_filter(view_filter)

    def apply_filter(self, view_filter: ViewFilter) -> None:
        """Show only what matches, if the model is about what a filter can match."""
        if isinstance(self.model, Filtered):
            self.model.apply_filter(view_filter)

    def acknowledge(self) -> None:
        """What was delivered has been worked off."""
        self._taken.set()

    # What the screen needs.

    @property
    def is_available(self) -> bool:
        """Whether the source has the probe at all."""
        return self.probe in self._source.probes

    @property
    def doing(self) -> str:
        """``attaching`` or ``detaching`` while that lasts, else nothing."""
        requested = self._requests.last(self.probe)
        return "" if requested is None else "attaching" if requested else "detaching"

    def state(self, overview: Overview) -> Probe | None:
        """Return what the probe reported last."""
        return overview.probes.get(self.probe)

    # Attaching.

    def begin(self, workers: Workers) -> None:
        """Poll from now on what is polled whether anybody looks or not."""
        self._workers = workers
        if self.is_available and self._source.is_on(self.probe) is not False:
            self._poll()

    def open(self) -> None:
        """Somebody looks: attach the probe, if it can be and is not."""
        self.trouble = ""
        if self._source.live and self.is_available and not self._is_on():
            self._has_opened = True
            self._request(on=True)

    def close(self) -> None:
        """Nobody looks any more: detach it if it was attached for that."""
        if self._has_opened:
            self._has_opened = False
            self._request(on=False)

    def toggle(self) -> None:
        """Attach the probe, or detach it, while somebody looks."""
        if self._is_on():
            self._has_opened = False
            self._request(on=False)
        else:
            self.open()

    def end(self) -> None:
        """Let the thread that polls end, together with an interrupt of the source."""
        self._ended.set()
        self._taken.set()

    def _is_on(self) -> bool:
        requested = self._requests.last(self.probe)
        # What comes from elsewhere is as it is there.
        return self._source.is_on(self.probe) is not False if requested is None else requested

    def _request(self, *, on: bool) -> None:
        if self._requests.put(self.probe, on):
            self._workers.run_feeding(self._toggle)

    def _toggle(self) -> None:
        try:
            for probe, on in self._requests:
                if self._source.is_on(probe) is not on:
                    self._source.toggle(probe)
                if on:
                    self._workers.post(self._poll)
        except Exception as error:  # the screen shows it
            self._requests.drop()
            self.trouble = f"{error}"
            log.error("toggling the probe %s failed", self.probe, exc_info=error)

    # Polling.

    def _poll(self) -> None:
        with self._lock:
            if self._is_polling:
                return
            self._is_polling = True
        self._workers.run_feeding(self._collect)

    def _collect(self) -> None:
        try:
            while not self._ended.is_set() and self._poll_once():
                pass
        except Exception as error:  # the screen shows it
            self.trouble = f"{type(error).__name__}: {error}"
            log.error("polling %s failed", self.probe, exc_info=error)
            with self._lock:
                self._is_polling = False

    def _poll_once(self) -> bool:
        """Deliver the next batch, if one comes soon; return whether there may be more."""
        is_off = self._source.is_on(self.probe) is False
        begun_s = monotonic()
        # What it saw last comes at once.
        batch = self._source.poll(self.probe, 0.0 if is_off else PATIENCE_S)
        if batch is not None:
            self._taken.clear()
            self.deliver((batch,))
            while not self._taken.wait(PATIENCE_S) and not self._ended.is_set():
                pass
        elif is_off:
            with self._lock:
                if self._source.is_on(self.probe) is False:
                    self._is_polling = False
                    return False
        elif monotonic() - begun_s < PATIENCE_S / 2:
            # A source that has come to its end returns at once.
            self._ended.wait(AGAIN_S)
        return True


class LoadFeed(ProbeFeed):
    """The file that `ebpftop load` runs; what its programs print comes from the probe of the trace log, too."""

    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("trace",)
