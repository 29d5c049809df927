"""An event of bpf/execs.c as it comes out of the buffer, and the texts in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ebpftop.core.escape import c_string, escape
from ebpftop.probes.exec_places import SIZE as PLACES_SIZE
from ebpftop.probes.exec_places import Places, places_of

_EVENT = struct.Struct("=IIQQQQQ8Ii4IiIII4x16s16s")  # struct event of bpf/execs.c
HEAD_BYTES = _EVENT.size
TIME_AT = 8
EXEC, FAILED, EXIT = 1, 2, 3
_ARGV_CUT, _FILE_CUT, _INTERP_CUT, CGROUP_CUT, CGROUP_V1, ENV_CUT = 1 | 2, 4, 8, 16, 32, 128  # enum event_flag
_CUT = (
    ("file", _FILE_CUT),
    ("interp", _INTERP_CUT),
    ("argv", _ARGV_CUT),
    ("cgroup", CGROUP_CUT),
    ("env", ENV_CUT),
    ("env_names", ENV_CUT),
)
_ANY_CUT = _ARGV_CUT | _FILE_CUT | _INTERP_CUT | CGROUP_CUT | ENV_CUT
NO_LOGINUID = 0xFFFFFFFF
_PATH_MAX = 4096
_AT_FDCWD = -100
# Command lines of up to so many bytes are decoded once, and are then one object in all records.
SHORT_ARGV = 256
_ARGV_REMEMBERED = 1024


class Strings(NamedTuple):
    """What is behind struct event. The flags are those of the event, and say what else is cut."""

    file: bytes
    interp: bytes
    cgroup: bytes
    places: Places
    argv: bytes
    env: bytes
    flags: int


class ExecEvent(NamedTuple):
    """struct event, without what is behind it."""

    kind: int
    flags: int
    time_ns: int
    start_ns: int
    parent_start_ns: int
    cgroup_id: int
    origin_start_ns: int
    pid: int
    tid: int
    ppid: int
    uid: int
    euid: int
    loginuid: int
    pidns: int
    nspid: int
    ret: int
    file_len: int
    interp_len: int
    cgroup_len: int
    argv_len: int
    dirfd: int
    argc: int
    env_len: int
    origin_pid: int
    comm: bytes
    pcomm: bytes

    def strings(self, raw: bytes) -> Strings:
        """Return what *raw* has behind this."""
        at = _EVENT.size + PLACES_SIZE
        file = raw[at : (at := at + self.file_len)]
        interp = raw[at : (at := at + self.interp_len)]
        cgroup = raw[at : (at := at + self.cgroup_len)]
        places, at = places_of(raw, _EVENT.size, at)
        argv = raw[at : (at := at + self.argv_len)]
        env = raw[at : at + self.env_len]
        flags = self.flags
        if self.argc:  # the strings of envp follow
            strings = argv.split(b"\0", self.argc)
            argv = b"\0".join([*strings[: self.argc], b""]) if len(strings) > self.argc else argv
            flags |= _ARGV_CUT if len(strings) <= self.argc else 0
        return Strings(file, interp, cgroup, places, argv, env, flags)


def event_of(raw: bytes) -> ExecEvent:
    """Return what *raw* begins with."""
    return ExecEvent._make(_EVENT.unpack_from(raw))


def cut_names(flags: int, *, values: bool) -> list[str]:
    """Return which fields of a record are cut off; *values*: it has those of the environment."""
    if not flags & _ANY_CUT:
        return []
    return [name for name, bits in _CUT if flags & bits and (values or name != "env")]


def executed_path(dirfd: int, raw: bytes) -> str:
    r"""Return the path of an execve, or the path that the kernel makes for an execveat (fs/exec.c, alloc_bprm).

    *raw* ends with a NUL; if it is empty, the path could not be read.

    >>> executed_path(-100, b"ls\0"), executed_path(3, b"ls\0"), executed_path(3, b"/bin/ls\0"), executed_path(3, b"\0")
    ('ls', '/dev/fd/3/ls', '/bin/ls', '/dev/fd/3')
    """
    path = c_string(raw[: _PATH_MAX - 1])
    if dirfd == _AT_FDCWD or not raw or path.startswith("/"):
        return path
    return f"/dev/fd/{dirfd}/{path}" if path else f"/dev/fd/{dirfd}"


def split_argv(raw: bytes) -> tuple[str, ...]:
    r"""Return the arguments of *raw*, strings that each end with NUL; the last may be cut off.

    >>> split_argv(b"ls\0\0-l\0")
    ('ls', '', '-l')
    """
    if not raw:
        return ()
    return _split_short(raw) if len(raw) <= SHORT_ARGV else _split(raw)


def _split(raw: bytes) -> tuple[str, ...]:
    return tuple(map(escape, raw.removesuffix(b"\0").split(b"\0")))


_split_short = lru_cache(_ARGV_REMEMBERED)(_split)


def environment_of(raw: bytes, names: Sequence[str]) -> dict[str, str]:
    r"""Return the variables in *raw* that are among *names*: a name, ``NAME*``, or ``all``.

    Each ends with a NUL, or is cut off and left out.

    >>> environment_of(b"LANG=C\0LC_ALL=C=\0PATH=\0=x\0no\0LANG=d\0", ["LANG", "LC_*"])
    {'LANG': 'C', 'LC_ALL': 'C='}
    """
    everything = "all" in names
    found: dict[str, str] = {}
    for string in raw.split(b"\0")[:-1]:
        name, is_variable, value = string.partition(b"=")
        if not name or not is_variable:
            continue
        text = escape(name)
        if everything or any(text.startswith(one[:-1]) if one.endswith("*") else text == one for one in names):
            found.setdefault(text, escape(value))  # as getenv(3): the first one
    return found


def cgroup_path(names: bytes) -> str:
    r"""Return the path of a cgroup from its names, leaf first, each with a NUL.

    >>> cgroup_path(b"ssh.service\0system.slice\0")
    '/system.slice/ssh.service'
    """
    return "/" + "/".join(escape(name) for name in reversed(names.removesuffix(b"\0").split(b"\0")))


# A machine has some hundred; a hostile one gives them names of kilobytes.
known_cgroup_path = lru_cache(256)(cgroup_path)
