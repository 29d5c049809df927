"""The exercises of the lesson that the loaded file is, at the foot of the workbench."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from ebpftop.core.escape import printable
from ebpftop.models.lesson import Lesson, Task, summary
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.span_line import SpanLine

_INDENT = 4
_GAP = 3


class LessonPanel(SpanLine):
    """A line that says how many are done, and one or two for each exercise. Without a lesson it has no height."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "note--dim",
        "note--strong",
        "note--warn",
        "note--good",
    }
    prefix = "note"

    class Clicked(Message):
        """A request for the page of the lesson."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: tuple[tuple[Span, ...], ...] = ()

    def show(self, lesson: Lesson, width: int, height: int, *, live: bool) -> None:
        """Show the exercises of *lesson* in *width* cells, and at most *height* lines; not *live*: of a recording."""
        tasks = lesson.tasks
        lines = (
            tuple(tuple(line) for line in exercise_lines(tasks, width, height, _how_to_do(lesson, live=live)))
            if tasks and height
            else ()
        )
        if lines != self.lines:
            self.lines = lines
            self.styles.height = len(lines)
            self.display = bool(lines)
            self.refresh(layout=True)

    def render_line(self, y: int) -> Strip:
        spans = self.lines[y] if y < len(self.lines) else ()
        return self.line_of(layout_cell([Span(" "), *spans], self.content_size.width))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Clicked())


def _how_to_do(lesson: Lesson, *, live: bool) -> tuple[str, str]:
    """Return two words and what stands behind them: the file to edit; of a recording, how to begin."""
    if not live and lesson.row is not None:
        return "to do them:", f"sudo ebpftop lesson {lesson.row.number}"
    return "edit", lesson.evidence.loaded.path if lesson.evidence.loaded is not None else ""


def exercise_lines(
    tasks: tuple[Task, ...], width: int, height: int, how: tuple[str, str] = ("", "")
) -> Iterator[list[Span]]:
    """Yield the lines: the head, and each exercise with its verdict beside it or below it, as there is room.

    *how* to do them stands in the head.
    """
    yield _first(tasks, width, how)
    left = height - 1
    for number, task in enumerate(tasks, 1):
        later = len(tasks) - number  # each of them gets a line
        lines = _task_lines(number, task, width)
        if len(lines) > max(1, left - later):
            lines = [_in_one(number, task)]
        if left >= len(lines):
            left -= len(lines)
            yield from lines


def _first(tasks: tuple[Task, ...], width: int, how: tuple[str, str]) -> list[Span]:
    """Return the first line: how many are done, the file if its whole path has room, the key of the hints."""
    word, path = how
    done = all(task.verdict.is_done for task in tasks)
    begin = [Span("Exercises", "strong"), Span(f"  {summary(tasks)}", "good" if done else "dim")]
    file = [Span(f"   {word} ", "dim"), Span(printable(path))] if path else []
    for rest in (
        [*file, Span("   checked while it runs   x: hints, and the grown-up version", "dim")],
        [*file, Span("   x: hints, and the grown-up version", "dim")],
        [*file, Span("   x: hints", "dim")],
        [Span("   "), *file[1:]] if file else [],
    ):
        if rest and sum(cell_len(span.text) for span in (*begin, *rest)) <= width - 1:
            return [*begin, *rest]
    return [*begin, Span("   x: hints, and the grown-up version", "dim")]


def _head(number: int, task: Task) -> list[Span]:
    done = task.verdict.is_done
    return [Span("✓" if done else "○", "good" if done else "warn"), Span(f" {number} ", "dim" if done else "strong")]


def _verdict(task: Task) -> list[Span]:
    if task.verdict.is_done:
        return [Span("done: ", "good"), Span(task.verdict.because)]
    return [Span("not yet: ", "warn"), Span(task.verdict.because)]


def _task_lines(number: int, task: Task, width: int) -> list[list[Span]]:
    task_text = Span(task.exercise.title, "dim" if task.verdict.is_done else "")
    whole = [*_head(number, task), task_text, Span(" " * _GAP), *_verdict(task)]
    if sum(cell_len(span.text) for span in whole) <= width - 1:
        return [whole]
    return [[*_head(number, task), task_text], [Span(" " * _INDENT), *_verdict(task)]]


def _in_one(number: int, task: Task) -> list[Span]:
    """Return both if there is room for a line only, which may cut the verdict: the page has all of it."""
    title = Span(task.exercise.title, "dim" if task.verdict.is_done else "")
    return [*_head(number, task), title, Span("  "), *_verdict(task)]
