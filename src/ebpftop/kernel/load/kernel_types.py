"""The types and constants of the kernel by the words of a C file."""

from __future__ import annotations

from collections.abc import Iterable

from ebpftop.kernel.btf_types import BtfTypes, Kind, Type


class KernelTypes:
    """The kernel's BTF, indexed for many look-ups: 0.2 s, so it is made once in a process that compiles."""

    def __init__(self, data: bytes) -> None:
        """Index a blob; raises BtfError."""
        self.btf = BtfTypes(data)
        self._offsets = self.btf.name_offsets()
        self._constants = self.btf.enums_of_constants()

    def find(self, kinds: Iterable[Kind], name: str) -> Type | None:
        """Return the first type that is called *name*, of the first of *kinds* that has one."""
        offset = self._offsets.get(name)
        if not offset:
            return None
        numbers = (self.btf.at_name(kind, offset) for kind in kinds)
        return next((self.btf.type(number) for number in numbers if number is not None), None)

    def enum_of(self, constant: str) -> Type | None:
        """Return the enum that has *constant*."""
        number = self._constants.get(self._offsets.get(constant, -1))
        return None if number is None else self.btf.type(number)
