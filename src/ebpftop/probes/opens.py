"""Every file that a program opens, or fails to (bpf/opens.c)."""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ebpftop.core.escape import c_string
from ebpftop.core.records import Record
from ebpftop.core.syscall_records import Abi
from ebpftop.kernel import clocks
from ebpftop.kernel.attach import DENIED, FREE, SKIPPED, TAXES, Attach, AttachOption, names
from ebpftop.kernel.event_buffer import Events
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Kind, Module
from ebpftop.kernel.offsets import syscall_prefix
from ebpftop.models.opens import Open
from ebpftop.probes.base import Context, KernelProbe
from ebpftop.probes.exec_calls import has_other_abis
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.constants import ABI_WORDS, WORDS
from ebpftop.syscalls.errno_names import error_name

CALLS = ("open", "openat", "openat2", "creat")
"""enum open_call of bpf/opens.c, from 1."""

OPENS_PER_SECOND = 2000  # on each CPU
IN_PROGRESS_MAX = 4096

BY_URING = "files that io_uring opens"
MANY_AT_ONCE = "some opens, while more are in progress than a kretprobe has room for"

_OPEN = struct.Struct("=QQqQQQiIIIII16s520s")  # struct open of bpf/opens.c
_PATH_MAX = 511
_AT_FDCWD = -100

# What stands before "sys_open" for programs of another ABI, where that is another function (arch/x86/entry/syscalls/,
# include/uapi/asm-generic/unistd.h). x32 programs call the native functions.
_COMPAT_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "x86_64": ("__ia32_compat_sys_open", "__ia32_compat_sys_openat", "__ia32_sys_openat2", "__ia32_sys_creat"),
    "arm64": ("__arm64_compat_sys_open", "__arm64_compat_sys_openat", "__arm64_sys_creat"),
}


def functions(native: Abi, defines: Defines) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the kernel functions behind the calls: those that programs of the native ABI call, and all others."""
    calls = (call for call in ("openat", "openat2", "open", "creat") if abis.number(native, call) is not None)
    others = _COMPAT_FUNCTIONS[native] if has_other_abis(defines) else ()
    return tuple(f"{syscall_prefix()}sys_{call}" for call in calls), others


def ladder(native: Abi, defines: Defines) -> tuple[AttachOption, AttachOption, AttachOption]:
    """Where opens are seen. Returns are attached first: what enters must not wait for a return that nobody sees."""
    own, others = functions(native, defines)

    def at(kind: Kind, program: str) -> tuple[Attach, ...]:
        return (
            *(Attach(kind, name, program or name) for name in own),
            *(Attach(kind, name, program or name, without=SKIPPED) for name in others),
        )

    return (
        AttachOption(FREE, (*at("fexit", ""), *at("fentry", "")), (DENIED, BY_URING)),
        AttachOption(
            FREE,
            (*at("kretprobe", "opens_kretprobe"), *at("kprobe", "opens_kprobe")),
            (DENIED, BY_URING, MANY_AT_ONCE),
        ),
        AttachOption(
            f"{TAXES}: programs at the entry and the return of each",
            (
                Attach("raw_tracepoint", "sys_exit", "opens_on_sys_exit"),
                Attach("raw_tracepoint", "sys_enter", "opens_on_sys_enter"),
            ),
            (DENIED, BY_URING),
        ),
    )


class _Open(NamedTuple):
    time_ns: int
    duration_ns: int
    ret: int
    flags: int
    path_at: int
    how_at: int
    dirfd: int
    pid: int
    tid: int
    uid: int
    call: int
    path_len: int
    comm: bytes
    path: bytes


class OpensProbe(KernelProbe):
    """An Open record for each open that returns, up to a number a second."""

    file: ClassVar[str] = "opens.c"
    ring_bytes: int = 4 << 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._events: Events | None = None
        self._native = abis.native_abi(platform.machine())
        self._flags = ABI_WORDS.get((self._native, "open")) or WORDS["open"]

    def defines(self) -> Defines:
        compat = abis.compat_abis(platform.machine())[0]
        flags: dict[str, int | str] = {}
        for prefix, abi in (("NR_", self._native), ("NR_COMPAT_", compat)):
            numbers = ((call, abis.number(abi, call)) for call in CALLS)
            flags |= {f"{prefix}{call.upper()}": number for call, number in numbers if number is not None}
        fexit, kretprobe, _ = ladder(self._native, self.context.defines)
        if self.may_need(fexit):
            flags["WITH_FENTRY"] = 1
            own, others = functions(self._native, self.context.defines)
            flags |= {f"OPENS_FUNCTION_{at}": name for at, name in enumerate((*own, *others), 1)}
        if self.may_need(kretprobe, fexit):
            flags["WITH_KPROBES"] = 1
        return flags

    def parameters(self) -> Mapping[str, int]:
        return {"OPENS_PER_SECOND": OPENS_PER_SECOND}

    def map_entries(self) -> Mapping[str, int]:
        return {"opens": IN_PROGRESS_MAX}

    def prepare(self, module: Module) -> None:
        self._events = Events(module, self.context.buffer, 0)

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names(ladder(self._native, self.context.defines))}

    def attach(self, module: Module) -> str:
        return self.attach_first_or_fail(module, ladder(self._native, self.context.defines), "opening files")

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._events is None:
            return []
        offset = clocks.unix_offset()
        return [self._open(raw, offset) for raw in self._events.drain(everything=everything)]

    def _open(self, raw: bytes, offset: float) -> Open:
        event = _Open._make(_OPEN.unpack_from(raw))
        unread = event.path_len == 0
        high = event.flags >> 32  # openat2's alone; none has a name
        return Open(
            time=event.time_ns / 1e9 + offset,
            pid=event.pid,
            tid=event.tid,
            uid=event.uid,
            user=self.context.users.get(event.uid),
            comm=c_string(event.comm),
            call=CALLS[event.call - 1],
            dirfd=None if event.dirfd == _AT_FDCWD else event.dirfd,
            path=None if unread else c_string(event.path[:_PATH_MAX]),
            flags=self._flags(event.flags) + (f"|{high << 32:#x}" if high else ""),
            ret=event.ret,
            error=error_name(-event.ret) if event.ret < 0 else None,
            ns=event.duration_ns,
            cut=("path",) if event.path_len > _PATH_MAX + 1 else (),
        )

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None
