"""A cache of what is slow to make and the same at the next start: compiled programs, and offsets from BTF.

It is in /var/cache/ebpftop, or in the folder that EBPFTOP_CACHE names (empty: nothing is kept). Each entry is named by
a hash of everything that it was made from. So no entry is ever out of date, and removing the folder only makes the next
start slower.

The entries are loaded into the kernel. So the folder must belong to the user who started ebpftop (root, with sudo), and
nobody else may write to it; otherwise it is not used. Nobody else may be able to replace the folder either. So the same
is checked for each folder above it and for each link on the way. (Only folders of root with the sticky bit, such as
/tmp, may be written by all.) If a user other than root has been given the capabilities, nothing is kept unless
EBPFTOP_CACHE names a folder. That user's other processes do not have the capabilities, and could otherwise get their
own programs loaded through the cache.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

_FOLDER = Path("/var/cache/ebpftop")  # Filesystem Hierarchy Standard, 5.5
# The user who started ebpftop. Later it becomes the user behind sudo (kernel/capabilities.py), who is not trusted here.
_OWNER = os.geteuid()
_ENTRIES_MAX = 64  # about 20 kB each
_ENTRY_BYTES_MAX = 4 << 20
_DIGEST = 16
_THE_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ON_THE_WAY = _THE_FOLDER | os.O_PATH
_LINKS_MAX = 40  # path_resolution(7)
_NOT_OURS = "it is somebody else's, or others may write there"
# The names that `key` returns, and those that `keep` writes first. Nothing else in the folder may be removed.
_ENTRY_NAME = re.compile(rf"[0-9a-f]{{{2 * _DIGEST}}}(?:\.[0-9]+)?")

_T = TypeVar("_T")


def where() -> str:
    """Return where entries are kept, or why they are not kept."""
    try:
        with _opened(make=True):
            return str(_folder())
    except OSError as error:
        return f"disabled: {error.filename}: {error.strerror}"


def _folder() -> Path | None:
    chosen = os.environ.get("EBPFTOP_CACHE")
    if chosen is None:
        return _FOLDER
    return Path(chosen) if chosen else None


def key(*parts: bytes) -> str:
    """Return the name of the entry that is made from *parts*."""
    digest = blake2b(digest_size=_DIGEST)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def find(name: str, kind: type[_T]) -> _T | None:
    """Return the entry *name*; None if there is none, or if it is damaged or not an entry."""
    try:
        with _opened(make=False) as folder_fd:
            data = _read(name, folder_fd)
    except OSError:
        return None
    body = data[_DIGEST:]
    if data[:_DIGEST] != _checksum(name, body):
        return None
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError:
        return None


def store(name: str, entry: object) -> None:
    """Keep *entry* as *name*, and replace what is there. If that fails, the next start takes longer."""
    body = msgspec.msgpack.encode(entry)
    unfinished = f"{name}.{os.getpid()}"
    with suppress(OSError), _opened(make=True) as folder_fd:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
        try:
            with open(fd, "wb") as file:
                file.write(_checksum(name, body) + body)
            try:
                os.rename(unfinished, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=folder_fd)
                os.rename(unfinished, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except OSError:
            os.unlink(unfinished, dir_fd=folder_fd)
            raise
        _remove_oldest(folder_fd)


def _read(name: str, folder_fd: int) -> bytes:
    """Return the bytes of a regular file. For others raise OSError: opening a pipe may block, a device may react."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", name)
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    with open(fd, "rb") as file:
        data = file.read(_ENTRY_BYTES_MAX)
    with suppress(OSError):  # a read-only file system
        os.utime(name, dir_fd=folder_fd)  # the oldest go first, counted from their last use
    return data


def _checksum(name: str, body: bytes) -> bytes:
    """Return what an entry begins with. It covers the name: an intact entry under another name is damaged too."""
    return blake2b(name.encode() + body, digest_size=_DIGEST).digest()


@contextmanager
def _opened(*, make: bool) -> Iterator[int]:
    """Yield a descriptor of the folder; raises OSError if it cannot be opened or trusted."""
    path = _folder()
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "it is empty", "EBPFTOP_CACHE")
    if path == _FOLDER and _OWNER != 0:
        raise PermissionError(errno.EPERM, "it belongs to root; set EBPFTOP_CACHE to a folder of your own", str(path))
    fd = _walk(path, make=make)
    try:
        found = os.fstat(fd)
        if found.st_uid != _OWNER or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EPERM, _NOT_OURS, str(path))
        yield fd
    finally:
        os.close(fd)


def _walk(path: Path, *, make: bool) -> int:
    """Return a descriptor of *path* if nobody but root and us can change where it leads; raises OSError.

    The last name may not be a link. *make*: folders that are missing are made.
    """
    names, parent, place, links = [*reversed(path.absolute().parts[1:])], Path("/"), Path("/"), 0
    fd = os.open(parent, _ON_THE_WAY)
    try:
        while names:
            name = names.pop()
            place = parent / name
            inner, flags = name, _ON_THE_WAY if names else _THE_FOLDER
            if target := _link(name, fd, mode=(0o755 if names else 0o700) if make else None):
                if not names or (links := links + 1) > _LINKS_MAX:
                    raise OSError(errno.ELOOP, "it is a link")
                names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                inner = "/" if target.is_absolute() else "."
            inner_fd = os.open(inner, flags, dir_fd=fd)
            os.close(fd)
            fd = inner_fd
            _check_folder(fd)
            parent = {"/": Path("/"), ".": parent}.get(inner, place)
    except OSError as error:
        os.close(fd)
        error.filename = str(place)
        raise
    return fd


def _link(name: str, fd: int, *, mode: int | None) -> Path | None:
    """Return where the link *name* in the folder *fd* leads; None if it is not a link.

    If *name* is missing and *mode* is given, a folder is made.
    """
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        if mode is None:
            raise
        with suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=fd)
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in (0, _OWNER):
        raise PermissionError(errno.EPERM, _NOT_OURS, name)
    return Path(os.readlink(name, dir_fd=fd))


def _check_folder(fd: int) -> None:
    """Raise PermissionError if anybody but root and us could replace what is in the folder."""
    found = os.fstat(fd)
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, _OWNER) or shared:
        raise PermissionError(errno.EPERM, _NOT_OURS)


def _remove_oldest(folder_fd: int) -> None:
    """Remove the entries that were not used for longest. EBPFTOP_CACHE may name a folder with other files in it."""
    with os.scandir(folder_fd) as entries:
        used = sorted(
            (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
            for entry in entries
            if _ENTRY_NAME.fullmatch(entry.name)
        )
    for _, name in used[:-_ENTRIES_MAX]:
        with suppress(OSError):  # a folder, which is not ours
            os.unlink(name, dir_fd=folder_fd)
