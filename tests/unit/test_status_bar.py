"""The state line at the widths of terminals: what goes first where it is narrow."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from rich.cells import cell_len

from ebpftop.core import clock
from ebpftop.core.records import Cost
from ebpftop.filters.stack import SEPARATOR
from ebpftop.ui.widgets import columns
from ebpftop.ui.widgets.columns import clip_front
from ebpftop.ui.widgets.status_bar import Status, StatusBar
from ebpftop.ui.words import STATUS

SHORT = SEPARATOR.join(("ada", "make 4102"))
TRAIL = SEPARATOR.join(("--comm sh*", "ada", "make 4102", "container 8f3a0c11d2e4  /error.*timeout"))


FULL = Status(
    host="web1",
    kernel="6.18.44",
    probes=tuple((number, "on") for number in range(1, 5)),
    events_per_second=1234,
    cost=Cost(time=0, kernel=0.004, user=0.02, runs=1),
    time=1_795_352_400,
)


def line(width: int, trail: str, gone: str = "") -> str:
    state = StatusBar()
    state._status = replace(FULL, filter=trail, gone=gone)
    text = "".join(span.text for span in state.spans(width))
    assert len(text) == width
    return text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_short_trail_is_whole_at_every_width(width: int) -> None:
    text = line(width, SHORT)
    assert f"filter {SHORT}" in text
    assert "web1" in text
    assert ("cost" in text) is (width >= 120)


@pytest.mark.parametrize("width", [120, 200])
def test_a_long_trail_is_whole_where_details_can_go_for_it(width: int) -> None:
    assert TRAIL in line(width, TRAIL)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_of_a_trail_that_is_too_long_the_newest_steps_stay(width: int) -> None:
    text = line(width, TRAIL).rstrip()
    assert "filter …" in text
    assert text.endswith("or.*timeout")


def test_without_a_filter_the_clock_stays() -> None:
    assert line(80, "").split()[-2].count(":") == 2


def test_the_date_and_the_zone_are_there_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {60: "13:00:00", 80: "13:00:00 UTC", 120: "22 Nov 13:00:00 UTC", 200: "Sun 22 Nov 13:00:00 UTC"}
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    clock.forget()
    for width, end in ends.items():
        assert line(width, "").rstrip().endswith(f"  {end}")
    monkeypatch.undo()
    time.tzset()
    clock.forget()


def test_each_part_says_what_it_is() -> None:
    state = StatusBar()
    state._status = replace(
        FULL, filter="ada", gone="pid 7", own="x.c", mode="recording", damage="damaged", history="2", beyond_limit=5
    )
    state.spans(400)
    shown = {key for _, _, key in state._places}
    assert shown == set(STATUS) - {"paused"}
    state._status = replace(state._status, paused=("13:00:00",))
    state.spans(400)
    assert {key for _, _, key in state._places} == shown - {"clock"} | {"paused"}
    text = "".join(span.text for span in state.spans(400))
    places = {key: text[begin:end] for begin, end, key in state._places}
    assert places["lost"] == "lost 0"
    assert places["host"] == "web1"
    assert places["filter"] == "filter ada"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_what_the_filter_names_and_is_gone_is_told_at_every_width(width: int) -> None:
    assert "cgroup /ssh.service is gone" in line(width, "cgroup /ssh.service", gone="cgroup /ssh.service")
    assert "is gone" in line(width, TRAIL, gone="cgroup /system.slice/" + "x" * 200)


@pytest.mark.parametrize("text", ["plain", "日本語", "e\u0301" * 40, "\u200b" * 50 + "日" * 9])
def test_the_end_of_a_text_stays_as_much_as_fits(text: str) -> None:
    for width in range(12):
        clipped = clip_front(text, width)
        assert cell_len(clipped) <= width
        assert text.endswith(clipped.removeprefix("…"))
        fits = len(text) if clipped == text else len(clipped) - 1
        assert clipped == text or not width or cell_len(text[-fits - 1 :]) >= width


def test_a_text_of_megabytes_is_not_measured_again_for_each_character(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = 0

    def measure(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return cell_len(text)

    monkeypatch.setattr(columns, "cell_len", measure)
    text = "/x.service" * 200_000
    assert clip_front(text, 30) == "…" + text[-29:]
    assert measured <= 2 * len(text)


PAUSED = ("22:47:19", "66s behind", "still collecting")


def test_paused_stands_in_place_of_the_clock_as_long_as_there_is_room() -> None:
    state = StatusBar()
    state._status = replace(FULL, paused=PAUSED)
    ends = {
        40: "PAUSED 22:47:19",
        60: "PAUSED 22:47:19",
        80: "PAUSED 22:47:19, 66s behind",
        120: "PAUSED 22:47:19, 66s behind, still collecting",
    }
    for width, end in ends.items():
        text = "".join(span.text for span in state.spans(width))
        assert len(text) == width
        assert "".join(text.split()).endswith("".join(f"␣ {end}".split())), text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_paused_stays_beside_a_filter(width: int) -> None:
    state = StatusBar()
    state._status = replace(FULL, paused=PAUSED, filter=TRAIL)
    text = "".join(span.text for span in state.spans(width))
    assert len(text) == width
    assert "PAUSED" in text
    assert "timeout" in text
