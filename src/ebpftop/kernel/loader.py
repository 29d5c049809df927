"""BCC, wrapped: compile one of bpf/*.c, load its programs, attach them, and leave nothing behind."""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Literal, NamedTuple

import bcc
from bcc.libbcc import lib

from ebpftop.kernel.headers import header_tree
from ebpftop.kernel.mounts import call_with_file_over
from ebpftop.kernel.offsets import Defines
from ebpftop.kernel.progs import refusal

Kind = Literal["kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint"]

# How BCC's KFUNC_PROBE macros name a program; newer versions put the name of the kernel module in between.
_PREFIX = {"fentry": "kfunc__", "fexit": "kretfunc__"}

_KALLSYMS = Path("/proc/kallsyms")
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_OUR_INCLUDE = re.compile(r'#include "(.+)"')

# Compiling reads the environment, and BCC changes directory meanwhile: one at a time.
_compiling = threading.Lock()


class LoadError(Exception):
    """A program was not compiled, loaded or attached; the text says which and why."""


class NotCompiledError(Exception):
    """A program is asked for that was left out of its file, because nobody seemed to need it."""


class Link(NamedTuple):
    """One attachment: its descriptor, and the name of a kprobe's event."""

    fd: int
    event: bytes | None


class _Bpf(bcc.BPF):  # type: ignore[misc]  # bcc has no types
    """BCC's object without its habit of attaching, on sight, every function that has a telling name."""

    def _trace_autoload(self) -> None:
        pass


def sources() -> Path:
    """Return the directory of the C files: in the wheel beside the package, in a checkout beside src/."""
    here = Path(__file__).resolve().parents[1]
    packaged = here / "bpf"
    return packaged if packaged.is_dir() else here.parents[1] / "bpf"


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
    """Compile *source* against the running kernel's own headers; raises LoadError with the compiler's words."""
    with _compiling, _kernel_source(None), _stderr_kept() as words:
        try:
            bpf = _Bpf(text=source.encode(), cflags=["-ferror-limit=0", "-Wno-everything"])
        except Exception as error:
            words.seek(0)
            raise LoadError(words.read().decode("utf-8", "replace")) from error
        bpf.cleanup()
        atexit.unregister(bpf.cleanup)


@contextmanager
def _stderr_kept() -> Iterator[IO[bytes]]:
    """Yield a file that gets what C code writes to fd 2 meanwhile."""
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


def _few_symbols(folder: Path) -> Path:
    """Write the symbol table that BCC is shown while it compiles, into *folder*, and return its path.

    For every file BCC parses all 120,000 lines or more of /proc/kallsyms, a tenth of a second, only to learn whether
    the kernel has bpf_probe_read_user. All that ebpftop runs on have it (5.5).
    """
    path = folder / "kallsyms"
    path.write_text("0000000000000001 T bpf_probe_read_user\n")
    return path


def _in_one(directory: Path, file: str) -> str:
    """Return the text of *file* with the headers of ours that it includes put in their places.

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


class Module:
    """One C file, compiled; its programs, attached one by one; its maps."""

    def __init__(self, file: str, defines: Defines, names: Mapping[str, str] = _NO_NAMES) -> None:
        """Compile bpf/*file* with *defines* as `-D` flags and *names* for others; raises LoadError.

        BCC lets no macro name a map.
        """
        self.file = file
        source = _in_one(sources(), file)
        for name, other in names.items():
            source = re.sub(rf"\b{name}\b", other, source)
        text = source.encode()
        flags = ["-Wno-unused-value"]
        flags += [f"-D{name}={value}" if value != "" else f"-D{name}" for name, value in defines.items()]
        with _compiling, header_tree() as tree, _kernel_source(tree):
            try:
                self._bpf = call_with_file_over(_KALLSYMS, _few_symbols(tree), lambda: _Bpf(text=text, cflags=flags))
            except Exception as error:
                raise LoadError(f"{file} does not compile: {error}") from error
        self._links: list[Link] = []

    def table(self, name: str) -> bcc.table.TableBase:
        """Return a map by name."""
        return self._bpf[name.encode()]

    def load(self, function: str, kind: Kind) -> int:
        """Load *function* as a program of *kind*; return its descriptor. Raises LoadError with the kernel's reason."""
        program_type = {
            "kprobe": bcc.BPF.KPROBE,
            "kretprobe": bcc.BPF.KPROBE,
            "tracepoint": bcc.BPF.TRACEPOINT,
            "raw_tracepoint": bcc.BPF.RAW_TRACEPOINT,
            "fentry": bcc.BPF.TRACING,
            "fexit": bcc.BPF.TRACING,
        }[kind]
        ctypes.set_errno(0)
        try:
            return int(self._bpf.load_func(function.encode(), program_type).fd)
        except Exception as error:
            code = ctypes.get_errno()
            raise LoadError(refusal(code) if code else f"the kernel refused to load it: {error}") from error

    def attach(self, kind: Kind, target: str, function: str) -> Link:
        """Load and attach *function*. Raises LoadError, and NotCompiledError where the file was compiled without it."""
        name = self._named(function, kind)
        program_fd = self.load(name, kind)
        event: bytes | None = None
        ctypes.set_errno(0)
        if kind == "raw_tracepoint":
            fd = lib.bpf_attach_raw_tracepoint(program_fd, target.encode())
        elif kind == "tracepoint":
            category, _, name = target.partition(":")
            fd = lib.bpf_attach_tracepoint(program_fd, category.encode(), name.encode())
        elif kind in ("fentry", "fexit"):
            fd = lib.bpf_attach_kfunc(program_fd)
        else:
            event = f"{'p' if kind == 'kprobe' else 'r'}_ebpftop_{os.getpid()}_{target}".encode()
            fd = lib.bpf_attach_kprobe(program_fd, int(kind == "kretprobe"), event, target.encode(), 0, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise LoadError(f"the kernel refused to attach it: {os.strerror(code) if code else 'no reason given'}")
        link = Link(fd, event)
        self._links.append(link)
        return link

    def release(self, link: Link) -> None:
        """Detach one program."""
        os.close(link.fd)
        if link.event is not None:
            lib.bpf_detach_kprobe(link.event)
        self._links.remove(link)

    def _named(self, function: str, kind: Kind) -> str:
        """Return the full name of a program: fentry and fexit programs are asked for by the kernel function's name."""
        prefix = _PREFIX.get(kind)
        for i in range(lib.bpf_num_functions(self._bpf.module)):
            name: str = lib.bpf_function_name(self._bpf.module, i).decode()
            if name == function if prefix is None else name.startswith(prefix) and name.endswith(function):
                return name
        raise NotCompiledError(f"{self.file} has no {kind} program {function}")

    @property
    def programs(self) -> Mapping[str, int]:
        """Names and descriptors of the programs loaded now."""
        return {name.decode(): function.fd for name, function in self._bpf.funcs.items()}

    def close(self) -> None:
        """Detach everything and give all memory back. Safe to call twice."""
        for link in list(self._links):
            self.release(link)
        self._bpf.cleanup()
        atexit.unregister(self._bpf.cleanup)

    @property
    def bpf(self) -> bcc.BPF:
        """BCC's own object, for buffers."""
        return self._bpf
