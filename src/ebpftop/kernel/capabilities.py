"""Capabilities: whether they are enough to load BPF programs, and how to drop those that are not needed.

Capabilities belong to a thread, and new threads inherit them. So the thread that calls `keep_only` is the one that
starts all other threads later. Only one other thread runs already: it waits for the end (lifecycle/process.py), and
drops all of its own. (It cannot do so first: glibc changes the user of every thread, and aborts if one may not.)

No maintained package on PyPI does this (pyprctl's last release is of 2021, python3-prctl needs a compiler and libcap),
so prctl(2) and capset(2) are called here.
"""

from __future__ import annotations

import ctypes
import os
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.source import SourceError
from ebpftop.lifecycle.invoker import User, invoker, nobody
from ebpftop.lifecycle.process import process


class Cap(IntEnum):
    """Capabilities by number: include/uapi/linux/capability.h."""

    DAC_READ_SEARCH = 2
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYSLOG = 34
    PERFMON = 38
    BPF = 39


# include/uapi/linux/prctl.h
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS = 4, 8, 23, 24, 28
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
# include/uapi/linux/securebits.h: NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each with its lock, and KEEP_CAPS'
# lock. User 0 has no special rights any more, neither for executed programs nor when the user changes.
_SECUREBITS = 0b11_10_11_11
# include/uapi/linux/capability.h: _LINUX_CAPABILITY_VERSION_3, whose sets are two words each
_CAPABILITY_VERSION = 0x20080522

_FIRST_USER_NAMESPACE_INODE = 0xEFFFFFFD  # include/linux/proc_ns.h: PROC_USER_INIT_INO, since Linux 3.8

_libc = ctypes.CDLL(None, use_errno=True)


# ---- what we have ----


class _Sets(NamedTuple):
    """Capabilities, one bit each."""

    effective: int
    permitted: int


def _sets() -> _Sets:
    """Return what this thread has, by capget(2) and not by /proc: a recording is shown without /proc too."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return _Sets(sets[0] | sets[3] << 32, sets[1] | sets[4] << 32)


def missing() -> str | None:
    """Return what is missing, in words; None if nothing (capabilities(7): CAP_BPF and CAP_PERFMON, Linux 5.8)."""
    effective = _sets().effective
    if effective >> Cap.SYS_ADMIN & 1:
        return None
    lacking = [f"CAP_{cap.name}" for cap in (Cap.BPF, Cap.PERFMON) if not effective >> cap & 1]
    return " and ".join(lacking) if lacking else None


def has(cap: Cap) -> bool:
    """Return whether this thread has *cap* in effect."""
    return bool(_sets().effective >> cap & 1)


def in_a_user_namespace() -> bool:
    """Return whether our capabilities are those of a user namespace: only those of the first one can load BPF.

    False if there is no /proc, or if the kernel has no user namespaces.
    """
    try:
        return os.stat("/proc/self/ns/user").st_ino != _FIRST_USER_NAMESPACE_INODE
    except OSError:
        return False


# ---- giving up ----


def give_up_all_but_watching() -> None:
    """Keep what an attached ebpftop needs, as the user behind sudo if there is one. See docs/security.md."""
    keep = {Cap.PERFMON, *to_compile()}
    if _proc_hides_processes():
        keep.add(Cap.SYS_PTRACE)
    keep_only(keep, invoker())


def to_compile() -> set[Cap]:
    """Return what BCC needs to compile: it makes the maps of a program, and reads headers."""
    permitted = _sets().permitted
    if permitted >> Cap.BPF & permitted >> Cap.PERFMON & 1:
        return {Cap.BPF, Cap.DAC_READ_SEARCH}
    return {Cap.BPF, Cap.DAC_READ_SEARCH, Cap.SYS_ADMIN}  # before Linux 5.8 there is neither


def give_up_root(may_read: Path) -> None:
    """Become the user behind sudo, or nobody, with no capability at all; nothing happens unless this is root.

    If that user may not read *may_read*, where programs of ours lie (a checkout below /root), CAP_DAC_READ_SEARCH is
    kept: all can be read with it and nothing written.
    """
    if os.geteuid() != 0 and not _sets().permitted:
        return
    user = (invoker() or nobody()) if os.geteuid() == 0 else None
    readable = user is None or _may_read(user, may_read)
    keep_only(set() if readable else {Cap.DAC_READ_SEARCH}, user)


def _may_read(user: User, path: Path) -> bool:
    """Return whether *user* may enter every folder above *path* and read *path*, by their modes."""
    for place, permission in ((path, 0o4), *((folder, 0o1) for folder in path.resolve().parents)):
        found = place.stat()
        in_group = found.st_gid in (user.gid, *user.groups)
        shift = 6 if found.st_uid == user.uid else 3 if in_group else 0
        if not found.st_mode >> shift & permission:
            return False
    return True


def _proc_hides_processes() -> bool:
    """Return whether /proc shows a user only their own processes (proc(5), hidepid)."""
    # If several mounts lie above each other, the last one is visible.
    for line in reversed(Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()):
        before, _, after = line.partition(" - ")
        if before.split()[4] == "/proc":
            return "hidepid=" in after and "hidepid=0" not in after and "hidepid=off" not in after
    return False


def keep_only(caps: set[Cap], user: User | None = None, *, forked: bool = False) -> None:
    """Keep only those of *caps* that we have, for good, and become *user*; raises SourceError if that is refused.

    *forked*: this is a child that has only this thread.

    Afterwards no executed program can get anything back. no_new_privs is set, and nothing is inheritable or ambient. If
    we have CAP_SETPCAP, the bounding set is empty, and user 0 is a user like others. Nobody may read our memory.
    """
    permitted = _sets().permitted
    kept = permitted & sum(1 << cap for cap in caps)
    # The root of a container may not be able to become another user: then it has only its owner's rights.
    if not permitted >> Cap.SETUID & permitted >> Cap.SETGID & 1:
        user = None
    try:
        if not forked:
            process.call_beside(_never_gain)
        _never_gain()
        if permitted >> Cap.SETPCAP & 1:
            _prctl(_PR_SET_SECUREBITS, _SECUREBITS)
        elif user is not None:
            _prctl(_PR_SET_KEEPCAPS, 1)
        if user is not None:
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        _capset(kept)
        if not forked:
            process.call_beside(lambda: _capset(0))
        _prctl(_PR_SET_DUMPABLE, 0)
    except OSError as error:
        raise SourceError(f"cannot give up privileges that are not needed: {error.strerror}") from error


def _never_gain() -> None:
    """Make sure that no program that this thread executes can gain privileges."""
    if _sets().effective >> Cap.SETPCAP & 1:
        for cap in range(64):
            if _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(cap)) < 0:
                break  # this kernel has no such capability, nor any after it
            _prctl(_PR_CAPBSET_DROP, cap)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _capset(caps: int) -> None:
    """Make *caps* permitted and effective, and nothing inheritable (capset(2): effective, permitted, inheritable)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    low, high = caps & 0xFFFFFFFF, caps >> 32
    if _libc.capset(header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
