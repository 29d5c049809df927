"""Which slot of the tail-call table belongs to which call: the layout of bpf/syscalls.c."""

from __future__ import annotations

from ebpftop.records import Abi, Handler
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import path_args
from ebpftop.syscalls.families import Family, family

Call = tuple[Abi, int]

_BASES = (0, 512, 1024)  # native, 32-bit, x32
_SIZES = (512, 512, 576)
_PATHS_GO_WITH_SUCCESS = 256
_HANDLER_OF: dict[Family, Handler] = {
    "exec": "exec",
    "timer_create": "timer",
    "timer_delete": "timer",
    "timer_other": "timer",
}


class Slots:
    """The table's layout on one machine."""

    def __init__(self, machine: str) -> None:
        """*machine* is what `uname -m` says."""
        self.abis: tuple[Abi, ...] = (abis.native_abi(machine), *abis.compat_abis(machine))

    def slot(self, call: Call) -> int | None:
        """Return the slot of *call*; None for a number beyond the table, which is counted apart."""
        abi, nr = call
        index = self.abis.index(abi)
        return _BASES[index] + nr if 0 <= nr < _SIZES[index] else None

    def call(self, slot: int) -> Call:
        """Return what `slot` was made from."""
        index = 2 if slot >= _BASES[2] else 1 if slot >= _BASES[1] else 0
        return self.abis[min(index, len(self.abis) - 1)], slot - _BASES[index]

    def family(self, call: Call) -> Family | None:
        """Return the family of *call* that has a handler of its own."""
        return family(abis.name(*call))

    def family_handler(self, call: Call) -> Handler:
        """Return the kind of handler that *call* has from the start."""
        found = self.family(call)
        return _HANDLER_OF[found] if found else "count"

    def path_bits(self, call: Call) -> int:
        """Return which arguments are paths, as `path_args` of bpf/syscalls.c wants it: four bits each, number + 1."""
        bits = _PATHS_GO_WITH_SUCCESS if self.family(call) == "exec" else 0
        for i, argument in enumerate(path_args(call[0], abis.name(*call))[:2]):
            bits |= (argument + 1) << 4 * i
        return bits
