"""Read a file of settings: each value is checked alone, so that one that is wrong takes no other with it."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from msgspec import Struct, field

from ebpftop.core.escape import printable
from ebpftop.settings.kinds import Wrong
from ebpftop.settings.rows import BY_NAME, KEYS, TABLES, Path, default_of, kind_of

MAX_BYTES = 1 << 20

_PARSES_MAX = 200
"""Tries to find the line of a value: each parses the file up to there."""


class Problem(Struct, frozen=True):
    """What is wrong in a file, and what holds instead. *line* is 0 if it is about the whole file, or unknown."""

    file: str
    line: int
    name: str
    reason: str
    instead: str = ""
    is_doubt: bool = False
    """The value holds, though it may not be what was meant."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return printable(
            ": ".join(filter(None, (place, self.name, self.reason))) + f"{self.instead and '; '}{self.instead}"
        )


class File(Struct):
    """A file of settings as it was read: what holds of it, what does not, and its text."""

    name: str
    values: dict[Path, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    text: str = ""
    is_there: bool = False
    written: set[Path] = field(default_factory=set)
    """What is in the file, right or wrong."""
    refused: str = ""
    """Why the system does not let us read it."""

    def refuse(self, path: Path, reason: str, instead: str) -> None:
        """Say what is wrong with the value at *path*, which does not count then."""
        self.values.pop(path, None)
        self.problems.append(Problem(self.name, line_of(self.text, path), dotted(path), reason, instead))

    def doubt(self, path: Path, reason: str) -> None:
        """Say what may not be meant by the value at *path*, which holds."""
        self.problems.append(Problem(self.name, line_of(self.text, path), dotted(path), reason, is_doubt=True))


class Unreadable(Exception):
    """A file cannot be read; the text says why. *refused*: by the system, whatever is in it."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


def quoted(text: str) -> str:
    """Return *text* as a string of TOML in which all characters print."""
    return '"' + "".join(one if one.isprintable() and one not in '"\\' else _escaped(one) for one in text) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\{character}" if character in '"\\' else f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def dotted(path: Path) -> str:
    """Return *path* as TOML has it."""
    plain = (key.isascii() and key.replace("-", "").replace("_", "").isalnum() for key in path)
    return ".".join(key if is_plain else quoted(key) for key, is_plain in zip(path, plain, strict=True))


def read_bytes(path: str) -> bytes:
    """Return what is in a file, which nobody has to trust; raises FileNotFoundError, Unreadable."""
    try:
        # A FIFO or a terminal must not block, nor become ours.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error), refused=True) from None
    try:
        found = os.fstat(fd)
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev:
            return b""
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("it is not a file" if not stat.S_ISDIR(found.st_mode) else "it is a folder")
        if found.st_size > MAX_BYTES:
            raise Unreadable(f"it has {found.st_size:,} bytes; at most {MAX_BYTES:,} are read")
        parts = bytearray()
        while part := os.read(fd, MAX_BYTES + 1 - len(parts)):
            parts += part
        if len(parts) > MAX_BYTES:
            raise Unreadable(f"it has more than {MAX_BYTES:,} bytes")
        return bytes(parts)
    except OSError as error:
        raise Unreadable(_why(error), refused=True) from None
    finally:
        os.close(fd)


def _why(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"it cannot be read: {reason or error}"


def text_of(content: bytes) -> str:
    """Return the text of a file, without a byte order mark, its lines ended by a line feed; raises Unreadable."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x})") from None


def parse(text: str) -> dict[str, Any]:
    """Return the tables of *text*; raises Unreadable."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:  # also a number of too many digits
        raise Unreadable(f"it is not TOML: {error}") from None
    return tables


def read_file(path: str) -> File:
    """Read the settings in *path*; one that is not there has none. Whatever is wrong is among its problems."""
    file = File(path)
    try:
        file.text = text_of(read_bytes(path))
        file.is_there = True
        tables = parse(file.text)
    except FileNotFoundError:
        return file
    except Unreadable as error:
        if error.refused:
            file.refused = str(error)
        else:
            file.problems.append(Problem(path, 0, "", str(error), "its settings are not used"))
        return file
    return read_tables(path, tables, file)


def read_tables(path: str, tables: Mapping[str, Any], file: File | None = None) -> File:
    """Return what *tables* say, which were read of the file at *path*."""
    file = file or File(path)
    for name, value in tables.items():
        if name in TABLES:
            _read_table(file, name, value)
        elif name in BY_NAME:
            _read_value(file, (name,), value)
        else:
            file.refuse((name,), f"unknown{nearest(name, (*BY_NAME, *TABLES))}", "it is not used")
    return file


def _read_table(file: File, name: str, value: object) -> None:
    if not isinstance(value, dict):
        file.refuse((name,), f"it must be a table: [{name}]", "it is not used")
        return
    for key, entry in _entries(name, value):
        _read_value(file, (name, key), entry)


def _entries(name: str, table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield the entries of a table. Ids of keys have dots, which TOML takes for tables unless they are quoted."""
    for key, entry in table.items():
        if name == KEYS.name and isinstance(entry, dict):
            yield from _entries(name, entry, f"{before}{key}.")
        else:
            yield f"{before}{key}", entry


def _read_value(file: File, path: Path, value: object) -> None:
    file.written.add(path)
    try:
        _require_toml(value)
        file.values[path] = kind_of(path).read(value)
    except argparse.ArgumentTypeError as error:
        file.refuse(path, str(error), without(path))


def _require_toml(value: object) -> None:
    """Refuse numbers beyond 64 bits, as TOML does: Python's reader takes them, and one of 4,300 digits has no text."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
            raise Wrong("a number has more than 64 bits")
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def without(path: Path) -> str:
    """Say what holds if a value does not."""
    default = default_of(path)
    return f"the default is used{'' if default in (None, []) else f': {kind_of(path).shown(default)}'}"


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return a proposal for a *name* that is not among those that are *known*: ", did you mean ..?"; or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name.lower().replace("_", "-"), known, 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""


def line_of(text: str, path: Path) -> int:
    """Return the line in which the value at *path* begins, from 1; 0 if that is not found.

    The TOML reader does not say it. So the file is read up to each line that may be the one.
    """
    lines = text.split("\n")
    last = path[-1].rpartition(".")[2] if path[0] == KEYS.name else path[-1]
    left = _PARSES_MAX
    for at, line in enumerate(lines):
        if last not in line:
            continue
        # The value may go on for some lines.
        for end in range(at + 1, len(lines) + 1):
            left -= 1
            if left < 0:
                return 0
            try:
                tables = parse("\n".join(lines[:end]))
            except Unreadable:
                continue
            if _has(tables, path):
                return at + 1
            break
    return 0


def _has(tables: Mapping[str, Any], path: Path) -> bool:
    if path[0] not in tables or len(path) == 1:
        return path[0] in tables
    table = tables[path[0]]
    return isinstance(table, dict) and path[1] in dict(_entries(path[0], table))
