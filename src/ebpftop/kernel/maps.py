"""Maps read in bulk, as bytes: BCC's tables make an object of every entry, and know no batch reads of per-CPU maps."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bcc.libbcc import lib

_BATCH = 1024
_EXIST = 2  # BPF_EXIST


class Map(NamedTuple):
    """A map in the kernel."""

    map_fd: int
    max_entries: int


def possible_cpus() -> int:
    """Return the number of CPUs that per-CPU maps have room for: bpf(2) counts the possible ones, not the online."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition(",")[2]
    return int(last.rpartition("-")[2]) + 1


CPUS = possible_cpus()


def lookup(table: Map, key: bytes, value_size: int) -> bytes | None:
    """Return the value of *key*; None if there is none."""
    value = ctypes.create_string_buffer(value_size)
    if lib.bpf_lookup_elem(table.map_fd, ctypes.c_char_p(key), value) < 0:
        return None
    return value.raw


def update(table: Map, key: bytes, value: bytes) -> None:
    """Set *key* to *value*; raises OSError (E2BIG: the map is full)."""
    if lib.bpf_update_elem(table.map_fd, ctypes.c_char_p(key), ctypes.c_char_p(value), 0) < 0:
        code = ctypes.get_errno()
        raise OSError(code, "a BPF map was not updated")


def update_existing(table: Map, key: bytes, value: bytes) -> bool:
    """Set *key* to *value* only if it is in the map; False if it is not."""
    return bool(lib.bpf_update_elem(table.map_fd, ctypes.c_char_p(key), ctypes.c_char_p(value), _EXIST) >= 0)


def delete(table: Map, key: bytes) -> bool:
    """Delete *key*; False if it was not there."""
    return bool(lib.bpf_delete_elem(table.map_fd, ctypes.c_char_p(key)) >= 0)


def has_entries(table: Map, key_size: int) -> bool:
    """Return whether a hash map has any entry."""
    return bool(lib.bpf_get_next_key(table.map_fd, None, ctypes.create_string_buffer(key_size)) >= 0)


def items(table: Map, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield every key with its value. Entries that come or go meanwhile may be missed; none is given twice.

    It uses batch reads (kernel 5.6) if they work, else it reads key by key.
    """
    batched = _items_batched(table, key_size, value_size)
    yield from batched if batched is not None else _items_one_by_one(table, key_size, value_size)


def _items_batched(table: Map, key_size: int, value_size: int) -> list[tuple[bytes, bytes]] | None:
    size = min(_BATCH, table.max_entries)
    # The kernel's cursor is a key or a u32 bucket number, whichever is larger.
    here, there = (ctypes.create_string_buffer(max(key_size, 8)) for _ in range(2))
    found: dict[bytes, bytes] = {}
    first = True
    while True:
        keys, values = ctypes.create_string_buffer(key_size * size), ctypes.create_string_buffer(value_size * size)
        count = ctypes.c_uint32(size)
        ctypes.set_errno(0)
        failed = lib.bpf_lookup_batch(
            table.map_fd, None if first else _cursor(here), _cursor(there), keys, values, ctypes.byref(count)
        )
        code = ctypes.get_errno() if failed else 0
        if code == errno.ENOSPC and size < table.max_entries:  # one bucket holds more than a batch
            size = min(size * 4, table.max_entries)
            continue
        if code not in (0, errno.ENOENT):
            return None
        raw_keys, raw_values = keys.raw, values.raw
        for i in range(count.value):
            found[raw_keys[i * key_size : (i + 1) * key_size]] = raw_values[i * value_size : (i + 1) * value_size]
        if code == errno.ENOENT:
            return list(found.items())
        here, there = there, here
        first = False


def _cursor(buffer: ctypes.Array[ctypes.c_char]) -> ctypes._Pointer[ctypes.c_uint32]:
    return ctypes.cast(buffer, ctypes.POINTER(ctypes.c_uint32))


def _items_one_by_one(table: Map, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    key = ctypes.create_string_buffer(key_size)
    cursor: ctypes.Array[ctypes.c_char] | None = None
    seen: set[bytes] = set()
    # A key deleted under the cursor sends the kernel back to the start: stop at what was seen, and at the map's size.
    for _ in range(table.max_entries):
        if lib.bpf_get_next_key(table.map_fd, cursor, key) < 0:
            return
        raw = key.raw
        value = lookup(table, raw, value_size)
        if value is not None and raw not in seen:
            seen.add(raw)
            yield raw, value
        cursor = ctypes.create_string_buffer(raw, key_size)


def per_cpu_sum(table: Map, index: int) -> int:
    """Return the sum over all CPUs of one u64 of a per-CPU array."""
    value = lookup(table, struct.pack("=I", index), 8 * CPUS)
    return sum(struct.unpack(f"={CPUS}Q", value)) if value else 0
