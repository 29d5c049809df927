"""The filter, written into the maps that every program reads (bpf/ebpftop.h, bpf/filter.c)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from ebpftop.filters import Filter
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Link, LoadError, Module
from ebpftop.kernel.offsets import Defines
from ebpftop.source import SourceError

_UID, _PID, _COMM, _CGROUP, _HIDE_SELF = 1, 2, 4, 8, 16  # enum filter_flag
_VALUES_MAX, _CGROUPS_MAX = 64, 8
_COMM_LEN = 16
_CONFIG = struct.Struct("=4I")
_CGROUP_CHOICE = struct.Struct("=QII")
_YES = b"\1"

_CGROUP_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def cgroup_root() -> Path | None:
    """Return where the unified hierarchy (cgroup v2) is mounted."""
    return next((mount for mount in _CGROUP_MOUNTS if (mount / "cgroup.procs").exists()), None)


def cgroup_choice(path: str) -> tuple[int, int]:
    """Return the id of cgroup *path* and its depth below the root; raises SourceError where there is none.

    Both "/system.slice/ssh.service" and the full path in the file system are taken. The id is the inode's number.
    """
    root = cgroup_root()
    if root is None:
        raise SourceError("--cgroup needs the unified hierarchy", "mount -t cgroup2 none /sys/fs/cgroup/unified")
    relative = path.removeprefix(str(root)).strip("/")
    directory = root / relative if relative else root
    try:
        return directory.stat().st_ino, len(Path(relative).parts)
    except OSError as error:
        raise SourceError(f"no cgroup {path}: {error.strerror}", f"see what there is with `ls {root}`") from error


def descendants(pids: tuple[int, ...]) -> set[int]:
    """Return *pids* and the processes that descend from them now, out of /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rpartition(b") ")[2].split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


class KernelFilter:
    """Owner of the filter's maps, and of the programs that follow processes as they fork."""

    def __init__(self, defines: Defines) -> None:
        """Compile bpf/filter.c; the maps must exist before any other module is compiled. Raises SourceError."""
        try:
            self._module = Module("filter.c", {**defines, "FILTER_OWNER": 1})
        except LoadError as error:
            raise SourceError(str(error), "`ebpftop check -v` shows what the compiler said") from error
        self._links: list[Link] = []

    def apply(self, wanted: Filter) -> None:
        """Make *wanted* hold from now on; raises SourceError for what cannot be (no such cgroup, too many values)."""
        for name, values, most in (
            ("--uid", wanted.uids, _VALUES_MAX),
            ("--comm", wanted.comms, _VALUES_MAX),
            ("--pid", wanted.pids, _VALUES_MAX),
            ("--cgroup", wanted.cgroups, _CGROUPS_MAX),
        ):
            if len(values) > most:
                raise SourceError(f"{name} was given {len(values)} times", f"at most {most} values fit")
        cgroups = [cgroup_choice(path) for path in wanted.cgroups]
        keys = {
            "filter_uids": {struct.pack("=I", uid) for uid in wanted.uids},
            "filter_comms": {_comm_key(comm) for comm in wanted.comms},
        }
        # Values before the flags that ask for them, and what is no longer wanted after: nothing is missed in between.
        for table, wanted_keys in keys.items():
            for key in wanted_keys:
                maps.update(self._module.table(table), key, _YES)
        self._follow(wanted.pids)
        flags = (
            _UID * bool(wanted.uids)
            | _PID * bool(wanted.pids)
            | _COMM * bool(wanted.comms)
            | _CGROUP * bool(cgroups)
            | _HIDE_SELF * wanted.hide_self
        )
        config = _CONFIG.pack(flags, os.getpid(), len(cgroups), 0)
        config += b"".join(_CGROUP_CHOICE.pack(inode, level, 0) for inode, level in cgroups)
        config = config.ljust(_CONFIG.size + _CGROUPS_MAX * _CGROUP_CHOICE.size, b"\0")
        maps.update(self._module.table("filter_config"), bytes(4), config)
        self._forget("filter_uids", 4, keys["filter_uids"])
        self._forget("filter_comms", 4 + _COMM_LEN, keys["filter_comms"])
        if not wanted.pids:
            self._forget("filter_pids", 4, set())

    def _follow(self, pids: tuple[int, ...]) -> None:
        for link in self._links:
            self._module.release(link)
        self._links.clear()
        if not pids:
            return
        # From here on children are added by the kernel; what was forked before is found in /proc. Twice, for a child
        # whose parent was itself added only in the first round.
        self._links = [
            self._module.attach("raw_tracepoint", "sched_process_fork", "filter_fork"),
            self._module.attach("raw_tracepoint", "sched_process_free", "filter_free"),
        ]
        self._forget("filter_pids", 4, set())
        for _ in range(2):
            for pid in descendants(pids):
                maps.update(self._module.table("filter_pids"), struct.pack("=I", pid), _YES)

    def _forget(self, name: str, key_size: int, kept: set[bytes]) -> None:
        table = self._module.table(name)
        for key, _ in list(maps.items(table, key_size, 1)):
            if key not in kept:
                maps.delete(table, key)

    def close(self) -> None:
        """Give everything back."""
        for link in self._links:
            self._module.release(link)
        self._links.clear()
        self._module.close()


def _comm_key(comm: str) -> bytes:
    """Return the key of the longest-prefix map: a whole name matches up to and with its NUL."""
    prefix = comm.endswith("*")
    raw = comm.removesuffix("*").encode("utf-8", "surrogateescape")[: _COMM_LEN - 1]
    bits = 8 * (len(raw) + (0 if prefix else 1))
    return struct.pack("=I", bits) + raw.ljust(_COMM_LEN, b"\0")
