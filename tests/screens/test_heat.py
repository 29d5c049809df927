"""The heat map of the machine above the panes, and its box in all of them."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.core.glyphs import Glyphs
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.widgets.heat_band import HeatBand
from ebpftop.ui.widgets.heatmap import LABELS
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import Look, settle, until
from .scene import START, FakeSource, Remembered, batch, execs, probe_state, trace, users
from .test_screen_travel import commands, running


def calls() -> list[object]:
    """A minute of two calls: the second one is slow between 20 and 30 s."""
    batches = [batch("syscalls", 0, probe_state("syscalls", "on"))]
    slow = 0
    for second in range(61):
        slow += 5 * (20 < second <= 30)
        rows = (
            SyscallRow(
                abi="x86_64", nr=0, name="read", count=40 * second, errors=0, histogram_ns=(0,) * 10 + (40 * second,)
            ),
            SyscallRow(abi="x86_64", nr=74, name="fsync", count=slow, errors=0, histogram_ns=(0,) * 25 + (slow,)),
        )
        batches.append(batch("syscalls", second, Syscalls(time=START + second, rows=rows)))
    return batches  # type: ignore[return-value]  # of batches


def source() -> Remembered:
    return Remembered([*execs(), *users(), *trace(), *calls()])  # type: ignore[list-item]  # batches


def band(app: EbpftopApp) -> HeatBand:
    return app.main.query_one(HeatBand)


async def opened(pilot: Pilot[int], app: EbpftopApp) -> HeatBand:
    await pilot.press("H")
    await until(pilot, lambda: band(app).heat is not None)
    return band(app)


async def kept(pilot: Pilot[int], app: EbpftopApp) -> None:
    """Wait until the panes show the box."""
    await until(pilot, lambda: app.main.playback.box is not None and not app.main.playback.seeking)
    await pilot.pause()


def text(widget: HeatBand) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


def select(heat: HeatBand, first: float, last: float) -> None:
    """Draw a box of these seconds, of all latencies."""
    left, right = heat.column_at(START + first), heat.column_at(START + last)
    assert left is not None
    assert right is not None
    heat.place_cursor(left, 0)
    heat.action_stretch(right - left, 0)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 35)], ids=["60x20", "80x24", "120x35"])
def test_the_map_with_a_box(looks_the_same: Look, size: tuple[int, int]) -> None:
    async def draw(pilot: Pilot[int]) -> None:
        assert isinstance(pilot.app, EbpftopApp)
        heat = await opened(pilot, pilot.app)
        select(heat, 20.5, 30.5)
        await pilot.press("enter")
        await kept(pilot, pilot.app)

    assert looks_the_same(source(), size, before=draw)


async def test_every_pane_shows_what_happened_in_the_box_and_escape_lifts_it() -> None:
    async with running(source()) as (pilot, app):
        everything = commands(app)
        total = app.main.query_one(SyscallsPane).model.calls["x86_64", 0].row.count
        heat = await opened(pilot, app)
        select(heat, 5, 8)
        await pilot.press("enter")
        await kept(pilot, app)
        box = app.main.playback.box
        assert box is not None
        assert START + 4 < box.begin < START + 6
        assert START + 7 < box.end < START + 9.5
        assert commands(app) == ["crashes", "python3", "notes.txt", "grep"]
        model = app.main.query_one(SyscallsPane).model
        assert 40 * 3 <= model.calls["x86_64", 0].row.count <= 40 * 5
        assert ("x86_64", 74) not in model.calls
        assert app.main.query_one(StatusBar).status.paused[0].startswith("13:00:0")
        assert app.main.playback.paused
        await pilot.press("escape")
        await until(pilot, lambda: app.main.playback.box is None)
        assert commands(app) == everything
        assert app.main.query_one(SyscallsPane).model.calls["x86_64", 0].row.count == total
        assert not app.main.playback.paused
        assert heat.display
        await pilot.press("escape")
        assert not heat.display


async def test_a_range_of_latency_lists_the_calls_that_took_so_long() -> None:
    async with running(source()) as (pilot, app):
        heat = await opened(pilot, app)
        assert heat.heat is not None
        left, right = heat.column_at(START + 18), heat.column_at(START + 34)
        assert left is not None
        assert right is not None
        heat.place_cursor(left, heat._row_of(25))
        heat.action_stretch(right - left, 1)
        await pilot.press("enter")
        await kept(pilot, app)
        model = app.main.query_one(SyscallsPane).model
        assert [call.row.name for call in model.calls.values()] == ["fsync"]
        await until(pilot, lambda: "50 calls" in text(heat)[-1])
        assert ", 50 fsync" in text(heat)[-1]
        assert "p99" in text(heat)[-1]


async def test_a_box_is_dragged_with_the_mouse() -> None:
    async with running(source()) as (pilot, app):
        await opened(pilot, app)
        await pilot.mouse_down(HeatBand, offset=(30, 3))
        await pilot.hover(HeatBand, offset=(40, 3))
        await pilot.hover(HeatBand, offset=(50, 3))
        await pilot.mouse_up(HeatBand, offset=(50, 3))
        await kept(pilot, app)
        box = app.main.playback.box
        assert box is not None
        assert box.buckets is None
        assert box.begin == pytest.approx(START + 60 * 23 / 113, abs=0.1)
        assert box.end == pytest.approx(START + 60 * 44 / 113, abs=0.1)


async def test_moving_in_time_and_going_back_to_live_lift_the_box() -> None:
    for key in ("left_square_bracket", "l"):
        async with running(source()) as (pilot, app):
            heat = await opened(pilot, app)
            select(heat, 20, 30)
            await pilot.press("enter")
            await kept(pilot, app)
            app.main.set_focus(app.main.execs.lines)
            await pilot.press(key)
            await until(pilot, lambda: app.main.playback.box is None and not app.main.playback.seeking)
            assert all(pane.box is None for pane in app.main.panes)


async def test_resetting_counters_waits_until_the_box_is_lifted() -> None:
    async with running(source()) as (pilot, app):
        heat = await opened(pilot, app)
        select(heat, 20, 30)
        await pilot.press("enter")
        await kept(pilot, app)
        pane = app.main.query_one(SyscallsPane)
        app.main.set_focus(pane.lines)
        before = pane.model.calls["x86_64", 0].row.count
        pane.action_reset()
        assert pane.model.calls["x86_64", 0].count(last=False) == before
        await pilot.press("l")
        await settle(pilot, app.source)  # type: ignore[arg-type]  # a remembered one
        assert pane.model.baseline is None


async def test_without_a_history_the_key_says_so() -> None:
    async with running(FakeSource(execs()), (80, 24)) as (pilot, app):
        await pilot.press("H")
        await pilot.pause()
        assert not band(app).display
        assert any("no history" in note.message for note in app._notifications)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"TERM": "linux"}], ids=["ascii", "console"])
async def test_the_strongest_cell_has_its_own_sign_in_every_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with running(source()) as (pilot, app):
        heat = await opened(pilot, app)
        assert heat.heat is not None
        strongest = heat.signs[-1]
        assert strongest == ("@" if app.glyphs is Glyphs.ASCII else "█")
        assert f"{strongest} " in text(heat)[0], "the legend"
        drawn = {sign for line in text(heat)[1:-2] for sign in line[LABELS:]}
        assert drawn <= set(heat.signs)
        assert len(drawn) > 1
