"""Maps read in bulk, as bytes, by bpf(2)."""

from __future__ import annotations

import ctypes
import errno
import itertools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall

_BATCH = 1024
_EXIST = 2  # BPF_EXIST

# Commands and parts of union bpf_attr, include/uapi/linux/bpf.h. Of one entry: map_fd, key, value or next key, flags;
# of many: in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags.
_LOOKUP, _UPDATE, _DELETE, _NEXT_KEY = 1, 2, 3, 4
_LOOKUP_BATCH, _LOOKUP_AND_DELETE_BATCH, _DELETE_BATCH = 24, 25, 27
_ELEMENT = struct.Struct("=I4xQQQ")
_MANY = struct.Struct("=QQQQIIQQ")
_COUNT_OFFSET = 32

Buffer = ctypes.Array[ctypes.c_char]


class Map(NamedTuple):
    """A map in the kernel."""

    map_fd: int
    max_entries: int


def possible_cpus() -> int:
    """Return the number of CPUs that per-CPU maps have room for: bpf(2) counts the possible ones, not the online."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition(",")[2]
    return int(last.rpartition("-")[2]) + 1


CPUS = possible_cpus()


def _call(command: int, table: Map, key: Buffer | None, value: Buffer | None = None, flags: int = 0) -> int:
    """Return 0, or the error number."""
    attr = ctypes.create_string_buffer(
        _ELEMENT.pack(
            table.map_fd,
            0 if key is None else ctypes.addressof(key),
            0 if value is None else ctypes.addressof(value),
            flags,
        ),
        _ELEMENT.size,
    )
    return 0 if bpf_syscall.call(command, attr, _ELEMENT.size) >= 0 else ctypes.get_errno()


def _buffer(raw: bytes) -> Buffer:
    return ctypes.create_string_buffer(raw, len(raw))


def lookup(table: Map, key: bytes, value_size: int) -> bytes | None:
    """Return the value of *key*; None if there is none."""
    value = ctypes.create_string_buffer(value_size)
    return None if _call(_LOOKUP, table, _buffer(key), value) else value.raw


def update(table: Map, key: bytes, value: bytes) -> None:
    """Set *key* to *value*; raises OSError (E2BIG: the map is full)."""
    code = _call(_UPDATE, table, _buffer(key), _buffer(value))
    if code:
        raise OSError(code, "a BPF map was not updated")


def update_existing(table: Map, key: bytes, value: bytes) -> bool:
    """Set *key* to *value* only if it is in the map; False if it is not."""
    return _call(_UPDATE, table, _buffer(key), _buffer(value), _EXIST) == 0


def delete(table: Map, key: bytes) -> bool:
    """Delete *key*; False if it was not there."""
    return _call(_DELETE, table, _buffer(key)) == 0


def has_entries(table: Map, key_size: int) -> bool:
    """Return whether a hash map has any entry."""
    return _call(_NEXT_KEY, table, None, ctypes.create_string_buffer(key_size)) == 0


def items(table: Map, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield every key with its value, as `keys_and_values` reads them."""
    return zip(*keys_and_values(table, key_size, value_size), strict=True)


def keys_and_values(
    table: Map, key_size: int, value_size: int, at_most: int | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Return every key, and the value of each; or only *at_most* of them.

    Entries that come or go meanwhile may be missed; none is given twice. It uses batch reads (kernel 5.6) if they work,
    else it reads key by key.
    """
    batched = _read_batches(_LOOKUP_BATCH, table, key_size, value_size, at_most)
    if batched is not None:
        return batched[0][:at_most], batched[1][:at_most]
    return keys_and_values_one_by_one(table, key_size, value_size, at_most)


def keys_and_values_one_by_one(
    table: Map, key_size: int, value_size: int, at_most: int | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Return the same of a map of any type that has keys. Keys without a value, as in an array of programs, are not."""
    found = dict(itertools.islice(_items_one_by_one(table, key_size, value_size), at_most))
    return list(found), list(found.values())


def pop(table: Map, key_size: int, value_size: int) -> tuple[list[bytes], list[bytes]]:
    """Empty a hash map; return the keys that were in it, and the value of each. What is put in meanwhile may stay."""
    batched = _read_batches(_LOOKUP_AND_DELETE_BATCH, table, key_size, value_size)
    if batched is not None:
        return batched
    found = [one for one in list(_items_one_by_one(table, key_size, value_size)) if delete(table, one[0])]
    return [key for key, _ in found], [value for _, value in found]


def pop_keys(table: Map, key_size: int, value_size: int) -> list[bytes]:
    """Empty a hash map; return the keys that were in it. What is put in meanwhile is returned or stays."""
    return pop(table, key_size, value_size)[0]


def delete_keys(table: Map, keys: Sequence[bytes]) -> None:
    """Delete *keys*, all of one size; those that are not there are passed over."""
    joined = _buffer(b"".join(keys))
    at = 0
    while at < len(keys):
        start = ctypes.addressof(joined) + at * len(keys[0])
        code, count = _call_batch(_DELETE_BATCH, table, 0, 0, start, 0, len(keys) - at)
        if code not in (0, errno.ENOENT):
            for key in keys[at:]:
                delete(table, key)
            return
        # It ends at the first key that is not in the map.
        at += count + (1 if code else 0)


def _call_batch(command: int, table: Map, here: int, there: int, keys: int, values: int, size: int) -> tuple[int, int]:
    """Return 0 or the error number, and how many entries it was done for. All but *size* are addresses."""
    attr = ctypes.create_string_buffer(_MANY.pack(here, there, keys, values, size, table.map_fd, 0, 0), _MANY.size)
    code = 0 if bpf_syscall.call(command, attr, _MANY.size) >= 0 else ctypes.get_errno()
    return code, struct.unpack_from("=I", attr, _COUNT_OFFSET)[0]


def _read_batches(
    command: int, table: Map, key_size: int, value_size: int, at_least: int | None = None
) -> tuple[list[bytes], list[bytes]] | None:
    """Return all keys and their values, by a *command* that reads many; None if the kernel cannot do that.

    If there are *at_least* so many, others may be left out.
    The kernel's cursor is a bucket of a hash map or a key of an array: so nothing is given twice.
    """
    size = min(_BATCH, table.max_entries)
    # A cursor is a key or a u32 bucket number, whichever is larger.
    here, there = (ctypes.create_string_buffer(max(key_size, 8)) for _ in range(2))
    raw_keys, raw_values = (ctypes.create_string_buffer(one * size) for one in (key_size, value_size))
    keys: list[bytes] = []
    values: list[bytes] = []
    start = 0
    while True:
        code, count = _call_batch(
            command,
            table,
            start,
            ctypes.addressof(there),
            ctypes.addressof(raw_keys),
            ctypes.addressof(raw_values),
            size,
        )
        if code == errno.ENOSPC and size < table.max_entries:  # one bucket holds more than a batch
            size = min(size * 4, table.max_entries)
            raw_keys, raw_values = (ctypes.create_string_buffer(one * size) for one in (key_size, value_size))
            continue
        if code not in (0, errno.ENOENT):
            # What was deleted from the map is only here.
            return (keys, values) if keys and command == _LOOKUP_AND_DELETE_BATCH else None
        keys += _cut(raw_keys, key_size, count)
        values += _cut(raw_values, value_size, count)
        if code == errno.ENOENT or (at_least is not None and len(keys) >= at_least):
            return keys, values
        here, there = there, here
        start = ctypes.addressof(here)


def _cut(buffer: Buffer, size: int, count: int) -> list[bytes]:
    raw = ctypes.string_at(buffer, size * count)
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _items_one_by_one(table: Map, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    key = ctypes.create_string_buffer(key_size)
    cursor: Buffer | None = None
    seen: set[bytes] = set()
    # A key deleted under the cursor sends the kernel back to the start: stop at what was seen, and at the map's size.
    for _ in range(table.max_entries):
        if _call(_NEXT_KEY, table, cursor, key):
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
