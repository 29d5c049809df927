"""A traced call, as the kernel hands it over, becomes a record."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.syscall_records import Syscall
from ebpftop.probes import traced_files
from ebpftop.probes.syscall_slots import Slots
from ebpftop.probes.traced_files import RESULT, exe_of, file_of, files_of
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.errno_names import error_name
from ebpftop.syscalls.memory import LISTED, pieces_by_argument, result, returns_descriptor, words
from ebpftop.syscalls.memory_kinds import Pieces

_RETURNED_TIMED = 1  # enum returned
_PATH_MOST, _PATH_ROOM = 255, 264  # bytes that are shown of a path; those that the kernel hands over

_TRACED = struct.Struct(f"=QQq6Q6I16s{_PATH_ROOM}s{_PATH_ROOM}s")
_LENGTHS = struct.Struct("=4I")  # of the values, the names and the two stacks behind it
_PID, _PID_AT = struct.Struct("=I"), 9 * 8
_DATA_AT = _TRACED.size + _LENGTHS.size + traced_files.SIZE
_POINTERS = frozenset(("mmap", "mmap2", "brk", "mremap", "shmat"))


class RawStacks(NamedTuple):
    """The stacks of one call: of process *pid*, which runs *exe*."""

    pid: int
    exe: str | None
    user: bytes
    kernel: bytes


def traced_call(raw: bytes, slots: Slots, offset: float) -> Syscall:
    """Return the record of one event; *offset* is Unix time minus the kernel's clock, in seconds."""
    time_ns, duration_ns, ret, *rest = _TRACED.unpack(raw[: _TRACED.size])
    args, (pid, tid, slot, returned, *lengths, comm, first, second) = rest[:6], rest[6:]
    abi, nr = slots.call(slot)
    name = abis.name(abi, nr)
    memory: Mapping[int, Pieces] = {}
    files: Mapping[int, str] = {}
    fds: Mapping[int, str] = {}
    if len(raw) >= _DATA_AT:  # else the call has not returned
        values, names, _, _ = _LENGTHS.unpack_from(raw, _TRACED.size)
        memory = pieces_by_argument(raw[_DATA_AT : _DATA_AT + values])
        fds = {fd: file_of(data) for data, fd in memory.get(LISTED, {}).values()}
        names_at = _DATA_AT + values
        files = files_of(raw[_TRACED.size + _LENGTHS.size : _DATA_AT], raw[names_at : names_at + names])
    # Each length includes the NUL: 1 for an empty path, 0 for a path that could not be read.
    paths = [path[: length - 1] if length else None for length, path in zip(lengths, (first, second), strict=True)]
    return Syscall(
        time=time_ns / 1e9 + offset,
        pid=pid,
        tid=tid,
        comm=c_string(comm),
        abi=abi,
        nr=nr,
        name=name,
        args=decode(
            abi,
            nr,
            args,
            paths,
            words(abi, name, args, memory, fds, ret if returned else None),
            files,
            ret=ret if returned else None,
            longest=_PATH_MOST,
        ),
        ret=ret if returned else None,
        result=(_result(name, args, ret, files) or result(abi, name, args, ret, memory)) if returned else None,
        error=error_name(-ret) if returned and -4095 <= ret < 0 else None,
        ns=duration_ns if returned == _RETURNED_TIMED else None,
    )


def raw_stacks(raw: bytes) -> RawStacks | None:
    """Return the stacks of one event; None if it has none."""
    if len(raw) < _DATA_AT:
        return None
    values, names, user, kernel = _LENGTHS.unpack_from(raw, _TRACED.size)
    names_at = _DATA_AT + values
    at = names_at + names
    exe = exe_of(raw[_TRACED.size + _LENGTHS.size : _DATA_AT], raw[names_at:at])
    (pid,) = _PID.unpack_from(raw, _PID_AT)
    return RawStacks(pid, exe, raw[at : at + user], raw[at + user : at + user + kernel])


def _result(name: str, args: Sequence[int], ret: int, files: Mapping[int, str]) -> str | None:
    """Return in words what *ret* is if that is more than a number."""
    if RESULT in files and returns_descriptor(name, args):
        return f"{ret}{files[RESULT]}"
    return hex(ret) if name in _POINTERS and not -4095 <= ret < 0 else None
