"""BCC as a compiler, in the process that calls it: usually a helper (kernel/compile_helper.py).

Importing bcc maps LLVM and clang, 60 MB of memory for as long as the process lives. So nothing else imports this module
at its top, and no other module imports bcc.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import bcc
import bcc.libbcc
from bcc.libbcc import lib

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.compiled import (
    Compiled,
    FileState,
    MapSpec,
    file_state,
    with_kernel_calls,
    with_map_fds,
    with_percpu_variables,
)
from ebpftop.kernel.mount_namespace import call_with_file_over
from ebpftop.kernel.stub_headers import KALLSYMS, KALLSYMS_PLACE, header_tree

_LIBRARY = re.compile(r"\S*/lib(?:bcc|bpf|clang|LLVM)\S*\.so\S*$", re.MULTILINE)

# Compiling reads the environment, and BCC changes directory meanwhile: one at a time.
_compiling = threading.Lock()

# bcc.libbcc does not declare these.
lib.bpf_num_tables.restype = ctypes.c_size_t
lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
lib.bpf_table_name.restype = ctypes.c_char_p
lib.bpf_table_name.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class WithoutAutoload(bcc.BPF):  # type: ignore[misc]  # bcc has no types
    """BCC's object, except that it does not attach functions automatically by their names."""

    def _trace_autoload(self) -> None:
        pass


@contextmanager
def _bpf(source: str, flags: list[str]) -> Iterator[bcc.BPF]:
    bpf = WithoutAutoload(text=source.encode(), cflags=flags)
    try:
        yield bpf
    finally:
        bpf.cleanup()
        atexit.unregister(bpf.cleanup)


def compile_source(source: str, flags: list[str], parameters: dict[str, int]) -> Compiled:
    """Compile *source*, whose parameters have these numbers; raises what BCC raises."""
    with _compiling, header_tree() as tree, _kernel_source(tree.folder):

        def work() -> Compiled:
            with _bpf(source, [*flags, *tree.flags]) as bpf:
                return _extract(bpf, parameters)

        return call_with_file_over(KALLSYMS_PLACE, tree.folder / KALLSYMS, work)


def errors_with_headers(source: str) -> str:
    """Return what the compiler reports about *source*, with the running kernel's own headers; empty if it compiles."""
    with _compiling, _kernel_source(None), _stderr_kept() as words:
        try:
            with _bpf(source, ["-ferror-limit=0", "-Wno-everything"]):
                return ""
        except Exception:  # noqa: BLE001  # whatever BCC raises: the reason is what clang wrote
            words.seek(0)
            return words.read().decode("utf-8", "replace") or "the compiler gives no reason"


def _extract(bpf: bcc.BPF, parameters: dict[str, int]) -> Compiled:
    """Return what BCC made. It has created the maps too, so the kernel is asked for their sizes and flags."""
    module = bpf.module
    specs: list[MapSpec] = []
    fds: dict[int, int] = {}
    for i in range(lib.bpf_num_tables(module)):
        name = lib.bpf_table_name(module, i)
        fd = lib.bpf_table_fd(module, name)
        fds[fd] = len(specs)
        specs.append(MapSpec(name.decode(), *bpf_syscall.map_info(fd)))
    programs = {}
    for i in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, i)
        code = ctypes.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name))
        programs[name.decode()] = with_percpu_variables(with_kernel_calls(with_map_fds(code, fds)))
    version = lib.bpf_module_kern_version(module)
    license_name = lib.bpf_module_license(module).decode()
    return Compiled(license_name, version, tuple(specs), programs, parameters, toolchain())


@contextmanager
def _kernel_source(tree: Path | None) -> Iterator[None]:
    before = os.environ.pop("BCC_KERNEL_SOURCE", None)
    if tree is not None:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
    try:
        yield
    finally:
        os.environ.pop("BCC_KERNEL_SOURCE", None)
        if before is not None:
            os.environ["BCC_KERNEL_SOURCE"] = before


@contextmanager
def _stderr_kept() -> Iterator[IO[bytes]]:
    """Yield a file that receives what C code writes to fd 2 meanwhile."""
    before_fd = os.dup(2)
    try:
        with open(os.memfd_create("ebpftop-errors", os.MFD_CLOEXEC), "r+b") as words:
            os.dup2(words.fileno(), 2)
            try:
                yield words
            finally:
                os.dup2(before_fd, 2)
    finally:
        os.close(before_fd)


def toolchain() -> tuple[FileState, ...]:
    """Return the files that compile: BCC's, and the libraries that it has loaded.

    A library is known by the name that it is loaded by too: that may be a link to another version later.
    """
    package = Path(bcc.__file__).parent
    files = {str(path) for path in package.glob("*.py")}
    for library in set(_LIBRARY.findall(Path("/proc/self/maps").read_text())):
        name = Path(library)
        stem, _, version = name.name.partition(".so.")
        files |= {library, str(name.with_name(f"{stem}.so.{version.partition('.')[0]}")) if version else library}
    return tuple(file_state(path) for path in sorted(files))
