"""Offsets of struct members, read from the running kernel's own type information (BTF).

Headers describe the kernel that they were made for. BTF describes the running kernel, and needs no package. Format:
Documentation/bpf/btf.rst and include/uapi/linux/btf.h of the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel.errors import BtfError

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_HEADER = struct.Struct("HBBIIIII")
_TYPE = struct.Struct("III")
_MEMBER = struct.Struct("III")
_ENUM = struct.Struct("Ii")
_ENUM64 = struct.Struct("III")

# Kinds, and how many bytes follow a type of that kind: a fixed number, and a number for each of its `vlen` members.
_ARRAY, _STRUCT, _UNION, _ENUM_KIND, _TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC = 3, 4, 5, 6, 8, 9, 10, 11, 12
_VAR, _ENUM64_KIND, _TYPE_TAG = 14, 19, 18
_EXTRA: dict[int, tuple[int, int]] = {
    1: (4, 0),
    _ARRAY: (12, 0),
    _STRUCT: (0, 12),
    _UNION: (0, 12),
    _ENUM_KIND: (0, 8),
    13: (0, 8),
    _VAR: (4, 0),
    15: (0, 12),
    17: (4, 0),
    _ENUM64_KIND: (0, 12),
}
_MODIFIERS = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})


class _Member(NamedTuple):
    type_id: int
    bits: int


def of_running_kernel() -> bytes:
    """Return the BTF blob of the running kernel; raises BtfError if it has none."""
    try:
        return VMLINUX.read_bytes()
    except OSError as error:
        raise BtfError(f"{VMLINUX}: {error.strerror}") from error


def names(blob: bytes, ids: Collection[int], base: bytes | None = None) -> dict[int, bytes]:
    """Return the names of the types *ids* in *blob*; raises BtfError if it is not whole.

    The types of a kernel module go on where those of the kernel, *base*, end, and so do its names.
    """
    first, names_before = (1, 0) if base is None else (1 + sum(1 for _ in _types(base)), _HEADER.unpack_from(base)[7])
    wanted, found = frozenset(ids), {}
    try:
        header, names_at = (_HEADER.unpack_from(blob)[at] for at in (3, 6))
        for number, (name, *_) in enumerate(_types(blob), first):
            if number in wanted and name >= names_before:
                start = header + names_at + name - names_before
                found[number] = blob[start : blob.index(b"\0", start)]
    except (struct.error, ValueError) as error:
        raise BtfError("the BTF blob is cut off") from error
    return found


def _types(blob: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield what each type begins with: name, info, and size or type."""
    _, _, _, header, types_at, types_len, _, _ = _HEADER.unpack_from(blob)
    at, end = header + types_at, header + types_at + types_len
    unpack = _TYPE.unpack_from
    while at < end:
        begins = unpack(blob, at)
        yield begins
        fixed, each = _EXTRA.get(begins[1] >> 24 & 0x1F, (0, 0))
        at += 12 + fixed + each * (begins[1] & 0xFFFF)


class Btf:
    """Type information of one kernel."""

    def __init__(self, data: bytes) -> None:
        """Index *data*, the bytes of a BTF blob; about 0.15 s for a kernel of 126,000 types."""
        if len(data) < _HEADER.size:
            raise BtfError("the BTF blob is cut off")
        magic, version, _flags, header_len, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise BtfError("the BTF blob is of an unknown format")
        self._data = data
        self._strings = data[header_len + str_off : header_len + str_off + str_len]
        self._names: dict[tuple[int, int], int] = {}
        self._positions = [0]
        position, end = header_len + type_off, header_len + type_off + type_len
        unpack, positions, names = _TYPE.unpack_from, self._positions, self._names
        while position < end:
            name_off, info, _ = unpack(data, position)
            kind = info >> 24 & 0x1F
            if name_off:
                names.setdefault((kind, name_off), len(positions))
            positions.append(position)
            fixed, each = _EXTRA.get(kind, (0, 0))
            position += 12 + fixed + each * (info & 0xFFFF)

    def offset(self, struct_name: str, path: str) -> int:
        """Return the offset in bytes of member *path* ("signal", "thread_info.status") in *struct_name*.

        Members of anonymous structs and unions are found as C finds them. Raises BtfError if there is no such member.
        """
        type_id = self._find(_STRUCT, struct_name)
        bits = 0
        for name in path.split("."):
            member = self._member(type_id, name)
            if member is None:
                raise BtfError(f"struct {struct_name} of this kernel has no {path}")
            bits += member.bits
            type_id = self._bare(member.type_id)
        return bits // 8

    def has(self, struct_name: str, path: str) -> bool:
        """Return whether `offset` would find it."""
        try:
            self.offset(struct_name, path)
        except BtfError:
            return False
        return True

    def enum(self, enum_name: str, constant: str) -> int | None:
        """Return the value of an enum's constant, None if the enum does not have it."""
        type_id = self._find(_ENUM_KIND, enum_name)
        position = self._positions[type_id]
        _, info, _ = _TYPE.unpack_from(self._data, position)
        name_at = self._string_offset(constant)
        for i in range(info & 0xFFFF):
            name_off, value = _ENUM.unpack_from(self._data, position + 12 + 8 * i)
            if name_off == name_at:
                return int(value)
        return None

    def function_id(self, name: str) -> int | None:
        """Return the type id of the kernel function *name*, None if BTF lists no such function."""
        return self._names.get((_FUNC, self._string_offset(name)))

    def struct_id(self, name: str) -> int | None:
        """Return the type id of the kernel's struct *name*, None if BTF lists no such struct."""
        return self._names.get((_STRUCT, self._string_offset(name)))

    def function_ids(self, part: str) -> dict[str, int]:
        """Return the type ids of all kernel functions whose name has *part* in it."""
        found: dict[str, int] = {}
        for (kind, name_off), type_id in self._names.items():
            if kind == _FUNC:
                name = self._strings[name_off : self._strings.index(b"\0", name_off)].decode("ascii", "replace")
                if part in name:
                    found[name] = type_id
        return found

    def variable_id(self, name: str) -> int | None:
        """Return the type id of the kernel's per-CPU variable *name*, None if BTF lists no such variable."""
        return self._names.get((_VAR, self._string_offset(name)))

    def size(self, struct_name: str) -> int:
        """Return the size in bytes of *struct_name*; raises BtfError if there is no such struct."""
        return int(_TYPE.unpack_from(self._data, self._positions[self._find(_STRUCT, struct_name)])[2])

    def has_tracepoint(self, name: str) -> bool:
        """Return whether the kernel has the tracepoint *name*: BTF has a type for it (include/trace/bpf_probe.h)."""
        return (_TYPEDEF, self._string_offset(f"btf_trace_{name}")) in self._names

    def _string_offset(self, text: str) -> int:
        found = self._strings.find(b"\0" + text.encode() + b"\0")
        return found + 1 if found >= 0 else -1

    def _find(self, kind: int, name: str) -> int:
        try:
            return self._names[kind, self._string_offset(name)]
        except KeyError:
            raise BtfError(f"this kernel's BTF has no {name}") from None

    def _bare(self, type_id: int) -> int:
        """Follow typedefs and qualifiers."""
        while True:
            _, info, target = _TYPE.unpack_from(self._data, self._positions[type_id])
            if info >> 24 & 0x1F not in _MODIFIERS:
                return type_id
            type_id = target

    def _member(self, type_id: int, name: str) -> _Member | None:
        position = self._positions[type_id]
        _, info, _ = _TYPE.unpack_from(self._data, position)
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        name_at = self._string_offset(name)
        for i in range(info & 0xFFFF):
            name_off, member_type, bits = _MEMBER.unpack_from(self._data, position + 12 + 12 * i)
            if info >> 31:  # kind_flag: the upper 8 bits are the size of a bit field
                bits &= 0xFFFFFF
            if name_off == name_at:
                return _Member(member_type, bits)
            if name_off == 0:
                inner = self._member(self._bare(member_type), name)
                if inner is not None:
                    return _Member(inner.type_id, bits + inner.bits)
        return None
