"""Offsets of struct members, read from the running kernel's own type information (BTF).

Headers describe the kernel that they were made for. BTF describes the running kernel, and needs no package.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ebpftop.kernel.btf_types import COMPOSITES, BtfTypes, Kind, Member
from ebpftop.kernel.errors import BtfError

VMLINUX = Path("/sys/kernel/btf/vmlinux")


def of_running_kernel() -> bytes:
    """Return the BTF blob of the running kernel; raises BtfError if it has none."""
    try:
        return VMLINUX.read_bytes()
    except OSError as error:
        raise BtfError(f"{VMLINUX}: {error.strerror}") from error


def names(blob: bytes, ids: Collection[int], base: bytes | None = None) -> dict[int, bytes]:
    """Return the names of the types *ids* in *blob*; raises BtfError if it is not whole.

    The types of a kernel module go on where those of the kernel, *base*, end, and so do its names: only those of its
    own are returned.
    """
    kernel = None if base is None else BtfTypes(base)
    types = BtfTypes(blob, kernel)
    own = (number for number in ids if (len(kernel) if kernel else 1) <= number < len(types))
    return {number: name for number in own if (name := types.raw_name(number))}


class Btf:
    """Type information of one kernel."""

    def __init__(self, data: bytes) -> None:
        """Index *data*, the bytes of a BTF blob; about 0.1 s for a kernel of 126,000 types. Raises BtfError."""
        self.types = BtfTypes(data)

    def offset(self, struct_name: str, path: str) -> int:
        """Return the offset in bytes of member *path* ("signal", "thread_info.status") in *struct_name*.

        Members of anonymous structs and unions are found as C finds them. Raises BtfError if there is no such member.
        """
        type_id = self._find(Kind.STRUCT, struct_name)
        bits = 0
        for name in path.split("."):
            member = self._member(type_id, name)
            if member is None:
                raise BtfError(f"struct {struct_name} of this kernel has no {path}")
            bits += member.bits
            type_id = member.type_id
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
        constants = self.types.type(self._find(Kind.ENUM, enum_name)).constants
        return next((value for name, value in constants if name == constant), None)

    def function_id(self, name: str) -> int | None:
        """Return the type id of the kernel function *name*, None if BTF lists no such function."""
        return self.types.find(Kind.FUNC, name)

    def struct_id(self, name: str) -> int | None:
        """Return the type id of the kernel's struct *name*, None if BTF lists no such struct."""
        return self.types.find(Kind.STRUCT, name)

    def function_ids(self, part: str) -> dict[str, int]:
        """Return the type ids of all kernel functions whose name has *part* in it."""
        return {name: number for number, name in self.types.named(Kind.FUNC) if part in name}

    def variable_id(self, name: str) -> int | None:
        """Return the type id of the kernel's per-CPU variable *name*, None if BTF lists no such variable."""
        return self.types.find(Kind.VAR, name)

    def size(self, struct_name: str) -> int:
        """Return the size in bytes of *struct_name*; raises BtfError if there is no such struct."""
        return self.types.size_of(self._find(Kind.STRUCT, struct_name))

    def has_tracepoint(self, name: str) -> bool:
        """Return whether the kernel has the tracepoint *name*: BTF has a type for it (include/trace/bpf_probe.h)."""
        return self.types.find(Kind.TYPEDEF, f"btf_trace_{name}") is not None

    def _find(self, kind: Kind, name: str) -> int:
        found = self.types.find(kind, name)
        if found is None:
            raise BtfError(f"this kernel's BTF has no {name}")
        return found

    def _member(self, type_id: int, name: str) -> Member | None:
        found = self.types.bare(type_id)
        if found.kind not in COMPOSITES:
            return None
        for member in found.members:
            if member.name == name:
                return member
            if not member.name:
                inner = self._member(member.type_id, name)
                if inner is not None:
                    return inner._replace(bits=member.bits + inner.bits)
        return None
