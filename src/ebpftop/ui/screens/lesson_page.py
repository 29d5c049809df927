"""What a lesson is about: its exercises with hints, and what had to be added to make the grown-up program of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from ebpftop.models.exercises import LessonRow
from ebpftop.models.lesson import Task
from ebpftop.ui.panes.lesson_text import ADDED, EXERCISE, sections
from ebpftop.ui.screens.manual_screen import ManualScreen

if TYPE_CHECKING:
    from typing_extensions import Self


class LessonPage(ManualScreen):
    """The page of a lesson, opened at the first exercise that is not done; if all are, at what had to be added."""

    label = "Lesson"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,x", "back", "Back", key_display="Esc", tooltip="Close the page", id="lesson.back"),
    ]

    def fill(self, row: LessonRow, tasks: Sequence[Task] = ()) -> Self:
        """Show the page of *row*, whose exercises are *tasks*, when this screen is pushed the next time."""
        self.label = f"Lesson {row.number}"
        self.sections = sections(row)
        to_do = next((task.exercise.name for task in tasks if not task.verdict.is_done), None)
        self.first = ADDED if to_do is None else f"{EXERCISE} {to_do}"
        self.filled()
        return self
