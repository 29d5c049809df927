"""A pane of another package that cannot be made or composed is left out, and the screen says why."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import ComposeResult

from ebpftop.models.opens import Open
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.panes.opens import OpensPane
from ebpftop.ui.registry import Panes

from .conftest import settle, until
from .scene import FakeSource, batch, execs, probe_state


class NoModel(LogPane[Open]):
    probe = "opens"
    label = "Opens"
    empty_text = ""
    counted_as = "open"
    columns = ()


class Raises(OpensPane):
    def __init__(self, *arguments: Any) -> None:
        raise RuntimeError("no such luck")


class Composes(OpensPane):
    def compose(self) -> ComposeResult:
        yield from super().compose()
        raise RuntimeError("no such luck")


@pytest.mark.parametrize("kind", [NoModel, Raises, Composes, OpensPane])
async def test_it_is_left_out_and_the_screen_says_why(
    kind: type[LogPane[Open]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Panes()
    rows.classes["opens"] = kind
    rows._plugins = {"opens"}
    monkeypatch.setattr("ebpftop.ui.screens.main.panes", lambda: rows)
    source = FakeSource(execs())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, source)
        works = kind is OpensPane
        assert [pane.probe for pane in app.main.panes] == list(rows.rows)[: 5 if works else 4]
        told = [note.message for note in app._notifications]
        assert any("the pane of opens" in text and "is disabled: " in text for text in told) is not works
        await pilot.press("5")
        await pilot.pause()
        told = [note.message for note in app._notifications]
        assert ("The pane of opens is disabled" in told) is not works
        # A recording waits until all of its probes are polled.
        source.give(batch("opens", 60, probe_state("opens", "on", 60)))
        await until(pilot, source._queues["opens"].empty)
    assert app.crash is None
