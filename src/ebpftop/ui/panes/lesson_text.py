"""The page of a lesson as a text in sections: docs/lesson, the exercises with their hints, and the grown-up program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ebpftop.core.escape import printable
from ebpftop.core.shipped import shipped
from ebpftop.models.exercises import LessonRow, of_lesson
from ebpftop.ui.widgets.manual import Entry, Section

ADDED = "added"
"""The key of the section that says what had to be added."""

EXERCISE = "exercise"
"""What the key of an exercise begins with; behind it is its name."""
_PROGRAM = "program"

_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_BLANK = "\N{NO-BREAK SPACE}"
"""An empty line of code: a line without any text would be left out."""

_TAB = 4


def sections(row: LessonRow) -> tuple[Section, ...]:
    """Return the page of a lesson. What is missing from the installation is left out."""
    try:
        page = (shipped("docs/lesson") / row.text).read_text(encoding="utf-8")
    except OSError:
        page = ""
    parts = [part for part in re.split(r"^#+ ", page, flags=re.MULTILINE) if part]
    made = [_section(part) for part in parts if not part.startswith("Exercises")]
    at = next((number for number, section in enumerate(made) if section.key == ADDED), len(made))
    return (*made[:at], *_exercises(row), *made[at:], *_program(row))


def _section(part: str) -> Section:
    title, _, text = part.partition("\n")
    key = ADDED if title.startswith("What had to be added") else title
    return Section(key, title, tuple(_without_edges(_entries(text.splitlines()))))


def _without_edges(entries: Iterable[Entry]) -> list[Entry]:
    """Return *entries* without empty lines at their ends, and with one where there are several."""
    found: list[Entry] = []
    for entry in entries:
        if entry.text != _BLANK or (found and found[-1].text != _BLANK):
            found.append(entry)
    while found and found[-1].text == _BLANK:
        found.pop()
    return found


def _entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the paragraphs, points, rows of tables, and lines of code of a page."""
    paragraph: list[str] = []
    in_code = False
    for line in (*lines, ""):
        starts = line.startswith(("- ", "```", "|", "    ")) or not line.strip()
        if paragraph and (in_code or starts):
            yield Entry("", _bare(" ".join(paragraph)))
            paragraph = []
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            yield _code(line)
        elif line.startswith("    "):
            yield _code(line[4:])
        elif line.startswith("|"):
            cells = [_bare(cell.strip()) for cell in line.strip("| ").split("|")]
            if len(cells) == 2 and not line.startswith(("|---", "| added |")):
                yield Entry(*cells)
        elif line.strip():
            paragraph.append(line.strip().replace("- ", "· ", 1) if line.startswith("- ") else line.strip())
        elif not in_code:
            yield Entry("", _BLANK)


def _code(line: str) -> Entry:
    return Entry("", f"  {printable(line.expandtabs(_TAB))}" if line.strip() else _BLANK, "strong")


def _bare(text: str) -> str:
    """Return a text of a page without the marks of its links and names."""
    return _LINK.sub(r"\1", text).replace("`", "")


def _exercises(row: LessonRow) -> Iterator[Section]:
    for number, exercise in enumerate(of_lesson(row.number), 1):
        entries = Entry("To do", exercise.task), Entry("Hint", exercise.hint)
        yield Section(f"{EXERCISE} {exercise.name}", f"Exercise {number}: {exercise.title}", entries)


def _program(row: LessonRow) -> Iterator[Section]:
    """Yield the grown-up program, if it can be read."""
    try:
        lines = (shipped("bpf") / row.grown_up).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    entries = (Entry("", printable(line.expandtabs(_TAB)) if line.strip() else _BLANK) for line in lines)
    yield Section(_PROGRAM, f"bpf/{row.grown_up}, the grown-up program", tuple(entries))
