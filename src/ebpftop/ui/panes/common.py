"""Cells that several panes share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from ebpftop.core.clock import date_text, day, time_text
from ebpftop.core.format import count, per_second
from ebpftop.core.syscall_records import Handler, InFlight
from ebpftop.ui.widgets.columns import Cell, Narrow, Span

Row = TypeVar("Row")

HANDLER_STYLES: dict[Handler, str] = {"ignore": "struck", "trace": "warn", "exec": "accent", "timer": "note"}


def clock(time: float, now: float) -> Cell:
    """A time of day, with dim milliseconds; of another day than *now*: the date, and the minute."""
    milliseconds = int(time * 1000)
    whole = milliseconds // 1000
    if now and day(whole) != day(int(now)):
        return (Span(f"{date_text(time)} ", "dim"), Span(time_text(whole)[:5]))
    return (Span(time_text(whole)), Span(f".{milliseconds % 1000:03}", "dim"))


def clock_second(time: float, now: float) -> Cell:
    """A time of day in eight cells, where there is no room for milliseconds; of another day than *now*: the date."""
    if now and day(int(time)) != day(int(now)):
        return (Span(date_text(time), "dim"),)
    return (Span(time_text(time)),)


def narrow_time(time: Callable[[Row], float]) -> Narrow[Row]:
    """Return what a column of times is on a screen of fewer than 110 cells."""
    return Narrow(110, 8, cell=lambda row, now: clock_second(time(row), now))


def user(name: str, uid: int) -> Cell:
    """A user's name; root is highlighted."""
    return (Span(name, "root" if uid == 0 else "user"),)


def number(value: int, look: str = "") -> Cell:
    """A count; a dot for none."""
    return (Span(count(value), look) if value else Span("·", "dim"),)


def rate(each_second: float, look: str = "") -> Cell:
    """How often something happens each second; a dot for never."""
    return (Span(per_second(each_second), look) if each_second else Span("·", "dim"),)


def thread(call: InFlight) -> str:
    """Return the thread of a call: its name, its pid, and its tid if it is not the process's first thread."""
    return f"{call.comm}[{call.pid}]" if call.tid == call.pid else f"{call.comm}[{call.pid} tid {call.tid}]"


def wait_look(ns: float) -> str:
    """Return the look of the time for which a call has been in flight."""
    return "signal" if ns >= 10e9 else "warn" if ns >= 1e9 else ""


def date_and_time(time: float) -> str:
    """Return a local date and time with microseconds, for details."""
    return datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M:%S.%f")


def moment(time: float) -> str:
    """Return a time as an export writes it: ISO 8601, local, with its offset from UTC."""
    return datetime.fromtimestamp(time).astimezone().isoformat(timespec="microseconds")
