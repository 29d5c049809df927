"""One program at sys_exit, and one at sys_enter, for all probes that need one there (bpf/dispatch.h)."""

from __future__ import annotations

import struct
import threading
from functools import partial

from ebpftop.kernel import maps
from ebpftop.kernel.bpf_syscall import runs
from ebpftop.kernel.errors import DamagedError, LoadError
from ebpftop.kernel.loader import Link, Module

USERS, FAILURES, SYSCALLS = range(3)  # enum dispatch_slot
TABLES = ("at_sys_enter", "at_sys_exit")
PROGRAMS = ("dispatch_on_sys_enter", "dispatch_on_sys_exit")


class Dispatcher:
    """Attaches the shared program of a tracepoint with the first program that has a slot there, until the last goes.

    While it is attached, slots are filled and emptied one by one: what goes on in one changes nothing for the others.
    """

    def __init__(self, module: Module) -> None:
        """*module* has the programs and their tables."""
        self._module = module
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        self._slots: dict[str, set[int]] = {}

    def attach(self, target: str, slot: int, program_fd: int) -> Link:
        """Let the shared program at *target* (sys_enter or sys_exit) reach a program; raises LoadError."""
        with self._lock:
            try:
                maps.update(self._table(target), struct.pack("=I", slot), struct.pack("=I", program_fd))
                if target not in self._links:
                    self._links[target] = self._module.attach("raw_tracepoint", target, _program(target))
            except OSError as error:
                raise LoadError(f"the kernel refused a tail call to it: {error.strerror}") from error
            except DamagedError as error:
                raise LoadError("what was kept of an earlier start is damaged: start once more") from error
            finally:
                if target not in self._links:
                    maps.delete(self._table(target), struct.pack("=I", slot))
            self._slots.setdefault(target, set()).add(slot)
            missed_before = self._missed_runs(target)
        return Link(
            partial(self._release, target, slot),
            lambda: self._missed_runs(target) - missed_before,
        )

    def _release(self, target: str, slot: int) -> None:
        with self._lock:
            maps.delete(self._table(target), struct.pack("=I", slot))
            self._slots[target].remove(slot)
            if not self._slots[target]:
                self._module.release(self._links.pop(target))
                self._module.unload(_program(target))

    def _table(self, target: str) -> maps.Map:
        return self._module.table(f"at_{target}")

    def _missed_runs(self, target: str) -> int:
        return runs(self._module.programs[_program(target)]).recursion_misses

    @property
    def programs(self) -> dict[str, int]:
        """The shared programs that are attached, and their descriptors: what they cost includes what they reach."""
        return {name: fd for name, fd in self._module.programs.items() if name in PROGRAMS}


def _program(target: str) -> str:
    return f"dispatch_on_{target}"
