"""Run tools of BCC's with a class BPF that compiles nothing, and write down what they would compile and attach.

    python tests/bcc_recorder.py FD '[["TOOL", "ARGUMENT", ..], ..]'

The tools make their C from a text and their options. What a tool checks before, and may lack here (a module, a
processor, a terminal), is there for it: all it is asked for is its C. Each tool runs in a process of its own, forked
from this one, which has imported what they need. FD gets a line of JSON for each: see tests/bcc_tools.py.
"""

from __future__ import annotations

import builtins
import ctypes
import curses
import io
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import MagicMock

import bcc

from ebpftop.kernel.bpf_syscall import fentry_refusal
from ebpftop.kernel.offsets import function_id

_TIME_S = 300  # long enough for an emulated processor
_SYMBOLS = ("btrfs_file_operations", "ext4_file_operations", "vm_zone_stat", "vm_stat")

_OLD = ("__vfs_read", "__vfs_write")
"""Functions that a tool tries first, and replaces where the kernel has none."""

_record: dict[str, Any] = {"text": "", "flags": [], "attach": []}


class _Anything:
    """Stands for a map, a program or a screen of which nothing comes."""

    def __getattr__(self, name: str) -> _Anything:
        return self

    def __call__(self, *_: object, **__: object) -> _Anything:
        return self

    def __getitem__(self, key: object) -> _Anything:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def __index__(self) -> int:
        return 0


_ANYTHING = _Anything()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _end(*_: object, **__: object) -> NoReturn:
    raise SystemExit


class _Recorder(bcc.BPF):  # type: ignore[misc]  # bcc has no types
    """Writes down what it is given. The tool ends when it begins to wait for events."""

    class Function:
        def __init__(self, bpf: object, module: object, name: object, *_: object) -> None:
            self.name, self.fd, self.sock = name, 0, 0

    def __init__(
        self,
        src_file: bytes | str = b"",
        hdr_file: bytes | str = b"",
        text: bytes | str | None = None,
        debug: int = 0,
        cflags: Sequence[bytes | str] = (),
        usdt_contexts: Sequence[Any] = (),
        **_: object,
    ) -> None:
        if src_file:
            text = Path(_text(bcc.BPF._find_file(_text(src_file).encode()))).read_text()
        contexts = (ctypes.c_void_p * len(usdt_contexts))(*(one.get_context() for one in usdt_contexts))
        usdt = bcc.lib.bcc_usdt_genargs(contexts, len(usdt_contexts)) if usdt_contexts else b""
        _record["text"] = _text(usdt) + _text(text)
        _record["flags"] = [_text(flag) for flag in cflags]
        self.module = None

    def __getitem__(self, key: object) -> _Anything:
        return _ANYTHING

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def load_func(self, name: bytes | str, *_: object, **__: object) -> Function:
        return self.Function(self, 0, name)

    def load_funcs(self, *_: object) -> list[Function]:
        return []

    def get_table(self, *_: object, **__: object) -> _Anything:
        return _ANYTHING

    def attach_kprobe(
        self, event: object = "", event_off: int = 0, fn_name: object = "", event_re: object = ""
    ) -> None:
        self._attach("kprobe", fn_name, event or event_re)

    def attach_kretprobe(self, event: object = "", fn_name: object = "", event_re: object = "", **_: object) -> None:
        self._attach("kretprobe", fn_name, event or event_re)

    def attach_tracepoint(self, tp: object = "", tp_re: object = "", fn_name: object = "") -> None:
        self._attach("tracepoint", fn_name, tp or tp_re)

    def attach_raw_tracepoint(self, tp: object = "", fn_name: object = "") -> None:
        self._attach("raw_tracepoint", fn_name, tp)

    def attach_uprobe(
        self, name: object = "", sym: object = "", sym_re: object = "", fn_name: object = "", **_: object
    ) -> None:
        self._attach("uprobe", fn_name, f"{_text(name)}:{_text(sym or sym_re)}")

    def attach_uretprobe(
        self, name: object = "", sym: object = "", sym_re: object = "", fn_name: object = "", **_: object
    ) -> None:
        self._attach("uretprobe", fn_name, f"{_text(name)}:{_text(sym or sym_re)}")

    def attach_perf_event(self, ev_type: int = -1, ev_config: int = -1, fn_name: object = "", **_: object) -> None:
        self._attach("perf", fn_name, f"{int(ev_type)}:{int(ev_config)}")

    def attach_xdp(self, *_: object, **__: object) -> None:
        pass

    attach_raw_socket = attach_func = detach_func = detach_kprobe = detach_uprobe = remove_xdp = attach_xdp

    def _attach(self, kind: str, function: object, event: object) -> None:
        if _text(event) in _OLD and _text(event) not in _symbols():
            raise OSError(f"the kernel has no function {_text(event)}")  # the tool tries another
        _record["attach"].append((kind, _text(function), _text(event)))

    def num_open_probes(self) -> int:
        return 1

    num_open_kprobes = num_open_uprobes = num_open_tracepoints = num_open_probes

    perf_buffer_poll = ring_buffer_poll = perf_buffer_consume = ring_buffer_consume = _end
    kprobe_poll = trace_print = trace_fields = trace_readline = _end

    @staticmethod
    def get_kprobe_functions(event_re: bytes | str) -> set[bytes]:
        """As BCC's own, which needs a kernel that has kprobes."""
        pattern = re.compile(_text(event_re).encode())
        lines = (line.split() for line in Path("/proc/kallsyms").read_bytes().splitlines())
        return {line[2] for line in lines if line[1].lower() in (b"t", b"w") and pattern.match(line[2])}

    @staticmethod
    def support_kfunc() -> bool:
        """Return whether programs can hang at functions by BTF: as the kernel says, where BCC only asks BTF."""
        return fentry_refusal(function_id("vfs_read")) is None

    @staticmethod
    def get_user_functions_and_addresses(name: object, sym_re: object) -> list[tuple[bytes, int]]:
        return [(b"dispatch_command", 1)]

    @staticmethod
    def ksymname(name: bytes | str) -> int:
        """Say that every symbol exists, for that is all that is asked; but of system calls, the name decides which."""
        return -1 if b"sys_" in _text(name).encode() and _text(name) not in _symbols() else 1


@cache
def _symbols() -> frozenset[str]:
    return frozenset(line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines())


def _open_with_symbols(really: Callable[..., Any]) -> Callable[..., Any]:
    """Return `open` that has symbols of modules which are not loaded here."""

    def opened(file: Any, *arguments: Any, **named: Any) -> Any:
        if file != "/proc/kallsyms" or "b" in str(arguments):
            return really(file, *arguments, **named)
        with really(file) as kallsyms:
            return io.StringIO(kallsyms.read() + "".join(f"0000000000000001 d {name}\n" for name in _SYMBOLS))

    return opened


def _passes_checks() -> None:
    """Give a tool what it asks for before it makes its C."""
    builtins.open = _open_with_symbols(builtins.open)
    exists, access, check_output = os.path.exists, os.access, subprocess.check_output

    def is_there(path: Any) -> bool:
        return "/preemptirq/" in _text(path) or exists(path)

    def may(path: Any, mode: int) -> bool:
        return path == "/dev/kvm" or access(path, mode)

    def output(command: Any, **named: Any) -> Any:
        return b"GenuineIntel" if "vendor_id" in command else check_output(command, **named)

    def wrapper(function: Callable[..., object], *arguments: object) -> object:
        return function(_ANYTHING, *arguments)

    for module, name, function in (
        (os.path, "exists", is_there),
        (os, "access", may),
        (subprocess, "check_output", output),
        (curses, "wrapper", wrapper),
    ):
        setattr(module, name, function)
    time.sleep = _end
    for name in ("pyroute2", "netaddr", "simulation"):
        sys.modules[name] = MagicMock()


def _run(fd: int, command: list[str]) -> NoReturn:
    """Run one tool until it has attached, write the record, and end without what it would do at its end."""
    signal.alarm(_TIME_S)
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).parent))
    os.chdir(sys.path[0])
    problem = ""
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        problem = end.code if isinstance(end.code, str) else ""
    except BaseException as error:  # noqa: BLE001  # whatever the tool does: the record says so
        problem = f"{type(error).__name__}: {error}"
    os.write(fd, json.dumps({**_record, "problem": problem}).encode() + b"\n")
    os._exit(0)


def main() -> None:
    """Run all tools, one after the other."""
    fd, commands = int(sys.argv[1]), json.loads(sys.argv[2])
    bcc.BPF = _Recorder
    _passes_checks()
    null_fd = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null_fd, standard)
    for command in commands:
        pid = os.fork()
        if pid == 0:
            _run(fd, command)
        if os.waitpid(pid, 0)[1]:
            os.write(fd, json.dumps({**_record, "problem": f"it ran for over {_TIME_S} s, or ended"}).encode() + b"\n")


if __name__ == "__main__":
    main()
