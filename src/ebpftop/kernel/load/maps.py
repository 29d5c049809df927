"""The maps of a user's file: read, written, and kept while the programs around them change."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall, maps
from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.load.type_equality import Shape, shape
from ebpftop.kernel.maps import Map

# enum bpf_map_type, include/uapi/linux/bpf.h
HASH, ARRAY, PROG_ARRAY, PERF_EVENT_ARRAY, PERCPU_HASH, PERCPU_ARRAY, STACK_TRACE = 1, 2, 3, 4, 5, 6, 7
LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE, ARRAY_OF_MAPS, HASH_OF_MAPS = 9, 10, 11, 12, 13
QUEUE, STACK, RINGBUF = 22, 23, 27
_PER_CPU = frozenset({PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH})
_ARRAYS = frozenset({ARRAY, PERCPU_ARRAY, PROG_ARRAY, ARRAY_OF_MAPS})
_BUFFERS = frozenset({PERF_EVENT_ARRAY, RINGBUF})
_BATCHED = frozenset({HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE})
_NO_KEYS = _BUFFERS | {QUEUE, STACK}
_HASH_ENTRY_BYTES = 64
"""What an entry of a hash map takes besides key and value, about (kernel/bpf/hashtab.c)."""

# struct bpf_map_info: id at 4, btf_id at 64, btf_key_type_id, btf_value_type_id.
_ID = struct.Struct("=I")
_TYPE_IDS = struct.Struct("=III")


class Entries(NamedTuple):
    """What was read of a map."""

    keys: list[bytes]
    values: list[bytes]


@dataclass(frozen=True)
class OpenMap:
    """One map. All that is written to it or read from it are bytes as the kernel has them."""

    name: str
    fd: int
    id: int
    info: MapInfo
    key_type: int = 0
    """Type id in `Loading.btf`; 0 if the kernel keeps none for it."""
    value_type: int = 0
    event_fields: tuple[tuple[str, str], ...] = ()
    """Name and C type of each member of what is written to a buffer, as far as BCC knows them."""
    kept: bool = False
    """Whether it goes on with what was in it before the last reload."""

    @property
    def per_cpu(self) -> bool:
        """Whether each value is one for each possible CPU, each padded to eight bytes."""
        return self.info.type in _PER_CPU

    @property
    def is_buffer(self) -> bool:
        """Whether it is a perf or a ring buffer."""
        return self.info.type in _BUFFERS

    @property
    def is_readable(self) -> bool:
        """Whether it has keys, and values that can be looked up."""
        return self.info.type not in _NO_KEYS

    @property
    def value_bytes(self) -> int:
        """How long a value is in user space."""
        return -(-self.info.value_size // 8) * 8 * maps.CPUS if self.per_cpu else self.info.value_size

    def entries(self, limit: int | None = None) -> Entries:
        """Return all keys and values, or the first *limit*; nothing of a map without keys.

        Entries that come or go meanwhile may be missed; none is there twice.
        """
        if not self.is_readable:
            return Entries([], [])
        table = Map(self.fd, self.info.max_entries)
        if self.info.type in _BATCHED:
            return Entries(*maps.keys_and_values(table, self.info.key_size, self.value_bytes, limit))
        return Entries(*maps.keys_and_values_one_by_one(table, self.info.key_size, self.value_bytes, limit))

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value of *key*; None if there is none."""
        self._check(key, None)
        return maps.lookup(Map(self.fd, self.info.max_entries), key, self.value_bytes)

    def cpu_values(self, value: bytes) -> list[bytes]:
        """Return the value of each possible CPU."""
        if not self.per_cpu:
            return [value]
        step = -(-self.info.value_size // 8) * 8
        return [value[at : at + self.info.value_size] for at in range(0, len(value), step)]

    def write(self, key: bytes, value: bytes) -> None:
        """Set *key* to *value*; of a per-CPU map, that of the first CPU, and zero on the others. Raises OSError.

        So the sum over the CPUs is *value*. Raises ValueError if one is not as long as the map has them.
        """
        self._check(key, value)
        if self.per_cpu:
            value = value.ljust(self.value_bytes, b"\0")
        maps.update(Map(self.fd, self.info.max_entries), key, value)

    def delete(self, key: bytes) -> bool:
        """Delete *key*; False if it was not there. An array has all its keys for ever: its value becomes zeros."""
        self._check(key, None)
        if self.info.type in (ARRAY, PERCPU_ARRAY):
            self.write(key, bytes(self.info.value_size))
            return True
        return maps.delete(Map(self.fd, self.info.max_entries), key)

    def _check(self, key: bytes, value: bytes | None) -> None:
        if len(key) != self.info.key_size:
            raise ValueError(f"a key of {self.name} has {self.info.key_size} bytes")
        if value is not None and len(value) != self.info.value_size:
            raise ValueError(f"a value of {self.name} has {self.info.value_size} bytes")


def opened(name: str, fd: int, event_fields: tuple[tuple[str, str], ...] = ()) -> OpenMap:
    """Return the map that *fd* stands for; raises OSError."""
    reply = bpf_syscall.info(fd)
    (number,) = _ID.unpack_from(reply, 4)
    btf_id, key_type, value_type = _TYPE_IDS.unpack_from(reply, 64)
    if not btf_id:
        key_type = value_type = 0
    return OpenMap(name, fd, number, bpf_syscall.map_info(fd), key_type, value_type, event_fields)


def memory_bytes(info: MapInfo) -> int:
    """Return about how much memory of the kernel a map takes."""
    kind, key_size, value_size, entries, _ = info
    key, value = (-(-size // 8) * 8 for size in (key_size, value_size))
    copies = maps.CPUS if kind in _PER_CPU else 1
    if kind == RINGBUF:
        return entries
    if kind in _ARRAYS or kind in _BUFFERS:
        return entries * value * copies
    return entries * (key + value * copies + _HASH_ENTRY_BYTES)


def too_large(name: str, size: int, bytes_max: int) -> tuple[str, str]:
    """Return that a map of *size* bytes was not made, and the remedy. All maps of a file may take *bytes_max*."""
    error = f"the map {name} takes {_mib(size)} of the kernel's memory; all maps of a file may take {_mib(bytes_max)}"
    return error, "give it fewer entries, or allow more: --map-memory MIB"


def _mib(size: int) -> str:
    return f"{-(-size >> 20)} MiB"


Shapes = tuple[Shape | None, Shape | None]


def shapes(one: OpenMap, types: BtfTypes | None) -> Shapes:
    """Return what the types of key and value are made of; None for one that is unknown."""
    if types is None:
        return None, None
    return shape(types, one.key_type), shape(types, one.value_type)


def keep(new: OpenMap, new_shapes: Shapes, old: OpenMap, old_shapes: Shapes) -> OpenMap | None:
    """Return *old* in the place of *new*, whose descriptor is closed, if they are the same; else None.

    An array of programs is never kept: it would call programs that are no longer there.
    """
    if new.info.type == PROG_ARRAY or new.info != old.info or new_shapes != old_shapes:
        return None
    if new.event_fields != old.event_fields:
        return None
    os.close(new.fd)
    return replace(new, fd=old.fd, id=old.id, kept=True)
