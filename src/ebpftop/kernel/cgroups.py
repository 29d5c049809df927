"""Control groups by path, and those of containers. The kernel compares ids and depths."""

from __future__ import annotations

import ctypes
import errno
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ebpftop.core.cgroup_path import containers_of, is_container
from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.filters.spec import is_cgroup_path


@dataclass(frozen=True)
class Hierarchy:
    """A tree of cgroups: where it is mounted, and whether it is the pids controller's of cgroup v1.

    Container engines on v1 make a cgroup for each container in every controller's tree, and pids is always among them.
    """

    root: Path
    v1: bool


@dataclass(frozen=True)
class CgroupChoice:
    """A cgroup: its path from the root of its hierarchy, its id (the inode's number), its depth.

    *excluded*: what is in it is not to match.
    """

    path: str
    id: int
    level: int
    v1: bool = False
    excluded: bool = False

    def matches(self, path: str | None, v1: bool) -> bool:
        """Return whether the cgroup *path* of a hierarchy is this one or below it."""
        if path is None or v1 is not self.v1:
            return False
        return self.path == "/" or path == self.path or path.startswith(self.path + "/")


# cgroup_setup_root() of the kernel warns if the root of a hierarchy has another inode number.
_ROOT_INODE = 1


def hierarchies() -> tuple[Hierarchy, ...]:
    """Return the unified hierarchy (cgroup v2) and the pids controller's of v1, if they are mounted as a whole.

    In a cgroup namespace a mount begins at the namespace's root. That looks like the root of the hierarchy, except for
    its inode. Paths and depths below it are not the kernel's, so they would match other cgroups.
    """
    return tuple(hierarchy for hierarchy in mounted() if _is_whole(hierarchy))


def _is_whole(hierarchy: Hierarchy) -> bool:
    try:
        return hierarchy.root.stat().st_ino == _ROOT_INODE
    except OSError:
        return False


def mounted() -> tuple[Hierarchy, ...]:
    """Return the same hierarchies, even if only a part of them is mounted: from the root of a cgroup namespace."""
    found: dict[bool, Hierarchy] = {}
    # proc_pid_mountinfo(5): what is mounted, where, "-", the type, the source, the options of the file system.
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split()[:3]
        v1 = kind == "cgroup" and "pids" in options.split(",")
        if (v1 or kind == "cgroup2") and fields[3] == "/":
            found.setdefault(v1, Hierarchy(Path(fields[4]), v1))
    return tuple(found[v1] for v1 in (False, True) if v1 in found)


def id_of(choice: CgroupChoice, roots: Mapping[bool, Path]) -> int | None:
    """Return the id that the cgroup of this path has now; None if it is gone. *roots*: mounts of the hierarchies."""
    try:
        return (roots[choice.v1] / choice.path.lstrip("/")).stat().st_ino
    except (OSError, KeyError):
        return None


def cgroup_paths(pid: int) -> dict[bool, str]:
    """Return the cgroup of a process in the unified hierarchy, under False, and in that of v1's pids, under True."""
    try:
        lines = Path("/proc", str(pid), "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return {}
    paths: dict[bool, str] = {}
    for number, controllers, path in (line.split(":", 2) for line in lines):
        if number == "0":
            paths[False] = path
        elif "pids" in controllers.split(","):
            paths[True] = path
    return paths


class _FileHandle(ctypes.Structure):
    """struct file_handle of name_to_handle_at(2), as kernfs fills it: the id of the node."""

    _fields_ = (("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("id", ctypes.c_uint64))


_FILEID_KERNFS = 0xFE  # include/linux/exportfs.h
_O_PATH = os.O_PATH | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _handles_below(root: Path) -> Iterator[Callable[[int], int | None]]:
    """Give what opens a cgroup of the hierarchy at *root* by its id, as a path; None if it cannot."""
    mount = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def opened(id: int) -> int | None:
        handle = _FileHandle(8, _FILEID_KERNFS, id)
        found = int(_libc.open_by_handle_at(mount, ctypes.byref(handle), _O_PATH))
        return found if found >= 0 else None

    try:
        yield opened
    finally:
        os.close(mount)


@contextmanager
def handles() -> Iterator[Callable[[int], int | None]]:
    """Give what opens a cgroup of the unified hierarchy by its id; raises OSError if that is not mounted."""
    root = unified()
    if root is None:
        raise FileNotFoundError(errno.ENOENT, "cgroup2 is not mounted")
    with _handles_below(root) as opened:
        yield opened


def unified() -> Path | None:
    """Return where the unified hierarchy is mounted, or the part of it that a cgroup namespace has."""
    return next((hierarchy.root for hierarchy in mounted() if not hierarchy.v1), None)


def folders(root: Path) -> dict[int, str]:
    """Return the path of each cgroup below *root*, itself among them, by its id."""
    found: dict[int, str] = {}
    for folder, _, _, fd in os.fwalk(root):
        found[os.fstat(fd).st_ino] = folder[len(str(root)) :] or "/"
    return found


@lru_cache(maxsize=1024)
def path_of_id(id: int, *, v1: bool) -> str | None:
    """Return the path of the cgroup *id* from the root of its hierarchy; None if it is gone or cannot be found."""
    root = next((hierarchy.root for hierarchy in hierarchies() if hierarchy.v1 is v1), None)
    if root is None:
        return None
    with _handles_below(root) as opened:
        found = opened(id)
        if found is None:
            return None
        try:
            path = os.readlink(f"/proc/self/fd/{found}")
        finally:
            os.close(found)
    # A directory that was removed meanwhile is shown with " (deleted)".
    return path[len(str(root)) :] if (path + "/").startswith(f"{root}/") and os.path.isdir(path) else None


def _hierarchies(option: str) -> tuple[Hierarchy, ...]:
    found = hierarchies()
    if not found and mounted():
        raise SourceError(
            f"{option} means other cgroups in a cgroup namespace", "run ebpftop in the host's (--cgroupns=host)"
        )
    if not found:
        raise SourceError(f"{option} needs cgroups", "mount -t cgroup2 none /sys/fs/cgroup")
    return found


def _choice(hierarchy: Hierarchy, relative: str) -> CgroupChoice:
    path = posixpath.normpath("/" + relative.lstrip("/"))
    directory = hierarchy.root / path.lstrip("/")
    level = len([part for part in path.split("/") if part])
    return CgroupChoice(path, directory.stat().st_ino, level, hierarchy.v1)


def cgroup_named(path: str) -> CgroupChoice:
    """Return the cgroup *path*, of the unified hierarchy if it is in both; raises SourceError if there is none.

    Both "/system.slice/ssh.service" and the full path in the file system are accepted.
    """
    found = _hierarchies("--cgroup")
    if not is_cgroup_path(path):
        raise SourceError(f"{path!r} is not the path of a cgroup", "/ is the root, and .. leads nowhere")
    given = posixpath.normpath("/" + path.lstrip("/"))
    # The innermost mount first: that of v2 may lie in the directory of v1's.
    for hierarchy in sorted(found, key=lambda one: len(one.root.parts), reverse=True):
        if given == str(hierarchy.root) or given.startswith(f"{hierarchy.root}/"):
            found, given = (hierarchy,), given[len(str(hierarchy.root)) :]
            break
    for hierarchy in found:
        if (hierarchy.root / given.lstrip("/") / "cgroup.procs").exists():
            return _choice(hierarchy, given)
    places = " and ".join(str(hierarchy.root) for hierarchy in found)
    raise SourceError(f"there is no cgroup {path}", f"see what there is with `systemd-cgls`, or below {places}")


def container_cgroups(container: str) -> tuple[CgroupChoice, ...]:
    """Return the topmost cgroups of *container*: an id, the beginning of one, or a name.

    It may run inside another container. Raises SourceError if no container matches, or several.
    """
    found: dict[str, list[CgroupChoice]] = {}
    for hierarchy in _hierarchies("--container"):
        for directory, below, _ in os.walk(hierarchy.root):
            path = directory[len(str(hierarchy.root)) :]
            inside = containers_of(printable(path))
            topmost = inside != containers_of(printable(posixpath.dirname(path)))
            if not inside or not topmost or not is_container(container, inside[-1]):
                continue
            # systemd-nspawn may sit beside its container, in the same service.
            own = f"{path}/payload" if {"payload", "supervisor"} <= set(below) else path
            with suppress(FileNotFoundError):  # it has ended meanwhile
                choice = _choice(hierarchy, own)
                found.setdefault(inside[-1], []).append(choice)
    if container in found:
        found = {container: found[container]}
    if not found:
        raise SourceError(
            f"no cgroup belongs to a container {container}",
            "ids are in `docker ps`, `podman ps` or `crictl ps`; or use --pid with its first process",
        )
    if len(found) > 1:
        short = ", ".join(sorted(name[:12] for name in found)[:4])
        raise SourceError(f"--container {container} could be any of {short}", "give more of its id")
    (choices,) = found.values()
    unified = [choice for choice in choices if not choice.v1]
    return tuple(sorted(unified or choices, key=lambda choice: choice.path))


def excluded_cgroups(cgroups: tuple[str, ...], containers: tuple[str, ...]) -> tuple[CgroupChoice, ...]:
    """Return the cgroups that either option excludes."""
    named = [cgroup_named(path) for path in cgroups]
    contained = [choice for container in containers for choice in container_cgroups(container)]
    return tuple(replace(choice, excluded=True) for choice in dict.fromkeys(named + contained))


def chosen_cgroups(cgroups: tuple[str, ...], containers: tuple[str, ...]) -> tuple[CgroupChoice, ...]:
    """Return the cgroups that both options mean together. If both are given, a cgroup must lie in one of each."""
    named = [cgroup_named(path) for path in cgroups]
    contained = [choice for container in containers for choice in container_cgroups(container)]
    if not named or not contained:
        return tuple(dict.fromkeys(named + contained))
    both = [
        a if b.matches(a.path, a.v1) else b
        for a in named
        for b in contained
        if a.matches(b.path, b.v1) or b.matches(a.path, a.v1)
    ]
    if not both:
        raise SourceError("no --container lies in a --cgroup, so nothing would match", "leave one of the options out")
    return tuple(dict.fromkeys(both))
