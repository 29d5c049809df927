"""execve attempts per user: a hash map in the kernel, polled (bpf/users.c)."""

from __future__ import annotations

import struct
from typing import ClassVar

from ebpftop.kernel import maps
from ebpftop.kernel.ladder import FREE, TAXES, Attach, Step
from ebpftop.kernel.loader import Module
from ebpftop.kernel.offsets import Defines
from ebpftop.probes.base import KernelProbe
from ebpftop.records import ProbeName, Record, UserRow, Users
from ebpftop.text import c_string

USERS_MAX = 16384
_COUNTERS = struct.Struct("=QQ16s")
OTHER_UID = 0xFFFFFFFF  # (uid_t)-1 is nobody's


def ladder(prefix: str) -> tuple[Step, ...]:
    """Where execve is entered and left; *prefix* is what the kernel puts before "sys_execve"."""
    execve, execveat = f"{prefix}sys_execve", f"{prefix}sys_execveat"
    last = Attach("raw_tracepoint", "sched_process_exec", "users_last", optional=True)
    return (
        Step(
            FREE,
            (
                Attach("kprobe", execve, "users_kprobe"),
                Attach("kprobe", execveat, "users_kprobe"),
                Attach("kretprobe", execve, "users_kretprobe"),
                Attach("kretprobe", execveat, "users_kretprobe"),
                last,
            ),
        ),
        Step(
            FREE,
            (
                Attach("fentry", execve, execve),
                Attach("fentry", execveat, execveat),
                Attach("fexit", execve, execve),
                Attach("fexit", execveat, execveat),
                last,
            ),
        ),
        Step(
            TAXES,
            (
                Attach("tracepoint", "syscalls:sys_enter_execve", "users_enter"),
                Attach("tracepoint", "syscalls:sys_enter_execveat", "users_enter"),
                Attach("tracepoint", "syscalls:sys_exit_execve", "users_exit"),
                Attach("tracepoint", "syscalls:sys_exit_execveat", "users_exit"),
                last,
            ),
        ),
        Step(
            f"{TAXES}, and a program run at each",
            (
                Attach("raw_tracepoint", "sys_enter", "users_raw_enter"),
                Attach("raw_tracepoint", "sys_exit", "users_raw_exit"),
                last,
            ),
        ),
    )


class UsersProbe(KernelProbe):
    """A Users record at each reading: totals since the start, through all toggles."""

    name: ClassVar[ProbeName] = "users"
    file: ClassVar[str] = "users.c"

    def defines(self) -> Defines:
        return {"USERS_MAX": USERS_MAX}

    def prepare(self, module: Module) -> None:
        if not hasattr(self, "_before"):
            self._before: dict[int, tuple[int, int, str]] = {}

    def attach(self, module: Module) -> str:
        return self.climb_or_fail(module, ladder(self.context.syscall_prefix), "execve")

    def read(self, now: float, *, everything: bool = False) -> list[Record]:
        if self.module is None:
            return []
        rows = tuple(
            UserRow(
                uid=uid,
                user="other" if uid == OTHER_UID else self.context.users.get(uid),
                execs=execs,
                failed=failed,
                last=last,
            )
            for uid, (execs, failed, last) in sorted(self._totals(self.module).items())
        )
        return [Users(time=now, rows=rows)]

    def keep(self, module: Module) -> None:
        self._before = self._totals(module)

    def _totals(self, module: Module) -> dict[int, tuple[int, int, str]]:
        totals = dict(self._before)
        for key, value in maps.items(module.table("users"), 4, _COUNTERS.size):
            self._add(totals, int.from_bytes(key, "little"), value)
        others = maps.lookup(module.table("others"), bytes(4), _COUNTERS.size * maps.CPUS)
        for i in range(maps.CPUS if others else 0):
            part = others[i * _COUNTERS.size : (i + 1) * _COUNTERS.size] if others else b""
            if any(part):
                self._add(totals, OTHER_UID, part)
        return totals

    @staticmethod
    def _add(totals: dict[int, tuple[int, int, str]], uid: int, value: bytes) -> None:
        execs, failed, last = _COUNTERS.unpack(value)
        before = totals.get(uid, (0, 0, ""))
        totals[uid] = before[0] + execs, before[1] + failed, c_string(last) or before[2]
