"""What a lesson is about: its exercises with hints, and what had to be added to make the grown-up program of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from ebpftop.models.exercises import LessonRow
from ebpftop.ui.panes.lesson_text import ADDED, sections
from ebpftop.ui.screens.manual_screen import ManualScreen

if TYPE_CHECKING:
    from typing_extensions import Self


class LessonPage(ManualScreen):
    """The page of a lesson, opened at what had to be added."""

    label = "Lesson"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,x", "back", "Back", key_display="Esc", tooltip="Close the page", id="lesson.back"),
    ]

    def fill(self, row: LessonRow) -> Self:
        """Show the page of *row* when this screen is pushed the next time."""
        self.label = f"Lesson {row.number}"
        self.sections = sections(row)
        self.first = ADDED
        self.filled()
        return self
