"""The kernel's own functions of system calls: __x64_sys_openat, whose one argument are the registers of the call.

(arch/*/include/asm/syscall_wrapper.h) A program at one of them is about a system call, so it may hang elsewhere too.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from types import MappingProxyType

from ebpftop.kernel.load.events import Event
from ebpftop.kernel.offsets import function_id, syscall_prefix
from ebpftop.syscalls import abi

# Those of native calls: "sys_" alone is how BCC's programs name the function on any machine. Others are functions of
# their own: __ia32_sys_openat is that of a 32-bit call, __do_sys_openat has the arguments of the call.
_NAME = re.compile(r"(__x64_|__arm64_|)sys_(\w+)")
_CALL_KINDS: Mapping[str, str] = MappingProxyType(
    {"kprobe": "syscall", "fentry": "syscall", "kretprobe": "syscall_exit", "fexit": "syscall_exit"}
)


def wrapped_call(event: Event) -> Event | None:
    """Return the entry or return of the system call that *event* is about, by a kernel function; None if it is not."""
    if event.kind not in _CALL_KINDS or (found := _NAME.fullmatch(event.target[0])) is None:
        return None
    prefix, name = found.groups()
    if not prefix and not _is_call(name):
        return None
    return Event(_CALL_KINDS[event.kind], (name,))


def call_name(event: Event) -> str:
    """Return the name of the system call that *event* is about."""
    return (wrapped_call(event) or event).target[0]


def _is_call(name: str) -> bool:
    """Whether it is a system call: sys_imageblit, say, is not, nor is it newer than the table of calls."""
    if name in abi.numbers(abi.native_abi(platform.machine())):
        return True
    return function_id(f"{syscall_prefix()}sys_{name}") is not None
