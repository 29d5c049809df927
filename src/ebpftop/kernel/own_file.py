"""What the kernel has of one of ebpftop's own C files: programs with their code, maps with what is in them.

With types (`--btf`) keys and values are as C has them. Without, they are numbers: those of as many bytes as C would
give them, in their order. Of a map with a value for each CPU it is their sum.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from ebpftop.core.escape import printable
from ebpftop.core.own_programs import ENTRIES_MAX, OwnFile, OwnMap, OwnProgram
from ebpftop.core.records import ProbeName
from ebpftop.core.shipped import shipped
from ebpftop.kernel import bpf_syscall, maps
from ebpftop.kernel.bpf_names import map_type, program_type
from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.compiled import MapSpec
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load import code
from ebpftop.kernel.load.layout import layout_of
from ebpftop.kernel.load.meanings import Hints
from ebpftop.kernel.load.programs import facts
from ebpftop.kernel.loader import Module
from ebpftop.kernel.maps import CPUS, Map
from ebpftop.kernel.root_work import RootWork

_NO_ENTRIES = frozenset(("ringbuf", "perf_event_array", "stack_trace", "queue", "stack"))
_TEXT_BYTES = 16
_ENTRY_MAX = 500
"""Of the text of a key or a value: that of a buffer for arguments is 32,000 numbers."""


class FileReader:
    """Reads one file again and again: what does not change is read once. One thread at a time."""

    def __init__(self, root: RootWork) -> None:
        self._root = root
        self._known: dict[int, tuple[str, tuple[str, ...]]] = {}
        """What the verifier says of a program, and its code, by the program's id."""

    def read(self, module: Module, probe: ProbeName) -> OwnFile:
        """Return what is loaded of *module*, that of *probe*, now; what cannot be read any more is left out."""
        found = []
        names = {_map_id(table.map_fd): name for name, (_, table) in module.maps.items()}
        for name, fd in module.programs.items():
            with suppress(OSError):
                found.append(self._program(module, name, fd, names))
        types = BtfTypes(module.types) if module.types else None
        return OwnFile(
            time=time.time(),
            probe=probe,
            file=module.file,
            source=tuple((shipped("bpf") / module.file).read_text().expandtabs(8).splitlines()),
            programs=tuple(found),
            maps=tuple(_map(spec, table, types) for spec, table in module.maps.values()),
        )

    def _program(self, module: Module, name: str, fd: int, map_names: Mapping[int, str]) -> OwnProgram:
        now = facts(fd)
        if now.id not in self._known:
            self._known[now.id] = module.verifier_says(name), self._code(now.id, fd, map_names)
        verifier, lines = self._known[now.id]
        kind = struct.unpack_from("=I", bpf_syscall.info(fd))[0]
        return OwnProgram(
            name=name,
            type=program_type(kind),
            place=", ".join(module.places(name)),
            id=now.id,
            tag=now.tag,
            runs=now.runs,
            run_ns=now.run_ns,
            misses=now.misses,
            jited_bytes=now.jited_bytes,
            verifier=tuple(map(printable, verifier.splitlines())),
            code=lines,
        )

    def _code(self, number: int, fd: int, map_names: Mapping[int, str]) -> tuple[str, ...]:
        """Return the instructions. The names of what they call take CAP_SYSLOG when it is opened: so root does."""
        try:
            fd = own_fd = self._root.program_fd(number)
        except OSError:
            own_fd = None
        try:
            listing = code.listing(code.read(fd), code.kernel_names(self._symbols()), None, map_names)
        except OSError:
            return ()
        finally:
            if own_fd is not None:
                os.close(own_fd)
        return tuple(f"{line.at:>5}  {printable(line.text)}" for line in listing.xlated)

    def _symbols(self) -> int | None:
        """Return a descriptor of the kernel's symbols, the same one each time."""
        if self._symbols_fd is None:
            with suppress(OSError):
                self._symbols_fd = self._root.kernel_symbols()
        return self._symbols_fd

    _symbols_fd: int | None = None


def _map_id(map_fd: int) -> int:
    return int(struct.unpack_from("=II", bpf_syscall.info(map_fd))[1])


def _map(spec: MapSpec, table: Map, types: BtfTypes | None) -> OwnMap:
    kind = map_type(spec.type)
    per_cpu = "percpu" in kind
    size = -(-spec.value_size // 8) * 8 * CPUS if per_cpu else spec.value_size
    keys: list[bytes] = []
    values: list[bytes] = []
    if kind not in _NO_ENTRIES and spec.key_size:
        with suppress(OSError):
            keys, values = maps.keys_and_values(table, spec.key_size, size, ENTRIES_MAX + 1)
    pairs = zip(keys[:ENTRIES_MAX], values, strict=False)
    return OwnMap(
        name=spec.name,
        type=kind,
        id=_map_id(table.map_fd),
        key_bytes=spec.key_size,
        value_bytes=spec.value_size,
        entries_max=table.max_entries,
        entries=tuple(
            (
                _cut(_typed(types, spec.key_type, spec.name, "key", key) or text_of(key)),
                _cut(
                    (not per_cpu and _typed(types, spec.value_type, spec.name, "value", value))
                    or text_of(value, spec.value_size if per_cpu else None)
                ),
            )
            for key, value in pairs
        ),
        more=len(keys) > ENTRIES_MAX,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _ENTRY_MAX else f"{text[:_ENTRY_MAX]} …"


def _typed(types: BtfTypes | None, number: int, name: str, side: str, raw: bytes) -> str:
    """Return the value in *raw* as its type has it: ``execs=12 failed=3``; empty if its type is not known."""
    if types is None or not number:
        return ""
    try:
        value = layout_of(types, number, Hints({}, name, side)).decode(raw)
    except (BtfError, LookupError, ValueError, struct.error):
        return ""
    return _words(value)


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_words(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_words, value))}]"
    return printable(str(value))


def text_of(raw: bytes, each: int | None = None) -> str:
    """Return the numbers in *raw*, or a name that is all of it; of the values of all CPUs, *each* so long, the sums.

    >>> text_of(bytes([5, 0, 0, 0])), text_of(b"bash" + bytes(12)), text_of(bytes(24))
    ('5', 'bash', '0 0 0')
    """
    if each is not None:
        step = -(-each // 8) * 8
        parts = [_numbers(raw[at : at + each]) for at in range(0, len(raw), step)]
        return " ".join(str(sum(column)) for column in zip(*parts, strict=True))
    if len(raw) == _TEXT_BYTES:
        text, _, rest = raw.partition(b"\0")
        if text and not any(rest) and text.isascii() and text.decode().isprintable():
            return printable(text.decode())
    return " ".join(map(str, _numbers(raw)))


def _numbers(raw: bytes) -> Iterable[int]:
    width = next((width for width in (8, 4, 2, 1) if len(raw) % width == 0), 1)
    return struct.unpack(f"={len(raw) // width}{'BHIQ'[width.bit_length() - 1]}", raw)
