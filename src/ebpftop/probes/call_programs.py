"""What every probe does that loads the programs of bpf/syscalls.c: at each system call, with maps of its own."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

from ebpftop.kernel import maps, task_cache_map, tracefs
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind, Module
from ebpftop.probes.base import Context, KernelProbe, ProbeError
from ebpftop.probes.syscall_options import uring_event

WAITING_MAX = 65536

PARAMETERS = ("LATENCY", "PROCESSES", "PRINTK", "TRACED_PER_SECOND", "AT_FUNCTION", "STACKS", "GROUPS")
"""enum parameter of bpf/syscalls.c."""


class CallPrograms(KernelProbe):
    """The same flags for all of them: so the file is compiled once, and is in the cache for the next one."""

    file: ClassVar[str] = "syscalls.c"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._kind: Kind = "raw_tracepoint"
        # It is only a faster way to the same figures. If it does not work, it is not tried again.
        self._caches_tasks = context.cache_tasks
        self._callers_fd: int | None = None

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {}
        if self._kind == "tracepoint":
            flags["VIA_TRACEPOINT"] = 1
        if self._caches_tasks:
            flags["WITH_CALLERS"] = 1
        where = self.context.tracefs
        opcode_at = tracefs.field_offset(where, uring_event(where), "opcode") if where else None
        if opcode_at is not None:
            flags["OFF_URING_OPCODE"] = opcode_at
        return flags

    def parameters(self) -> Mapping[str, int]:
        return dict.fromkeys(PARAMETERS, 0)

    def extra_maps(self) -> Mapping[str, maps.Map]:
        return {} if self._callers_fd is None else {"callers": maps.Map(self._callers_fd, 1)}

    def start_caching_tasks(self) -> bool:
        """Start with raw tracepoints, and the map in which CPUs remember the caller; False if that does not work."""
        if not self._caches_tasks:
            return False
        self._kind = "raw_tracepoint"
        try:
            self._callers_fd = task_cache_map.make_map()
            super().start()
        except (OSError, ProbeError):
            self._stop_caching_tasks()
            self._caches_tasks = False
        return self._caches_tasks

    def _stop_caching_tasks(self) -> None:
        if self._callers_fd is not None:
            os.close(self._callers_fd)
            self._callers_fd = None

    def attach_task_cache(self, module: Module) -> None:
        """Attach what sees that a remembered caller has changed, if callers are remembered."""
        if self._callers_fd is not None:
            module.attach("raw_tracepoint", "sched_process_exit", "task_cache_on_sched_process_exit")
            module.attach("raw_tracepoint", "sched_process_exec", "task_cache_on_sched_process_exec")

    def count_unentered_since(self, module: Module, since_ns: int) -> None:
        """Count returns without an entry as calls from *since_ns* on (clock of process starts); 0: never."""
        maps.update(module.table("since_ns"), bytes(4), struct.pack("=Q", since_ns))

    @property
    def times_calls(self) -> bool:
        """Whether it sees calls return."""
        return True

    def detach(self) -> None:
        # The program where calls begin is detached first, and the rest takes a while: later calls do not count.
        if self.module is not None and self.times_calls:
            with suppress(OSError):
                self.count_unentered_since(self.module, 0)
        super().detach()

    def release(self) -> None:
        self._stop_caching_tasks()


def fill(module: Module, table: str, programs: Mapping[int, str], kind: Kind, target: str | None = None) -> None:
    """Load *programs*, and let others reach them by their places in *table*."""
    for place, function in programs.items():
        program = module.load(function, kind, target)
        maps.update(module.table(table), struct.pack("=I", place), struct.pack("=I", program))
