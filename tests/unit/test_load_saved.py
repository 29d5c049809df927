"""A file is saved when an editor is done with it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ebpftop.kernel.load.saved import Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "hello.c"
    put(made, "one", at_s=100)
    return made


def put(path: Path, text: str, at_s: float) -> None:
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def watch(path: Path) -> Watch:
    made = Watch(path)
    made.begin()
    made.include(())
    return made


def test_a_file_that_stays_the_same_was_not_saved(file: Path) -> None:
    watched = watch(file)
    assert watched.begin() == 100
    assert not watched.has_changed()


def test_a_file_that_is_written_or_replaced_was_saved(file: Path) -> None:
    watched = watch(file)
    put(file, "two", at_s=101)
    assert watched.has_changed()
    watched.begin()
    assert not watched.has_changed()
    put(file.with_suffix(".new"), "two", at_s=101)
    file.with_suffix(".new").rename(file)
    assert watched.has_changed(), "another file with the same size and time"


def test_a_file_that_is_away_was_not_saved_until_it_is_back(file: Path) -> None:
    watched = watch(file)
    file.unlink()
    assert not watched.has_changed()
    put(file, "two", at_s=101)
    assert watched.has_changed()


def test_a_file_that_stays_away_is_gone_and_is_read_again_when_it_is_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watched = watch(file)
    file.unlink()
    assert not watched.has_changed(), "an editor may be about to write it"
    now[0] += 1
    assert watched.has_changed()
    assert watched.begin() == 100, "when it was saved last"
    now[0] += 1
    assert not watched.has_changed(), "that is known"
    file.mkdir()
    os.utime(file, (101, 101))
    assert watched.has_changed()
    watched.begin()
    file.rmdir()
    put(file, "two", at_s=102)
    assert watched.has_changed()


def test_who_may_write_a_file_counts(file: Path) -> None:
    file.chmod(0o666)
    watched = watch(file)
    file.chmod(0o644)
    assert watched.has_changed()


def test_a_link_in_its_place_is_as_old_as_the_link(file: Path, tmp_path: Path) -> None:
    watched = watch(file)
    other = tmp_path / "other"
    put(other, "not ours", at_s=50)
    file.unlink()
    file.symlink_to(other)
    os.utime(file, (200, 200), follow_symlinks=False)
    assert watched.begin() == 200


def test_a_file_that_was_saved_while_it_was_read_is_read_again(file: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.h"
    watched = Watch(file)
    watched.begin()
    put(own, "1", at_s=time.time() + 60)
    watched.include([own])
    assert watched.has_changed()
    watched.begin()
    watched.include([own])
    assert not watched.has_changed()


def test_a_file_that_is_still_written_was_not_saved_yet(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 101.01)
    watched = watch(file)
    put(file, "tw", at_s=101)
    assert not watched.has_changed()
    put(file, "two", at_s=101)
    assert not watched.has_changed(), "it has another size than before"
    assert watched.has_changed()


def test_a_clock_that_was_set_back_delays_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 50.0)
    watched = watch(file)
    put(file, "two", at_s=101)
    assert watched.has_changed()


def test_files_that_are_included_count_and_those_that_were_do_not(file: Path, tmp_path: Path) -> None:
    own, other = tmp_path / "own.h", tmp_path / "other.h"
    put(own, "", at_s=100)
    watched = Watch(file)
    watched.begin()
    watched.include([own, other])
    assert not watched.has_changed()
    put(own, "1", at_s=101)
    assert watched.has_changed()
    watched.begin()
    watched.include([other])
    put(own, "2", at_s=102)
    assert not watched.has_changed()
    put(other, "", at_s=102)
    assert watched.has_changed()


def test_a_file_that_an_editor_has_emptied_was_not_saved_yet(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    watched = watch(file)
    put(file, "", at_s=101)
    assert not watched.has_changed()
    clock[0] += 0.5
    assert not watched.has_changed()
    put(file, "two", at_s=102)
    assert watched.has_changed()
    watched.begin()
    put(file, "", at_s=103)
    assert not watched.has_changed()
    clock[0] += 2
    assert watched.has_changed()  # it stays so


def test_before_a_file_is_read_it_is_waited_for_while_it_is_empty(file: Path) -> None:
    watched = watch(file)
    file.write_text("")
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 2:
            file.write_text("three")

    watched.wait_until_written(check)
    assert (len(checks), file.read_text()) == (2, "three")
    put(file, "", at_s=100)  # since long ago
    watched.wait_until_written(check)
    assert len(checks) == 2
