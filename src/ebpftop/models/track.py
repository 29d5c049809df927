"""Totals over time, as points: what was gained between two points is known, but not when."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from ebpftop.models.latency import difference

POINTS_MAX = 2048
"""Points that are kept; beyond that every second one is dropped, and they are added half as often."""

SPACING_S = 0.9
"""Seconds between two points, at least: readings may come ten times a second."""

BACKWARDS_S = 10.0
"""A point so far behind the last one is not late: the clock was set back, or the last one was of a damaged record."""

GAPS_MAX = 256

_MOST = (1 << 63) - 1


class Track:
    """A sum that only grows. What it gains is spread evenly between two points.

    Nothing is known before its first point, after the last one, and in `gaps`.
    """

    def __init__(self) -> None:
        self.times = array("d")
        self.sums = array("d")
        self.gaps: list[tuple[float, float]] = []
        self.broken: float | None = None
        """Since when nothing is known; None if that is not so."""
        self._spacing_s = SPACING_S
        self._last: tuple[float, float] | None = None
        """The time of the last gain, and its rate: it may be a part only of what is between the last two points."""

    def gain(self, time: float, gained: float) -> None:
        """Add *gained* since the last gain; the first one, and the one after a break, only say where it goes on."""
        times, sums = self.times, self.sums
        while times and time < times[-1] - BACKWARDS_S:
            self._pop()
        if not times or self.broken is not None or time <= times[-1]:
            self._last = None
        else:
            self._last = time, gained / (time - times[-1])
        if not times:
            times.append(time)
            sums.append(0.0)
        elif self.broken is not None:
            self._add_gap(times[-1], time)
            times.append(max(time, times[-1]))
            sums.append(sums[-1])
        elif time <= times[-1]:
            sums[-1] += gained
        elif len(times) > 1 and time - times[-2] < self._spacing_s and not self._is_gap_end(times[-1]):
            times[-1] = time
            sums[-1] += gained
        else:
            times.append(time)
            sums.append(sums[-1] + gained)
            if len(times) > POINTS_MAX:
                self._thin()
        self.broken = None

    def cut(self, time: float) -> None:
        """Note that nothing is known from *time* on, until something is gained again."""
        if self.broken is None and self.times:
            self.broken = time

    def drop_before(self, time: float) -> None:
        """Drop the points before the last one that is not after *time*."""
        first = max(0, bisect_right(self.times, time) - 1)
        # Now and then: each time, all the others are moved.
        if first > len(self.times) // 8:
            del self.times[:first], self.sums[:first]
            self.gaps = [gap for gap in self.gaps if gap[1] > time]

    def sum_at(self, time: float) -> float:
        """Return the sum at *time*, of which something is known before or after."""
        at = bisect_right(self.times, time)
        if at == 0:
            return self.sums[0] if self.sums else 0.0
        if at == len(self.times):
            return self.sums[at - 1]
        before, after = self.times[at - 1], self.times[at]
        return self.sums[at - 1] + (self.sums[at] - self.sums[at - 1]) * (time - before) / (after - before)

    def rate(self, begin: float, end: float) -> float | None:
        """Return what was gained per second between two times, as far as known; None if nothing is."""
        if not self.times:
            return None
        begin, end = max(begin, self.times[0]), min(end, self.times[-1])
        known_s = end - begin - self._unknown_s(begin, end)
        # A difference of floats is not exactly nothing.
        return (self.sum_at(end) - self.sum_at(begin)) / known_s if known_s > 1e-6 else None

    def rate_at(self, time: float) -> float | None:
        """Return the rate of the last gain, or of the last two points, up to *time*; None if nothing is known then."""
        at = bisect_right(self.times, time)
        if self._last is not None and self.broken is None and time >= self._last[0]:
            return self._last[1]
        if at < 2 or (self.broken is not None and time >= self.broken):
            return None
        if any(since < time < to for since, to in self.gaps):
            return None
        return self.rate(self.times[at - 2], self.times[at - 1])

    def _unknown_s(self, begin: float, end: float) -> float:
        return sum(max(0.0, min(end, to) - max(begin, since)) for since, to in self.gaps)

    def _is_gap_end(self, time: float) -> bool:
        return bool(self.gaps) and self.gaps[-1][1] == time

    def _add_gap(self, since: float, to: float) -> None:
        self.gaps.append((since, to))
        if len(self.gaps) > GAPS_MAX:
            # Older ones are not known either.
            first = bisect_left(self.times, self.gaps.pop(0)[1])
            del self.times[:first], self.sums[:first]

    def _pop(self) -> None:
        self.times.pop()
        self.sums.pop()
        while self.gaps and self.times and self.gaps[-1][1] > self.times[-1]:
            self.gaps.pop()

    def _thin(self) -> None:
        # The last one stays: it may be the end of a gap.
        first = (len(self.times) - 1) % 2
        self.times, self.sums = self.times[first::2], self.sums[first::2]
        self._spacing_s *= 2


class EventTrack(Track):
    """Counts events, which happened at its points, and nowhere else. Nothing is known in `gaps`, and before `since`."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = 0.0
        self.since = 0.0
        self._ever = 0.0

    def gain(self, time: float, gained: float) -> None:
        """Add *gained* at *time*."""
        times, sums = self.times, self.sums
        while times and time < times[-1] - BACKWARDS_S:
            self._pop()
        self._ever += gained
        if times and (time <= times[-1] or (len(times) > 1 and time - times[-2] < self._spacing_s)):
            times[-1] = max(times[-1], time)
            sums[-1] = self._ever
        else:
            times.append(time)
            sums.append(self._ever)
            if len(times) > POINTS_MAX:
                self._thin()

    def cut(self, time: float) -> None:
        """Note that events are not seen from *time* on."""
        if self.broken is None:
            self.broken = time

    def mend(self, time: float) -> None:
        """Note that they are seen from *time* on."""
        if self.broken is not None:
            if self.since:
                self._add_gap(self.broken, time)
            self.since, self.broken = self.since or time, None

    def drop_before(self, time: float) -> None:
        if self.since:
            self.since = max(self.since, time)
        super().drop_before(time)

    def sum_at(self, time: float) -> float:
        """Return how many there were up to *time*."""
        at = bisect_right(self.times, time)
        return self.sums[at - 1] if at else 0.0

    def rate_until(self, begin: float, end: float, newest: float) -> float | None:
        """Return the rate between two times, as far as known; *newest* is the time of whatever came last."""
        end = min(end, newest if self.broken is None else self.broken)
        begin = max(begin, self.since)
        known_s = end - begin - self._unknown_s(begin, end)
        return (self.sum_at(end) - self.sum_at(begin)) / known_s if self.since and known_s > 1e-6 else None


class LatencyTrack:
    """Histograms of all calls that returned up to points in time. Readings are never divided: they keep whole calls."""

    def __init__(self) -> None:
        self.times = array("d")
        self.sums: list[array[int]] = []
        self.gap_ends: set[float] = set()
        """Points before which nothing is known, up to the one before."""
        self.broken: float | None = None
        self._spacing_s = SPACING_S

    def gain(self, time: float, gained: Sequence[int]) -> None:
        """Add the histogram of what returned since the last point."""
        times = self.times
        while times and time < times[-1] - BACKWARDS_S:
            self.gap_ends.discard(times.pop())
            self.sums.pop()
        if not times or self.broken is not None:
            if times and time <= times[-1]:
                return
            times.append(time)
            self.sums.append(self.sums[-1] if self.sums else array("Q"))
            self.gap_ends.add(time)
        elif time <= times[-1]:
            self.sums[-1] = _added(self.sums[-1], gained)
        elif len(times) > 1 and time - times[-2] < self._spacing_s and times[-1] not in self.gap_ends:
            times[-1] = time
            self.sums[-1] = _added(self.sums[-1], gained)
        else:
            times.append(time)
            self.sums.append(_added(self.sums[-1], gained))
            if len(times) > POINTS_MAX:
                self._thin()
        self.broken = None

    def cut(self, time: float) -> None:
        """Note that nothing is known from *time* on, until something is gained again."""
        if self.broken is None and self.times:
            self.broken = time

    def drop_before(self, time: float) -> None:
        """Drop the points before the last one that is not after *time*."""
        first = max(0, bisect_right(self.times, time) - 1)
        if first > len(self.times) // 8:
            self.gap_ends.difference_update(self.times[:first])
            del self.times[:first], self.sums[:first]

    def between(self, begin: float, end: float) -> tuple[tuple[int, ...], float, float] | None:
        """Return what returned according to the readings behind *begin*, up to *end*; and the time that they cover.

        If no reading ended in this time, it is the one that covers it. None if nothing is known of it.
        """
        first, last = bisect_right(self.times, begin) - 1, bisect_right(self.times, end) - 1
        if first < 0:
            first = 0
        if last <= first:
            # Not to the digit: times are sums of floats.
            last = bisect_left(self.times, end - 1e-6)
            first = last - 1
            if first < 0 or last >= len(self.times) or self.times[last] in self.gap_ends:
                return None
        while first < last and self.times[first + 1] in self.gap_ends:
            first += 1
        if first == last:
            return None
        return difference(self.sums[last], self.sums[first]), self.times[first], self.times[last]

    def at(self, time: float) -> tuple[int, ...] | None:
        """Return what returned between the last two points up to *time*; None if that is not known."""
        at = bisect_right(self.times, time)
        if at < 2 or self.times[at - 1] in self.gap_ends or (self.broken is not None and time >= self.broken):
            return None
        if at < len(self.times) and self.times[at] in self.gap_ends and time > self.times[at - 1]:
            return None
        return difference(self.sums[at - 1], self.sums[at - 2])

    def _thin(self) -> None:
        first = (len(self.times) - 1) % 2
        kept = self.times[first::2]
        for index, time in enumerate(self.times[:-1]):
            # The reading behind a gap that is dropped leaves its gap to the next one.
            if time in self.gap_ends and index % 2 != first:
                self.gap_ends.add(self.times[index + 1])
        self.gap_ends.intersection_update(kept)
        self.times, self.sums = kept, self.sums[first::2]
        self._spacing_s *= 2


def _added(sums: array[int], gained: Sequence[int]) -> array[int]:
    if not any(gained):
        return sums
    size = max(len(sums), max(i for i, n in enumerate(gained) if n) + 1)
    return array(
        "Q",
        (min(_MOST, (sums[i] if i < len(sums) else 0) + (gained[i] if i < len(gained) else 0)) for i in range(size)),
    )
