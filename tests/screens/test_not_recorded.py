"""Recordings of a C file alone, and damaged ones: what they do not hold is not said to have not happened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import encode
from ebpftop.core.records import Cost, Lost, Probe, ProbeName, Record
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.workbench import WorkbenchScreen
from ebpftop.ui.widgets.status_bar import StatusBar
from tests.unit.recording_samples import HEADER, START, exec_at, trace_at, write

from .conftest import until

SIZE = (140, 50)


def state_of(probe: ProbeName, at: float) -> Probe:
    return Probe(time=START + at, probe=probe, state="on", via="raw_tracepoint:sys_enter", reason=None)


def lost_at(at: float, count: int, where: str = "ring") -> Lost:
    return Lost(time=START + at, probe="load", where=where, count=count)  # type: ignore[arg-type]  # one of them


OF_A_FILE: tuple[Record, ...] = (
    state_of("trace", 0),
    state_of("load", 1),
    trace_at(START + 1.1, 7),
    lost_at(1.2, 35_377),
    lost_at(1.2, 12, "rate"),
    lost_at(2.7, 50_335),
    Cost(time=START + 3.2, kernel=0.01, user=0.02, runs=3),
)


def messages(pane: Pane) -> str:
    return " ".join(span.text for span in pane.lines.message)


def status(app: EbpftopApp) -> str:
    return "".join(span.text for span in app.main.query_one(StatusBar).spans(SIZE[0]))


async def played(pilot: Pilot[Any], app: EbpftopApp, source: ReplaySource) -> None:
    await until(pilot, lambda: source.finished and not app.main.playback.intake)
    await until(pilot, lambda: "ended" in status(app))


async def test_panes_of_what_was_not_recorded_say_so(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(OF_A_FILE))), 0.0)
    assert source.is_of_a_file
    app = EbpftopApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await played(pilot, app, source)
        panes = {pane.probe: pane for pane in app.main.panes}
        await until(pilot, lambda: all(panes[name].is_absent for name in ("execs", "users", "syscalls")))
        for name in ("execs", "users", "syscalls"):
            assert messages(panes[name]).startswith("not recorded"), name
            assert panes[name].state == "absent"
            assert "not recorded" in panes[name].title_text, name
        assert not panes["trace"].is_absent
        assert panes["trace"].lines.end == 1
        await until(pilot, lambda: "1–" in status(app))


async def test_what_was_lost_is_the_same_figure_everywhere(tmp_path: Path) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(OF_A_FILE))), 0.0)
    app = EbpftopApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await played(pilot, app, source)
        await until(pilot, lambda: "lost 50.3k ring" in status(app))
        for pane in app.main.panes:
            pane.lines.now = START + 1.3  # nothing came for them since
        app.main.graphs.update()
        shown = {graph.what: graph.now for graph in app.main.graphs.widget._graphs}
        assert shown["lost"] == 50_335
        columns = {graph.what: set(graph.columns) for graph in app.main.graphs.widget._graphs}
        assert columns["execs"] == columns["failed"] == columns["calls"] == {None}, "none of them was recorded"


@pytest.mark.parametrize(
    ("records", "is_file"),
    [
        (OF_A_FILE, True),
        ((state_of("load", 0),), True),
        ((*OF_A_FILE, state_of("users", 1)), False),
        ((*OF_A_FILE, exec_at(START + 1, 5)), False),
        ((state_of("trace", 0), trace_at(START, 1)), False),
    ],
)
def test_a_recording_of_a_file_alone_is_known(tmp_path: Path, records: Sequence[Record], is_file: bool) -> None:
    source = ReplaySource(str(write(tmp_path / "r.jsonl", list(records))), 0.0)
    assert source.is_of_a_file == is_file
    source.close()


async def test_a_stream_of_a_file_alone_opens_on_the_workbench() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"".join(encode(record) + b"\n" for record in (HEADER, *OF_A_FILE)))
    app = EbpftopApp(HistorySource(PipeSource(reading)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))
        await pilot.press("escape")
        panes = {pane.probe: pane for pane in app.main.panes}
        await until(pilot, lambda: panes["execs"].is_absent)
        assert messages(panes["execs"]).startswith("not recorded")
        assert not isinstance(app.screen, WorkbenchScreen)
    os.close(writing)


async def test_rows_without_a_state_of_their_probe_were_recorded(tmp_path: Path) -> None:
    ours: tuple[Record, ...] = (state_of("trace", 0), exec_at(START + 1, 5))
    assert isinstance(ours[1], Exec)
    for records in (ours, ours[1:]):
        source = ReplaySource(str(write(tmp_path / f"{len(records)}.jsonl", list(records))), 0.0)
        app = EbpftopApp(source)
        async with app.run_test(size=SIZE) as pilot:
            await played(pilot, app, source)
            execs = app.main.execs
            await until(pilot, lambda lines=execs.lines: lines.end == 1)  # type: ignore[misc]  # bound now
            assert not execs.is_absent


async def test_what_is_damaged_stays_in_the_status_bar(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [trace_at(START + n / 10, n) for n in range(30)])
    lines = path.read_bytes().split(b"\n")
    for at in (12, 13, 20):
        lines[at] = b"\xff" + lines[at][1:]
    path.write_bytes(b"\n".join(lines))
    source = ReplaySource(str(path), 0.0)
    app = EbpftopApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await played(pilot, app, source)
        await until(pilot, lambda: "recording ended  damaged: 3 lines missing" in status(app))
