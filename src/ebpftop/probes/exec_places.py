"""Where a program runs: what bpf/execs_walk.h sends of its file, directories, first three fds, terminal and session."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from ebpftop.core.escape import c_string, escape

_PLACES = struct.Struct("=HHIHHIHHIHHIHHIHHIQI4x16s")  # struct places of bpf/execs_places.h
SIZE = _PLACES.size
_LENGTHS = struct.Struct("=H6xH6xH6xH6xH6xH6x")  # of the names, in it
_NAMES = ("exe", "cwd", "root", "stdio", "stdio", "stdio")  # enum place_name
_CWD, _FD0, _FD1 = 1, 3, 4
_KNOWN, _CUT, _DELETED, _TOP, _NAMELESS, _PIPE, _SOCKET, _ANON, _AS_FD0, _AS_FD1 = (1 << bit for bit in range(10))
_AS_FD = _AS_FD0 | _AS_FD1
CUT_PREFIX = "(cut)"
"""What stands for the topmost names of a path that has more than the kernel side follows: no path begins like that."""


class Places(NamedTuple):
    """Where a program runs, as a record has it."""

    exe: str | None
    exe_inode: int | None
    cwd: str | None
    root: str | None
    tty: str | None
    sid: int
    stdio: tuple[str | None, str | None, str | None]
    cut: tuple[str, ...]


def places_of(raw: bytes, at: int, names_at: int) -> tuple[Places, int]:
    """Return the places at *at*, whose names begin at *names_at*, and where these end."""
    end = names_at + sum(_LENGTHS.unpack_from(raw, at))
    return _places(raw[at : at + SIZE], raw[names_at:end]), end


# What runs in a loop of a shell, or at a prompt, mostly differs in nothing of this: then it is one object.
@lru_cache(1024)
def _places(head: bytes, names: bytes) -> Places:
    *place, exe_inode, sid, tty = _PLACES.unpack(head)
    found: list[str | None] = []
    begin = 0
    flags_of = place[1::3]
    for length, flags, inode in zip(place[::3], flags_of, place[2::3], strict=True):
        if flags & _AS_FD:
            found.append(found[_FD1 if flags & _AS_FD1 else _FD0])
            continue
        found.append(path_of(names[begin : begin + length], flags, inode))
        begin += length
    exe, cwd, root, *stdio = found
    if cwd is not None and flags_of[_CWD] & _TOP and root != "/":  # as getcwd(2) has it
        cwd = f"(unreachable){cwd}"
    cut = tuple(name for name, flags in zip(_NAMES, flags_of, strict=True) if flags & _CUT)
    return Places(
        exe=exe,
        exe_inode=exe_inode if exe is not None else None,
        cwd=cwd,
        # The one of the mount namespace has no name.
        root=None if root == "/" else root,
        tty=_tty(tty),
        sid=sid,
        stdio=(stdio[0], stdio[1], stdio[2]),
        cut=tuple(dict.fromkeys(cut)),
    )


# Many programs share a file, a directory or a terminal: each path is then one object.
@lru_cache(2048)
def path_of(names: bytes, flags: int, inode: int) -> str | None:
    r"""Return a path from its *names*, leaf first, each with a NUL, as /proc shows it.

    >>> path_of(b"ls\0bin\0usr\0", 1, 0), path_of(b"", 1, 0), path_of(b"", 0, 0), path_of(b"x\0tmp\0", 1 | 4, 0)
    ('/usr/bin/ls', '/', None, '/tmp/x (deleted)')
    >>> path_of(b"\0", 1 | 16 | 32, 99), path_of(b"memfd:x\0", 1 | 16, 0), path_of(b"[eventfd]\0", 1 | 16 | 128, 0)
    ('pipe:[99]', 'memfd:x', 'anon_inode:[eventfd]')
    >>> _path(b"c\0b\0", 1 | 2, 0)
    '(cut)/b/c'
    """
    if not flags & _KNOWN:
        return None
    parts = [escape(name) for name in names.removesuffix(b"\0").split(b"\0")]
    if flags & _NAMELESS:
        if flags & (_PIPE | _SOCKET):
            return f"{'pipe' if flags & _PIPE else 'socket'}:[{inode}]"
        return f"anon_inode:{parts[-1]}" if flags & _ANON else "/".join(reversed(parts))
    path = "/" + "/".join(reversed(parts))
    return f"{CUT_PREFIX if flags & _CUT else ''}{path}{' (deleted)' if flags & _DELETED else ''}"


@lru_cache(256)
def _tty(raw: bytes) -> str | None:
    r"""Return a terminal's name below /dev, None if there is none.

    >>> _tty(b"pts3\0"), _tty(b"tty1\0"), _tty(b"\0")
    ('pts/3', 'tty1', None)
    """
    name = c_string(raw)
    return f"pts/{name[3:]}" if name.startswith("pts") else name or None
