"""BCC as a compiler, in the process that calls it: usually a helper (kernel/compile_helper.py).

Importing bcc maps LLVM and clang, 60 MB of memory for as long as the process lives. So nothing else imports this module
at its top, and no other module imports bcc.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import struct
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
from ebpftop.kernel.load.loaded_types import ext_info_of, loaded_btf
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO, ExtInfo
from ebpftop.kernel.mount_namespace import call_with_file_over
from ebpftop.kernel.stub_headers import KALLSYMS, KALLSYMS_PLACE, header_tree

__all__ = ("WithoutAutoload", "compile_source", "errors_with_headers", "lib", "toolchain")

_LIBRARY = re.compile(r"\S*/lib(?:bcc|bpf|clang|LLVM)\S*\.so\S*$", re.MULTILINE)

_SECTION = ".bpf.fn."  # BCC puts each function into a section of its own
_MAP_TYPES = struct.Struct("=68xII")  # struct bpf_map_info: btf_key_type_id, btf_value_type_id

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
                return _extract(bpf, parameters, with_types="-g" in flags)

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


def _extract(bpf: bcc.BPF, parameters: dict[str, int], *, with_types: bool) -> Compiled:
    """Return what BCC made. It has created the maps too, so the kernel is asked for their sizes and flags."""
    module = bpf.module
    specs: list[MapSpec] = []
    fds: dict[int, int] = {}
    btf, info = _types() if with_types else (b"", ExtInfo({}, {}))
    for i in range(lib.bpf_num_tables(module)):
        name = lib.bpf_table_name(module, i)
        fd = lib.bpf_table_fd(module, name)
        fds[fd] = len(specs)
        types = _MAP_TYPES.unpack_from(bpf_syscall.info(fd)) if btf else (0, 0)
        specs.append(MapSpec(name.decode(), *bpf_syscall.map_info(fd), *types))
    programs = {}
    for i in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, i)
        code = ctypes.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name))
        programs[name.decode()] = with_percpu_variables(with_kernel_calls(with_map_fds(code, fds)))
    version = lib.bpf_module_kern_version(module)
    license_name = lib.bpf_module_license(module).decode()
    functions, lines = (
        {
            name: b"".join(form.pack(*record) for record in records.get(_SECTION + name, ()))
            for name in (programs if btf else ())
        }
        for form, records in ((FUNCTION_INFO, info.functions), (LINE_INFO, info.lines))
    )
    return Compiled(license_name, version, tuple(specs), programs, parameters, toolchain(), btf, functions, lines)


def _types() -> tuple[bytes, ExtInfo]:
    """Return the types of what was compiled last, and where its functions and lines are; nothing if it has none."""
    fds_fd = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        btf = loaded_btf(fds_fd)
    finally:
        os.close(fds_fd)
    return btf, ext_info_of(lib, btf)


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
