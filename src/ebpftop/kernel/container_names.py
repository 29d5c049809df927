"""What container engines call a container, by its id: from the files that they keep, never through a daemon.

Most of these files are root's, so kernel/root_helper.py reads them. Where users run containers of their own, they write
what is read here: it is read without following links or entering other file systems, up to a size, and only names that
belong to the id are used, as text that its reader has to escape.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

BYTES_MAX = 8 << 20
"""Of one file: the list of all containers of podman has some 500 bytes for each."""
_ENTRIES_MAX = 1024
_LISTS_MAX = 16
NAME_MAX = 400
"""Characters of a name: those of Kubernetes' namespace, pod and container together are less."""

_ID = re.compile(r"[0-9a-f]{64}")
_DOCKER = "var/lib/docker/containers"
_CONTAINERD = "run/containerd/io.containerd.runtime.v2.task"
# Where containers/storage keeps its lists: one folder for each storage driver ("overlay-containers").
_STORAGE = ("var/lib/containers/storage", "run/containers/storage")
_STORAGE_AT_HOME = ".local/share/containers/storage"
_STORAGE_LISTS = ("containers.json", "volatile-containers.json")
# dockershim and CRI-O name a container so: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT
_KUBERNETES = re.compile(r"k8s_([^_]+)_([^_]+)_([^_]+)_[^_]*_\d+")


_Known = TypeVar("_Known")


class _Docker(msgspec.Struct):
    name: str = msgspec.field(name="Name", default="")


class _Stored(msgspec.Struct):
    id: str = ""
    names: list[str] | None = None


class _Bundle(msgspec.Struct):
    annotations: dict[str, str] | None = None


def is_container_id(text: str) -> bool:
    """Return whether *text* is a whole id, as engines make them."""
    return _ID.fullmatch(text) is not None


class ContainerNames:
    """The names of containers below one root directory. A list that did not change is not decoded again."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._lists: dict[tuple[int, int], tuple[tuple[int, int], Mapping[str, str]]] = {}
        """Of each file, by device and inode: its size and the time of its last change, and what is in it."""

    def name(self, id: str, uid: int | None = None) -> str | None:
        """Return the name of container *id*, 64 hexadecimal digits; None if no engine here knows it.

        *uid*: the user whose own engine may have made it. The text is the engine's, or the user's: escape it.
        """
        if not is_container_id(id):
            return None
        name = self._docker(id) or self._containerd(id)
        if name is None:
            name = next((found[id] for found in self._storages(uid) if id in found), None)
        return name if name is None else _kubernetes_name(name)[:NAME_MAX]

    def _docker(self, id: str) -> str | None:
        content = _read(self._root / _DOCKER / id / "config.v2.json")
        known = _decoded(content, _Docker)
        return known.name.removeprefix("/") or None if known else None

    def _containerd(self, id: str) -> str | None:
        for namespace in _entries(self._root / _CONTAINERD):
            known = _decoded(_read(self._root / _CONTAINERD / namespace / id / "config.json"), _Bundle)
            if known is not None and known.annotations:
                return _annotated(known.annotations)
        return None

    def _storages(self, uid: int | None) -> Iterator[Mapping[str, str]]:
        """Yield the names in each list of containers/storage, by id: podman's, CRI-O's, and those of user *uid*."""
        for storage in _STORAGE:
            for driver in _entries(self._root / storage):
                if driver.endswith("-containers"):
                    for file in _STORAGE_LISTS:
                        with suppress(OSError):
                            yield self._listed(_open(self._root / storage / driver / file))
        if uid is not None:
            for home in _homes(self._root / "home", uid):
                try:
                    yield from self._lists_at_home(home)
                finally:
                    os.close(home)

    def _lists_at_home(self, home: int) -> Iterator[Mapping[str, str]]:
        try:
            storage = _open_below(home, _STORAGE_AT_HOME, os.O_DIRECTORY)
        except OSError:
            return
        try:
            with os.scandir(storage) as entries:
                drivers = [entry.name for _, entry in zip(range(_ENTRIES_MAX), entries, strict=False)]
            for driver in drivers:
                if driver.endswith("-containers"):
                    for file in _STORAGE_LISTS:
                        with suppress(OSError):
                            yield self._listed(_open_below(storage, f"{driver}/{file}"))
        except OSError:
            return
        finally:
            os.close(storage)

    def _listed(self, fd: int) -> Mapping[str, str]:
        """Return the names in the list that is open as *fd*, which is closed."""
        now = os.fstat(fd)
        # Its time of change, which nobody can set.
        file, version = (now.st_dev, now.st_ino), (now.st_size, now.st_ctime_ns)
        known = self._lists.pop(file, None)
        if known is None or known[0] != version:
            known = version, _names_in(_content(fd))
        else:
            os.close(fd)
        self._lists[file] = known
        while len(self._lists) > _LISTS_MAX:
            del self._lists[next(iter(self._lists))]  # the one that nobody asked for the longest
        return known[1]


def _names_in(content: bytes) -> dict[str, str]:
    stored = _decoded(content, list[_Stored]) or []
    return {one.id: one.names[0] for one in stored if one.names}


def _annotated(annotations: Mapping[str, str]) -> str | None:
    """Return the name in what an engine noted about a container."""
    cri = "io.kubernetes.cri."
    pod = annotations.get(f"{cri}sandbox-name")
    if pod is None:
        return annotations.get("nerdctl/name")
    # The sandbox of a pod has no name of its own.
    container = annotations.get(f"{cri}container-name") or "POD"
    return "/".join((annotations.get(f"{cri}sandbox-namespace") or "?", pod, container))


def _kubernetes_name(name: str) -> str:
    match = _KUBERNETES.fullmatch(name)
    return name if match is None else "/".join((match[3], match[2], match[1]))


def _decoded(content: bytes, kind: type[_Known]) -> _Known | None:
    try:
        return msgspec.json.decode(content, type=kind) if content else None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _entries(folder: Path) -> list[str]:
    """Return the first names in a folder of root's."""
    found: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry.name)
            if len(found) == _ENTRIES_MAX:
                break
    return sorted(found)


def _read(path: Path) -> bytes:
    """Return what is in a regular file of root's; empty if it is none, has more than `BYTES_MAX` or may not be read."""
    with suppress(OSError):
        return _content(_open(path))
    return b""


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _content(fd: int) -> bytes:
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        content = file.read(BYTES_MAX + 1)
        return content if len(content) <= BYTES_MAX else b""


# ---- What belongs to a user ----

_OPENAT2 = 437  # of every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS = 1, 2, 4  # include/uapi/linux/openat2.h
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open_below(folder: int, path: str, flags: int = 0) -> int:
    """Open what is below *folder* in its own file system, by no link; raises OSError.

    Another file system may be the user's own, which answers when that user likes.
    """
    how = _OpenHow(
        os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | flags, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS
    )
    fd = int(_libc.syscall(_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return fd


def _homes(folder: Path, uid: int) -> Iterator[int]:
    """Yield a descriptor of each home directory of user *uid*, to be closed by the caller."""
    try:
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in _entries(folder):
            try:
                home = _open_below(above, name, os.O_DIRECTORY)
            except OSError:
                continue
            if os.fstat(home).st_uid == uid:
                yield home
            else:
                os.close(home)
    finally:
        os.close(above)
