"""What programs could not write to a buffer: of a ring buffer the kernel does not count it, so the programs do.

Behind each call that writes to a perf or ring buffer, or reserves room in one, five or six instructions are put: if it
failed, they add 1 to a number in an array map, at an address that the kernel fills in (BPF_PSEUDO_MAP_VALUE). A call
destroys r1 to r5, so they need no register that anybody reads, and what the call returned stays in r0. Where nothing
is lost it costs one comparison.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.compiled import INSN, loaded_map_fds
from ebpftop.kernel.load.control_flow import Insn, NotCountable, instructions
from ebpftop.kernel.load.inserting import Counted, inserted
from ebpftop.kernel.maps import Map, lookup

_ARRAY = 2  # BPF_MAP_TYPE_ARRAY
_NAME = "ebpftop_lost"
_KEY = struct.pack("=I", 0)
_COUNTER_BYTES = 8

_WIDE, _COPY, _PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE = 0x18, 0xBF, 1, 2
_COPY_HALF, _LOAD_ONE, _ADD = 0xBC, 0xB7, 0xDB
_IF_NOT_NEGATIVE, _IF_NOT_ZERO = 0x75, 0x55  # JSGE and JNE with a constant


class _Writer(NamedTuple):
    """A helper that writes to a buffer: the register that has the map, and what jumps over four if it did not fail."""

    map_register: int
    unless: bytes


_UNLESS_NEGATIVE = INSN.pack(_IF_NOT_NEGATIVE, 0, 4, 0)
# Half of the pointer, as a number: if the pointer itself were compared, Linux 5.10 would take the program's own
# comparison for one that may go either way, and find room that is not released.
_UNLESS_NULL = INSN.pack(_COPY_HALF, 1, 0, 0) + INSN.pack(_IF_NOT_ZERO, 1, 4, 0)

# enum bpf_func_id, include/uapi/linux/bpf.h
_WRITERS: Mapping[int, _Writer] = {
    25: _Writer(2, _UNLESS_NEGATIVE),  # perf_event_output
    130: _Writer(1, _UNLESS_NEGATIVE),  # ringbuf_output
    131: _Writer(1, _UNLESS_NULL),  # ringbuf_reserve
}


class LostCounts:
    """The counters of all programs of a file, in one map. They begin at 0 when it is made."""

    def __init__(self, buffers: Mapping[str, int]) -> None:
        """*buffers* are descriptors of maps by name. Raises OSError."""
        self._buffers = dict(buffers)
        self._numbers = {fd: number for number, fd in enumerate(self._buffers.values())}
        self._bytes = max(1, len(self._buffers)) * _COUNTER_BYTES
        self._map = Map(bpf_syscall.create_map(_NAME, MapInfo(_ARRAY, 4, self._bytes, 1, 0)), 1)
        self._uncounted: set[int] = set()
        """Buffers that a program writes to without counting what it could not."""

    def counted(self, code: bytes, functions: bytes, lines: bytes) -> Counted | None:
        """Return a program with counters; None if it writes to no buffer, or cannot have them.

        *functions* and *lines* are those of the program without.
        """
        try:
            insns = instructions(code)
            after = dict(_counters(insns, self._map.map_fd, lambda fd: self._number(fd, code)))
            return inserted(insns, functions, lines, after=after) if after else None
        except NotCountable:
            self.give_up(code)
            return None

    def give_up(self, code: bytes) -> None:
        """A program runs without counters: what is lost of the buffers that it uses is not known."""
        self._uncounted |= loaded_map_fds(code) & self._numbers.keys()

    def lost(self) -> dict[str, int]:
        """Return how often a write to each buffer failed, where all such writes are counted. Raises OSError."""
        value = lookup(self._map, _KEY, self._bytes)
        if value is None:
            return {}
        counts = struct.unpack(f"={self._bytes // _COUNTER_BYTES}Q", value)
        return {
            name: count
            for (name, fd), count in zip(self._buffers.items(), counts, strict=False)
            if fd not in self._uncounted
        }

    def close(self) -> None:
        """Remove the map. Programs that still run go on counting into it."""
        os.close(self._map.map_fd)

    def _number(self, fd: int | None, code: bytes) -> int:
        """Return the number of a buffer's counter; None: it is not seen which one a call writes to."""
        if fd is None:
            used = loaded_map_fds(code) & self._numbers.keys()
            if len(used) != 1:
                raise NotCountable("it is not seen which of its buffers it writes to")
            (fd,) = used
        if fd not in self._numbers:
            raise NotCountable("it writes to a buffer of others")
        return self._numbers[fd]


def _counters(insns: Sequence[Insn], map_fd: int, number: Callable[[int | None], int]) -> Sequence[tuple[int, bytes]]:
    """Return what is put behind which instruction."""
    starts = {one.target for one in insns}
    found = []
    for index, one in enumerate(insns):
        writer = _WRITERS.get(one.immediate) if one.is_call and one.source == 0 else None
        if writer is not None:
            offset = number(_map_of(insns, index, writer.map_register, starts)) * _COUNTER_BYTES
            found.append((one.at, _counter(writer.unless, map_fd, offset)))
    return found


def _map_of(insns: Sequence[Insn], index: int, register: int, starts: set[int | None]) -> int | None:
    """Return the descriptor of the map that a register has at a call; None if that is not seen near it."""
    for at in range(index, 0, -1):
        # Who jumps here may bring another map.
        if insns[at].at in starts or insns[at - 1].is_exit or insns[at - 1].is_goto:
            return None
        one = insns[at - 1]
        if one.is_call:
            if register < 6:
                return None
        elif one.to == register and not one.is_jump and one.opcode & 7 != 3 and one.opcode & 7 != 2:
            if one.opcode == _COPY:
                register = one.source
            elif one.opcode == _WIDE and one.source == _PSEUDO_MAP_FD:
                return one.immediate
            else:
                return None
    return None


def _counter(unless: bytes, map_fd: int, offset: int) -> bytes:
    return b"".join(
        (
            unless,
            INSN.pack(_WIDE, 1 | _PSEUDO_MAP_VALUE << 4, 0, map_fd),
            INSN.pack(0, 0, 0, offset),
            INSN.pack(_LOAD_ONE, 2, 0, 1),
            INSN.pack(_ADD, 1 | 2 << 4, 0, 0),
        )
    )
