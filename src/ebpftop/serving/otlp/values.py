"""The messages that logs and metrics share (opentelemetry/proto/common/v1, resource/v1), in their JSON form.

Field names are in lowerCamelCase, 64-bit integers are strings, enums are numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

SCOPE = "ebpftop"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
"""The semantic conventions that the names of attributes are from."""


class Message(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A message; none is ever decoded."""


class StringValue(Message, frozen=True, gc=False):
    """A text."""

    string_value: str


class IntValue(Message, frozen=True, gc=False):
    """An integer of 64 bits, as decimal text."""

    int_value: str


class DoubleValue(Message, frozen=True, gc=False):
    """A number."""

    double_value: float


class BoolValue(Message, frozen=True, gc=False):
    """True or false."""

    bool_value: bool


class Strings(Message, frozen=True, gc=False):
    """The values of an array of texts."""

    values: list[StringValue]


class ArrayValue(Message, frozen=True, gc=False):
    """An array of texts."""

    array_value: Strings


class KeyValue(Message, frozen=True, gc=False):
    """An attribute."""

    key: str
    value: StringValue | IntValue | DoubleValue | BoolValue | ArrayValue


class Resource(Message, frozen=True, gc=False):
    """What the telemetry is of."""

    attributes: list[KeyValue]


class Scope(Message, frozen=True, gc=False):
    """What made it."""

    name: str
    version: str


@lru_cache(1024)
def text(key: str, value: str) -> KeyValue:
    """Return an attribute that is a text. Most come again: users, programs, cgroups."""
    return KeyValue(key, StringValue(value))


def whole(key: str, value: int) -> KeyValue:
    """Return an attribute that is an integer."""
    return KeyValue(key, IntValue(str(value)))


usual = lru_cache(1024)(whole)
"""The same of a number that comes again and again: a user, a status, what was not used."""


def number(key: str, value: float) -> KeyValue:
    """Return an attribute that is a number."""
    return KeyValue(key, DoubleValue(value))


def flag(key: str, value: bool) -> KeyValue:
    """Return an attribute that is true or false."""
    return KeyValue(key, BoolValue(value))


def texts(key: str, values: Iterable[str]) -> KeyValue:
    """Return an attribute that is an array of texts."""
    return KeyValue(key, ArrayValue(Strings([StringValue(value) for value in values])))


def resource_of(attributes: Mapping[str, str]) -> Resource:
    """Return a resource with these attributes."""
    return Resource([text(key, value) for key, value in attributes.items()])


def unix_ns(seconds: float) -> str:
    """Return a time in ns since 1970, to the microsecond: a double of seconds is no more exact."""
    return str(round(seconds * 1e6) * 1000)


encode = msgspec.json.Encoder().encode
