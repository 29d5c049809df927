"""The workbench's lessons: the page of the one that is open, and how to go to another."""

from __future__ import annotations

import os
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from ebpftop.models.exercises import LessonRow
from ebpftop.sources.capabilities import opener_of
from ebpftop.ui.panes.lesson_panel import LessonPanel
from ebpftop.ui.screens.bench_editing import EditBench
from ebpftop.ui.screens.ready import ready


class LessonBench(EditBench):
    """Lists and edits, and what is about lessons."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "lesson_page", "Hints", show=False, tooltip="Hints, and the grown-up version", id="lesson.page"),
        Binding("L", "lessons", "Lessons", show=False, tooltip="Go to another lesson", id="lesson.list"),
    ]

    @on(LessonPanel.Clicked)
    def _panel_clicked(self, event: LessonPanel.Clicked) -> None:
        event.stop()
        self.action_lesson_page()

    def action_lesson_page(self) -> None:
        """Show the page of the lesson that the file is."""
        from ebpftop.ui.screens.lesson_page import LessonPage

        row = self.loaded_file.lesson.row
        if row is None:
            self.app.notify("This file is no lesson. L lists the lessons")
        else:
            self.app.push_screen(ready(self.app, LessonPage).fill(row, self.loaded_file.lesson.tasks))

    def action_lessons(self) -> None:
        """Let the user choose a lesson."""
        from ebpftop.ui.screens.lessons import LessonsScreen

        row = self.loaded_file.lesson.row
        self.app.push_screen(ready(self.app, LessonsScreen).fill(row), self._go_to_lesson)

    def _go_to_lesson(self, chosen: LessonRow | None) -> None:
        model, opener = self.loaded_file, opener_of(self._main.source)
        if chosen is None or chosen == model.lesson.row:
            return
        # The copies are beside each other; where they are is not known from a file elsewhere.
        if opener is None or model.lesson.row is None or model.latest is None:
            replay = "" if self._main.source.live else " --replay"
            self.app.notify(f"To open it, leave (q), then: ebpftop lesson {chosen.number}{replay}", markup=False)
            return
        path = os.path.join(os.path.dirname(model.latest.path), chosen.file)
        self.app.notify(f"Lesson {chosen.number}: {path}", markup=False)
        self._ask(partial(opener.open_file, path), self._answered)
