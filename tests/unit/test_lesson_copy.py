"""A learner's copy of a lesson is theirs: it is made once, and nothing of it is ever lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ebpftop.commands.lesson_copy import as_shipped, copy, lessons_folder, set_aside, state_of
from ebpftop.core.source import SourceError
from ebpftop.models.exercises import LESSONS

COUNTER = LESSONS[1]


def test_a_copy_is_made_once_and_then_left_as_it_is(tmp_path: Path) -> None:
    folder = str(tmp_path / "data" / "lessons")
    assert state_of(COUNTER, folder) == "not begun"

    path = Path(copy(COUNTER, folder))
    assert path.read_bytes() == as_shipped(COUNTER)
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0  # a file that others may write is not loaded
    assert state_of(COUNTER, folder) == "not edited"

    path.write_text("int hello(void *ctx) { return 1; }")
    assert state_of(COUNTER, folder) == "edited"
    assert copy(COUNTER, folder) == str(path)
    assert path.read_text() == "int hello(void *ctx) { return 1; }"


def test_a_reset_keeps_what_was_edited_each_time(tmp_path: Path) -> None:
    folder = str(tmp_path)
    kept = []
    for edit in ("first", "second"):
        Path(copy(COUNTER, folder)).write_text(edit)
        kept.append(set_aside(COUNTER, folder))
    assert kept == [str(tmp_path / "2-counter.old.c"), str(tmp_path / "2-counter.old-2.c")]
    assert [Path(str(path)).read_text() for path in kept] == ["first", "second"]
    assert state_of(COUNTER, folder) == "not begun"


def test_a_reset_of_what_was_not_edited_keeps_nothing(tmp_path: Path) -> None:
    assert set_aside(COUNTER, str(tmp_path)) is None
    copy(COUNTER, str(tmp_path))
    assert set_aside(COUNTER, str(tmp_path)) is None
    assert os.listdir(tmp_path) == []


def test_a_link_in_the_place_of_a_copy_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / COUNTER.file).symlink_to(tmp_path / "elsewhere")
    copy(COUNTER, str(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="--folder"):
        copy(COUNTER, str(tmp_path / "file" / "lessons"))


def test_copies_are_in_the_users_data_folder_or_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert lessons_folder(None) == str(tmp_path / ".local/share/ebpftop/lessons")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert lessons_folder(None) == str(tmp_path / "data/ebpftop/lessons")
    monkeypatch.chdir(tmp_path)
    assert lessons_folder("mine") == str(tmp_path / "mine")
