"""What a program at the one place of all system calls begins with: it leaves the calls that are not its own."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

from ebpftop.kernel.load.contexts import Context, NotAdaptable
from ebpftop.kernel.load.source import ProgramSource
from ebpftop.kernel.load.wrappers import call_name
from ebpftop.syscalls import abi


@dataclass(frozen=True, slots=True)
class Compat:
    """How a task shows that it is in a 32-bit call: a mask of 32 bits, at an offset in bytes in task_struct."""

    offset: int
    mask: int


def gate(program: ProgramSource, name: str, context: Context, compat: Compat | None) -> str:
    """Return what leaves a program at a raw tracepoint of all calls, unless the call is one of its own."""
    known = abi.numbers(abi.native_abi(platform.machine()))
    calls = [call_name(event) for event in program.events]
    numbers = sorted({known[call] for call in calls if call in known})
    if not numbers:
        names = ", ".join(calls)
        raise NotAdaptable(f"{platform.machine()} has no system call {names}")
    left = "return;" if re.search(r"\bvoid\s*\Z", program.written.before) else "return 0;"
    code = f" unsigned long __eb_nr = {context.call_number(name)};"
    code += f" if ({' && '.join(f'__eb_nr != {one}' for one in numbers)}) {left}"
    if compat is not None:
        task = f"(char *)bpf_get_current_task() + {compat.offset}"
        code += f" if ((unsigned int)__EB_READ({task}) & {compat.mask:#x}u) {left}"
    return code
