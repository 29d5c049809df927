"""What the attach option in use cannot see is said: in the title of the pane, in its details, and in diagnostics."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.records import Attempt, ProbeName
from ebpftop.probes.registry import registry
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.diagnostics import diagnostics

from .conftest import settle, until
from .scene import FakeSource, batch, probe_state

ATTEMPTS = (
    Attempt(via="fentry:a", cost="", reason="refused", blind=("what only the first misses",)),
    Attempt(via="raw_tracepoint:a", cost="", reason=None, blind=("what seccomp denies",)),
    Attempt(via="failures: raw_tracepoint:b", cost="", reason=None, blind=("what seccomp denies", "what is late")),
)


@pytest.mark.parametrize("probe", [name for name in panes().rows if name in registry().names])
async def test_every_pane_says_what_its_attach_options_cannot_see(probe: ProbeName) -> None:
    source = FakeSource([batch(probe, 1, msgspec.structs.replace(probe_state(probe, "on"), attempts=ATTEMPTS))])
    async with EbpftopApp(source).run_test(size=(240, 60)) as pilot:
        await settle(pilot, source)
        said = {pane.probe: pane.title_text for pane in pilot.app.query(Pane)}
    assert "not seen: what seccomp denies; what is late" in said[probe]
    assert not any("not seen" in text for name, text in said.items() if name != probe)


@pytest.mark.parametrize("probe", [name for name in panes().rows if name in registry().names])
async def test_where_there_is_no_room_for_it_the_pane_says_that_there_is_something(probe: ProbeName) -> None:
    state = msgspec.structs.replace(probe_state(probe, "on"), via="raw_tracepoint:a", attempts=ATTEMPTS)
    source = FakeSource([batch(probe, 1, state)])
    async with EbpftopApp(source).run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        pane = next(pane for pane in pilot.app.query(Pane) if pane.probe == probe)
        assert "not all seen" in pane.title_text or "not seen: what seccomp denies; what is late" in pane.title_text
        x = pane.region.x + pane.title_text.index("seen")
        await pilot.click(offset=(x, pane.region.y))
        await until(pilot, lambda: isinstance(pilot.app.screen, SheetScreen))
        screen = pilot.app.screen
        assert isinstance(screen, SheetScreen)
        text = screen.details.sheet().content().plain
    assert "raw_tracepoint:a" in text
    assert "cannot see what seccomp denies; what is late" in text
    assert "fentry:a" in text


def test_a_probe_that_is_off_is_blind_to_nothing_in_particular() -> None:
    assert msgspec.structs.replace(probe_state("users", "on"), attempts=ATTEMPTS).blind == (
        "what seccomp denies",
        "what is late",
    )
    assert msgspec.structs.replace(probe_state("users", "off"), attempts=ATTEMPTS).blind == ()


def test_diagnostics_say_it_of_every_attach_option() -> None:
    probe = msgspec.structs.replace(probe_state("users", "on"), attempts=ATTEMPTS)
    lines = diagnostics({"users": probe}, None, ()).sheet().content().plain.splitlines()
    assert [line.strip() for line in lines if "cannot see" in line] == [
        "cannot see what only the first misses",
        "cannot see what seccomp denies",
        "cannot see what seccomp denies; what is late",
    ]
