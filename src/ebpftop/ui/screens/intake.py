"""What probes deliver, processed a little at a time, so that keys are answered meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ebpftop.core.source import Batch

FEED_SLICE_S = 0.02
"""How long records are processed before keys are checked, and how long a key gets before that continues."""

KEYS_FIRST_MAX_S = 1.0
"""At most this long records wait for keys."""


class Turns(Protocol):
    """Lets the screen do something else first."""

    @property
    def keys_waiting(self) -> int:
        """How many keys were pressed and not handled yet."""

    def call_soon(self, do: Callable[[], None]) -> None:
        """Call *do* behind the messages that wait, after a check for keys."""

    def call_after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Call *do* in *delay_s* seconds."""


class Collector(Protocol):
    """What polls a probe, and waits until that was worked off."""

    def acknowledge(self) -> None:
        """All that was delivered has been taken."""


Of = TypeVar("Of", bound=Collector)


class Intake(Generic[Of]):
    """A queue of batches, oldest first.

    *take* gets each batch, *show* the collector whose batches have all been taken: it may deliver more then.
    """

    def __init__(
        self,
        turns: Turns,
        take: Callable[[Of, Batch], None],
        show: Callable[[Of], None],
    ) -> None:
        self._turns = turns
        self._take = take
        self._show = show
        self._pending: deque[tuple[Of, deque[Batch]]] = deque()
        self._keys_first_until_s = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, collector: Of, batches: Iterable[Batch]) -> None:
        """Process *batches* of *collector*: at once if nothing waits, else behind what does."""
        self._pending.append((collector, deque(batches)))
        if len(self._pending) == 1:
            self._keys_first_until_s = monotonic() + KEYS_FIRST_MAX_S
            self._feed()

    def _feed(self) -> None:
        """Process what came, for a moment, then check for keys, and go on."""
        until_s = monotonic() + FEED_SLICE_S
        while self._pending:
            collector, batches = self._pending[0]
            try:
                while batches:
                    self._take(collector, batches.popleft())
                    if batches and monotonic() >= until_s:
                        self._feed_later()
                        return
                self._show(collector)
            except BaseException:
                self._pending.popleft()
                collector.acknowledge()
                if self._pending:
                    self._feed_later()
                raise
            self._pending.popleft()
            collector.acknowledge()
            if self._pending and monotonic() >= until_s:
                self._keys_first_until_s = monotonic() + KEYS_FIRST_MAX_S
                self._feed_later()
                break

    def _feed_later(self) -> None:
        if self._turns.keys_waiting and monotonic() < self._keys_first_until_s:
            self._turns.call_after(FEED_SLICE_S, self._feed)
        else:
            # Not at once: waiting messages are handled without a check for keys.
            self._turns.call_soon(self._feed)
