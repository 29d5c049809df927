"""Read a C file and those that it includes with quotes; refuse what nobody should compile as root.

Text of a refused file is in no message: the compiler would print a line of whatever it is made to include.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ebpftop.core.c_text import CText
from ebpftop.core.escape import printable
from ebpftop.lifecycle.invoker import invoker

BYTES_MAX = 1 << 20
"""A file, and all files together that it includes."""

INCLUDES_MAX = 64

_LINKS_MAX = 40
"""As the kernel follows them (MAXSYMLINKS)."""
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class SourceRefused(Exception):
    """A file that is not compiled: why, what helps, and the line that it is about.

    *text* is what was read of it, None if nothing could be; *files* are all that were opened, or looked for.
    """

    def __init__(self, message: str, remedy: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line
        self.text: str | None = None
        self.files: frozenset[Path] = frozenset()


def read_text(path: Path, called: str | None = None) -> str:
    """Return the text of a C file, which messages call *called*. No link is followed. Raises SourceRefused."""
    name = printable(called or path.name or str(path))
    try:
        place = _place(path)
    except FileNotFoundError as error:
        raise SourceRefused(
            f"there is no file {printable(called or str(path))}",
            "check its name; on the screen it is loaded as soon as it is there",
        ) from error
    except OSError as error:
        raise SourceRefused(f"{printable(called or str(path))}: {error.strerror}", "see its permissions") from error
    try:
        found = os.fstat(place)
        if stat.S_ISLNK(found.st_mode):
            raise SourceRefused(
                f"{name} is a link, and links are not followed", "put the C file in its place, or name what it leads to"
            )
        if not stat.S_ISREG(found.st_mode):
            raise SourceRefused(f"{name} is {_kind(found.st_mode)}, not a file", "put a C file in its place")
        _check_owner(name, found)
        data = _read(place)
    except OSError as error:
        raise SourceRefused(f"{printable(called or str(path))}: {error.strerror}", "see its permissions") from error
    finally:
        os.close(place)
    if len(data) > BYTES_MAX:
        raise SourceRefused(f"{name} is larger than 1 MiB", "a BPF program is small; name its C file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceRefused(f"line {line} of {name} is not UTF-8 text", "name a C file, not an object", line) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SourceRefused(f"line {line} of {name} has a zero byte", "name a C file", line)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _place(path: Path) -> int:
    """Return a descriptor of what is at *path*, opened without following a link at any folder of it. Raises OSError.

    It is O_PATH: a device or a pipe does not notice, and who may write its folder cannot exchange it any more.
    """
    at = os.open(path.anchor or ".", _FOLDER)
    try:
        parts = path.parts[1:] if path.anchor else path.parts
        for part in parts[:-1]:
            try:
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            except NotADirectoryError as error:
                raise NotADirectoryError(error.errno, f"{printable(part)} is not a folder, or a link to one") from error
            os.close(at)
            at = below
        return os.open(parts[-1] if parts else ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _read(place: int) -> bytes:
    """Return what is in the file of a descriptor, at most one byte more than it may have. Raises OSError."""
    with open(f"/proc/self/fd/{place:d}", "rb") as file:
        return file.read(BYTES_MAX + 1)


def resolved(path: Path) -> Path:
    """Return where *path* leads, through the links that are there now: those of its owner, the user and root.

    What another user linked is left in it, and refused when it is read.
    """
    done, todo = Path("/"), list(reversed(path.absolute().parts[1:]))
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done.parent
            continue
        place = done / part
        try:
            found = os.lstat(place)
            to = os.readlink(place) if stat.S_ISLNK(found.st_mode) else None
        except OSError:
            to = None
        if to is None:
            done = place
            continue
        links += 1
        if links > _LINKS_MAX or found.st_uid not in _owners():
            return place.joinpath(*reversed(todo))
        target = PurePosixPath(to)
        if target.is_absolute():
            done = Path("/")
        todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return done


def _owners() -> set[int]:
    """Return whose files are compiled: root's, one's own, and those of the user behind sudo."""
    user = invoker()
    return {0, os.geteuid(), *((user.uid,) if user else ())}


def _kind(mode: int) -> str:
    """Return what something is that is not a file, by its *mode*."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _check_owner(name: str, found: os.stat_result) -> None:
    """Refuse what somebody else may have written: it would run in the kernel."""
    user = invoker()
    if found.st_uid not in _owners():
        raise SourceRefused(
            f"{name} belongs to another user (uid {found.st_uid}), and would run in the kernel",
            "copy it, read it, and load the copy",
        )
    mode = found.st_mode
    # Many distributions give each user a group of its own, which may write the user's files.
    is_own_group = user is not None and found.st_uid == user.uid and found.st_gid == user.gid == user.uid
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not is_own_group and found.st_gid != 0):
        raise SourceRefused(f"others may write {name}, and it would run in the kernel", f"chmod go-w {name}")


class Included(NamedTuple):
    """A file that the source includes with quotes, itself or by another one: by which line of the source; its text."""

    line: int
    text: str


@dataclass
class Includes:
    """The files that a C file includes with quotes, and those that these include. There is no link in *path*.

    *found* has them by name below the folder of the file. *missing* has what is written between the quotes of those
    that do not exist, and the line of the source: they count as empty, as the kernel's own headers do. *files* are all
    that were looked for.
    """

    path: Path
    found: dict[str, Included] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)

    def read(self, text: CText) -> None:
        """Find what *text*, the file itself, includes. Raises SourceRefused."""
        for line, what in text.includes:
            self._read(PurePosixPath(), line, what, line)

    def _read(self, below: PurePosixPath, at: int, what: str, line: int, within: str = "") -> None:
        """Read *what* is included on line *at* of a file in the folder *below*.

        *within* is the name of that file, if it is not the source. Line *line* of the source leads to it.
        """
        where = f"{printable(within)}:{at}: " if within else ""
        name = printable(what)
        if not what or what[0] not in '"<' or what[-1] not in '">':
            raise SourceRefused(f"{where}an #include must name a file, not a macro", 'write #include "file.h"', line)
        named = PurePosixPath(what[1:-1])
        if named.is_absolute() or ".." in named.parts or not named.name:
            raise self._outside(f"{where}{name} is outside", line)
        if what[0] == "<":
            return
        # As the compiler looks for it: beside the file that includes it, then beside the first.
        folder = self.path.parent
        places = dict.fromkeys((str(below / named), str(named)))
        for place in places:
            if place in self.found:
                return
            file = folder / place
            self.files.add(file)
            if not file.exists():
                continue
            target = file.resolve()
            if not target.is_relative_to(folder):
                raise self._outside(f"{where}{name} leads outside", line)
            self._open(target, place, line)
            return
        self.missing.setdefault(str(named), line)

    def _open(self, file: Path, name: str, line: int) -> None:
        try:
            text = read_text(file, name)
        except SourceRefused as error:
            # Its own line, if there is one, is in the message.
            raise SourceRefused(error.message, error.remedy, line) from error
        self.found[name] = Included(line, text)
        if len(self.found) > INCLUDES_MAX or sum(len(one.text) for one in self.found.values()) > BYTES_MAX:
            raise SourceRefused("too much is included", f"at most {INCLUDES_MAX} files, 1 MiB together", line)
        for at, what in CText(text).includes:
            self._read(PurePosixPath(name).parent, at, what, line, name)

    def _outside(self, what: str, line: int) -> SourceRefused:
        message = f"{what} the folder of {printable(self.path.name)}"
        return SourceRefused(message, "copy what is needed beside the file", line)
