"""Files that are saved: whole or not at all, and never over another one by accident."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebpftop.core.source import SourceError
from ebpftop.recording import RecordingWriter
from ebpftop.recording.new_file import UnfinishedFile
from ebpftop.ui.screens.save_actions import write_file
from tests.unit.recording_samples import HEADER, trace_at


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no links here")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".part"))


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("replace", [True, False], ids=["replace", "new"])
def test_a_file_has_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool, replace: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", _refuse)
    path = tmp_path / "a.csv"
    if replace:
        path.write_text("old")
    file = UnfinishedFile(str(path), replace)
    os.write(file.fd, b"new")
    assert (path.read_text() if replace else names(tmp_path)) == ("old" if replace else [])
    file.publish()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["a.csv"]


def test_two_files_of_one_folder_are_written_at_a_time(tmp_path: Path) -> None:
    """As `run --json A --seccomp B` does."""
    files = [UnfinishedFile(str(tmp_path / name), replace=True) for name in ("a", "b")]
    for number, file in enumerate(files):
        os.write(file.fd, b"%d" % number)
    for file in files:
        file.publish()
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["0", "1"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_a_file_that_came_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    path = tmp_path / "a.csv"
    file = UnfinishedFile(str(path), replace=False)
    path.write_text("another one")
    if not has_links:
        monkeypatch.setattr(os, "link", _refuse)
    with pytest.raises(SourceError, match=r"a\.csv exists"):
        file.publish()
    assert path.read_text() == "another one"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("replace", [True, False])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(SourceError, match="not a regular file" if replace else "exists"):
        UnfinishedFile(str(tmp_path / "link"), replace)
    assert os.listdir(tmp_path) == ["link"]


def test_a_folder_that_is_gone_is_told_by_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot create .*/gone/a\.csv"):
        write_file(str(tmp_path / "gone" / "a.csv"), b"", False)


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"

    def fail() -> None:
        with RecordingWriter(str(path), is_copy=True) as writer:
            writer.write([HEADER, trace_at(HEADER.started, 1)])
            assert names(tmp_path) == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("end", ["process.end(0)", "process.leave(0)"])
@pytest.mark.parametrize("what", ["UnfinishedFile(path, True)", "RecordingWriter(path, replace=True, is_copy=True)"])
def test_an_end_in_the_middle_leaves_what_was_there(tmp_path: Path, end: str, what: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    code = f"""
import sys
from ebpftop.lifecycle.process import process
from ebpftop.recording import RecordingWriter
from ebpftop.recording.new_file import UnfinishedFile
process.arm()
path = sys.argv[1]
kept = {what}
{end}
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert os.listdir(tmp_path) == ["a.jsonl"]
    assert path.read_text() == "old"
    assert (f"{path} was not saved" in ended.stderr) == ("end" in end)
