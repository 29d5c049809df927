"""One of bpf/*.c in, programs and descriptions of maps out; nothing stays in the kernel.

BCC compiles (kernel/bcc_compiler.py), in another process where there is one (kernel/compile_helper.py): LLVM and clang
would stay in this one. The result is cached (kernel/build_cache.py), so most starts need no compiler.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ebpftop.core.shipped import shipped
from ebpftop.kernel import build_cache, compile_helper
from ebpftop.kernel.compiled import INSN, Compiled, file_state
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.stub_headers import headers

_OUR_INCLUDE = re.compile(r'#include "(.+)"')
_WORD = re.compile(r"\w+")
_PARAMETER = re.compile(r"\bPARAMETER_(\w+) = (\d+)")


WITH_TYPES = "with types"
"""If it is among the definitions, what is compiled has its types (BTF) and the lines of its source. It is no flag."""


def sources() -> Path:
    """Return the directory of the C files."""
    return shipped("bpf")


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
    # Nobody would see debug information, unless it is asked for; without it LLVM needs a sixth less time.
    flags = ["-Wno-unused-value", "-g" if defines.get(WITH_TYPES) else "-g0"]
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
    """Return whether its maps are all mentioned in *source*, its programs consist of whole instructions, and it was
    made by the compiler that is installed now.
    """
    names = [spec.name for spec in found.maps]
    return (
        bool(names)
        and bool(found.programs)
        and len(set(names)) == len(names)
        and set(names) <= set(_WORD.findall(source))
        and all(code and len(code) % INSN.size == 0 for code in found.programs.values())
        and found.parameters == _parameters(source)
        and bool(found.toolchain)
        and all(file_state(state.path) == state for state in found.toolchain)
    )


def _parameters(source: str) -> dict[str, int]:
    """Return name and number of each parameter that *source* declares."""
    return {name: int(number) for name, number in _PARAMETER.findall(source)}


def _compile(file: str, source: str, flags: list[str]) -> Compiled:
    answer = compile_helper.ask(compile_helper.Request(source, flags, _parameters(source)))
    if answer.compiled is None:
        raise LoadError(f"{file} does not compile: {answer.error}")
    return msgspec.msgpack.decode(answer.compiled, type=Compiled)


def compile_with_headers(source: str) -> None:
    """Compile *source* against the running kernel's own headers; raises LoadError with the compiler's messages."""
    answer = compile_helper.ask(compile_helper.Request(source, None, {}))
    if answer.error:
        raise LoadError(answer.error)


def _name(source: str, flags: list[str]) -> str:
    """Return the hash of everything that the result depends on but the compiler, whose files the entry names."""
    here = Path(__file__)
    return build_cache.key(
        here.read_bytes(),
        *(here.with_name(name).read_bytes() for name in ("bcc_compiler.py", "compiled.py")),
        msgspec.msgpack.encode([os.uname().release, os.uname().version, platform.machine()]),
        msgspec.msgpack.encode(headers()),
        msgspec.msgpack.encode(flags),
        source.encode(),
    )


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
