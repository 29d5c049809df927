"""What the workbench says of a lesson: its exercises in few lines, its page in sections."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ebpftop.models.exercise_checks import Verdict
from ebpftop.models.exercises import LESSONS, LessonRow, of_lesson
from ebpftop.models.lesson import Task
from ebpftop.ui.panes.lesson_panel import exercise_lines
from ebpftop.ui.panes.lesson_text import ADDED, EXERCISE, sections

SHORT = Verdict(False, "no line yet")
LONG = Verdict(
    False, "a function was called: BCC loads the instructions of hello alone, and the call leads out of them"
)


def texts(*verdicts: Verdict, width: int = 118, height: int = 5) -> list[str]:
    """The lines for lesson 1 with these verdicts."""
    tasks = tuple(Task(exercise, verdict) for exercise, verdict in zip(of_lesson(1), verdicts, strict=True))
    return ["".join(span.text for span in line) for line in exercise_lines(tasks, width, height)]


def test_a_verdict_stands_beside_its_exercise_if_both_fit_into_a_line() -> None:
    assert texts(SHORT, Verdict(True, "greet became part of hello"))[1:] == [
        "○ 1 Say who: print the pid too   not yet: no line yet",
        "✓ 2 A function of your own, inlined   done: greet became part of hello",
    ]


def test_a_long_verdict_stands_below_its_exercise() -> None:
    first, second, below = texts(SHORT, LONG)[1:]
    assert (second, below) == ("○ 2 A function of your own, inlined", f"    not yet: {LONG.because}")
    assert first.startswith("○ 1 Say who")


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_each_exercise_has_a_line_while_there_is_room(width: int, height: int) -> None:
    lines = texts(LONG, LONG, width=width, height=height)
    assert len(lines) <= height
    numbered = [line for line in lines if line[:3] in ("○ 1", "○ 2")]
    assert len(numbered) == min(2, height - 1)


def test_the_head_counts_what_is_done() -> None:
    assert texts(SHORT, Verdict(True, ""))[0].startswith("Exercises  1 of 2 done")


def test_the_head_names_the_file_to_edit_while_its_whole_path_has_room() -> None:
    tasks = tuple(Task(exercise, SHORT) for exercise in of_lesson(1))
    path = "/home/ann/.local/share/ebpftop/lessons/1-hello.c"
    heads = {}
    for width in (40, 78, 118, 200):
        first = next(iter(exercise_lines(tasks, width, 5, ("edit", path))))
        heads[width] = "".join(span.text for span in first)
    assert heads[40].startswith("Exercises  0 of 2 done   x: hints")
    assert heads[78] == f"Exercises  0 of 2 done   {path}"
    assert heads[118] == f"Exercises  0 of 2 done   edit {path}   x: hints, and the grown-up version"
    assert heads[200].endswith(f"{path}   checked while it runs   x: hints, and the grown-up version")


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_the_page_of_a_lesson_has_its_text_its_hints_and_the_grown_up_program(row: LessonRow) -> None:
    page = sections(row)
    keys = [section.key for section in page]
    tasks = [section for section in page if section.key.startswith(EXERCISE)]
    assert [section.key for section in tasks] == [f"{EXERCISE} {exercise.name}" for exercise in of_lesson(row.number)]
    assert keys.index(tasks[-1].key) < keys.index(ADDED) < len(keys) - 1
    assert page[-1].title == f"bpf/{row.grown_up}, the grown-up program"
    hints = [entry.text for section in tasks for entry in section.entries if entry.term == "Hint"]
    assert hints == [exercise.hint for exercise in of_lesson(row.number)]
    added = [entry for entry in page[keys.index(ADDED)].entries if entry.term]
    assert len(added) > 5
    for section in page[:-1]:
        for entry in section.entries:
            assert "](" not in entry.text + entry.term  # a link of Markdown
            assert cell_len(entry.text) > 0
