"""The tail-call table of bpf/syscalls.c: which program handles which call. It can be changed while it runs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Handler, TableSlot
from ebpftop.kernel import maps
from ebpftop.kernel.loader import Kind, Module
from ebpftop.probes.syscall_slots import Call, Slots
from ebpftop.probes.trace_conditions import Followed, NoProcesses, TraceConditions
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.families import family_numbers
from ebpftop.syscalls.memory import packed_plans
from ebpftop.syscalls.tracing import Condition

_HANDLERS = {
    "exec": "handle_exec",
    "timer_create": "handle_timer_create",
    "timer_delete": "handle_timer_delete",
    "timer_other": "handle_timer_other",
    "ignore": "handle_ignore",
    "trace": "handle_trace",
}


class HandlerTable:
    """The handler of each call: the one that its family has from the start, or one that was chosen."""

    def __init__(self, slots: Slots, followed: Followed | None = None) -> None:
        self.chosen: dict[Call, Handler] = {}
        self._slots = slots
        self._conditions = TraceConditions(followed or NoProcesses())
        self._conditions_of: dict[Call, frozenset[Condition]] = {}  # of traced calls; none: each call is reported
        self._rows: tuple[TableSlot, ...] | None = None

    def load(self, module: Module, kind: Kind, target: str | None) -> None:
        """Load the handlers, as programs of the kind that calls them, and fill the table in the kernel."""
        self._kind, self._target = kind, target
        # The one of traced calls when there is one.
        self._programs = {
            name: module.load(function, kind, target) for name, function in _HANDLERS.items() if name != "trace"
        }
        self._conditions.write(module)
        for call in (*self._slots.task_makers, *((row.abi, row.nr) for row in self.rows())):
            self._install(module, call)

    def handler(self, call: Call) -> Handler:
        """Return the present handler of *call*."""
        return self.chosen.get(call) or self._slots.family_handler(call)

    @property
    def traces(self) -> bool:
        """Whether any call is traced."""
        return "trace" in self.chosen.values()

    @property
    def ignored(self) -> set[Call]:
        """The calls that are not counted."""
        return {call for call, handler in self.chosen.items() if handler == "ignore"}

    def choose(
        self, calls: Sequence[Call], handler: Handler, conditions: Sequence[Condition], module: Module | None
    ) -> None:
        """Choose the handler of *calls*, in the kernel too if there is a *module*; "count" is the original one.

        Traced calls are reported if one of *conditions* holds, all of them if there is none. Raises SourceError if
        that is impossible, and then nothing has changed.
        """
        self._conditions.add(conditions)
        try:
            if module is not None:
                self._conditions.write(module)
        except SourceError:
            self._free(module)
            raise
        for call in calls:
            self._conditions_of.pop(call, None)
            if handler in ("ignore", "trace"):
                self.chosen[call] = handler
            else:
                self.chosen.pop(call, None)
            if handler == "trace":
                self._conditions_of[call] = frozenset(conditions)
            if module is not None:
                self._install(module, call)
        self._free(module)
        self._rows = None

    def _free(self, module: Module | None) -> None:
        self._conditions.keep((one for some in self._conditions_of.values() for one in some), module)

    def release(self) -> None:
        """Let the kernel follow no process for a condition: the table is no longer there."""
        self._conditions.forget()

    def _install(self, module: Module, call: Call) -> None:
        index = self._slots.slot(call)
        if index is None:
            return
        slot = struct.pack("=I", index)
        chosen = self.chosen.get(call)
        program = chosen or self._slots.family(call)
        if chosen == "trace":
            plans = packed_plans(call[0], abis.name(*call))
            maps.update(module.table("call_values"), slot, plans)
            if chosen not in self._programs:
                self._programs[chosen] = module.load(_HANDLERS[chosen], self._kind, self._target)
        mask = self._conditions.mask(self._conditions_of.get(call, ()))
        maps.update(module.table("call_facts"), slot, struct.pack("=I", self._slots.facts(call, chosen, mask)))
        if program is None:
            maps.delete(module.table("handlers"), slot)
        else:
            maps.update(module.table("handlers"), slot, struct.pack("=I", self._programs[program]))

    def rows(self) -> tuple[TableSlot, ...]:
        """Return the slots that hold a program."""
        if self._rows is None:
            self._rows = self._make_rows()
        return self._rows

    def _make_rows(self) -> tuple[TableSlot, ...]:
        calls = {
            (abi, nr)
            for abi in self._slots.abis
            for numbers in family_numbers(abi).values()
            for nr in numbers
        }  # fmt: skip
        placed = ((slot, call) for call in calls | self.chosen.keys() if (slot := self._slots.slot(call)) is not None)
        return tuple(
            TableSlot(
                slot=slot,
                abi=abi,
                nr=nr,
                name=abis.name(abi, nr),
                handler=self.handler((abi, nr)),
                conditions=tuple(sorted(map(str, self._conditions_of.get((abi, nr), ())))),
            )
            for slot, (abi, nr) in sorted(placed)
        )
