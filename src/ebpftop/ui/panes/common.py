"""Cells that several panes share."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from ebpftop.core.records import Handler, InFlight
from ebpftop.ui.widgets.columns import Cell, Span

HANDLER_STYLES: dict[Handler, str] = {"ignore": "struck", "trace": "warn", "exec": "accent", "timer": "note"}


@lru_cache(maxsize=4096)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole).strftime("%H:%M:%S")


def forget_clock() -> None:
    """The time zone has changed."""
    _second.cache_clear()


def clock(time: float) -> Cell:
    """A time of day, with dim milliseconds."""
    milliseconds = int(time * 1000)
    return (Span(_second(milliseconds // 1000)), Span(f".{milliseconds % 1000:03}", "dim"))


def user(name: str, uid: int) -> Cell:
    """A user's name; root is highlighted."""
    return (Span(name, "root" if uid == 0 else "user"),)


def thread(call: InFlight) -> str:
    """Return the thread of a call: its name, its pid, and its tid if it is not the process's first thread."""
    return f"{call.comm}[{call.pid}]" if call.tid == call.pid else f"{call.comm}[{call.pid} tid {call.tid}]"


def date_and_time(time: float) -> str:
    """Return a local date and time with microseconds, for details."""
    return datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M:%S.%f")


def moment(time: float) -> str:
    """Return a time as an export writes it: ISO 8601, local, with its offset from UTC."""
    return datetime.fromtimestamp(time).astimezone().isoformat(timespec="microseconds")
