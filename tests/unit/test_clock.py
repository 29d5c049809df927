"""Times of day, dates and the zone, as the screen writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ebpftop.core import clock
from ebpftop.ui.panes.common import clock as cell

NOON = 1_795_348_800.0  # Sunday, 22 November 2026, 12:00 UTC


@pytest.fixture(params=["UTC", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", {"Asia/Kolkata": "IST-5:30"}.get(request.param, request.param))
    time.tzset()
    clock.forget()
    yield request.param
    monkeypatch.undo()
    time.tzset()
    clock.forget()


def test_a_moment_is_written_with_its_zone_and_date(zone: str) -> None:
    shown, name = ("12:00:00", "UTC") if zone == "UTC" else ("17:30:00", "IST")
    assert clock.time_text(NOON) == shown
    assert clock.whole_text(NOON, date=False) == f"{shown} {name}"
    assert clock.whole_text(NOON) == f"22 Nov {shown} {name}"
    assert clock.whole_text(NOON, weekday=True) == f"Sun 22 Nov {shown} {name}"


@pytest.mark.usefixtures("zone")
def test_what_was_on_another_day_says_so_in_the_same_room() -> None:
    today = "".join(span.text for span in cell(NOON + 0.25, NOON))
    before = "".join(span.text for span in cell(NOON - 86_400, NOON))
    assert today.endswith(":00.250")
    assert before.startswith("21 Nov ")
    assert len(before) == len(today) == 12
    assert clock.dated_text(NOON - 86_400, NOON).startswith("21 Nov ")
    assert clock.dated_text(NOON - 60, NOON) == clock.time_text(NOON - 60)
