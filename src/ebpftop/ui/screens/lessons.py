"""The lessons, of which one is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from ebpftop.models.exercises import LESSONS, LessonRow, of_lesson
from ebpftop.ui.screens.choice import ChoiceScreen

if TYPE_CHECKING:
    from typing_extensions import Self


class LessonsScreen(ChoiceScreen[LessonRow]):
    """Closes with the lesson that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,L", "dismiss", "Back", key_display="Esc", id="lessons.back"),
        Binding("enter", "choose", "Open", key_display="⏎", id="lessons.open", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.opened: LessonRow | None = None

    def fill(self, opened: LessonRow | None) -> Self:
        """Show the lessons, with a mark at the one that is *opened*, when this screen is pushed the next time."""
        self.opened = opened
        self.filled()
        return self

    def show_filled(self) -> None:
        self.show_choices("Lessons", list(map(self._words, LESSONS)))
        if self.opened is not None:
            self._options.highlighted = LESSONS.index(self.opened)

    def choice(self, index: int) -> LessonRow:
        return LESSONS[index]

    def _words(self, row: LessonRow) -> Content:
        mark = "▸" if row == self.opened else " "
        titles = " · ".join(exercise.title for exercise in of_lesson(row.number))
        return Content.assemble(
            (f"{mark} {row.number}  {row.name:<11}", "$primary bold"),
            (f"{row.about}\n", ""),
            (f"     {titles}", "$dim"),
        )
