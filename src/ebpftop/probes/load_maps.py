"""The maps of a program of one's own: their entries as records, and how what is typed becomes bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from ebpftop.core.escape import printable
from ebpftop.core.load_records import MapReading
from ebpftop.core.source import SourceError
from ebpftop.kernel.bpf_names import map_type
from ebpftop.kernel.compiled import loaded_map_fds
from ebpftop.kernel.load.layout import Layout, unknown
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.map_layouts import FileTypes, MapLayout, MapShape
from ebpftop.kernel.load.map_rows import READ_MAX, MapRows
from ebpftop.kernel.load.maps import OpenMap
from ebpftop.probes.load_names import LoadNames

_PROG_ARRAY, _STACK_TRACE = "prog_array", "stack_trace"
_ARRAYS = frozenset(("array", "percpu_array", "prog_array"))
_SLOW_S = 0.02
_READ_SHARE = 10
"""A map whose reading takes longer is read again after so many times that time."""
_NAMES_FOR_S = 10.0
_ID_MAX = (1 << 32) - 1


@dataclass
class ShownMap:
    """A map of what runs now, and how its contents become records."""

    map: OpenMap
    shape: MapShape
    layout: MapLayout
    rows: MapRows | None
    writer: str | None = None
    """The program whose events come out of it; None if several programs use it."""
    due_s: float = 0.0
    reading: MapReading | None = None


class ShownMaps:
    """All maps of what runs now."""

    def __init__(self) -> None:
        self._maps: dict[str, ShownMap] = {}
        self._types: FileTypes | None = None
        self._names_until_s = 0.0

    def open(self, file: LoadedFile, good: Loading, names: LoadNames) -> None:
        """Note the maps of *good*, which was just loaded of *file*."""
        types = FileTypes(good.btf, good.source, good.structs, good.shows)
        self._types, self._maps = types, {}
        for name, one in file.maps.items():
            shape = MapShape(
                *(name, one.info.type, one.info.key_size, one.info.value_size, one.key_type, one.value_type),
                *(one.is_buffer, one.event_fields),
            )
            layout = types.layout(shape)
            rows = None
            if one.is_readable and layout.key is not None and layout.value is not None:
                is_array = map_type(one.info.type) in _ARRAYS
                rows = MapRows(layout.key, layout.value, names.name, is_array=is_array, is_sum=one.per_cpu)
            users = [state.name for state in good.programs if one.fd in loaded_map_fds(state.insns)]
            writer = printable(users[0]) if len(users) == 1 else None
            self._maps[name] = ShownMap(one, shape, layout, rows, writer)

    def close(self) -> None:
        """Forget them."""
        self._maps, self._types = {}, None

    def get(self, name: str) -> ShownMap | None:
        """Return a map by its name."""
        return self._maps.get(name)

    def writable(self, name: str) -> ShownMap:
        """Return a map that is about to be written: it is read at once then. Raises SourceError."""
        one = self._maps.get(name)
        if one is None:
            raise SourceError(f"there is no map {printable(name)}")
        one.due_s = 0.0
        return one

    def read_all_next(self) -> None:
        """Read also those next that take long."""
        for one in self._maps.values():
            one.due_s = 0.0

    @property
    def layouts(self) -> Mapping[str, MapLayout]:
        return {name: one.layout for name, one in self._maps.items()}

    @property
    def opened(self) -> Mapping[str, OpenMap]:
        return {name: one.map for name, one in self._maps.items()}

    def addresses(self, number: int) -> tuple[int, ...]:
        """Return the addresses of a stack of any stack map of the file."""
        for one in self._maps.values():
            if map_type(one.shape.type) == _STACK_TRACE and 0 <= number <= _ID_MAX:
                with suppress(OSError):
                    raw = one.map.lookup(number.to_bytes(4, "little"))
                    if raw is not None:
                        found = (int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8))
                        return tuple(address for address in found if address)
        return ()

    def event_layout(self, one: ShownMap, size: int) -> Layout:
        """Return what an event of so many bytes is."""
        layout = one.layout.value
        if layout is not None and layout.field.kind != "unknown":
            return layout
        found = self._types.event(one.shape, size) if self._types is not None else None
        return found or unknown(size)

    def readings(self, file: LoadedFile, now: float) -> Iterator[MapReading]:
        """Yield the entries of each map that has some."""
        if self._names_until_s < time.monotonic():
            self._names_until_s = time.monotonic() + _NAMES_FOR_S
            for one in self._maps.values():
                if one.rows is not None:
                    one.rows.forget_names()
        for one in self._maps.values():
            if one.rows is not None and (reading := _reading(file, one, one.rows, now)) is not None:
                yield reading


def _reading(file: LoadedFile, one: ShownMap, rows: MapRows, now: float) -> MapReading | None:
    began_s = time.monotonic()
    if one.due_s > began_s and one.reading is not None:
        one.reading = msgspec.structs.replace(one.reading, time=now)
        return one.reading
    kind = map_type(one.map.info.type)
    try:
        keys, values = _slots(file, one) if kind == _PROG_ARRAY else one.map.entries(READ_MAX)
    except OSError:
        return None
    found = rows.rows(keys, values, one.map.cpu_values)
    one.reading = MapReading(
        time=now, map=printable(one.map.name), type=kind, rows=found, entries=len(keys), more=rows.more
    )
    took_s = time.monotonic() - began_s
    one.due_s = time.monotonic() + _READ_SHARE * took_s if took_s > _SLOW_S else 0.0
    return one.reading


def _slots(file: LoadedFile, one: ShownMap) -> tuple[list[bytes], list[bytes]]:
    """Return the slots of an array of programs that are not empty, and the names of the programs in them."""
    found = sorted(file.slots(one.map.name).items())
    return [index.to_bytes(4, "little") for index, _ in found], [name.encode() + b"\0" for _, name in found]
