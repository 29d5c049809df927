"""The lesson on the real kernel: each exercise is not done as it ships, and done when it is solved."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebpftop.core.source import Batch
from ebpftop.kernel import bpf_objects, bpf_syscall, maps
from ebpftop.models.exercise_checks import Verdict
from ebpftop.models.exercises import EXERCISES, LESSONS, Exercise, LessonRow
from ebpftop.models.lesson import Lesson
from ebpftop.models.load import LoadModel
from ebpftop.recording.parse import read_line

from .support import Stream, needs_root
from .test_load import Loads

pytestmark = needs_root

CHECKOUT = Path(__file__).parents[2]
SOLUTIONS = Path(__file__).parent / "lesson_solutions"
NOBODY = 65534
_MAP_NEXT_ID, _MAP_FD = 12, 14  # enum bpf_cmd, include/uapi/linux/bpf.h
# Much longer than it ever takes, but under emulation beside others.
_DONE_S = 90.0

Act = Callable[[], None]


class LessonStream:
    """What `ebpftop stream --load` says of a file, as the workbench hears it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._fed = 0
        self._model = LoadModel()

    @property
    def lesson(self) -> Lesson:
        return self._model.lesson

    def read(self) -> Lesson:
        """Return the lesson with all that has come."""
        lines = self._stream.lines
        for line in lines[self._fed : (end := len(lines))]:
            record = read_line(json.dumps(line).encode())
            if record is not None and line["kind"] != "header":
                self._model.feed(Batch("load", line["time"], (record,)))
        self._fed = end
        return self.lesson

    def verdict(self, name: str) -> Verdict:
        return next(task.verdict for task in self.read().tasks if task.exercise.name == name)

    def wait_for(self, holds: Callable[[Lesson], object], act: Act) -> None:
        """Do *act* again and again until *holds*."""
        until_s = time.monotonic() + _DONE_S
        while not holds(self.read()):
            assert time.monotonic() < until_s, [task.verdict for task in self.lesson.tasks]
            act()
            time.sleep(0.05)


@contextmanager
def running(file: Path, folder: Path) -> Iterator[LessonStream]:
    """Run a copy of *file*, which others may not write."""
    copy = folder / file.name
    shutil.copyfile(file, copy)
    copy.chmod(0o600)
    with Loads(copy) as stream:
        yield LessonStream(stream)


# What a learner does, in another terminal or on the screen.


def start_programs() -> None:
    """As root and as nobody, and one that does not exist."""
    subprocess.run(["true"], check=True)
    subprocess.run(["true"], check=True, user=NOBODY)
    fail(1)


def fail(times: int) -> None:
    """Ask for a program that does not exist, as fast as a process can."""
    pid = os.fork()
    if not pid:
        try:
            for _ in range(times):
                try:
                    os.execve("/no/such/program", ["program"], {})
                except OSError:
                    continue
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def write_config(number: int) -> None:
    """Write a text for root into the map `config` with this id."""
    fd = bpf_syscall.bpf(_MAP_FD, struct.pack("=I", number))
    try:
        maps.update(maps.Map(fd, 0), struct.pack("=I", 0), struct.pack("=16s", b"Hello root!"))
    finally:
        os.close(fd)


ACTS: dict[str, Act] = {
    "who": start_programs,
    "inline": start_programs,
    "failed": start_programs,
    "config": start_programs,
    "ring": lambda: fail(2000),
    "openat": lambda: os.close(os.open("/", os.O_RDONLY)),
    "chain": start_programs,
}


def has_happened(lesson: Lesson) -> bool:
    """Has anything been counted, sent or printed?"""
    evidence = lesson.evidence
    return bool(evidence.lines or evidence.events or any(evidence.total(item.name) for item in evidence.counters()))


def deepest(lesson: Lesson) -> int:
    """Return how many tail calls the longest chain made."""
    values = (value for row in lesson.evidence.rows("depth") for value in row.cpus or (row.value,))
    return max(value for value in values if isinstance(value, int))


# How many tail calls there may be is decided by the kernel; all else that a solution does is tried elsewhere.
_IN_GUESTS = {"chain": (pytest.mark.guest, pytest.mark.oldest)}


@pytest.mark.parametrize(
    "exercise", [pytest.param(one, marks=_IN_GUESTS.get(one.name, ()), id=one.name) for one in EXERCISES]
)
def test_a_solution_is_done(exercise: Exercise, tmp_path: Path) -> None:
    with running(SOLUTIONS / f"{exercise.name}.c", tmp_path) as stream:
        act = ACTS[exercise.name]
        if exercise.name == "config":
            stream.wait_for(has_happened, act)
            config = next(item.id for item in stream.lesson.evidence.maps if item.name == "config")
            assert config is not None
            assert "config is empty" in stream.verdict("config").because
            write_config(config)
        stream.wait_for(lambda _: stream.verdict(exercise.name).is_done, act)
        if exercise.name == "chain":
            assert deepest(stream.lesson) == 33, "the number that the exercise and its page name is that of this kernel"


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_a_lesson_as_it_ships_runs_has_no_exercise_done_and_leaves_nothing(row: LessonRow, tmp_path: Path) -> None:
    with running(CHECKOUT / "bpf" / "lesson" / row.file, tmp_path) as stream:
        stream.wait_for(has_happened, start_programs)
        loaded = stream.lesson.evidence.loaded
        assert loaded is not None
        assert loaded.state == "on"
        assert [task.exercise.name for task in stream.lesson.tasks if task.verdict.is_done] == []
        programs = {item.id for item in loaded.programs if item.id is not None}
        ids = {item.id for item in stream.lesson.evidence.maps if item.id is not None}
        assert programs
    until_s = time.monotonic() + 20  # they are freed a moment after they were detached
    while left := [*bpf_objects.maps(ids), *bpf_objects.programs(programs)]:
        assert time.monotonic() < until_s, left
        time.sleep(0.1)


def test_a_function_that_is_called_does_not_load_and_the_lesson_says_why(tmp_path: Path) -> None:
    with running(SOLUTIONS / "inline_called.c", tmp_path) as stream:
        stream.wait_for(lambda lesson: lesson.evidence.loaded, lambda: None)
        assert "the call leads out of them" in stream.verdict("inline").because
