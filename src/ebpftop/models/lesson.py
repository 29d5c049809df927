"""The lesson that a file is, and how far its exercises are.

A file says in a comment which lesson it is (models/lesson_source.py), and what was done is seen from what it does: no
progress is kept anywhere else.
"""

from __future__ import annotations

from typing import NamedTuple

from ebpftop.core.records import Record
from ebpftop.models.exercise_checks import Verdict
from ebpftop.models.exercises import LESSONS, Exercise, LessonRow, of_lesson
from ebpftop.models.lesson_evidence import Evidence
from ebpftop.models.lesson_source import lesson_of


class Task(NamedTuple):
    """An exercise, and what its check says."""

    exercise: Exercise
    verdict: Verdict


class Lesson:
    """Which lesson the loaded file is, and the state of each of its exercises."""

    def __init__(self) -> None:
        self.evidence = Evidence()
        self.version = 0
        """Grows with each record that may change a verdict."""
        self._checked: tuple[int, tuple[Task, ...]] = (-1, ())

    def add(self, record: Record) -> None:
        """Add a record of the file, or a line that one of its programs printed."""
        self.evidence.add(record)
        self.version += 1

    @property
    def row(self) -> LessonRow | None:
        """The lesson; None if the file is none, or was not loaded yet."""
        number = lesson_of(self.evidence.text) or lesson_of(self.evidence.of_running().text)
        return LESSONS[number - 1] if number is not None else None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The exercises of the lesson, checked against what was seen up to now; none if the file is no lesson."""
        version, tasks = self._checked
        if version != self.version:
            row = self.row
            tasks = tuple(Task(item, self._check(item)) for item in of_lesson(row.number)) if row is not None else ()
            self._checked = self.version, tasks
        return tasks

    def _check(self, exercise: Exercise) -> Verdict:
        loaded = self.evidence.loaded
        assert loaded is not None
        if loaded.state != "failed":
            return exercise.check(self.evidence)
        if loaded.generation and (runs := exercise.check(self.evidence.of_running())).is_done:
            return runs  # the last good program runs on, and what it did was done
        if exercise.name == "inline":
            return exercise.check(self.evidence)
        line = next((item.line for item in loaded.diagnostics if item.line is not None), None)
        where = f": see line {line}" if line is not None else ""
        return Verdict(False, f"what was saved last does not load{where}")


def summary(tasks: tuple[Task, ...]) -> str:
    """Return how many exercises are done: ``1 of 2 done``."""
    return f"{sum(task.verdict.is_done for task in tasks)} of {len(tasks)} done"
