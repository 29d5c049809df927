"""Timers on a machine that stops the process for longer than they last."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from textual.message_pump import MessagePump
from textual.timer import Timer

from ebpftop.ui.textual_fixes import late_timers


async def test_a_timer_that_is_late_already_ticks_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timer, "_run", Timer._run)
    late_timers.install()
    ticks: list[int] = []

    async def tick(_: Timer, *, count: int, **__: Any) -> None:
        ticks.append(count)

    monkeypatch.setattr(Timer, "_tick", tick)
    seconds = itertools.count()  # each look at the clock is a second after the one before
    monkeypatch.setattr("textual._time.get_time", lambda: float(next(seconds)))
    timer = Timer(MessagePump(), 0.001, repeat=0)
    await timer._run_timer()
    assert ticks == [1]
