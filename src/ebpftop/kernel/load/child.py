"""One compilation by BCC, in a process that ends with it.

LLVM ends its process if a program needs more than 512 bytes of stack, or if it runs out of memory; and a file can make
it work for ever. So each compilation has a process, with limits (limits.py).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from ebpftop.kernel.compiled import with_map_fds
from ebpftop.kernel.load import limits, object_file
from ebpftop.kernel.load.built import Built, BuiltMap, BuiltProgram, CompileRequest
from ebpftop.kernel.load.loaded_types import ext_info_of, loaded_btf
from ebpftop.kernel.load.object_file import FUNCTION_INFO, LINE_INFO

MAPS_MAX = 200
"""Their descriptors go into one message; the kernel lets 253 pass (include/net/scm.h)."""

OWN_INCLUDES = "include/quoted"
"""Where in the tree of headers the files lie that the source includes with quotes."""

_SECTION = ".bpf.fn."  # BCC puts each function into a section of its own
_FLAGS = (
    "-g",
    # A macro that does not exist would else become a call to nowhere.
    "-Werror=implicit-function-declaration",
    "-fno-color-diagnostics",
)
_NO_MAP = re.compile(rb"could not open bpf map: (.*), error: (.*)")


def compile_source(request: CompileRequest, tree: Path, fds_fd: int) -> tuple[Built, list[int]]:
    """Compile with the headers in *tree*; return what was made, and a descriptor for each of its maps.

    *fds_fd* stands for /proc/self/fd. What clang writes goes to descriptor 2. It changes the environment and the
    working directory of the process.
    """
    from ebpftop.kernel.bcc_compiler import WithoutAutoload, lib  # only here, for it loads LLVM

    started_s = time.monotonic()
    os.environ["BCC_KERNEL_SOURCE"] = str(tree)
    included = ("-iquote", str(tree / OWN_INCLUDES)) if request.includes else ()
    try:
        bpf = WithoutAutoload(text=request.text.encode(), cflags=[*_FLAGS, *included, *request.flags])
    except (Exception, SystemExit) as error:  # noqa: BLE001  # BCC raises Exception itself
        return Built(error=str(error) or repr(error), stage="clang", seconds=time.monotonic() - started_s), []
    atexit.unregister(bpf.cleanup)
    module = bpf.module
    maps: list[BuiltMap] = []
    fds: list[int] = []
    count = lib.bpf_num_tables(module)
    if count > MAPS_MAX:
        names = [lib.bpf_table_name(module, i).decode() for i in range(count)]
        first = sorted(names, key=lambda name: _place(request.text, name))[MAPS_MAX]
        return Built(error=f"the file has {count} maps; at most {MAPS_MAX} are supported", stage="map", map=first), []
    for i in range(count):
        name = lib.bpf_table_name(module, i)
        fds.append(lib.bpf_table_fd(module, name))
        maps.append(BuiltMap(name.decode(), _event_fields(lib, module, name)))
    if (programs_count := lib.bpf_num_functions(module)) > limits.PROGRAMS_MAX:
        too_many = limits.too_many_programs(programs_count)
        return Built(error=too_many, remedy=limits.PROGRAMS_REMEDY, stage="limit"), []
    btf = loaded_btf(fds_fd)
    info = ext_info_of(lib, btf)
    numbers = {fd: i for i, fd in enumerate(fds)}
    programs = []
    for i in range(programs_count):
        name = lib.bpf_function_name(module, i)
        code = ctypes.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name))
        text = name.decode()
        functions = b"".join(FUNCTION_INFO.pack(*one) for one in info.functions.get(_SECTION + text, ()))
        lines = b"".join(LINE_INFO.pack(*one) for one in info.lines.get(_SECTION + text, ()))
        programs.append(BuiltProgram(text, with_map_fds(code, numbers), functions, lines))
    strings = object_file.btf_strings(btf) if btf else b""
    files = {one[1] for lines in info.lines.values() for one in lines}
    built = Built(
        seconds=time.monotonic() - started_s,
        license=lib.bpf_module_license(module).decode(),
        version=lib.bpf_module_kern_version(module),
        programs=tuple(programs),
        maps=tuple(maps),
        btf=btf,
        file_names={at: object_file.string(strings, at) for at in files},
    )
    return built, fds


def _place(text: str, name: str) -> int:
    """Return where *text* names a map first: BCC does not keep their order."""
    found = re.search(rf"\b{re.escape(name)}\b", text)
    return found.start() if found else len(text)


def failed_map(output: bytes) -> tuple[str, str] | None:
    """Return the map that the kernel refused to make, and why; None if *output* of BCC names none."""
    found = _NO_MAP.search(output)
    return (found[1].decode("utf-8", "replace"), found[2].decode("utf-8", "replace")) if found else None


def _event_fields(lib: ctypes.CDLL, module: int, name: bytes) -> tuple[tuple[str, str], ...]:
    """Return the members of the events of a buffer, which BCC gives as "name#type"."""
    count = lib.bpf_perf_event_fields(module, name)
    texts = (lib.bpf_perf_event_field(module, name, i) for i in range(count))
    pairs = (text.decode("utf-8", "replace").partition("#") for text in texts if text)
    return tuple((field, kind) for field, _, kind in pairs)


def write_tree(folder: Path, headers: Mapping[str, str], includes: Mapping[str, str]) -> None:
    """Write the headers, and the files that the source includes with quotes; raises OSError, ValueError."""
    for name, text in (*headers.items(), *((f"{OWN_INCLUDES}/{name}", text) for name, text in includes.items())):
        path = folder / name
        if ".." in path.parts:
            raise ValueError(f"{name} leads out of the tree")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
