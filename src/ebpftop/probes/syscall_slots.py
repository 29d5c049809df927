"""Which slot of the tail-call table belongs to which call: the layout of bpf/syscalls_slots.h."""

from __future__ import annotations

from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.decode import path_args
from ebpftop.syscalls.families import Family, family
from ebpftop.syscalls.memory import is_looked_at_before

Call = tuple[Abi, int]

_BASES = (0, 512, 1024)  # native, 32-bit, x32
_SIZES = (512, 512, 576)
SLOTS = _BASES[-1] + _SIZES[-1]
"""Calls of the table; a greater number stands for a call without a slot, or one that is not to be counted."""

# enum call_fact
_PATHS_GO_WITH_SUCCESS, _MAKES_TASKS, _IGNORED, _TRACED, _LOOKED_AT_BEFORE = 256, 512, 1024, 2048, 4096
_CONDITIONS_SHIFT = 16
_TASK_MAKERS = ("clone", "clone3", "fork", "vfork")
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
        self.abis: tuple[Abi, ...] = abis.all_abis(machine)

    def slot(self, call: Call) -> int | None:
        """Return the slot of *call*; None for a number beyond the table, which is counted separately."""
        abi, nr = call
        index = self.abis.index(abi)
        return _BASES[index] + nr if 0 <= nr < _SIZES[index] else None

    def call(self, slot: int) -> Call:
        """Return the call that has *slot*."""
        index = 2 if slot >= _BASES[2] else 1 if slot >= _BASES[1] else 0
        return self.abis[min(index, len(self.abis) - 1)], slot - _BASES[index]

    def family(self, call: Call) -> Family | None:
        """Return the family of *call* that has a handler of its own."""
        return family(abis.name(*call))

    def family_handler(self, call: Call) -> Handler:
        """Return the kind of handler that *call* has from the start."""
        found = self.family(call)
        return _HANDLER_OF[found] if found else "count"

    def facts(self, call: Call, handler: Handler | None = None, conditions: int = 0) -> int:
        """Return the kernel's facts of *call* and the *handler* chosen for it (bpf/syscalls.c, enum call_fact).

        *conditions* are those of a traced call, as bits.
        """
        name = abis.name(*call)
        bits = _PATHS_GO_WITH_SUCCESS if self.family(call) == "exec" else 0
        bits |= _MAKES_TASKS if name in _TASK_MAKERS else 0
        bits |= _LOOKED_AT_BEFORE if is_looked_at_before(call[0], name) else 0
        bits |= {"ignore": _IGNORED, "trace": _TRACED}.get(handler or "", 0)
        bits |= conditions << _CONDITIONS_SHIFT
        for i, argument in enumerate(path_args(call[0], name)[:2]):
            bits |= (argument + 1) << 4 * i
        return bits

    @property
    def task_makers(self) -> tuple[Call, ...]:
        """The calls that return in a child too."""
        numbers = ((abi, abis.number(abi, name)) for abi in self.abis for name in _TASK_MAKERS)
        return tuple((abi, nr) for abi, nr in numbers if nr is not None)
