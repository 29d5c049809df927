"""ReadingPace: when which probe of the live kernel is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from ebpftop.core.records import ProbeName

_EVENTS_EVERY_S = 0.1
"""How often events are read: nobody sees a tenth of a second, and each reading wakes the process."""
_QUIET_EVERY_S = 0.25
_QUIET_READINGS = 10
"""How often they are read after so many readings without any: the first is still shown in 0.3 s."""
_BUSY_EVERY_S = 0.05
_BUSY_RECORDS = 500
"""How often they are read after a reading of so many: the buffer may fill up soon."""


def pause_s(records: int) -> float:
    """Return how long to wait after a reading of so many records: a buffer that fills fast is read more often."""
    return _BUSY_EVERY_S if records >= _BUSY_RECORDS else _EVENTS_EVERY_S


def _next_multiple(now_s: float, step_s: float) -> float:
    """Return the first moment after *now_s* that is a multiple of *step_s*, so that all readings share it."""
    return (now_s // step_s + 1) * step_s


class ReadingPace:
    """Events are read often, counters when they are due, all probes at the same moments: the process sleeps in between.

    Times are on the monotonic clock. The thread that reads a probe waits; any thread may wake it.
    """

    def __init__(self, names: Iterable[ProbeName], interval_s: float) -> None:
        self.interval_s = interval_s
        """How often counters are due."""
        names = tuple(names)
        self._woken = {name: threading.Event() for name in names}
        """Set when a probe has something that its next reading would not be early enough for."""
        self._next_s = dict.fromkeys(names, 0.0)
        self._due_s = dict.fromkeys(names, 0.0)
        self._quiet = dict.fromkeys(names, 0)
        """How many readings of each probe, one after the other, brought no event."""

    def wait(self, name: ProbeName, until_s: float) -> bool:
        """Wait until it is time to read a probe; return False if that is not before *until_s*."""
        while (wait_s := self._next_s[name] - time.monotonic()) > 0:
            if self._woken[name].wait(min(wait_s, until_s - time.monotonic())):
                break
            if time.monotonic() >= until_s:
                return False
        return True

    def reading(self, name: ProbeName) -> None:
        """A probe is about to be read: whatever woke it before is known then."""
        self._woken[name].clear()

    def wake(self, *names: ProbeName) -> None:
        """Read these probes at once; all of them if none is named."""
        for name in names or self._woken:
            self._woken[name].set()

    def events_read(self, name: ProbeName, events: int) -> None:
        """A reading of a probe brought so many events."""
        self._quiet[name] = 0 if events else self._quiet[name] + 1

    def counters_due(self, name: ProbeName) -> bool:
        """Return whether the counters of a probe are due now; if so, they are due again an interval later."""
        now_s = time.monotonic()
        if now_s < self._due_s[name]:
            return False
        # At least a quarter of an interval later: of less time a rate says nothing.
        self._due_s[name] = _next_multiple(now_s + self.interval_s / 4, self.interval_s)
        return True

    def make_due(self, *names: ProbeName) -> None:
        """The next reading of these probes reads the counters too; of all of them if none is named."""
        self._due_s |= dict.fromkeys(names or self._due_s, 0.0)

    def set_interval(self, seconds: float) -> None:
        """Let counters be due every *seconds* from now on."""
        self.interval_s = seconds
        self._due_s = {name: min(due_s, time.monotonic() + seconds) for name, due_s in self._due_s.items()}
        self.wake()

    def was_read(self, name: ProbeName, records: int, *, on: bool, for_events: bool) -> None:
        """A reading of a probe brought so many records. It is read next for its counters if *on*, or *for_events*."""
        now_s, pause = time.monotonic(), pause_s(records)
        if pause < _EVENTS_EVERY_S:
            self._next_s[name] = now_s + pause
            return
        next_s = self._due_s[name] if on else now_s + self.interval_s
        if for_events:
            every_s = _QUIET_EVERY_S if self._quiet[name] >= _QUIET_READINGS else _EVENTS_EVERY_S
            next_s = min(next_s, _next_multiple(now_s, every_s))
        self._next_s[name] = next_s
