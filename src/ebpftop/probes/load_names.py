"""What the numbers in maps and events of a program of one's own stand for: users, processes, errors, calls, stacks."""

from __future__ import annotations

import os
import platform
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ebpftop.core.escape import comm_text
from ebpftop.core.load_records import Field, Value
from ebpftop.kernel.load.values import BadValue
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes.stack_names import StackNames
from ebpftop.probes.traced_calls import RawStacks
from ebpftop.probes.user_names import UserNames, uid_of
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.errno_names import error_code, error_name, signal_name, signal_numbers

_REMEMBERED = 8192
_COMM_FOR_S = 1.0
_LARGEST_ERROR = 4095
_KERNEL_FROM = 1 << 63
_FRAME = struct.Struct("=i20sQ")  # struct bpf_stack_build_id
_IP = 2  # BPF_STACK_BUILD_ID_IP
_FUNCTIONS_MAX = 127
_PID_MASK = (1 << 32) - 1
_USER_PATIENCE_S = 1.0
_NAMED_MAX = 5

Stack = Callable[[int], tuple[int, ...]]
"""Returns the addresses of a stack by its id, the innermost first; () if there is none."""


class LoadNames:
    """Names values. Not thread-safe."""

    def __init__(self, users: UserNames, root: RootWork, stack: Stack = lambda _: ()) -> None:
        self._users = users
        self._stack = stack
        self._symbols: StackNames | None = None
        self._root = root
        self._abi = abis.native_abi(platform.machine())
        self._comms: OrderedDict[int, tuple[float, str | None]] = OrderedDict()

    def close(self) -> None:
        """Close the files whose functions were named."""
        if self._symbols is not None:
            self._symbols.close()

    def name(self, field: Field, value: Value, beside: Mapping[str, Value]) -> str | None:
        """Return what *value* of *field* stands for; None if that is nothing else, or not known."""
        if isinstance(value, list) and field.meaning == "stack":
            return self._functions([address for address in value if isinstance(address, int)], beside)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        match field.meaning:
            case "uid":
                return self._users.get(value) if 0 <= value <= _PID_MASK else None
            case "pid" | "tid":
                return self.comm(value)
            case "errno":
                return error_name(value) if 0 < value <= _LARGEST_ERROR else None
            case "ret":
                return error_name(-value) if -_LARGEST_ERROR <= value < 0 else None
            case "syscall":
                name = abis.name(self._abi, value)
                return name if name != str(value) else None
            case "signal":
                return signal_name(value) if value > 0 else None
            case "stack":
                return self._functions(self._stack(value), beside)
        return None

    def number(self, field: Field, text: str) -> int | None:
        """Return the number that a name stands for as a value of *field*; None: none.

        Raises BadValue if several processes have the name, SourceError if nobody answers who a user is.
        """
        match field.meaning:
            case "uid":
                known = self._users.uid(text)
                return uid_of(text, _USER_PATIENCE_S) if known is None else known
            case "pid" | "tid":
                return self._pid(text)
            case "errno" | "ret":
                code = error_code(text.upper())
                return -code if code is not None and field.meaning == "ret" else code
            case "syscall":
                return self.syscall(text)
            case "signal":
                signals = signal_numbers()
                return signals.get(text.upper(), signals.get(f"SIG{text.upper()}"))
        return None

    def _pid(self, comm: str) -> int | None:
        """Return the process with this command name; None if none runs."""
        found = [int(name) for name in os.listdir("/proc") if name.isdecimal() and self.comm(int(name)) == comm]
        if len(found) > 1:
            pids = ", ".join(map(str, sorted(found)[:_NAMED_MAX]))
            raise BadValue(f"{len(found)} processes are called {comm}: type the pid ({pids})")
        return found[0] if found else None

    def syscall(self, name: str) -> int | None:
        """Return the number of a system call on this machine; None for an unknown one."""
        return abis.number(self._abi, name.strip())

    def comm(self, pid: int) -> str | None:
        """Return the command name of a process that runs; of 64 bits, the pid is the upper half."""
        if pid > _PID_MASK:
            pid >>= 32
        if pid <= 0:
            return None
        now = time.monotonic()
        known = self._comms.get(pid)
        # One that has ended keeps its name: its number is not used again so soon.
        if known is not None and (known[0] > now or not os.path.exists(f"/proc/{pid}")):
            return known[1]
        comm: str | None = None
        with suppress(OSError):
            comm = comm_text(Path(f"/proc/{pid}/comm").read_bytes()[:-1])
        self._comms[pid] = now + _COMM_FOR_S, comm
        if len(self._comms) > _REMEMBERED:
            self._comms.popitem(last=False)
        return comm

    def _functions(self, stack: Sequence[int], beside: Mapping[str, Value]) -> str | None:
        """Return the functions of a stack, the outermost first, as flame graphs have them: ``main;read``."""
        addresses = stack[:_FUNCTIONS_MAX]
        if not addresses:
            return None
        if self._symbols is None:
            self._symbols = StackNames(self._root)
        kernel = [address for address in addresses if address >= _KERNEL_FROM]
        if kernel:
            names = self._symbols.kernel(struct.pack(f"={len(kernel)}Q", *kernel))
        else:
            raw = b"".join(_FRAME.pack(_IP, bytes(20), address) for address in addresses)
            names = self._symbols.user(RawStacks(_pid_of(beside), None, raw, b""))
        return ";".join(reversed([_bare(name) for name in names])) or None


def _bare(function: str) -> str:
    """Return the name of a function without its offset: one that is called from two places is one box."""
    name, _, rest = function.partition("+")
    return f"{name}{rest[rest.index(' (') :]}" if " (" in rest and name == "[unknown]" else name


def _pid_of(beside: Mapping[str, Value]) -> int:
    for name in ("tgid", "pid"):
        value = beside.get(name)
        if isinstance(value, int):
            return value >> 32 if value > _PID_MASK else value
    return 0
