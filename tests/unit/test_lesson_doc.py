"""The pages of the lesson show the files as they are, and list the exercises that the screen checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.models.exercises import LESSONS, LessonRow, of_lesson

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_a_page_shows_the_program_as_it_is(row: LessonRow) -> None:
    page = (DOCS / "lesson" / row.text).read_text()
    source = (CHECKOUT / "bpf" / "lesson" / row.file).read_text()
    excerpts = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    assert excerpts
    assert [excerpt for excerpt in excerpts if excerpt not in source] == []


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_a_page_lists_the_exercises(row: LessonRow) -> None:
    page = (DOCS / "lesson" / row.text).read_text().partition("## Exercises\n")[2]
    listed = re.findall(r"^\d\. (.*?)(?=^\d\. |\Z)", page, re.DOTALL | re.MULTILINE)
    assert [" ".join(item.replace("`", "").split()) for item in listed] == [item.task for item in of_lesson(row.number)]


@pytest.mark.parametrize(
    "page", [DOCS / "lesson.md", *(DOCS / "lesson" / row.text for row in LESSONS)], ids=lambda p: p.name
)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists() and link != "workbench.md"] == []


@pytest.mark.parametrize("row", LESSONS, ids=lambda row: row.name)
def test_what_a_page_says_of_the_grown_up_program_is_in_it(row: LessonRow) -> None:
    """Names of C in the table of what was added, as `task_matches()`: they are in bpf/."""
    page = (DOCS / "lesson" / row.text).read_text().partition("## What had to be added")[2].partition("\n## ")[0]
    code = "\n".join(file.read_text() for file in (CHECKOUT / "bpf").glob("*.[ch]"))
    names = {name for found in re.findall(r"`([^`]+)`", page) for name in re.findall(r"\b[a-z]\w+_\w+\b", found)}
    kernel = {"trace_pipe"}  # a file of tracefs
    assert names - kernel
    assert {name for name in names - kernel if not re.search(rf"\b{name}\b", code)} == set()
