"""BCC as a compiler: one of bpf/*.c in, programs and descriptions of maps out; nothing stays in the kernel.

The result is cached (kernel/build_cache.py): of the 1.6 s until the screen shows something, clang and LLVM take 0.7.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import re
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import bcc
import msgspec
from bcc.libbcc import lib

from ebpftop.kernel import bpf_syscall, build_cache
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.mount_namespace import call_with_file_over
from ebpftop.kernel.stub_headers import KALLSYMS, header_tree, headers

_KALLSYMS = Path("/proc/kallsyms")
_OUR_INCLUDE = re.compile(r'#include "(.+)"')
_WORD = re.compile(r"\w+")
_PARAMETER = re.compile(r"\bPARAMETER_(\w+) = (\d+)")
_TOOLCHAIN = re.compile(r"\S*/lib(?:bcc|bpf|clang|LLVM)\S*\.so\S*$", re.MULTILINE)

_INSN = struct.Struct("=BBhi")  # struct bpf_insn, include/uapi/linux/bpf.h
_LD_IMM64 = 0x18
_PSEUDO_MAP_FD = 1
_PARAMETER_MARK = 0x0EBF7090  # PARAMETER_MARK of bpf/ebpftop.h, its upper half

# Compiling reads the environment, and BCC changes directory meanwhile: one at a time.
_compiling = threading.Lock()

# bcc.libbcc does not declare these.
lib.bpf_num_tables.restype = ctypes.c_size_t
lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
lib.bpf_table_name.restype = ctypes.c_char_p
lib.bpf_table_name.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class MapSpec(msgspec.Struct, frozen=True):
    """A map that the kernel will create; sizes in bytes."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Compiled(msgspec.Struct, frozen=True):
    """One C file, compiled. An instruction that loads a map has the map's index in `maps` where its descriptor goes.

    One that loads a parameter has its mark, and its number in `parameters`, where its value goes.
    """

    license: str
    version: int  # KERNEL_VERSION of the kernel that it was made for
    maps: tuple[MapSpec, ...]
    programs: dict[str, bytes]
    parameters: dict[str, int]


def with_map_fds(code: bytes, fds: Mapping[int, int]) -> bytes:
    """Return *code*; in each instruction that loads a map, the map's number n is replaced by ``fds[n]``."""
    patched = bytearray(code)
    for at in _wide_instructions(code):
        opcode, registers, offset, immediate = _INSN.unpack_from(code, at)
        if registers >> 4 == _PSEUDO_MAP_FD:
            _INSN.pack_into(patched, at, opcode, registers, offset, fds[immediate])
    return bytes(patched)


def with_parameters(code: bytes, values: Mapping[int, int]) -> bytes:
    """Return *code*; in each instruction that loads parameter n, it is replaced by ``values[n]``, an unsigned 64 bits.

    This is what libbpf's `const volatile` achieves with a frozen map, without the map, and without a load at run time.
    """
    patched = bytearray(code)
    for at in _wide_instructions(code):
        low, high = (_INSN.unpack_from(code, half) for half in (at, at + _INSN.size))
        if low[1] >> 4 == 0 and high[3] == _PARAMETER_MARK:
            value = values[low[3]].to_bytes(8, sys.byteorder)
            for half, part in ((at, value[:4]), (at + _INSN.size, value[4:])):
                patched[half + 4 : half + 8] = part
    return bytes(patched)


def _wide_instructions(code: bytes) -> Iterator[int]:
    """Yield where the instructions of 16 bytes are: those that load 64 bits, which may be the address of a map."""
    at = 0
    while at < len(code):
        wide = code[at] == _LD_IMM64
        if wide:
            yield at
        at += _INSN.size * (1 + wide)


class _Bpf(bcc.BPF):  # type: ignore[misc]  # bcc has no types
    """BCC's object, except that it does not attach functions automatically by their names."""

    def _trace_autoload(self) -> None:
        pass


@contextmanager
def _bpf(source: str, flags: list[str]) -> Iterator[bcc.BPF]:
    bpf = _Bpf(text=source.encode(), cflags=flags)
    try:
        yield bpf
    finally:
        bpf.cleanup()
        atexit.unregister(bpf.cleanup)


def sources() -> Path:
    """Return the directory of the C files: in the wheel beside the package, in a checkout beside src/."""
    here = Path(__file__).resolve().parents[1]
    packaged = here / "bpf"
    return packaged if packaged.is_dir() else here.parents[1] / "bpf"


# The entries that this process compiled itself: there is no doubt about them.
_made_here: set[str] = set()


def compiled(file: str, defines: Defines) -> Compiled:
    """Return bpf/*file* compiled with *defines* as `-D` flags, or from the cache; raises LoadError, SourceError."""
    source, flags, name = _task(file, defines)
    found = build_cache.find(name, Compiled)
    if found is None or not _is_whole(found, source):
        found = _compile_and_store(file, source, flags, name)
    return found


def recheck(file: str, defines: Defines) -> bool:
    """Compile bpf/*file* again if it came from the cache; return whether the cached entry differed. It is replaced.

    Called if a cached entry does not work: a checksum does not prove who wrote it. Raises LoadError, SourceError.
    """
    source, flags, name = _task(file, defines)
    if name in _made_here:
        return False
    return build_cache.find(name, Compiled) != _compile_and_store(file, source, flags, name)


def _task(file: str, defines: Defines) -> tuple[str, list[str], str]:
    """Return the source, the compiler's flags, and the name of the entry."""
    source = _inline_includes(sources(), file)
    # Nobody would see debug information; without it LLVM needs a sixth less time.
    flags = ["-Wno-unused-value", "-g0"]
    # Only flags that the file mentions: a kernel described by its headers then needs no new compilation.
    words = set(_WORD.findall(source))
    flags += [f"-D{name}={value}" for name, value in sorted(defines.items()) if name in words]
    return source, flags, _name(source, flags)


def _compile_and_store(file: str, source: str, flags: list[str], name: str) -> Compiled:
    made = _compile(file, source, flags)
    _made_here.add(name)
    build_cache.store(name, made)
    return made


def _is_whole(found: Compiled, source: str) -> bool:
    """Return whether its maps are all mentioned in *source*, and its programs consist of whole instructions."""
    names = [spec.name for spec in found.maps]
    return (
        bool(names)
        and bool(found.programs)
        and len(set(names)) == len(names)
        and set(names) <= set(_WORD.findall(source))
        and all(code and len(code) % _INSN.size == 0 for code in found.programs.values())
        and found.parameters == _parameters(source)
    )


def _parameters(source: str) -> dict[str, int]:
    """Return name and number of each parameter that *source* declares."""
    return {name: int(number) for name, number in _PARAMETER.findall(source)}


def _compile(file: str, source: str, flags: list[str]) -> Compiled:
    with _compiling, header_tree() as tree, _kernel_source(tree.folder):

        def work() -> Compiled:
            with _bpf(source, [*flags, *tree.flags]) as bpf:
                return _extract(bpf, _parameters(source))

        try:
            return call_with_file_over(_KALLSYMS, tree.folder / KALLSYMS, work)
        except Exception as error:
            raise LoadError(f"{file} does not compile: {error}") from error


def _name(source: str, flags: list[str]) -> str:
    """Return the hash of everything that the result depends on."""
    toolchain = []
    for path in sorted(set(_TOOLCHAIN.findall(Path("/proc/self/maps").read_text()))):
        try:
            found = os.stat(path)
        except OSError:  # removed or replaced meanwhile, or loaded in another mount namespace (chroot)
            toolchain.append((path, 0, 0))
        else:
            toolchain.append((path, found.st_size, found.st_mtime_ns))
    return build_cache.key(
        Path(__file__).read_bytes(),
        msgspec.msgpack.encode([bcc.__version__, toolchain]),
        msgspec.msgpack.encode([os.uname().release, os.uname().version, platform.machine()]),
        msgspec.msgpack.encode(headers()),
        msgspec.msgpack.encode(flags),
        source.encode(),
    )


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
        programs[name.decode()] = with_map_fds(code, fds)
    version = lib.bpf_module_kern_version(module)
    return Compiled(lib.bpf_module_license(module).decode(), version, tuple(specs), programs, parameters)


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


def compile_with_headers(source: str) -> None:
    """Compile *source* against the running kernel's own headers; raises LoadError with the compiler's messages."""
    with _compiling, _kernel_source(None), _stderr_kept() as words:
        try:
            with _bpf(source, ["-ferror-limit=0", "-Wno-everything"]):
                pass
        except Exception as error:
            words.seek(0)
            raise LoadError(words.read().decode("utf-8", "replace")) from error


@contextmanager
def _stderr_kept() -> Iterator[IO[bytes]]:
    """Yield a file that receives what C code writes to fd 2 meanwhile."""
    before_fd = os.dup(2)
    try:
        with tempfile.TemporaryFile() as words:
            os.dup2(words.fileno(), 2)
            try:
                yield words
            finally:
                os.dup2(before_fd, 2)
    finally:
        os.close(before_fd)


def _inline_includes(directory: Path, file: str) -> str:
    """Return the text of *file*, with our own headers inserted where it includes them.

    BCC translates map operations in the main file only.
    """

    def lines(name: str) -> Iterator[str]:
        yield f'#line 1 "{name}"'
        for number, line in enumerate((directory / name).read_text().splitlines(), 1):
            if included := _OUR_INCLUDE.fullmatch(line):
                yield from lines(included[1])
                yield f'#line {number + 1} "{name}"'
            else:
                yield line

    return "\n".join([*lines(file), ""])
