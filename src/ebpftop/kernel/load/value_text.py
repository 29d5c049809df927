"""Values as somebody types them into a cell: numbers, names, texts, ``uid=1000 failed=1``, or JSON."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec

from ebpftop.core.load_records import Field, Value
from ebpftop.kernel.load.layout import Layout
from ebpftop.kernel.load.values import BadValue

_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9][0-9_]*)")
_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ns|us|µs|ms|s|KiB|MiB|GiB|k|M|G)")
_UNITS = {
    **{"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9},
    **{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9},
}
_AN_ELEMENT = re.compile(r"\[\d+\][.\[=]")
_OF_TIME = frozenset(("ns", "us", "µs", "ms", "s"))
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WHOLE = frozenset(("struct", "union", "array"))


def encoded(layout: Layout, text: str, before: bytes | None = None, path: str = "") -> bytes:
    """Return the bytes of *layout* with what *text* says at *path*; the other members stay as *before*, or are zero.

    Raises BadValue, whose text says why.
    """
    found = layout.at(path)
    if found is None:
        raise BadValue(f"there is no {path}")
    inner, at = found
    data = bytearray((before or b"").ljust(layout.size, b"\0")[: layout.size])
    inner.codec.encode(value_of(inner.field, text), data, at)
    return bytes(data)


def value_of(field: Field, text: str) -> Value:
    """Return the value that *text* is for a field; raises BadValue."""
    text = text.strip()
    if field.kind in _WHOLE:
        return _json(text) if text[:1] in ("{", "[") and not _AN_ELEMENT.match(text) else _assigned(field, text)
    if field.kind == "string":
        return _json(text) if len(text) > 1 and text[0] == text[-1] == '"' else text
    if field.kind == "bool":
        if text.lower() not in _TRUTH:
            raise BadValue(f"{text or 'nothing'} is neither true nor false")
        return _TRUTH[text.lower()]
    if field.kind in ("int", "uint", "pointer") and field.meaning not in ("ip4", "ip6"):
        return _number(field, text)
    if field.kind == "enum" and _NUMBER.fullmatch(text):
        return int(text, 0)
    if field.kind == "float":
        try:
            return float(text)
        except ValueError:
            raise BadValue(f"{text or 'nothing'} is not a number") from None
    return text


def _number(field: Field, text: str) -> int:
    if len(text) > 2 and text[0] == text[-1] == "'" and len(text[1:-1].encode()) == 1:
        return ord(text[1:-1])
    if _NUMBER.fullmatch(text):
        # A number of C may begin with zeros, which Python takes for a mistake.
        return int(text, 0) if "x" in text.lower() or "b" in text.lower() else int(text)
    if (unit := _WITH_UNIT.fullmatch(text)) and (unit[2] not in _OF_TIME or field.meaning in ("ns", "time")):
        return round(float(unit[1]) * _UNITS[unit[2]])
    raise BadValue(f"{text or 'nothing'} is not a whole number")


def _json(text: str) -> Value:
    try:
        found: Value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{text} is not JSON: {error}") from None
    return found


def _assigned(field: Field, text: str) -> Value:
    """Return the members of ``uid=1000 name="a b" at.x=1`` as objects within objects; ``1,2,3`` is a list."""
    if field.kind == "array" and "=" not in text:
        return [value_of(field.fields[0], item) for item in text.split(",")]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadValue(f"{text}: {str(error).lower()}") from None
    if not words:
        raise BadValue("nothing is written")
    found: dict[str, Any] = {}
    for word in words:
        path, equals, value = word.partition("=")
        if not equals:
            raise BadValue(f"{word} is not NAME=VALUE")
        *above, last = path.replace("[", ".").replace("]", "").removeprefix(".").split(".")
        here, members = found, field
        for name in above:
            here = here.setdefault(name, {})
            members = _below(members, name)
            if not isinstance(here, dict):
                raise BadValue(f"{name} is written twice")
        here[last] = value_of(_below(members, last), value)
    return found


def _below(field: Field, name: str) -> Field:
    if field.kind == "array" and name.isdecimal():
        return field.fields[0]
    for one in field.fields:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in field.fields)
    raise BadValue(f"{name} is none of its members {names}" if names else f"{field.type} has no members")
