"""Compile for tests with headers that are given, each time in a process of its own, as LLVM may end it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_CPU_S, _MEMORY_BYTES = 900, 2 << 30  # in a guest everything takes thirty times as long


class Compilation(NamedTuple):
    """What became of a source."""

    programs: dict[str, bytes]
    """The instructions of each function; none if it does not compile."""
    output: str
    """What clang wrote."""


def compile_with(headers: Mapping[str, str], source: str, flags: tuple[str, ...] = ()) -> Compilation:
    """Compile *source* by BCC with *headers*, by their paths, and nothing else of the machine."""
    with tempfile.TemporaryDirectory(prefix="ebpftop-test-headers-") as folder:
        for name, text in headers.items():
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        output_fd, result_fd = os.memfd_create("output"), os.memfd_create("result")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(output_fd, 1)
                os.dup2(output_fd, 2)
                _compile(folder, source, flags, result_fd)
                code = 0
            finally:
                os._exit(code)
        os.waitpid(pid, 0)
        output = _read(output_fd).decode("utf-8", "replace")
        found = json.loads(_read(result_fd) or b"{}")
        return Compilation({name: bytes.fromhex(code) for name, code in found.items()}, output)


def _compile(folder: str, source: str, flags: tuple[str, ...], result_fd: int) -> None:
    import bcc
    from bcc.libbcc import lib

    class Plain(bcc.BPF):  # type: ignore[misc]  # bcc has no types
        def _trace_autoload(self) -> None:
            pass

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    # Beyond what a large test process has handed down.
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes + _MEMORY_BYTES, mapped_bytes + _MEMORY_BYTES))
    os.environ["BCC_KERNEL_SOURCE"] = folder
    try:
        module = Plain(text=source.encode(), cflags=["-g", "-Werror=implicit-function-declaration", *flags]).module
    except Exception as error:  # noqa: BLE001  # BCC raises Exception itself
        os.write(2, str(error).encode())
        return
    names = [lib.bpf_function_name(module, i) for i in range(lib.bpf_num_functions(module))]
    code = {
        name.decode(): ctypes.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)).hex()
        for name in names
    }
    os.pwrite(result_fd, json.dumps(code).encode(), 0)


def _read(fd: int) -> bytes:
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()
