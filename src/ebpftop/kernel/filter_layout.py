"""How the filter lies in the maps that every program reads: structs and keys of bpf/filter.h and bpf/filter.c."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from ebpftop.filters.spec import Filter
from ebpftop.kernel.cgroups import CgroupChoice
from ebpftop.lifecycle.helpers import HELPERS_MAX

_UID, _PID, _COMM, _CGROUP, HIDE_SELF = 1, 2, 4, 8, 16  # enum filter_flag
_NOT_UID, _NOT_PID, _NOT_COMM, _NOT_CGROUP = 32, 64, 128, 256
SLOTS, VALUES_MAX, CGROUPS_MAX = 2, 64, 8
EXCLUDED = SLOTS
"""Added to the bit of a slot: its filter excludes the value."""
_COMM_LEN = 16
_OWN_PROCESSES = 1 + HELPERS_MAX
_NO_PID = 0xFFFFFFFF  # no process has it; 0 is the idle task's
_CONFIG = struct.Struct(f"=II{_OWN_PROCESSES}I")
_SLOT = struct.Struct("=II")
_CGROUP_CHOICE = struct.Struct("=QIHH")
SLOT_SIZE = _SLOT.size + CGROUPS_MAX * _CGROUP_CHOICE.size
COMM_KEY_SIZE = 4 + _COMM_LEN
CONFIG_SIZE = _CONFIG.size + SLOTS * SLOT_SIZE
PATH_LEN = 256  # CGROUP_PATH_LEN of bpf/filter.c


def config_of(slots: Sequence[bytes], active: int, own_pids: Sequence[int], *, hide_self_only: bool) -> bytes:
    """Return a struct filter_config."""
    own = itertools.islice(itertools.cycle(own_pids or (_NO_PID,)), _OWN_PROCESSES)
    return _CONFIG.pack(hide_self_only, active, *own) + b"".join(slots)


def flags_of_slot(slot: bytes) -> int:
    """Return the flags of a struct filter_slot."""
    return int(_SLOT.unpack_from(slot)[0])


def cgroup_ids(config: bytes, slot: int, count: int) -> list[int]:
    """Return the ids of the first *count* cgroups in a slot of a struct filter_config."""
    at = _CONFIG.size + slot * SLOT_SIZE + _SLOT.size
    return [_CGROUP_CHOICE.unpack_from(config, at + i * _CGROUP_CHOICE.size)[0] for i in range(count)]


def flags_of(requested: Filter, cgroups: Sequence[CgroupChoice]) -> int:
    """Return the conditions of a filter as flags; *cgroups* are those that it means."""
    excluded = requested.excluded
    return (
        _UID * bool(requested.uids)
        | _PID * bool(requested.pids)
        | _COMM * bool(requested.comms)
        | _CGROUP * any(not choice.excluded for choice in cgroups)
        | HIDE_SELF * requested.hide_self
        | _NOT_UID * bool(excluded.uids)
        | _NOT_PID * bool(excluded.pids)
        | _NOT_COMM * bool(excluded.comms)
        | _NOT_CGROUP * any(choice.excluded for choice in cgroups)
    )


def bits_of(slot: int) -> int:
    """Return both bits of a slot: of what its filter matches, and of what it excludes."""
    return 1 << slot | 1 << (slot + EXCLUDED)


def slot_of(flags: int, cgroups: tuple[CgroupChoice, ...]) -> bytes:
    """Return a struct filter_slot."""
    choices = b"".join(_CGROUP_CHOICE.pack(c.id, c.level, c.v1, c.excluded) for c in cgroups)
    body = _SLOT.pack(flags, len(cgroups)) + choices
    return body.ljust(SLOT_SIZE, b"\0")


def path_key(choice: CgroupChoice) -> bytes | None:
    """Return the key of `filter_paths`; None if the path is too long for one."""
    path = choice.path.encode("utf-8", "surrogateescape")
    return path.ljust(PATH_LEN, b"\0") if len(path) < PATH_LEN else None


def comm_key(comm: str) -> bytes:
    """Return the key of the longest-prefix map; for a whole name the key includes its NUL."""
    prefix = comm.endswith("*")
    raw = comm.removesuffix("*").encode("utf-8", "surrogateescape")[: _COMM_LEN - 1]
    bits = 8 * (len(raw) + (0 if prefix else 1))
    return struct.pack("=I", bits) + raw.ljust(_COMM_LEN, b"\0")


def any_prefix(prefixes: set[bytes], key: bytes) -> bool:
    """Return whether one of *prefixes*, keys of names, begins *key* or is the same."""
    (bits,) = struct.unpack_from("=I", key)
    for prefix in prefixes:
        (length,) = struct.unpack_from("=I", prefix)
        if length <= bits and key[4 : 4 + length // 8] == prefix[4 : 4 + length // 8]:
            return True
    return False
