"""The learner's own copies of the lesson's files: made once, never overwritten, set aside on request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

from ebpftop.core.shipped import shipped
from ebpftop.core.source import SourceError
from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.models.exercises import LessonRow
from ebpftop.recording.new_file import create_file, error_text
from ebpftop.settings.places import data_folder

State: TypeAlias = Literal["not begun", "not edited", "edited"]

_SIZE_MAX = 1 << 20  # of a file that is compared; one that is larger is another one


def lessons_folder(chosen: str | None) -> str:
    """Return where the copies are: *chosen*, or the folder of the user behind sudo. Raises SourceError."""
    if chosen is not None:
        return os.path.abspath(chosen)
    with as_invoker():
        folder = data_folder()
    if folder is None:
        raise SourceError("this user has no home for the lesson's files", "name a folder: --folder DIR")
    return os.path.join(folder, "lessons")


def as_shipped(row: LessonRow) -> bytes:
    """Return the file of a lesson as ebpftop brings it."""
    return (shipped("bpf") / "lesson" / row.file).read_bytes()


def state_of(row: LessonRow, folder: str) -> State:
    """Return whether the user has a copy of the lesson's file, and whether it is still as it was made."""
    try:
        with as_invoker(), open(os.path.join(folder, row.file), "rb") as file:
            content = file.read(_SIZE_MAX)
    except FileNotFoundError:
        return "not begun"
    except OSError:
        return "edited"  # it is there, and is the user's own affair
    return "not edited" if content == as_shipped(row) else "edited"


def copy(row: LessonRow, folder: str) -> str:
    """Return the path of the user's copy of the lesson's file; make it if there is none. SourceError if that fails."""
    path = os.path.join(folder, row.file)
    with as_invoker():
        if os.path.lexists(path):
            return path
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"cannot make the folder {folder}: {error_text(error)}", "name another one: --folder DIR"
            ) from error
        with open(create_file(path, replace=False), "wb") as file:
            file.write(as_shipped(row))
    return path


def set_aside(row: LessonRow, folder: str) -> str | None:
    """Give the user's copy another name, 2-counter.old.c, and return its new path. None if there is nothing to keep."""
    state = state_of(row, folder)
    path = Path(folder, row.file)
    with as_invoker():
        try:
            if state == "not edited":
                path.unlink()
            if state != "edited":
                return None
            number = 1
            while True:
                kept = path.with_suffix(f".old{'' if number == 1 else f'-{number}'}{path.suffix}")
                try:
                    os.link(path, kept, follow_symlinks=False)  # unlike a rename, it replaces nothing
                except FileExistsError:
                    number += 1
                    continue
                path.unlink()
                return str(kept)
        except OSError as error:
            raise SourceError(f"cannot set aside {path}: {error_text(error)}", "move it away yourself") from error
