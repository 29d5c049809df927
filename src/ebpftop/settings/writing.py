"""Write settings into the user's file: only what changed, with the comments that are there, all of it or nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Item, Table

from ebpftop.settings.reading import Unreadable, parse, read_bytes, read_tables, text_of
from ebpftop.settings.rows import KEYS, TABLES, Path, kind_of

_FIRST_LINE = "Settings of ebpftop; `ebpftop --print-config` prints all of them. docs/settings.md"
_FOLDERS_MADE = 2
_BOM = b"\xef\xbb\xbf"


class NotSaved(Exception):
    """The settings could not be saved; the text says why."""


def write(path: str, changes: Mapping[Path, Any]) -> None:
    """Put *changes* into the file; None removes a value. Raises NotSaved; the file is as it was then."""
    try:
        real = os.path.realpath(path)
        # First: as long as programs may have to be compiled, we can read what the user may not.
        if os.path.lexists(real) and not os.access(real, os.W_OK, effective_ids=True):
            raise NotSaved("it may not be written")
        content = _read(real)
        if content is None and not any(value is not None for value in changes.values()):
            return
        changed = changed_content(content, changes)
        if changed != (content or b""):
            _replace(real, changed)
    except OSError as error:
        raise NotSaved(error.strerror or str(error)) from None
    except Unreadable as error:
        raise NotSaved(str(error)) from None


def _read(path: str) -> bytes | None:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def changed_content(content: bytes | None, changes: Mapping[Path, Any]) -> bytes:
    """Return *content* with the *changes* in it; raises Unreadable if it is not TOML."""
    text = text_of(content or b"")
    parse(text)  # by the reader: what it refuses would not be read the next time
    try:
        document = tomlkit.parse(text)
        if content is None:
            document.add(tomlkit.comment(_FIRST_LINE))
            document.add(tomlkit.nl())
        for path, value in changes.items():
            _put(document, path, value)
        changed = document.as_string()
        _require({**read_tables("", parse(text)).values, **changes}, changed)
    except (TOMLKitError, Unreadable, RecursionError, AttributeError, LookupError, TypeError, ValueError):
        raise Unreadable("what is in it can be changed only by hand") from None
    if content is None:
        return changed.encode()
    if b"\r\n" in content:
        changed = changed.replace("\n", "\r\n")
    return (_BOM if content.startswith(_BOM) else b"") + changed.encode()


def _require(wanted: Mapping[Path, Any], text: str) -> None:
    """Raise Unreadable unless *text* says just what is *wanted*; None: nothing there."""
    if read_tables("", parse(text)).values != {path: value for path, value in wanted.items() if value is not None}:
        raise Unreadable("something else came out")


def _put(document: tomlkit.TOMLDocument, path: Path, value: Any) -> None:
    if path[0] not in TABLES:
        _set(document, path[0], None if value is None else kind_of(path).write(value), top=True)
        return
    table = document.get(path[0])
    if table is None:
        if value is None:
            return
        table = tomlkit.table()
        document[path[0]] = table
        table = document[path[0]]
    if path[0] == KEYS.name:
        table, key = _innermost(table, path[1])
    else:
        key = path[1]
    _set(table, key, None if value is None else kind_of(path).write(value))
    if value is None and not document[path[0]]:
        del document[path[0]]


def _innermost(table: Any, key: str) -> tuple[Any, str]:
    """Return the table in which *key*, an id with dots, is already: TOML takes dots that are not quoted for tables."""
    first, dot, rest = key.partition(".")
    if key not in table and dot and isinstance(table.get(first), dict):
        return _innermost(table[first], rest)
    return table, key


def _set(table: Any, key: str, value: object, *, top: bool = False) -> None:
    if value is None:
        table.pop(key, None)
    elif key in table:
        table[key] = _item(value)
    elif top:
        _add_before_tables(table, key, _item(value))
    else:
        table[key] = _item(value)


def _item(value: object) -> Item:
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        for key, one in value.items():
            inline.append(key, _item(one))
        return inline
    return tomlkit.item(value)


def _add_before_tables(document: tomlkit.TOMLDocument, key: str, item: Item) -> None:
    """Add a value of the file itself, behind the last one: `add` puts it between a table and the comment above it."""
    values = [name for name, one in document.body if name is not None and not isinstance(one, (Table, AoT, Container))]
    if values:
        document._insert_after(values[-1], key, item)
    else:
        document.add(key, item)


def _replace(path: str, content: bytes) -> None:
    """Replace the file at *path*, which is no link, at once and with its mode and owner; raises OSError, NotSaved."""
    folder = os.path.dirname(path)
    _make_folder(folder)
    with suppress(FileNotFoundError):
        before = os.stat(path)
        return _write_new(path, content, stat.S_IMODE(before.st_mode), before.st_uid, before.st_gid)
    return _write_new(path, content, 0o644 & ~_umask(), None, None)


def _make_folder(folder: str) -> None:
    """Make *folder* and the one above it, if they are not there: never a home."""
    missing: list[str] = []
    there = folder
    while not os.path.isdir(there):
        missing.append(there)
        there = os.path.dirname(there)
        if len(missing) > _FOLDERS_MADE:
            raise NotSaved(f"there is no folder {missing[-1]}")
    if os.geteuid() == 0 and os.stat(there).st_uid != 0:
        raise NotSaved(f"{there} is another user's, and this is root")
    for one in reversed(missing):
        os.mkdir(one, 0o700)


def _umask() -> int:
    # os.umask would change it for a moment, in all threads.
    with suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)
    return 0o022


def _write_new(path: str, content: bytes, mode: int, uid: int | None, gid: int | None) -> None:
    new = f"{path}.{os.getpid()}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            found = os.fstat(fd)
            if uid is not None and uid != found.st_uid:
                os.fchown(fd, uid, -1)
            if gid is not None and gid != found.st_gid:
                os.fchown(fd, -1, gid)
            os.fchmod(fd, mode)
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
