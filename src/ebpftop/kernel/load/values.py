"""Values in memory as the kernel has them, to and from the values of records: a codec for each shape of C.

The machines that ebpftop runs on are little-endian. A value that the bytes are too short for is None. What an array or
a text has beyond `LONGEST` is left out.
"""

from __future__ import annotations

import ipaddress
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ebpftop.core.escape import c_string
from ebpftop.core.load_records import Value

LONGEST = 1024
"""Elements of an array, and 4 times as many bytes of a text, that a record has."""
_TEXT_BYTES = 4 * LONGEST

_FORMATS = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q"}
_FORMATS |= {(size, True): letter.lower() for (size, _), letter in _FORMATS.items()}
_ADDRESSES: Mapping[int, Callable[[bytes | str], ipaddress.IPv4Address | ipaddress.IPv6Address]] = {
    4: ipaddress.IPv4Address,
    16: ipaddress.IPv6Address,
}


class BadValue(ValueError):
    """What a cell cannot hold; the text says why."""


class Codec(Protocol):
    """Reads and writes one shape. *at* is where it begins in the bytes."""

    @property
    def size(self) -> int:
        """How many bytes it takes."""

    def decode(self, data: bytes, at: int = 0) -> Value:
        """Return the value in *data*; None if these are too short."""

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        """Write *value* into *data*; raises BadValue."""


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of 1, 2, 4 or 8 bytes."""

    size: int
    signed: bool
    type: str
    _struct: struct.Struct = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_struct", struct.Struct(f"<{_FORMATS[self.size, self.signed]}"))

    def decode(self, data: bytes, at: int = 0) -> Value:
        try:
            number: int = self._struct.unpack_from(data, at)[0]
        except struct.error:
            return None
        return number

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        self._struct.pack_into(data, at, in_range(value, 8 * self.size, self.type, signed=self.signed))


@dataclass(frozen=True, slots=True)
class Bits:
    """A bit-field: *shift* bits up from the lowest of the *size* bytes that it lies in."""

    size: int
    shift: int
    width: int
    signed: bool
    inner: Named | None = None

    def decode(self, data: bytes, at: int = 0) -> Value:
        if at + self.size > len(data):
            return None
        number = int.from_bytes(data[at : at + self.size], "little") >> self.shift & ((1 << self.width) - 1)
        if self.signed and number >> (self.width - 1):
            number -= 1 << self.width
        return number if self.inner is None else self.inner.name_of(number)

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        if self.inner is not None:
            value = self.inner.number_of(value)
        number = in_range(value, self.width, f"{self.width} bits", signed=self.signed)
        mask = ((1 << self.width) - 1) << self.shift
        before = int.from_bytes(data[at : at + self.size], "little") & ~mask
        data[at : at + self.size] = (before | number << self.shift & mask).to_bytes(self.size, "little")


@dataclass(frozen=True, slots=True)
class Bool:
    """A `_Bool`."""

    size: int = 1

    def decode(self, data: bytes, at: int = 0) -> Value:
        return bool(data[at]) if at < len(data) else None

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        if value not in (True, False):
            raise BadValue(f"{value} is neither true nor false")
        data[at : at + self.size] = int(bool(value)).to_bytes(self.size, "little")


@dataclass(frozen=True, slots=True)
class Named:
    """An enum: the name of its number, or the number if it has none."""

    number: Number
    values: Mapping[str, int]
    _names: dict[int, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Of two names of one number the first one counts.
        object.__setattr__(self, "_names", {number: name for name, number in reversed(tuple(self.values.items()))})

    @property
    def size(self) -> int:
        return self.number.size

    def name_of(self, number: int) -> Value:
        """Return the name of *number*."""
        return self._names.get(number, number)

    def number_of(self, value: Value) -> Value:
        """Return the number of the name *value*; raises BadValue for an unknown one."""
        if not isinstance(value, str):
            return value
        if value not in self.values:
            raise BadValue(f"{value} is none of {', '.join(self.values)}")
        return self.values[value]

    def decode(self, data: bytes, at: int = 0) -> Value:
        number = self.number.decode(data, at)
        return self.name_of(number) if isinstance(number, int) else None

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        self.number.encode(self.number_of(value), data, at)


@dataclass(frozen=True, slots=True)
class Real:
    """A float or a double."""

    size: int

    def decode(self, data: bytes, at: int = 0) -> Value:
        try:
            number: float = struct.unpack_from("<f" if self.size == struct.calcsize("<f") else "<d", data, at)[0]
        except struct.error:
            return None
        return number if math.isfinite(number) else str(number)

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        try:
            number = float(value) if isinstance(value, (int, float, str)) else math.nan
            struct.pack_into("<f" if self.size == struct.calcsize("<f") else "<d", data, at, number)
        except (ValueError, OverflowError, struct.error):
            raise BadValue(f"{value} is not a number that fits") from None


@dataclass(frozen=True, slots=True)
class Text:
    """An array of char: its text up to the first NUL."""

    size: int
    rest: bool = False
    """It is the last member, of no length of its own: it has what is left."""

    def decode(self, data: bytes, at: int = 0) -> Value:
        end = len(data) if self.rest else at + self.size
        return c_string(data[at : min(end, at + _TEXT_BYTES)]) if at < len(data) or self.rest else None

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        raw = (value if isinstance(value, str) else str(value)).encode()
        if len(raw) >= self.size:
            raise BadValue(f"it has room for {self.size - 1} bytes of text, this has {len(raw)}")
        data[at : at + self.size] = raw.ljust(self.size, b"\0")


@dataclass(frozen=True, slots=True)
class Hex:
    """Bytes that are no text, in hexadecimal."""

    size: int
    rest: bool = False

    def decode(self, data: bytes, at: int = 0) -> Value:
        end = len(data) if self.rest else at + self.size
        if end > len(data):
            return None
        return data[at : min(end, at + _TEXT_BYTES)].hex()

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        try:
            raw = bytes.fromhex(value.removeprefix("0x") if isinstance(value, str) else "?")
        except ValueError:
            raise BadValue(f"{value} is not hexadecimal") from None
        if len(raw) != self.size:
            raise BadValue(f"it has {self.size} bytes, this has {len(raw)}")
        data[at : at + self.size] = raw


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 or IPv6 address, in the order of the network."""

    size: int

    def decode(self, data: bytes, at: int = 0) -> Value:
        raw = data[at : at + self.size]
        return str(_ADDRESSES[self.size](raw)) if len(raw) == self.size else None

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        try:
            data[at : at + self.size] = _ADDRESSES[self.size](value if isinstance(value, str) else "?").packed
        except ValueError:
            example = (
                "10.0.0.7" if isinstance(_ADDRESSES[self.size](bytes(self.size)), ipaddress.IPv4Address) else "::1"
            )
            raise BadValue(f"{value} is not an address, as {example}") from None


@dataclass(frozen=True, slots=True)
class Mac:
    """The address of a network card."""

    size: int = 6

    def decode(self, data: bytes, at: int = 0) -> Value:
        raw = data[at : at + self.size]
        return raw.hex(":") if len(raw) == self.size else None

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        Hex(self.size).encode(value.replace(":", "") if isinstance(value, str) else value, data, at)


@dataclass(frozen=True, slots=True)
class Array:
    """Elements of one shape. *count* is None for the last member of an event, which has what is left."""

    item: Codec
    count: int | None

    @property
    def size(self) -> int:
        return (self.count or 0) * self.item.size

    def decode(self, data: bytes, at: int = 0) -> Value:
        step = self.item.size
        count = max(0, len(data) - at) // max(1, step) if self.count is None else self.count
        if count and at + step > len(data):
            return None
        item = self.item.decode
        return [item(data, at + i * step) for i in range(min(count, LONGEST))]

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        if isinstance(value, Mapping):  # some elements by their number
            places = dict(self._numbered(value))
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == self.count:
            places = dict(enumerate(value))
        else:
            raise BadValue(f"it has {self.count} elements: write [..] with all of them")
        for place, item in places.items():
            self.item.encode(item, data, at + place * self.item.size)

    def _numbered(self, value: Mapping[object, object]) -> list[tuple[int, object]]:
        found = []
        for name, item in value.items():
            if not (isinstance(name, str) and name.isdecimal() and int(name) < (self.count or 0)):
                raise BadValue(f"{name} is not the number of an element, 0 to {(self.count or 0) - 1}")
            found.append((int(name), item))
        return found


@dataclass(frozen=True, slots=True)
class Struct:
    """Members by name: of a structure one behind the other, of a union all at one place."""

    size: int
    members: tuple[tuple[str, int, Codec], ...]
    """Each with where it begins."""

    def decode(self, data: bytes, at: int = 0) -> Value:
        return {name: codec.decode(data, at + offset) for name, offset, codec in self.members}

    def encode(self, value: Value, data: bytearray, at: int = 0) -> None:
        if not isinstance(value, Mapping):
            raise BadValue(f"it has the members {self._names}: write {self.members[0][0]}=.." if self.members else "")
        known = {name: (offset, codec) for name, offset, codec in self.members}
        for name, item in value.items():
            if name not in known:
                raise BadValue(f"{name} is none of its members {self._names}")
            offset, codec = known[name]
            codec.encode(item, data, at + offset)

    @property
    def _names(self) -> str:
        return ", ".join(name for name, _, _ in self.members)


def in_range(value: Value, bits: int, type_name: str, *, signed: bool) -> int:
    """Return *value* as an integer of so many *bits*; raises BadValue if it is none, or beyond its range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"{value} is not a whole number")
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not least <= value <= most:
        raise BadValue(f"{value} is beyond {type_name}: {least} to {most}")
    return value


def added(values: Sequence[Value], adds: Callable[[str], bool], path: str = "") -> Value:
    """Return the sum of the values of all CPUs.

    Numbers are added if *adds* says so of their path; of what is not, the first that is not zero counts.
    """
    first = values[0]
    if isinstance(first, dict):
        parts: dict[str, Value] = {}
        for name in first:
            below = [value[name] for value in values if isinstance(value, dict)]
            parts[name] = added(below, adds, f"{path}.{name}" if path else name)
        return parts
    if isinstance(first, list):
        lists = [value for value in values if isinstance(value, list)]
        return [added(items, adds, path) for items in zip(*lists, strict=False)]
    if isinstance(first, (int, float)) and not isinstance(first, bool) and adds(path):
        total = sum(value for value in values if isinstance(value, (int, float)))
        # As the kernel counts: a sum of counters wraps at 64 bits.
        return total & ((1 << 64) - 1) if isinstance(total, int) and total >= 1 << 64 else total
    return next((value for value in values if value), first)
