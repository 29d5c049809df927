"""The entries of a map as rows of records. What did not change since the last reading is the same row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from typing import TypeAlias

from ebpftop.core.load_records import Field, MapRow, Value
from ebpftop.kernel.load.layout import Layout
from ebpftop.kernel.load.values import Codec, Struct, Text, added

ROWS_MAX = 4096
READ_MAX = 65_536
"""Entries of a map that are read, at most."""
_SHOWN_BYTES = 256
"""Bytes of a text that is none."""
_WHOLE_ARRAY_MAX = 256
"""An array of more entries shows those only that are not zero."""
_NUMBERS = frozenset(("int", "uint", "float"))
_NOT_ADDED = frozenset(
    ("uid", "gid", "pid", "tid", "time", "ip4", "ip6", "port", "cpu", "errno", "ret", "stack", "slot")
)

Namer: TypeAlias = Callable[[Field, Value, Mapping[str, Value]], str | None]
"""Returns what the value of a field stands for; the values beside it may say whose it is."""


class MapRows:
    """The rows of one map."""

    def __init__(
        self, key: Layout, value: Layout, namer: Namer, *, is_array: bool = False, is_sum: bool = False
    ) -> None:
        """*is_array*: its keys are numbers from 0 on. *is_sum*: it has a value for each CPU."""
        self._key = key
        self._value = value
        self._namer = namer
        self._is_array = is_array
        self._is_sum = is_sum
        self._counts = _countable(value.field) if is_sum else frozenset()
        self._known: dict[bytes, tuple[bytes, MapRow]] = {}
        self.more = 0
        """Entries of the last reading that have no row."""

    def rows(
        self,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        of_cpus: Callable[[bytes], Sequence[bytes]] = lambda value: (value,),
    ) -> tuple[MapRow, ...]:
        """Return the rows of what was read, in the order of their ids."""
        found: list[tuple[bytes, bytes]] = list(zip(keys, values, strict=True))
        if self._is_array and len(found) > _WHOLE_ARRAY_MAX:
            found = [(key, value) for key, value in found if any(value)]
        if len(found) > ROWS_MAX:
            found = nlargest(ROWS_MAX, found, lambda entry: _weight(self._decoded(of_cpus(entry[1]))[0]))
        self.more = len(keys) - len(found)
        before, self._known = self._known, {}
        for key, raw in found:
            known = before.get(key)
            row = known[1] if known is not None and known[0] == raw else self._row(key, of_cpus(raw))
            self._known[key] = raw, row
        return tuple(row for _, (_, row) in sorted(self._known.items()))

    def forget_names(self) -> None:
        """Make all rows anew at the next reading: what numbers stand for may have changed."""
        self._known.clear()

    def _row(self, key_bytes: bytes, raw: Sequence[bytes]) -> MapRow:
        key = _told_apart(self._key.codec, self._key.decode(key_bytes), key_bytes)
        value, cpus = self._decoded(raw)
        names: dict[str, str] = {}
        beside = {**_members(key), **_members(value)}
        add_names(names, "key", self._key.field, key, beside, self._namer)
        add_names(names, "value", self._value.field, value, beside, self._namer)
        return MapRow(id=key_bytes.hex(), key=key, value=value, cpus=cpus, names=names)

    def _decoded(self, raw: Sequence[bytes]) -> tuple[Value, tuple[Value, ...]]:
        if not self._is_sum:
            return self._value.decode(raw[0]), ()
        cpus = tuple(self._value.decode(one) for one in raw)
        is_number = self._value.field.kind in _NUMBERS
        return added(cpus, self._counts.__contains__), cpus if is_number else ()


def _told_apart(codec: Codec, key: Value, data: bytes) -> Value:
    """Return *key* with the bytes of a text in it that begins with a NUL: by its text it would be like others."""
    if isinstance(codec, Struct) and isinstance(key, dict):
        parts = ((name, one, data[at : at + one.size]) for name, at, one in codec.members)
        return {name: _told_apart(one, key.get(name), part) for name, one, part in parts}
    if isinstance(codec, Text) and key == "" and (rest := data.rstrip(b"\0")):
        return f"0x{rest[:_SHOWN_BYTES].hex()}"
    return key


def add_names(
    names: dict[str, str], path: str, field: Field, value: Value, beside: Mapping[str, Value], namer: Namer
) -> None:
    """Add to *names* what the value of *field* at *path*, and the values in it, stand for."""
    if isinstance(value, dict):
        inner = {**beside, **value}
        for one in field.fields:
            add_names(names, f"{path}.{one.name}" if path else one.name, one, value.get(one.name), inner, namer)
    elif field.meaning and value is not None and not (isinstance(value, list) and field.meaning != "stack"):
        name = namer(field, value, beside)
        if name is not None:
            names[path] = name


def _members(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _countable(field: Field, path: str = "") -> frozenset[str]:
    """Return the paths of the numbers in *field* that are added up over CPUs."""
    if field.kind in ("struct", "union"):
        return frozenset().union(*(_countable(one, f"{path}.{one.name}" if path else one.name) for one in field.fields))
    if field.kind == "array":
        return _countable(field.fields[0], path)
    return frozenset((path,)) if field.kind in _NUMBERS and field.meaning not in _NOT_ADDED else frozenset()


def _weight(value: Value) -> float:
    """Return how much an entry counts: its largest number."""
    if isinstance(value, dict):
        return max(map(_weight, value.values()), default=0.0)
    if isinstance(value, list):
        return max(map(_weight, value), default=0.0)
    return float(value) if isinstance(value, (int, float)) else 0.0
