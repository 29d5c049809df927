"""The stacks of a traced call, as the kernel hands them over (bpf/syscalls_stacks.h), get the names of functions.

A frame in a file comes with the build id of the file: it is found again though the process is gone, if a process that
lives has the same file mapped, or if it is the program itself or a library where the linker looks for them.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from ebpftop.core.escape import escape
from ebpftop.kernel.elf_symbols import ElfSymbols
from ebpftop.kernel.mappings import Mapping, mapping_at, mappings_of
from ebpftop.kernel.process_files import open_regular
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.symbol_table import SymbolTable, kernel_symbols, perf_map
from ebpftop.probes.traced_calls import RawStacks

Frames = tuple[str, ...]

UNKNOWN = "[unknown]"
_FRAME = struct.Struct("=i20sQ")  # struct bpf_stack_build_id
_IN_FILE = 1  # BPF_STACK_BUILD_ID_VALID
_FILES_MAX = 64  # that are open
_SYMBOLS_MAX = 1 << 21  # of all files together
_MAPPED_MAX = 512  # files of a process in which a build id is looked for
_STACKS_MAX = 2048
_PERF_MAPS_MAX = 8
_PERF_MAP_BYTES_MAX = 32 << 20
_MAPPINGS_FOR_S = 1.0
_SHARE = 20  # of the time at least, what a process has is not read again
_SHOWN_MAX = 200  # characters of a name
_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY = re.compile(rb"/[^\0]{1,4000}\.so[^\0]{0,100}")
_NOT_FOUND_MAX = 1024
_PAGE = 4096
_SWITCH = "__schedule+"

_K = TypeVar("_K")
_V = TypeVar("_V")


class _File(NamedTuple):
    symbols: ElfSymbols
    name: str


class _Process:
    """What is known of a process for a moment."""

    def __init__(self, mappings: Sequence[Mapping], until_s: float) -> None:
        self.mappings = mappings
        self.until_s = until_s
        self.searched: set[bytes] = set()  # build ids that were looked for in its files
        self.files: dict[Mapping, _File | None] = {}
        self.perf_map: SymbolTable | None = None


class StackNames:
    """Names the frames of stacks. Not thread-safe."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self._by_build_id: dict[bytes, _File] = {}
        self._by_place: dict[object, _File] = {}
        self._not_found: OrderedDict[tuple[bytes, str | None], None] = OrderedDict()
        self._stacks: OrderedDict[tuple[bytes, bytes], Frames] = OrderedDict()
        self._processes: OrderedDict[int, _Process] = OrderedDict()
        self._kernel: SymbolTable | None = None
        self._libraries = tuple(_libraries())

    def close(self) -> None:
        """Close the files. Those that are needed again are opened again."""
        for file in (*self._by_build_id.values(), *self._by_place.values()):
            file.symbols.close()
        self._by_build_id.clear()
        self._by_place.clear()
        self._not_found.clear()
        self._processes.clear()

    def user(self, raw: RawStacks) -> Frames:
        """Return the functions of the program, the innermost first."""
        frames = [_FRAME.unpack_from(raw.user, at) for at in range(0, len(raw.user) - _FRAME.size + 1, _FRAME.size)]
        # What has only addresses is different in each process.
        is_lasting = all(status == _IN_FILE for status, _, _ in frames)
        key = (raw.user, b"")
        if is_lasting and key in self._stacks:
            self._stacks.move_to_end(key)
            return self._stacks[key]
        texts = []
        for depth, (status, build_id, at) in enumerate(frames):
            # Callers' addresses are where the call returns to: that may be behind the end of the function.
            back = 1 if depth else 0
            if status == _IN_FILE and at >= 1 << 63:
                texts.append(UNKNOWN)  # an address below what the kernel took it for: there is no memory
            elif status == _IN_FILE:
                texts.append(self._in_file(raw, build_id, at, back))
            elif at:
                texts.append(self._at_address(raw.pid, at, back))
        found = tuple(texts)
        if is_lasting and not any(UNKNOWN in text for text in found):
            _keep(self._stacks, key, found, _STACKS_MAX)
        return found

    def kernel(self, raw: bytes) -> Frames:
        """Return the functions of the kernel, the innermost first."""
        key = (b"", raw)
        if key not in self._stacks:
            if self._kernel is None:
                self._kernel = self._read_kernel()
            addresses = struct.unpack(f"={len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
            texts = [self._in_kernel(address, 1 if depth else 0) for depth, address in enumerate(addresses)]
            # What is inside of this is our program, and what calls it.
            switch = next((at for at, text in enumerate(texts) if text.startswith(_SWITCH)), 0)
            _keep(self._stacks, key, tuple(texts[switch:]), _STACKS_MAX)
        return self._stacks[key]

    def _in_kernel(self, address: int, back: int) -> str:
        assert self._kernel is not None
        symbol = self._kernel.at(address - back)
        if symbol is None:
            return f"{UNKNOWN} ({address:#x})"
        name, _, module = symbol.name.partition(b" [")
        return f"{_shown(name)}+{symbol.offset + back:#x}{f' ({_shown(module[:-1])})' if module else ''}"

    def _read_kernel(self) -> SymbolTable:
        with suppress(OSError), open(self._root.kernel_symbols(), "rb") as file:
            return kernel_symbols(file)
        return SymbolTable(())

    def _in_file(self, raw: RawStacks, build_id: bytes, offset: int, back: int) -> str:
        file = self._file_of(raw, build_id)
        if file is None:
            return f"{UNKNOWN}+{offset:#x} (build id {build_id.hex()})"
        return _text(file, offset, back)

    def _at_address(self, pid: int, address: int, back: int) -> str:
        process = self._process(pid)
        mapping = mapping_at(process.mappings, address)
        if mapping is None or not mapping.inode:
            symbol = self._perf_map(pid, process).at(address - back) if mapping is not None else None
            if symbol is not None:
                return f"{_shown(symbol.name)}+{symbol.offset + back:#x} (perf-{pid}.map)"
            where = escape(mapping.path) if mapping is not None and mapping.path.startswith(b"[") else f"{address:#x}"
            return f"{UNKNOWN} ({where})"
        if mapping not in process.files:
            # The kernel gave no build id: there is none, or it could not look.
            process.files[mapping] = self._open_mapped(pid, mapping)
        file = process.files[mapping]
        offset = address - mapping.begin + mapping.offset
        return _text(file, offset, back) if file is not None else f"{UNKNOWN}+{offset:#x} ({_name(mapping.path)})"

    def _process(self, pid: int) -> _Process:
        now = time.monotonic()
        process = self._processes.get(pid)
        if process is None or process.until_s < now:
            content = b""
            with suppress(OSError):
                content = self._root.mappings(pid)
            process = _Process(mappings_of(content), now + _MAPPINGS_FOR_S)
            process.until_s += _SHARE * (time.monotonic() - now)
            _keep(self._processes, pid, process, _PERF_MAPS_MAX)
        return process

    def _perf_map(self, pid: int, process: _Process) -> SymbolTable:
        if process.perf_map is None:
            began_s, content = time.monotonic(), b""
            with suppress(OSError, ValueError), open(self._root.perf_map(pid), "rb") as file:
                content = file.read(_PERF_MAP_BYTES_MAX)
            process.perf_map = perf_map(content)
            process.until_s += _SHARE * (time.monotonic() - began_s)
        return process.perf_map

    def _file_of(self, raw: RawStacks, build_id: bytes) -> _File | None:
        """Return the file with a build id; None if it is not found."""
        if (file := self._by_build_id.get(build_id)) is not None:
            return file
        process = self._process(raw.pid)
        if build_id not in process.searched:
            process.searched.add(build_id)
            files = {(mapping.device, mapping.inode): mapping for mapping in process.mappings if mapping.inode}
            for mapping in list(files.values())[:_MAPPED_MAX]:
                if self._open_mapped(raw.pid, mapping, build_id) is not None:
                    break
        if build_id not in self._by_build_id and (build_id, raw.exe) not in self._not_found:
            # It has probably ended.
            for path in (*((raw.exe,) if raw.exe is not None else ()), *self._libraries):
                if self._open(path, build_id):
                    break
            else:
                _keep(self._not_found, (build_id, raw.exe), None, _NOT_FOUND_MAX)
        return self._by_build_id.get(build_id)

    def _open_mapped(self, pid: int, mapping: Mapping, build_id: bytes = b"") -> _File | None:
        """Return the file of a mapping; None if it cannot be opened, or is not that with *build_id*."""
        with suppress(OSError):
            fd = self._root.mapped_file(pid, mapping.begin, mapping.end)
            return self._read(fd, mapping.path, build_id, (mapping.device, mapping.inode, mapping.path))
        return None

    def _open(self, path: str, build_id: bytes) -> bool:
        with suppress(OSError, ValueError):
            return self._read(open_regular(path), os.fsencode(path), build_id, path) is not None
        return False

    def _read(self, fd: int, path: bytes, build_id: bytes, key: object) -> _File | None:
        # The kernel, too, looks for the build id in the first page alone.
        if build_id not in os.pread(fd, _PAGE, 0):
            os.close(fd)
            return None
        symbols = ElfSymbols(fd)
        if not build_id or build_id == symbols.build_id:
            return self._remember(symbols, path, key)
        symbols.close()
        return None

    def _remember(self, symbols: ElfSymbols, path: bytes, key: object) -> _File:
        known = self._by_build_id.get(symbols.build_id) if symbols.build_id else self._by_place.get(key)
        if known is not None:
            symbols.close()
            return known
        files = (*self._by_build_id.values(), *self._by_place.values())
        if len(files) >= _FILES_MAX or sum(len(file.symbols) for file in files) > _SYMBOLS_MAX:
            self.close()
        file = _File(symbols, _name(path))
        if symbols.build_id:
            self._by_build_id[symbols.build_id] = file
        else:
            self._by_place[key] = file
        return file


def _libraries() -> Iterator[str]:
    """Yield the files of libraries: first what we have mapped ourselves, then all that the linker knows."""
    paths: dict[str, None] = {}
    with suppress(OSError):
        ours = mappings_of(Path("/proc/self/maps").read_bytes())
        paths.update((os.fsdecode(one.path), None) for one in ours if one.inode)
    with suppress(OSError):
        found = _LIBRARY.findall(_LINKER_CACHE.read_bytes())
        paths.update((os.fsdecode(path), None) for path in found)
    yield from paths


def _text(file: _File, offset: int, back: int) -> str:
    symbol = file.symbols.at(offset - back)
    if symbol is None:
        return f"{UNKNOWN}+{offset:#x} ({file.name})"
    return f"{_shown(symbol.name)}+{symbol.offset + back:#x} ({file.name})"


def _name(path: bytes) -> str:
    return escape(path.removesuffix(b" (deleted)").rpartition(b"/")[2])


def _shown(name: bytes) -> str:
    text = escape(name)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _keep(kept: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)
