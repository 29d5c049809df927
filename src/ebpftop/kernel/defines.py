"""What the running kernel is like: its version, and every `-D` flag that describes it."""

from __future__ import annotations

import os
import platform

from ebpftop.core.syscall_records import Abi
from ebpftop.kernel.bpf_syscall import accepts_cast
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.offsets import EXEC_CALLS, of_running_kernel, syscall_prefix
from ebpftop.syscalls import abi as abis

_TS_COMPAT = 2  # arch/x86/include/asm/thread_info.h
_TIF_32BIT = 1 << 22  # arch/arm64/include/asm/thread_info.h


def kernel_version() -> tuple[int, int]:
    """Return the first two numbers of the running kernel's release."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def kernel_defines() -> Defines:
    """Return every `-D` flag that describes the running kernel; raises SourceError."""
    native = abis.native_abi(platform.machine())
    flags: dict[str, int | str] = dict(of_running_kernel())
    # On x86 `status` marks a 32-bit call, on ARM one of the `flags` does.
    field, mask = ("OFF_TASK_STATUS", _TS_COMPAT) if native == "x86_64" else ("OFF_TASK_FLAGS", _TIF_32BIT)
    if field in flags:
        flags |= {"OFF_TASK_COMPAT": flags[field], "COMPAT_MASK": mask}
    other_abis: dict[str, tuple[Abi, int]] = (
        {"COMPAT_": ("i386", 0), "X32_": ("x32", abis.X32_BIT)} if native == "x86_64" else {"COMPAT_": ("arm", 0)}
    )
    for prefix, (abi, bit) in {"": (native, 0), **other_abis}.items():
        for name in EXEC_CALLS:
            number = abis.number(abi, name)
            if number is None:
                raise LookupError(f"{abi}:{name}")
            flags[f"NR_{prefix}{name.upper()}"] = number | bit
    for name in EXEC_CALLS:
        flags[f"SYS_{name.upper()}"] = f"{syscall_prefix()}sys_{name}"
    if kernel_version() >= (5, 8):
        flags["HAVE_RING"] = 1
    if kernel_version() >= (5, 11) and "EXECVE_ID" in flags:  # the verifier knows types from BTF
        flags["HAVE_TASK_BTF"] = 1
        cast_id, task_id = flags.get("RDONLY_CAST_ID"), flags.get("TASK_STRUCT_ID")
        if isinstance(cast_id, int) and isinstance(task_id, int) and accepts_cast(cast_id, task_id):
            flags["HAVE_RDONLY_CAST"] = 1
        if kernel_version() >= (5, 15):
            flags["HAVE_TASK_REGISTERS"] = 1
    if native == "x86_64":
        flags["HAVE_X32"] = 1
    return flags
