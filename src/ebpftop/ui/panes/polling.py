"""A pane and its probe: the thread that polls it, what the probe is doing, and attaching and detaching it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import ClassVar

from textual import work
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, WorkerState, get_current_worker

from ebpftop.core.records import Probe, ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.models.requests import LatestRequests
from ebpftop.ui.panes.frames import FramePace
from ebpftop.ui.panes.title import TitledPane

log = logging.getLogger(__name__)

FRAME_RECORDS = 2_500
RECORD_BYTES = 1000
"""A pane does not get more at once, however fast a recording plays: a key waits for what was delivered before it.

A record counts once for each so many bytes of memory."""

PIECE_RECORDS = 250
"""And at most this much of it is processed before the terminal's keys are checked."""

NOT_RECORDED = "not recorded"

PATIENCE_S = 1.0
"""How long a poll may wait, unless the source is interrupted: each wake-up costs as much as a small reading."""

AGAIN_S = 0.25
"""After so long a source is asked again that has come to its end: it may go on, as after a jump."""

REST_S = 0.3
REST_RECORDS = 2000
"""While events come all the time, they are read when the next frame is due: so long a rest, if a reading has brought no
more than so many records since the one before. The kernel's buffer holds many times as many."""


def _burden(batch: Batch) -> int:
    """Return for how many records *batch* counts: one may be as heavy as thousands of others."""
    return max(len(batch.records), batch.size // RECORD_BYTES)


def _pieces(batch: Batch) -> Iterator[Batch]:
    """Yield *batch* in parts of which none holds up a key: all that happened in a moment may be one batch."""
    step = PIECE_RECORDS * len(batch.records) // max(1, _burden(batch)) or 1
    if len(batch.records) <= step:
        yield batch
        return
    for at in range(0, len(batch.records), step):
        records = batch.records[at : at + step]
        yield replace(batch, records=records, size=batch.size * len(records) // len(batch.records))


_DOING_FROM_S, _DOING_EVERY_S = 0.1, 0.5
"""While a probe is being attached or detached, the title says how long that lasts so far."""


class PollingPane(TitledPane):
    """A titled pane that polls the probe `probe` of a source, and delivers what came."""

    probe: ClassVar[ProbeName]
    label: str
    """What it is called; what it shows may change, and then that does."""
    is_log: ClassVar[bool] = False
    """Its probe has events, which the kernel keeps until they are read."""

    class Toggled(Message):
        """The probe of *pane* was attached or detached, as was requested last."""

        def __init__(self, pane: PollingPane, on: bool) -> None:
            super().__init__()
            self.pane = pane
            self.on = on

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(id=self.probe)
        self.source = source
        self.number = number
        self._toggle_requests: LatestRequests[ProbeName, bool] = LatestRequests()
        self.pace = FramePace()
        """When all panes show what came; the screen has one for all of them."""
        self.deliver: Callable[[Sequence[Batch]], None] = lambda _: self.acknowledge()
        """Takes what the probe yielded since the last frame, oldest first, in the thread that polls it.

        The screen feeds it to panes, now or later, and calls `acknowledge`.
        """
        self.past = False
        """What is shown was: what is set in the kernel shows at present."""
        self.trouble = ""
        self.is_absent = False
        """The recording, or the stream, has nothing of the probe: that nothing happened is not known."""
        self._state: Probe | None = None
        self._unconfirmed: Probe | None = None
        """The state that the probe reported before it was toggled."""
        self._doing_since_s = 0.0
        self._doing_timer: Timer | None = None
        self._ended = threading.Event()
        """Nobody wants to know any more what the probe yields."""
        self._taken = threading.Event()
        self._taken.set()

    def describe(self) -> None:
        """Put what is known into the title and the message."""
        raise NotImplementedError

    @property
    def state(self) -> str:
        """``on``, ``off``, ``failed``, ``absent`` (not recorded), ``busy`` until a request is done, ``waiting``."""
        if self.trouble:
            return "failed"
        if self.busy:
            return "busy"
        return self._known_state

    @property
    def _known_state(self) -> str:
        """What is known of the probe: ``waiting`` before that is anything."""
        return "absent" if self.is_absent else self._state.state if self._state else "waiting"

    def _doing(self) -> str:
        """Return ``attaching`` or ``detaching`` while that lasts, else nothing."""
        requested = self._toggle_requests.last(self.probe)
        on = self.source.is_on(self.probe) if requested is None else requested
        if self.busy:
            return "attaching" if on else "detaching"
        is_coming = self._state is None and on and not self.past and self.probe in self.source.probes
        return "attaching" if is_coming and not self.trouble else ""

    def _state_text(self) -> str:
        """Return what the title says of the state: nothing if the probe is on; how long the kernel has taken so far."""
        doing = self._doing()
        if not doing:
            self._doing_since_s = 0.0
            if self.is_absent:
                return NOT_RECORDED
            return self.state if self.state in ("off", "failed") else ""
        self._doing_since_s = self._doing_since_s or monotonic()
        if self._doing_timer is None and self.is_attached:
            self._doing_timer = self.set_timer(_DOING_EVERY_S, self._still_doing)
        seconds = waited_s(self._doing_since_s)
        return f"{doing} ({seconds:.1f}s)" if seconds >= _DOING_FROM_S else doing

    def _still_doing(self) -> None:
        self._doing_timer = None
        self.describe()

    # Polling.

    @work(thread=True, exclusive=True, group="collect", exit_on_error=False)
    def collect(self) -> None:
        """Poll the probe until the pane is removed; deliver what came, at most once a frame."""
        worker = get_current_worker()
        pending: deque[Batch] = deque()
        records = 0
        last = 0
        while not (worker.is_cancelled or self._ended.is_set()):
            if self.is_log and self.source.reads_all and last <= REST_RECORDS:
                rest_s = self.pace.next_wanted_s() - monotonic()
                if rest_s > 0:
                    self._ended.wait(min(rest_s, REST_S))
            now, due = monotonic(), self.pace.next_s()
            ready = pending and (now >= due or records >= FRAME_RECORDS)
            if ready and self._taken.is_set():
                self._taken.clear()
                frame: list[Batch] = []
                taken = 0
                while pending and taken < FRAME_RECORDS:
                    frame.append(pending.popleft())
                    taken += _burden(frame[-1])
                self.deliver(tuple(frame))
                records -= taken
            elif ready:
                # The screen is behind: let the kernel's buffer fill, because losses are counted there.
                self._taken.wait(PATIENCE_S)
                continue
            patience = min(PATIENCE_S, max(0.0, due - now)) if pending else PATIENCE_S
            batch = self.source.poll(self.probe, patience)
            last = len(batch.records) if batch is not None else 0
            if batch is not None:
                for piece in _pieces(batch):
                    pending.append(piece)
                    records += _burden(piece)
            elif monotonic() - now < patience / 2:
                # A source that has come to its end returns at once.
                self._ended.wait(min(max(patience, 0.02), AGAIN_S))

    def stop_collecting(self) -> None:
        """Let `collect` end at once, together with an interrupt of the source."""
        self._ended.set()
        self._taken.set()

    def acknowledge(self) -> None:
        """The screen has worked off what was delivered."""
        self._taken.set()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state == WorkerState.ERROR:
            error = event.worker.error
            log.error("the worker %s of %s failed", event.worker.group, self.label, exc_info=error)
            if event.worker.group == "collect":
                self.trouble = f"{type(error).__name__}: {error}"
            else:
                self.app.notify(str(error), title=f"{self.label}: the probe stays as it is", severity="error")
            self.describe()

    # Attaching and detaching.

    @property
    def busy(self) -> bool:
        """Whether the probe is being attached or detached, or has not reported its state yet."""
        if self._toggle_requests.last(self.probe) is not None:
            return True
        return self._unconfirmed is not None and self._unconfirmed is self._state and not self.past

    @work(thread=True, group="toggle", exit_on_error=False)
    def toggle(self) -> None:
        """Attach or detach the probe until it is as requested last."""
        try:
            done = False
            for probe, on in self._toggle_requests:
                if self.source.is_on(probe) is not on:
                    self._unconfirmed = self._state
                    self.source.toggle(probe)
                done = on
            self.post_message(self.Toggled(self, done))
        except BaseException:
            self._toggle_requests.drop()
            self._unconfirmed = None
            raise
        finally:
            self.call_later(self.describe)

    def start_toggle(self) -> None:
        """Request the opposite of the last request for the probe; show it. A pane that stopped polls again instead."""
        if self.trouble:
            self.trouble = ""
            self._taken.set()
            self.describe()
            self.collect()
            return
        requested = self._toggle_requests.last(self.probe)
        on = self.source.is_on(self.probe) if requested is None else requested
        if self._toggle_requests.put(self.probe, not on):
            self.toggle()
        self.describe()


def waited_s(since_s: float) -> float:
    """Return for how many seconds something has been waited for."""
    return monotonic() - since_s


def worker_sleep(seconds: float) -> None:
    """Wait without polling."""
    threading.Event().wait(max(seconds, 0.02))
