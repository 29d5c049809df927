"""`ebpftop lesson [1-4]`: the four programs of the first lesson, each on the workbench; and recordings of them."""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files

from ebpftop.commands.lesson_copy import copy, lessons_folder, set_aside, state_of
from ebpftop.commands.replay import need_terminal, show, speed_of
from ebpftop.core.escape import printable
from ebpftop.core.source import UsageError
from ebpftop.lifecycle import stdio
from ebpftop.models.exercises import LESSONS, LessonRow, of_lesson
from ebpftop.recording.reader import open_file
from ebpftop.settings.places import short

RECORDINGS = "lessons"
"""The folder of the package that has a recording of each lesson; script/make-lessons makes them."""


def run(args: argparse.Namespace) -> int:
    """List the lessons, or open one of them: live, or as a recording."""
    row = LESSONS[args.lesson - 1] if args.lesson is not None else None
    if args.replay:
        if args.reset:
            raise UsageError("lesson: a recording has no copy of yours that --reset could set aside", "leave one out")
        return _replay(row or LESSONS[0], args)
    if row is None:
        if args.reset:
            raise UsageError("lesson: --reset needs the number of a lesson", "ebpftop lesson 1 --reset")
        return _list(args.folder)
    from ebpftop.commands import load
    from ebpftop.commands.kernel_options import NO_PRIVILEGE, refused

    if refused():  # before a folder is made, which may fail for a reason that does not matter then
        stdio.report(f"without root, `ebpftop lesson {row.number} --replay` plays a recording of it")
        return NO_PRIVILEGE
    folder = lessons_folder(args.folder)
    if args.reset and (kept := set_aside(row, folder)) is not None:
        stdio.report(f"your copy is now {short(kept)}")
    for other in LESSONS:  # to which L leads
        copy(other, folder)
    args.load = copy(row, folder)
    return load.run(args)


def _replay(row: LessonRow, args: argparse.Namespace) -> int:
    speed = speed_of(args)
    need_terminal(args.memory, "a lesson is a screen; its file is in bpf/lesson")
    with as_file(files("ebpftop").joinpath(f"{RECORDINGS}/{row.recording}")) as path:
        return show(open_file(str(path)), str(path), speed, args.when, args.settings, workbench=True)


def _list(chosen: str | None) -> int:
    """Print what lessons there are, and which of them the user has begun."""
    folder = lessons_folder(chosen)
    stdio.require_stdout()
    rows = [
        (f"{row.number}  {row.name}", row.about, state_of(row, folder), len(of_lesson(row.number))) for row in LESSONS
    ]
    lines = [
        f"  {name:<13}{about:<54}{state:<12}{count} exercise{'s' if count > 1 else ''}"
        for name, about, state, count in rows
    ]
    stdio.write_stdout(
        "\n".join(
            (
                "The first lesson in eBPF: four programs in C, each with its source, bytecode, maps and output.",
                "",
                *lines,
                "",
                "  sudo ebpftop lesson 1          your own copy of the file; edit it, and each save loads it again",
                "  ebpftop lesson 1 --replay      a recording of it: no root, any machine",
                "",
                printable(f"Your copies are in {short(folder)}; --reset begins again and keeps yours."),
                "",
            )
        )
    )
    return 0
