"""Control groups by path, and those of containers: what the kernel compares are ids and depths."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

from ebpftop.cgroups import container_of
from ebpftop.source import SourceError

_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_SHORTEST_ID = 2


@dataclass(frozen=True)
class CgroupChoice:
    """A cgroup of the unified hierarchy: its path from the root, its id (the inode's number), its depth."""

    path: str
    id: int
    level: int

    def holds(self, path: str) -> bool:
        """Tell whether the cgroup *path* is this one or below it."""
        return self.path == "/" or path == self.path or path.startswith(self.path + "/")


def cgroup_root() -> Path | None:
    """Return where the unified hierarchy (cgroup v2) is mounted."""
    return next((mount for mount in _MOUNTS if (mount / "cgroup.procs").exists()), None)


def unified_path(pid: int) -> str | None:
    """Return the cgroup of a process in the unified hierarchy; None where it has ended or there is none."""
    try:
        lines = Path("/proc", str(pid), "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def _root(option: str) -> Path:
    root = cgroup_root()
    if root is None:
        raise SourceError(f"{option} needs the unified hierarchy", "mount -t cgroup2 none /sys/fs/cgroup/unified")
    return root


def _choice(root: Path, relative: str) -> CgroupChoice:
    path = posixpath.normpath("/" + relative.lstrip("/"))
    directory = root / path.lstrip("/")
    return CgroupChoice(path, directory.stat().st_ino, len([part for part in path.split("/") if part]))


def cgroup_named(path: str) -> CgroupChoice:
    """Return the cgroup *path*; raises SourceError where there is none.

    Both "/system.slice/ssh.service" and the full path in the file system are taken.
    """
    root = _root("--cgroup")
    inside = posixpath.normpath("/" + path.lstrip("/"))
    if inside == str(root) or inside.startswith(f"{root}/"):
        inside = inside[len(str(root)) :]
    if not (root / inside.lstrip("/") / "cgroup.procs").exists():
        raise SourceError(f"there is no cgroup {path}", f"see what there is with `systemd-cgls`, or below {root}")
    return _choice(root, inside)


def container_cgroups(container: str) -> tuple[CgroupChoice, ...]:
    """Return the topmost cgroups of *container*, an id or how it begins, or an LXC or nspawn name.

    Raises SourceError where there is none, or where several containers are meant.
    """
    root = _root("--container")
    found: dict[str, list[str]] = {}
    for directory, below, _ in os.walk(root):
        path = directory[len(str(root)) :]
        name = container_of(path, digits=None) if path else None
        if name is None:
            continue
        below.clear()  # what lies deeper belongs to it
        if name == container or (len(container) >= _SHORTEST_ID and name.startswith(container)):
            found.setdefault(name, []).append(path)
    if container in found:
        found = {container: found[container]}
    if not found:
        raise SourceError(
            f"no cgroup below {root} belongs to a container {container}",
            "ids are in `docker ps`, `podman ps` or `crictl ps`; with cgroup v1 engines use --pid",
        )
    if len(found) > 1:
        short = ", ".join(sorted(name[:12] for name in found)[:4])
        raise SourceError(f"--container {container} could be any of {short}", "give more of its id")
    return tuple(_choice(root, path) for paths in found.values() for path in sorted(paths))


def chosen_cgroups(cgroups: tuple[str, ...], containers: tuple[str, ...]) -> tuple[CgroupChoice, ...]:
    """Return the cgroups that both options mean together: where both are given, what lies in one of each."""
    named = [cgroup_named(path) for path in cgroups]
    contained = [choice for container in containers for choice in container_cgroups(container)]
    if not named or not contained:
        return tuple(dict.fromkeys(named + contained))
    both = [a if b.holds(a.path) else b for a in named for b in contained if a.holds(b.path) or b.holds(a.path)]
    if not both:
        raise SourceError("no --container lies in a --cgroup, so nothing would match", "leave one of the options out")
    return tuple(dict.fromkeys(both))
