"""When something expensive is looked at again."""

from __future__ import annotations


class Pace:
    """Says when it is due: now and then, sooner if there is news, and never for more than a share of the time.

    All times are seconds of the monotonic clock.
    """

    def __init__(self, every_s: float, news_s: float, share: float) -> None:
        """*every_s*: the least time between two, *news_s* the same if there is news; *share*: of one CPU."""
        self._every_s, self._news_s, self._share = every_s, news_s, share
        self._began_s: float | None = None
        self._ended_s = 0.0
        self._took_s = 0.0

    def due(self, now_s: float, news_s: float = 0.0) -> bool:
        """Return whether it is due; it is at first. It has news to find until it begins at *news_s* or later."""
        if self._began_s is None:
            return True
        least_s = self._news_s if self._began_s < news_s else self._every_s
        return now_s >= self._ended_s + max(least_s, self._took_s / self._share)

    def done(self, began_s: float, ended_s: float, took_s: float | None = None) -> None:
        """It is done, and took the time in between, or *took_s* of it."""
        self._began_s, self._ended_s = began_s, ended_s
        self._took_s = ended_s - began_s if took_s is None else took_s
