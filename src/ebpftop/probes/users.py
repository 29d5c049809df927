"""execve attempts per user: a hash map in the kernel, polled (bpf/users.c)."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Mapping
from operator import attrgetter
from typing import ClassVar, NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.records import Record
from ebpftop.core.user_records import OTHER_UID, UserRow, Users
from ebpftop.kernel import maps
from ebpftop.kernel.attach import DENIED, FREE, MANY_AT_ONCE, SKIPPED, TAXES, Attach, AttachOption, names
from ebpftop.kernel.dispatch import USERS
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import KernelProbe
from ebpftop.probes.exec_calls import (
    BESIDE_BOTH,
    at_functions,
    by_name,
    cheaper_first,
    has_other_abis,
    raw_cost,
    raw_entry,
)
from ebpftop.probes.user_names import PATIENCE_S

USERS_MAX = 16384
_COUNTERS = struct.Struct("=QQII16s")


class _Totals(NamedTuple):
    """struct counters of bpf/users.c."""

    execs: int = 0
    failed: int = 0
    userns: int = 0
    ns_uid: int = 0
    last: str = ""

    def plus(self, value: bytes) -> _Totals:
        """Return the sum with the counters *value*, whose namespace and program are the newer ones."""
        execs, failed, userns, ns_uid, last = _COUNTERS.unpack(value)
        if not userns:
            userns, ns_uid = self.userns, self.ns_uid
        return _Totals(self.execs + execs, self.failed + failed, userns, ns_uid, c_string(last) or self.last)


_NONE = _Totals()


class _Ladder(NamedTuple):
    fentry: AttachOption
    kprobe: AttachOption
    tracepoint: AttachOption
    raw: AttachOption


def _options(defines: Defines) -> _Ladder:
    last = Attach(
        "raw_tracepoint",
        "sched_process_exec",
        "users_last",
        without="the program that a user started last",
        forgets=True,
    )
    completed = has_other_abis(defines)
    skipped = (
        Attach("raw_tracepoint", "sys_enter", "users_skipped_enter", without=SKIPPED, slot=USERS),
        Attach("raw_tracepoint", "sys_exit", "users_skipped_exit", without=SKIPPED, forgets=True, slot=USERS),
    )
    return _Ladder(
        fentry=AttachOption(
            FREE,
            (*at_functions(defines, "fentry", by_name), *at_functions(defines, "fexit", by_name), last),
            (DENIED,),
        ),
        kprobe=AttachOption(
            FREE,
            (
                *at_functions(defines, "kprobe", lambda _: "users_kprobe"),
                *at_functions(defines, "kretprobe", lambda _: "users_kretprobe"),
                last,
            ),
            (DENIED, MANY_AT_ONCE),
        ),
        tracepoint=AttachOption(
            BESIDE_BOTH if completed else TAXES,
            (
                Attach("tracepoint", "syscalls:sys_enter_execve", "users_enter_execve"),
                Attach("tracepoint", "syscalls:sys_enter_execveat", "users_enter_execveat"),
                Attach("tracepoint", "syscalls:sys_exit_execve", "users_exit", forgets=True),
                Attach("tracepoint", "syscalls:sys_exit_execveat", "users_exit", forgets=True),
                *(skipped if completed else ()),
                last,
            ),
        ),
        raw=AttachOption(
            raw_cost(defines),
            (
                Attach("raw_tracepoint", "sys_exit", "users_raw_exit", forgets=True, slot=USERS),
                last,
                raw_entry(defines, prepare="users_prepare", enter="users_raw_enter", slot=USERS),
            ),
        ),
    )


def ladder(defines: Defines) -> tuple[AttachOption, ...]:
    """Return the options where execve is entered and left. A kretprobe can miss returns, so it comes after fexit."""
    known = _options(defines)
    return (known.fentry, known.kprobe, *cheaper_first(defines, known.tracepoint, known.raw))


class UsersProbe(KernelProbe):
    """A Users record at each reading: totals since the start, through all toggles."""

    file: ClassVar[str] = "users.c"

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {}
        known = _options(self.context.defines)
        if self.may_need(known.kprobe, known.fentry):
            flags["WITH_KPROBES"] = 1
        if self.may_need(known.fentry):
            flags["WITH_FENTRY"] = 1
        options = ladder(self.context.defines)
        for flag, option in (("WITH_RAW_SYSCALLS", known.raw), ("WITH_TRACEPOINTS", known.tracepoint)):
            if self.may_need(option, *options[: options.index(option)]):
                flags[flag] = 1
        return flags

    def map_entries(self) -> Mapping[str, int]:
        return {"users": USERS_MAX}

    def prepare(self, module: Module) -> None:
        if not hasattr(self, "_before"):
            self._before: dict[int, _Totals] = {}
        # If there are very many users, most are idle: unchanged entries with a known name are not decoded again.
        self._known: dict[bytes, tuple[bytes, UserRow, bool]] = {}

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names(ladder(self.context.defines))}

    def attach(self, module: Module) -> str:
        return self.attach_first_or_fail(module, ladder(self.context.defines), "execve")

    def read_counters(self, now: float) -> list[Record]:
        module = self.module
        if module is None:
            return []
        until_s = time.monotonic() + PATIENCE_S
        known, rows, seen = self._known, [], set()
        for key, value in maps.items(module.table("users"), 4, _COUNTERS.size):
            before = known.get(key)
            if before is not None and before[2] and before[0] == value:
                row = before[1]
            else:
                uid = int.from_bytes(key, sys.byteorder)
                row = self._row(uid, self._before.get(uid, _NONE).plus(value), until_s)
                known[key] = value, row, self.context.users.knows(uid)
            rows.append(row)
            seen.add(row.uid)
        gone = self._before.keys() - seen - {OTHER_UID}
        rows += [self._row(uid, self._before[uid], until_s) for uid in gone]
        rows.sort(key=attrgetter("uid"))
        overflow = self._overflow(module)
        if overflow is not None:
            rows.append(self._row(OTHER_UID, overflow, until_s))
        return [Users(time=now, rows=tuple(rows))]

    def _row(self, uid: int, totals: _Totals, until_s: float) -> UserRow:
        # A directory server may be slow, and there may be many users: all lookups together end at *until_s*.
        patience_s = max(0.0, until_s - time.monotonic())
        return UserRow(
            uid=uid,
            user="other" if uid == OTHER_UID else self.context.users.get(uid, patience_s),
            execs=totals.execs,
            failed=totals.failed,
            last=totals.last,
            ns_uid=totals.ns_uid if totals.userns else None,
            userns=totals.userns,
        )

    def _overflow(self, module: Module) -> _Totals | None:
        """Return the counts of users that the map had no room for; None if it had room for all."""
        raw = maps.lookup(module.table("overflow_users"), bytes(4), _COUNTERS.size * maps.CPUS) or b""
        total = self._before.get(OTHER_UID)
        for at in range(0, len(raw), _COUNTERS.size):
            part = raw[at : at + _COUNTERS.size]
            if any(part):
                total = (total or _NONE).plus(part)
        # These are many users: only the counts have a meaning for all of them together.
        return None if total is None else _Totals(total.execs, total.failed)

    def save_totals(self, module: Module) -> None:
        for key, value in maps.items(module.table("users"), 4, _COUNTERS.size):
            uid = int.from_bytes(key, sys.byteorder)
            self._before[uid] = self._before.get(uid, _NONE).plus(value)
        overflow = self._overflow(module)
        if overflow is not None:
            self._before[OTHER_UID] = overflow
