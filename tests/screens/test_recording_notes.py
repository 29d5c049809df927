"""What cannot be read of a recording is said on its screen, and not only when that has been left."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.widgets._toast import Toast

import ebpftop.ui.app
from ebpftop.commands import replay
from ebpftop.core.memory_budget import DEFAULT_MIB
from ebpftop.core.records import SCHEMA
from ebpftop.core.source import Source
from ebpftop.probes.registry import registry
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.widgets.status_bar import StatusBar

from .conftest import settle, until
from .scene import FakeSource


async def test_a_recording_of_a_later_version_says_so_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "later.jsonl"
    path.write_text(f'{{"kind":"header","schema":{SCHEMA + 1},"version":"9.9","host":"tomorrow"}}\n{{"kind":\n')
    asked: list[tuple[Source, dict[str, Any]]] = []
    monkeypatch.setattr(replay, "need_terminal", lambda *_, **__: None)
    monkeypatch.setattr("ebpftop.kernel.capabilities.give_up_root", lambda _: None)
    monkeypatch.setattr("ebpftop.lifecycle.stdio.draw_on_terminal", lambda: None)
    monkeypatch.setattr("ebpftop.lifecycle.process.process.take_keys", lambda: None)

    def ask(source: Source, **rest: Any) -> int:
        asked.append((source, rest))
        return 0

    monkeypatch.setattr(ebpftop.ui.app, "run", ask)
    typed = Namespace(file=str(path), speed="max", memory=DEFAULT_MIB, when=[], settings=None, host=None)
    assert replay.run(typed) == 0
    ((_, said),) = asked
    app = EbpftopApp(FakeSource(live=False), **said)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await pilot.pause(0.1)
        toasts = [str(toast.render()) for toast in app.screen.query(Toast)]
        assert sum("written by ebpftop 9.9" in toast for toast in toasts) == 1
        await pilot.press("exclamation_mark")
        assert isinstance(app.screen, SheetScreen)
        told = app.screen.details.sheet().content().plain
    assert "written by ebpftop 9.9" in told
    assert "line 2: Input data was truncated" in told


async def test_an_empty_pane_of_a_recording_waits_for_nothing() -> None:
    source = FakeSource(live=False)
    async with EbpftopApp(source).run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        said = ["".join(span.text for span in pane.lines.message) for pane in pilot.app.query(Pane)]
    assert len(said) == len(panes().rows.keys() & registry().names)
    assert all(said)
    assert not any("wait" in text for text in said), said


async def test_a_pipe_that_ends_is_said_to_have_ended() -> None:
    reading, writing = os.pipe()
    os.write(writing, msgspec.json.encode(FakeSource().header) + b"\n")
    source = HistorySource(PipeSource(reading))
    try:
        app = EbpftopApp(source)
        async with app.run_test(size=(120, 35), notifications=True) as pilot:
            await pilot.pause(0.3)
            assert app.main.query_one(StatusBar).status.mode == "remote stream"
            assert not app.screen.query(Toast)
            os.close(writing)
            writing = -1
            await until(pilot, lambda: bool(app.screen.query(Toast)))
            (toast,) = app.screen.query(Toast)
            assert "The pipe has ended" in str(toast.render())
            assert app.main.query_one(StatusBar).status.mode == "pipe ended"
    finally:
        source.close()
        if writing >= 0:
            os.close(writing)
