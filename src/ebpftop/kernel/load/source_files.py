"""Read a C file and those that it includes with quotes; refuse what nobody should compile as root.

Text of a refused file is in no message: the compiler would print a line of whatever it is made to include.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from ebpftop.core.escape import printable
from ebpftop.kernel.load.c_text import CText
from ebpftop.lifecycle.invoker import invoker

BYTES_MAX = 1 << 20
"""A file, and all files together that it includes."""

INCLUDES_MAX = 64


class SourceRefused(Exception):
    """A file that is not compiled: why, what helps, and the line that it is about."""

    def __init__(self, message: str, remedy: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line


def read_text(path: Path) -> str:
    """Return the text of a C file. Raises SourceRefused."""
    name = printable(path.name or str(path))
    try:
        # Not to wait at a pipe that nobody writes to.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise SourceRefused(f"{printable(str(path))}: {error.strerror}", "check the name of the file") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise SourceRefused(f"{name} is not a file", "name a C file")
        _check_owner(name, found)
        with open(fd, "rb", closefd=False) as file:
            data = file.read(BYTES_MAX + 1)
    finally:
        os.close(fd)
    if len(data) > BYTES_MAX:
        raise SourceRefused(f"{name} is larger than 1 MiB", "a BPF program is small; name its C file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceRefused(f"{name} is not UTF-8 text", "name a C file, not an object", line) from error
    if "\0" in text:
        raise SourceRefused(f"{name} holds a zero byte", "name a C file", text.count("\n", 0, text.index("\0")) + 1)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_owner(name: str, found: os.stat_result) -> None:
    """Refuse what somebody else may have written: it would run in the kernel."""
    user = invoker()
    owners = {0, os.geteuid(), *((user.uid,) if user else ())}
    if found.st_uid not in owners:
        raise SourceRefused(
            f"{name} belongs to another user (uid {found.st_uid}), and would run in the kernel",
            "copy it, read it, and load the copy",
        )
    mode = found.st_mode
    # Many distributions give each user a group of its own, which may write the user's files.
    is_own_group = user is not None and found.st_uid == user.uid and found.st_gid == user.gid == user.uid
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not is_own_group and found.st_gid != 0):
        raise SourceRefused(f"others may write {name}, and it would run in the kernel", f"chmod go-w {name}")


def read_includes(path: Path, text: CText) -> dict[str, str]:
    """Return the files that *text* includes with quotes, and those that these include, by name below its folder.

    One that does not exist is left out: it counts as empty, as the kernel's own headers do. Raises SourceRefused.
    """
    folder = path.resolve().parent
    found: dict[str, str] = {}
    _read_includes(folder, PurePosixPath(), text, found, main=path.name)
    return found


def _read_includes(folder: Path, below: PurePosixPath, text: CText, found: dict[str, str], *, main: str) -> None:
    for line, what in text.includes:
        in_main = line if not found and below == PurePosixPath() else None
        if not what or what[0] not in '"<' or what[-1] not in '">':
            raise SourceRefused("an #include must name a file, not a macro", 'write #include "file.h"', line)
        named = PurePosixPath(what[1:-1])
        if named.is_absolute() or ".." in named.parts or not named.name:
            raise SourceRefused(
                f"{printable(what)} is outside the folder of {printable(main)}",
                "copy what is needed beside the file",
                line,
            )
        if what[0] == "<":
            continue
        # As the compiler looks for it: beside the file that includes it, then beside the first.
        for name in dict.fromkeys((str(below / named), str(named))):
            if name in found:
                break
            file = folder / name
            if not file.exists():
                continue
            if not file.resolve().is_relative_to(folder):
                raise SourceRefused(
                    f"{printable(what)} leads outside the folder of {printable(main)}",
                    "copy what is needed beside the file",
                    in_main or line,
                )
            included = read_text(file)
            found[name] = included
            if len(found) > INCLUDES_MAX or sum(map(len, found.values())) > BYTES_MAX:
                raise SourceRefused("too much is included", f"at most {INCLUDES_MAX} files, 1 MiB together", line)
            _read_includes(folder, PurePosixPath(name).parent, CText(included), found, main=main)
            break
