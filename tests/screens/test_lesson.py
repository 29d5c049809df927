"""The workbench on a lesson: its exercises, its page, the way to the others; each shipped recording of one."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from msgspec.structs import replace

from ebpftop.commands.lesson import RECORDINGS
from ebpftop.core.load_records import Loaded
from ebpftop.core.records import Header
from ebpftop.core.source import Batch
from ebpftop.models.exercises import LESSONS, LessonRow
from ebpftop.models.lesson import summary
from ebpftop.models.load import LoadModel
from ebpftop.recording.parse import read_line
from ebpftop.recording.zstd_frames import zstd
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.screens.lesson_page import LessonPage
from ebpftop.ui.screens.lessons import LessonsScreen

from . import load_scene as scene
from .conftest import Look, until
from .load_scene import with_load
from .scene import FakeSource
from .test_settings_screen import notices
from .test_workbench import seen, shown, typing, working

SOURCE = Path(__file__).parents[2] / "bpf" / "lesson" / LESSONS[1].file
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 35)], ids=lambda size: "x".join(map(str, size)))
MOST_BYTES = 100_000


def lesson(*, live: bool = True) -> FakeSource:
    """The counter, from the file of the second lesson."""
    lines = tuple(SOURCE.read_text().expandtabs().splitlines())

    def as_lesson(batch: Batch) -> Batch:
        records = (replace(one, source=lines) if isinstance(one, Loaded) else one for one in batch.records)
        return replace_records(batch, *records)

    return with_load(map(as_lesson, scene.counter()), live=live)


def replace_records(batch: Batch, *records: object) -> Batch:
    return Batch(batch.probe, batch.time, records)  # type: ignore[arg-type]  # they are those of *batch*


@SIZES
def test_a_lesson_has_its_exercises_below(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(lesson(), size, before=typing("j"))


@SIZES
def test_the_page_of_a_lesson(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(lesson(), size, before=typing("x"))


def test_the_list_of_lessons(looks_the_same: Look) -> None:
    assert looks_the_same(lesson(), (120, 35), before=typing("L"))


async def test_x_opens_what_had_to_be_added_and_closes_it() -> None:
    async with working(lesson()) as (pilot, app):
        await seen(pilot, "not yet: the key of counter_table is one number")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, LessonPage))
        await seen(pilot, "What had to be added, and why")
        await pilot.press("shift+tab")
        await seen(pilot, "TRACEPOINT_PROBE(syscalls, sys_exit_execve)")
        await pilot.press("x")
        await until(pilot, lambda: not isinstance(app.screen, LessonPage))


async def test_a_file_that_is_no_lesson_has_no_exercises_and_no_page() -> None:
    async with working(with_load(scene.counter())) as (pilot, app):
        assert "Exercises" not in shown(app)
        await pilot.press("x")
        await until(pilot, lambda: any("This file is no lesson" in text for text in notices(pilot)))


async def test_a_lesson_that_cannot_be_opened_from_here_is_said_how_to_open() -> None:
    async with working(lesson()) as (pilot, app):
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen))
        await pilot.press("j", "enter")
        await until(pilot, lambda: any("ebpftop lesson 3" in text for text in notices(pilot)))


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_the_recording_of_a_lesson_ends_with_its_last_exercise_done(row: LessonRow) -> None:
    done: set[str] = set()
    failures = 0
    with as_file(files("ebpftop").joinpath(f"{RECORDINGS}/{row.recording}")) as path:
        assert path.stat().st_size < MOST_BYTES
        source = ReplaySource(str(path), 0.0)
        model = LoadModel()
        while not source.finished:
            for probe in source.probes:
                if (batch := source.poll(probe, 0.01)) is not None:
                    model.feed(batch)
                    done |= {task.exercise.name for task in model.lesson.tasks if task.verdict.is_done}
                    failures += model.failed
        source.close()
    assert model.lesson.row == row
    assert done == {task.exercise.name for task in model.lesson.tasks}
    assert summary(model.lesson.tasks).startswith(("1 of", "2 of"))
    assert failures or row.number == 4


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_the_recording_of_a_lesson_says_nothing_of_the_machine_that_it_was_made_on(row: LessonRow) -> None:
    raw = zstd.decompress(files("ebpftop").joinpath(f"{RECORDINGS}/{row.recording}").read_bytes())
    header = read_line(raw.splitlines()[0])
    assert isinstance(header, Header)
    assert header.host == "lesson"
    assert "-" not in header.kernel
    places = set(re.findall(rb'"(/[a-z]+/[a-z]+)', raw))
    assert places <= {b"/home/ann", b"/no/such"}
