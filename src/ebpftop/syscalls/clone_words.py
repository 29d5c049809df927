"""The arguments of clone and clone3 by name, as strace shows them: which of them count depends on the flags."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ebpftop.syscalls import constants
from ebpftop.syscalls.errno_names import raw_signal_name

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi

_PIDFD, _SETTLS, _PARENT_SETTID = 0x1000, 0x80000, 0x100000  # include/uapi/linux/sched.h
_CHILD_TID = 0x200000 | 0x1000000  # CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID
_INTO_CGROUP = 0x200000000
_TLS_LAST: frozenset[Abi] = frozenset(("x86_64", "x32"))
_ARGS = struct.Struct("=11Q")  # struct clone_args


def clone(abi: Abi, registers: Sequence[int], ret: int | None) -> tuple[str, ...]:
    """Return the arguments of clone: CONFIG_CLONE_BACKWARDS exchanges the last two."""
    flags, stack, parent_tid, *last = registers[:5]
    child_tid, tls = last if abi in _TLS_LAST else reversed(last)
    words = [f"child_stack={_address(stack)}", f"flags={constants.WORDS['clone'](flags)}"]
    if flags & (_PARENT_SETTID | _PIDFD):
        words.append(f"parent_tid={_written(parent_tid, ret if flags & _PARENT_SETTID else None)}")
    if flags & _SETTLS:
        words.append(f"tls={_address(tls)}")
    if flags & _CHILD_TID:
        words.append(f"child_tidptr={_address(child_tid)}")
    return tuple(words)


def _address(value: int) -> str:
    return hex(value) if value else "NULL"


def _written(place: int, ret: int | None) -> str:
    """Show the id of the new thread, which the kernel wrote where it returns it too; else the address."""
    return f"[{ret}]" if place and ret is not None and ret > 0 else _address(place)


def clone_args(pieces: Mapping[int, tuple[bytes, int]]) -> str:
    """Show struct clone_args."""
    return f"{{{', '.join(_fields(_unpacked(pieces)))}}}"


def _unpacked(pieces: Mapping[int, tuple[bytes, int]]) -> tuple[int, ...]:
    return _ARGS.unpack(pieces[0][0].ljust(_ARGS.size, b"\0")[: _ARGS.size])


def _fields(fields: Sequence[int]) -> Iterator[str]:
    flags, pidfd, child_tid, parent_tid, signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup = fields
    low, high = flags & 0xFFFFFFFF, flags & ~0xFFFFFFFF
    known = {1 << 32: "CLONE_CLEAR_SIGHAND", 1 << 33: "CLONE_INTO_CGROUP"}
    words = [constants.WORDS["clone"](low)] if low or not high else []
    words += [name for bit, name in known.items() if high & bit]
    if rest := high & ~sum(known):
        words.append(hex(rest))
    yield f"flags={'|'.join(words)}"
    if flags & _PIDFD:
        yield f"pidfd={_address(pidfd)}"
    if flags & _CHILD_TID:
        yield f"child_tid={_address(child_tid)}"
    if flags & _PARENT_SETTID:
        yield f"parent_tid={_address(parent_tid)}"
    yield f"exit_signal={raw_signal_name(signal) if 0 < signal <= 64 else signal}"
    yield f"stack={_address(stack)}"
    yield f"stack_size={stack_size:#x}" if stack_size else "stack_size=0"
    if flags & _SETTLS:
        yield f"tls={_address(tls)}"
    if set_tid or set_tid_size:
        yield f"set_tid={_address(set_tid)}, set_tid_size={set_tid_size}"
    if flags & _INTO_CGROUP:
        yield f"cgroup={cgroup}"


def cloned(pieces: Mapping[int, tuple[bytes, int]], ret: int | None) -> str:
    """Return what clone3 wrote, behind its structure."""
    flags, _, _, parent_tid, *_ = _unpacked(pieces)
    if not flags & _PARENT_SETTID or not parent_tid or ret is None or ret <= 0:
        return ""
    return f" => {{parent_tid=[{ret}]}}"
