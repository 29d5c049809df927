"""Of what type the maps of a user's file are, and how their contents lie in memory."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from ebpftop.core.load_records import Field, Value
from ebpftop.kernel.btf_types import BtfTypes, Kind
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load.layout import Layout, layout_of, members_of, unknown
from ebpftop.kernel.load.meanings import Hints
from ebpftop.kernel.load.values import BadValue, Number, Text

# enum bpf_map_type, include/uapi/linux/bpf.h
_ARRAY, _PROG_ARRAY, _PERCPU_ARRAY, _STACK_TRACE = 2, 3, 6, 7
_INDEXED: Final = frozenset((_ARRAY, _PROG_ARRAY, _PERCPU_ARRAY, _STACK_TRACE))
_SLOT_NAMES_MAX = 64
_INDEX_BYTES, _ADDRESS_BYTES = 4, 8
_HISTOGRAM = re.compile(r"\bBPF_HISTOGRAM\s*\(\s*(\w+)")
_LOG2 = re.compile(r"\bbpf_log2l?\s*\(")
_PERF_ALIGNMENT = 8
_PERF_BEFORE = 4  # the size of a record's data, which lies before it (struct perf_raw_record)


@dataclass(frozen=True, slots=True)
class _Addresses:
    """The addresses of a stack, the innermost first, as many as it has."""

    size: int

    def decode(self, data: bytes, at: int = 0) -> Value:
        """Return them; behind the last one there are zeros."""
        count = min(self.size, len(data) - at) // _ADDRESS_BYTES
        found = struct.unpack_from(f"<{count}Q", data, at)
        return [address for address in found if address]

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        """Refuse it: only the kernel writes stacks."""
        raise BadValue("stacks cannot be written")


Steps = Literal["log2", "linear"]


@dataclass(frozen=True, slots=True)
class MapShape:
    """What is known of a map without its types: enum bpf_map_type, sizes in bytes, types in the BTF of the object."""

    name: str
    type: int
    key_size: int
    value_size: int
    key_type: int = 0
    value_type: int = 0
    is_buffer: bool = False
    event_fields: tuple[tuple[str, str], ...] = ()
    """Names and types of what is written to a buffer, as far as BCC knows them."""


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The layouts of a map's keys and values; None for one that it does not have, or of which nothing is known."""

    key: Layout | None
    value: Layout | None
    histogram: Steps | None = None


class FileTypes:
    """The types of an object, and what its source says about them."""

    def __init__(self, btf: bytes, source: str, structs: Iterable[str], shown: Mapping[str, str]) -> None:
        """*structs* are those of the source (``struct data_t``), *shown* its hints. Damaged types are ignored."""
        self._types: BtfTypes | None = None
        with suppress(BtfError):
            self._types = BtfTypes(btf) if btf else None
        self._structs = tuple(name.split()[-1] for name in structs)
        self._shown = shown
        self._histograms = frozenset(_HISTOGRAM.findall(source))
        self._steps: Steps = "log2" if _LOG2.search(source) else "linear"
        self._by_size: dict[tuple[str, int], Layout | None] = {}

    def layout(self, shape: MapShape) -> MapLayout:
        """Return the layouts of a map."""
        if shape.is_buffer:
            return MapLayout(None, self._of_events(shape))
        key = self._of(shape.key_type, shape.name, "key", shape.key_size)
        value = self._of(shape.value_type, shape.name, "value", shape.value_size)
        if shape.type in _INDEXED and (key is None or key.field.kind == "unknown"):
            key = _number("u32", _INDEX_BYTES, Hints(self._shown, shape.name, "key").word(""))
        if shape.type == _PROG_ARRAY:
            field = Field(type="program", kind="string", meaning="program", size=_SLOT_NAMES_MAX)
            return MapLayout(key, Layout(field, Text(_SLOT_NAMES_MAX)))
        if shape.type == _STACK_TRACE:
            return MapLayout(key, _addresses(shape.value_size))
        return MapLayout(key, value, self._histogram(shape.name))

    def event(self, shape: MapShape, size: int) -> Layout | None:
        """Return the layout of an event of *size* bytes of a buffer whose type is not known: the struct of that size.

        A perf buffer's event may be up to seven bytes longer than its struct. None if there is none, or more than one.
        """
        place = (shape.name, size)
        if place not in self._by_size:
            sizes = {size}
            if shape.event_fields or shape.type != _RINGBUF:
                sizes = {size - more for more in range(_PERF_ALIGNMENT)}
            found = [
                layout for name in self._structs if (layout := self._struct(name, shape.name)) and layout.size in sizes
            ]
            self._by_size[place] = found[0] if len(found) == 1 else None
        return self._by_size[place]

    def _of(self, type_id: int, name: str, side: str, size: int) -> Layout | None:
        if not size:
            return None
        if not type_id or self._types is None:
            return unknown(size)
        try:
            layout = layout_of(self._types, type_id, Hints(self._shown, name, side))
        except BtfError:
            return unknown(size)
        # A struct that another source of types describes otherwise is not that of this map.
        return layout if layout.size == size else unknown(size)

    def _of_events(self, shape: MapShape) -> Layout | None:
        names = tuple(name for name, _ in shape.event_fields)
        if not names:
            return self._struct(self._structs[0], shape.name) if len(self._structs) == 1 else None
        found = (layout for name in self._structs if (layout := self._struct(name, shape.name)) is not None)
        return next((layout for layout in found if self._names_of(layout) == names), None)

    def _struct(self, name: str, map_name: str) -> Layout | None:
        if self._types is None or (number := members_of(self._types, name)) is None:
            return None
        try:
            if self._types.bare(number).kind not in (Kind.STRUCT, Kind.UNION):
                return None
            return layout_of(self._types, number, Hints(self._shown, map_name, "value"))
        except BtfError:
            return None

    def _names_of(self, layout: Layout) -> tuple[str, ...]:
        return tuple(field.name for field in layout.field.fields)

    def _histogram(self, name: str) -> Steps | None:
        hint = self._shown.get(name)
        if hint in ("log2", "linear"):
            return "log2" if hint == "log2" else "linear"
        return self._steps if name in self._histograms and hint != "table" else None


_RINGBUF = 27


def _number(name: str, size: int, hint: str | None) -> Layout:
    meaning = "syscall" if hint == "syscall" else "cpu" if hint == "cpu" else ""
    return Layout(Field(type=name, kind="uint", meaning=meaning, size=size), Number(size, False, name))  # type: ignore[arg-type]  # as above


def _addresses(size: int) -> Layout:
    count = size // _ADDRESS_BYTES
    address = Field(type="u64", kind="pointer", meaning="hex", size=_ADDRESS_BYTES)
    field = Field(type=f"u64[{count}]", kind="array", meaning="stack", size=size, count=count, fields=(address,))
    return Layout(field, _Addresses(size))
