"""How the screen looks, from recorded records, at the sizes that people have."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.core.source import SourceError

from .conftest import Look
from .scene import FakeSource, batch, execs, minute, probe_state

TINY, SMALL, MEDIUM, LARGE, HUGE = (60, 15), (80, 24), (120, 35), (200, 50), (400, 100)
SIZES = pytest.mark.parametrize("size", [TINY, SMALL, MEDIUM], ids=["60x15", "80x24", "120x35"])


@pytest.mark.parametrize(
    "size", [TINY, SMALL, MEDIUM, LARGE, HUGE], ids=["60x15", "80x24", "120x35", "200x50", "400x100"]
)
def test_whole_screen(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute()), size)


@SIZES
@pytest.mark.parametrize("tabs", range(4), ids=["execs", "users", "syscalls", "trace"])
def test_each_pane_alone(looks_the_same: Look, size: tuple[int, int], tabs: int) -> None:
    assert looks_the_same(FakeSource(minute()), size, *["tab"] * tabs, "m")


@SIZES
def test_before_anything_arrives(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(), size)


@SIZES
def test_a_failed_probe_tells_why_and_an_off_one_how_to_turn_it_on(looks_the_same: Look, size: tuple[int, int]) -> None:
    failed = probe_state(
        "syscalls",
        "failed",
        reason="the kernel refused every attach option: EPERM",
        remedy="run it as root: sudo ebpftop",
    )
    source = FakeSource([*execs(), batch("syscalls", 1, failed), batch("trace", 1, probe_state("trace", "off"))])
    assert looks_the_same(source, size)


@SIZES
def test_paused(looks_the_same: Look, size: tuple[int, int]) -> None:
    source = FakeSource(minute())

    async def more(pilot: Pilot[int]) -> None:
        source.give(*execs())

    assert looks_the_same(source, size, "space", before=more)


@SIZES
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(("k", "k", "k", "enter"), id="exec"),
        pytest.param(("tab", "j", "enter"), id="user"),
        pytest.param(("tab", "tab", "j", "enter"), id="syscall"),
        pytest.param(("shift+tab", "k", "enter"), id="trace"),
        pytest.param(("t", "j", "j", "j", "enter"), id="process"),
    ],
)
def test_details(looks_the_same: Look, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    assert looks_the_same(FakeSource(minute()), size, *keys)


@SIZES
@pytest.mark.parametrize(
    "key", ["question_mark", "exclamation_mark", "c", "t"], ids=["help", "diagnostics", "columns", "tree"]
)
def test_screens_above(looks_the_same: Look, size: tuple[int, int], key: str) -> None:
    assert looks_the_same(FakeSource(minute()), size, key)


@SIZES
def test_filter_being_typed(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute()), size, "slash", *"!ada")


@SIZES
def test_invalid_filter_says_so_and_keeps_the_last_good_one(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(FakeSource(minute()), size, "slash", *"ada(")


@pytest.mark.parametrize("theme", ["light", "contrast", "blue-orange", "16"])
def test_themes(looks_the_same: Look, theme: str) -> None:
    assert looks_the_same(FakeSource(minute()), MEDIUM, "j", theme=theme)


@pytest.mark.parametrize("term", ["linux", "xterm-256color", "vt220"])
def test_terminals_with_few_colours(looks_the_same: Look, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM")
    assert looks_the_same(FakeSource(minute()), MEDIUM, "j")


def test_without_colour(looks_the_same: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert looks_the_same(FakeSource(minute()), MEDIUM, "j")


@SIZES
def test_a_recording_cannot_toggle(looks_the_same: Look, size: tuple[int, int]) -> None:
    source = FakeSource(minute(), live=False)
    source.refuses = SourceError("a recording has no probes")
    assert looks_the_same(source, size, "1")
