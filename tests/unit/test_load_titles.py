"""What the first line of the workbench says of a file."""

from __future__ import annotations

import pytest

from ebpftop.core.load_records import Loaded, LoadedProgram
from ebpftop.models.load import LoadModel
from ebpftop.ui.panes.load_titles import headline

HELLO = LoadedProgram(name="hello", type="kprobe", id=7)


@pytest.mark.parametrize(
    ("state", "programs", "text"),
    [
        ("compiling", (), "hello.c  compiling …"),
        ("verifying", (), "hello.c  verifying …"),
        ("verifying", (HELLO,), "hello.c  verifying …the last good one runs on"),
    ],
)
def test_what_is_being_done_is_said_and_that_the_last_good_one_runs_on(
    state: str, programs: tuple[LoadedProgram, ...], text: str
) -> None:
    latest = Loaded(time=1.0, file="hello.c", path="/hello.c", state=state, programs=programs)  # type: ignore[arg-type]  # one of them
    assert "".join(span.text for part in headline(LoadModel(), latest) for span in part) == text
