"""Target: where one signal goes, when it may be tried again, and what was reported of it."""

from __future__ import annotations

import gzip
import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpftop.serving.otlp.answers import Outcome, outcome_of
from ebpftop.serving.otlp.connection import Connection, Unreachable

if TYPE_CHECKING:
    from ssl import SSLContext

    from ebpftop.serving.otlp.settings import Endpoint

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
"""The pause after a failure doubles from the first to the longest, and a random part of it, up to half, is left out:
many machines do not come back at the same moment."""
QUIET_S = 10.0
"""The shortest time between two reports of one signal."""
PAUSE_AT_THE_END_S = 0.1
NEVER_S = float("inf")
_LEVEL = 1
"""Of gzip: the next one takes twice as long for a tenth less."""
_SHORTEST_SECRET = 8
"""Characters: shorter words (`Bearer`, `Basic`, a tenant) may be shown."""


class Target:
    """Where one signal goes: its connection, when it may be tried again, and what was reported of it."""

    def __init__(self, endpoint: Endpoint, tls: SSLContext | None, what: str, report: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self.next_s = 0.0
        """When to try again, on the monotonic clock."""
        self._connection = Connection(endpoint, tls)
        self._pause_s = 0.0
        self._is_asked_to_wait = False
        self._what = what
        self._report = report
        self._reported = ""
        self._quiet_until_s = 0.0

    def packed(self, body: bytes) -> bytes:
        """Return *body* as it is sent."""
        return gzip.compress(body, _LEVEL, mtime=0) if self.endpoint.gzip else body

    def post(self, body: bytes, until_s: float) -> Outcome:
        """Send *body*, which is `packed`. What goes wrong is reported when it changes, but not often."""
        try:
            outcome = outcome_of(self._connection.post(body, until_s))
        except Unreachable as error:
            outcome = Outcome("later", reason=str(error))
        outcome = outcome._replace(reason=_without_values(outcome.reason, self.endpoint))
        now_s = time.monotonic()
        if outcome.verdict == "later":
            self._back_off(outcome)
        else:
            self._pause_s = self.next_s = 0.0
        # If our own time is over, that says nothing about the receiver.
        if outcome.reason != self._reported and now_s < until_s and now_s >= self._quiet_until_s:
            self._report(self._sentence(outcome))
            self._reported = outcome.reason
            self._quiet_until_s = now_s + QUIET_S
        return outcome

    def _back_off(self, outcome: Outcome) -> None:
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        pause_s = outcome.retry_after_s
        # Asked for 0 s, or a time that is over, we would try as fast as the receiver can answer.
        self._is_asked_to_wait = pause_s is not None and pause_s >= FIRST_PAUSE_S
        if pause_s is None or pause_s < FIRST_PAUSE_S:
            pause_s = self._pause_s * random.uniform(0.5, 1.0)
        self.next_s = time.monotonic() + pause_s

    def hurry(self, pause_s: float) -> None:
        """Try again in *pause_s*, unless the receiver asked for another time."""
        if not self._is_asked_to_wait:
            self.next_s = min(self.next_s, time.monotonic() + pause_s)

    def _sentence(self, outcome: Outcome) -> str:
        place = f"{self._what} to {self.endpoint}"
        if not outcome.reason:
            return f"{place}: they are taken again"
        follows = {"later": "; it is tried again", "refused": "; what is refused is lost", "taken": ""}[outcome.verdict]
        return f"{place}: {outcome.reason}{follows}"


def _without_values(reason: str, endpoint: Endpoint) -> str:
    """Return *reason* without the values of our headers: a receiver may say which key it does not like."""
    for _, value in endpoint.headers:
        for word in value.split():
            if len(word) >= _SHORTEST_SECRET:
                reason = re.sub(re.escape(word[:_SHORTEST_SECRET]) + r"\S*", "..", reason)
    return reason
