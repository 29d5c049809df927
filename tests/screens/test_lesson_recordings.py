"""The recordings of the lessons, which the real kernel side made, on the workbench: a second before their end."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ebpftop.commands.lesson import RECORDINGS
from ebpftop.models.exercises import LESSONS
from ebpftop.recording.zstd_frames import zstd
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes import polling
from ebpftop.ui.widgets.sheet_title import SheetTitle

from .conftest import until
from .test_workbench import rested

Snapshot = Callable[..., bool]


@pytest.mark.parametrize(
    ("number", "size", "keys"),
    [
        (1, (120, 35), ("shift+tab",)),
        (2, (120, 35), ("tab", "tab", "j")),
        (3, (120, 35), ("shift+tab", "k")),
        (4, (80, 24), ("tab", "tab", "j")),
        (2, (80, 24), ()),
        (4, (200, 50), ()),
    ],
)
def test_the_end_of_a_recording(
    snap_compare: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    size: tuple[int, int],
    keys: tuple[str, ...],
) -> None:
    monkeypatch.setattr(polling, "waited_s", lambda _: 0.4)
    monkeypatch.setattr("ebpftop.ui.screens.main.PULSE_S", 1e6)  # or it may say, or not, that the end was reached
    with as_file(files("ebpftop").joinpath(f"{RECORDINGS}/{LESSONS[number - 1].recording}")) as path:
        source = ReplaySource(str(path), 0.0)
        app = EbpftopApp(source)

        async def played(pilot: Pilot[Any]) -> None:
            playback = app.main.playback
            await until(pilot, lambda: source.finished and not playback.intake)
            # Each pane's thread hands over what it has; what is read for a moment comes in its order.
            await pilot.press("space", "comma")
            await until(pilot, lambda: playback.is_past and not playback.seeking)
            await pilot.press("B")  # now, so that it has seen nothing before
            await rested(pilot)
            await pilot.press(*keys)
            await rested(pilot)
            app.clear_notifications()  # that it has ended, if that was not long ago
            await pilot.pause()

        assert snap_compare(app, terminal_size=size, run_before=played)
        assert not app.return_code, "the app crashed"
        source.close()


@pytest.mark.parametrize("width", [80, 120])
async def test_what_is_missing_of_a_recording_is_said_beside_the_file(tmp_path: Path, width: int) -> None:
    packed = files("ebpftop").joinpath(f"{RECORDINGS}/{LESSONS[0].recording}").read_bytes()
    lines = zstd.decompress(packed).splitlines(keepends=True)
    broken = [line.replace(b'"pid":', b'"pid":"x",') if b'"kind":"trace"' in line else line for line in lines]
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(b"".join(broken))
    source = ReplaySource(str(damaged), 0.0)
    app = EbpftopApp(source)
    async with app.run_test(size=(width, 30)) as pilot:
        await until(pilot, lambda: source.finished and not app.main.playback.intake)
        await pilot.press("B")
        title = app.screen.query_one(SheetTitle)
        await until(pilot, lambda: "damaged: " in "".join(segment.text for segment in title.render_line(0)))
    source.close()
