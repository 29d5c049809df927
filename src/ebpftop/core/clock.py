"""Times of day and dates, as they are shown everywhere: in the zone of the C library, which settings choose by TZ."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole).strftime("%H:%M:%S")


@lru_cache(maxsize=4096)
def day(whole: int) -> int:
    """Return the number of the day on which a moment (whole Unix seconds) is; days of one zone differ by one."""
    return datetime.fromtimestamp(whole).toordinal()


def forget() -> None:
    """The time zone has changed."""
    _second.cache_clear()
    day.cache_clear()


def time_text(time: float) -> str:
    """Return the time of day of a moment: 22:48:25."""
    return _second(int(time))


def date_text(time: float) -> str:
    """Return the date of a moment: 27 Nov."""
    at = datetime.fromtimestamp(time)
    return f"{at.day} {at:%b}"


def zone_text(time: float) -> str:
    """Return the name of the zone at a moment: UTC, CET, +03."""
    return datetime.fromtimestamp(time).astimezone().strftime("%Z")


def dated_text(time: float, beside: float) -> str:
    """Return the time of day of a moment, with its date if that is not the one of *beside*: 26 Nov 22:48:25.

    Of another year it has that too: 26 Nov 2025 22:48:25.
    """
    text = time_text(time)
    if day(int(time)) == day(int(beside)):
        return text
    year = datetime.fromtimestamp(time).year
    of_year = "" if year == datetime.fromtimestamp(beside).year else f" {year}"
    return f"{date_text(time)}{of_year} {text}"


def whole_text(time: float, *, date: bool = True, weekday: bool = False) -> str:
    """Return a moment with its zone: 22:48:25 UTC, 27 Nov 22:48:25 UTC, Fri 27 Nov 22:48:25 UTC."""
    at = datetime.fromtimestamp(time)
    parts = [f"{at:%a}"] if weekday else []
    parts += [date_text(time)] if date or weekday else []
    return " ".join([*parts, time_text(time), zone_text(time)])
