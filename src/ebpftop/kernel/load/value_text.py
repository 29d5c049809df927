"""Values as somebody types them into a cell: numbers, names, texts, ``uid=1000 failed=1``, or JSON.

All that the screen shows of a value can be typed: ``openat`` for 257, ``ann`` or ``1000 ann`` for a uid, ``1.2ms``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from ebpftop.core.load_records import Field, Value
from ebpftop.kernel.load.layout import Layout
from ebpftop.kernel.load.values import BadValue

Resolve: TypeAlias = Callable[[Field, str], "int | None"]
"""Returns the number that a name stands for as a value of a field; None: none."""


def _no_names(_: Field, __: str) -> None:
    """Know no name."""


_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9][0-9_]*)")
_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ns|us|µs|ms|s|B|[kMGT]B?|[KMGT]iB)")
_WITH_NAME = re.compile(rf"({_NUMBER.pattern})\s+(\S.*)")
_CLOCK = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (86_400, 3600, 60, 1)
_UNITS: dict[str, int] = {
    **{"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9},
    **{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40},
    **{f"{prefix}{unit}": 10**power for prefix, power in zip("kMGT", (3, 6, 9, 12), strict=True) for unit in ("", "B")},
}
_AN_ELEMENT = re.compile(r"\[\d+\][.\[=]")
_OF_TIME = frozenset(("ns", "us", "µs", "ms", "s"))
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_KINDS = {
    **{"uid": "a user", "pid": "a process that runs", "tid": "a thread that runs", "errno": "an error"},
    **{"ret": "an error", "syscall": "a system call of this machine", "signal": "a signal"},
}
"""What names of numbers are of, by what those mean."""
_WHOLE = frozenset(("struct", "union", "array"))


def encoded(
    layout: Layout, text: str, before: bytes | None = None, path: str = "", resolve: Resolve = _no_names
) -> bytes:
    """Return the bytes of *layout* with what *text* says at *path*; the other members stay as *before*, or are zero.

    *resolve* knows names. Raises BadValue, whose text says why.
    """
    found = layout.at(path)
    if found is None:
        raise BadValue(f"there is no {path}")
    inner, at = found
    data = bytearray((before or b"").ljust(layout.size, b"\0")[: layout.size])
    inner.codec.encode(value_of(inner.field, text, resolve), data, at)
    return bytes(data)


def value_of(field: Field, text: str, resolve: Resolve = _no_names) -> Value:
    """Return the value that *text* is for a field, with the names that *resolve* knows; raises BadValue."""
    text = text.strip()
    if field.kind in _WHOLE:
        return (
            _json(text) if text[:1] in ("{", "[") and not _AN_ELEMENT.match(text) else _assigned(field, text, resolve)
        )
    if field.kind == "string":
        return _json(text) if len(text) > 1 and text[0] == text[-1] == '"' else text
    if field.kind == "bool":
        if text.lower() not in _TRUTH:
            raise BadValue(f"{text or 'nothing'} is neither true nor false")
        return _TRUTH[text.lower()]
    if field.kind in ("int", "uint", "pointer") and field.meaning not in ("ip4", "ip6"):
        return _number(field, text, resolve)
    if field.kind == "enum" and _NUMBER.fullmatch(text):
        return int(text, 0)
    if field.kind == "float":
        try:
            return float(text)
        except ValueError:
            raise BadValue(f"{text or 'nothing'} is not a number") from None
    return text


def _number(field: Field, text: str, resolve: Resolve) -> int:
    if len(text) > 2 and text[0] == text[-1] == "'" and len(text[1:-1].encode()) == 1:
        return ord(text[1:-1])
    if _NUMBER.fullmatch(text):
        # A number of C may begin with zeros, which Python takes for a mistake.
        return int(text, 0) if "x" in text.lower() or "b" in text.lower() else int(text)
    if (unit := _WITH_UNIT.fullmatch(text)) and (unit[2] not in _OF_TIME or field.meaning in ("ns", "time")):
        return round(float(unit[1]) * _UNITS[unit[2]])
    if field.meaning == "ns" and text and (clock := _CLOCK.fullmatch(text)):
        parts: tuple[str | None, ...] = clock.groups()
        return sum(int(part or 0) * seconds for part, seconds in zip(parts, _SECONDS, strict=True)) * 10**9
    if field.meaning in _KINDS and (shown := _WITH_NAME.fullmatch(text)):
        number = _number(field, shown[1], resolve)
        if (named := resolve(field, shown[2])) not in (None, number):
            raise BadValue(f"{shown[2]} is {named}, not {number}")
        return number
    if text and (known := resolve(field, text)) is not None:
        return known
    kind = _KINDS.get(field.meaning)
    raise BadValue(f"{text or 'nothing'} is {f'neither a number nor {kind}' if kind else 'not a whole number'}")


def _json(text: str) -> Value:
    try:
        found: Value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{text} is not JSON: {error}") from None
    return found


def _assigned(field: Field, text: str, resolve: Resolve) -> Value:
    """Return the members of ``uid=1000 name="a b" at.x=1`` as objects within objects; ``1,2,3`` is a list."""
    if field.kind == "array" and "=" not in text:
        return [value_of(field.fields[0], item, resolve) for item in text.split(",")]
    if text and _is_bare(field, text):
        return {field.fields[0].name: value_of(field.fields[0], text, resolve)}
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
            parts = " ".join(f"{one.name}=…" for one in field.fields)
            raise BadValue(f"{word} is not NAME=VALUE; write {parts}, texts with blanks in quotes")
        *above, last = path.replace("[", ".").replace("]", "").removeprefix(".").split(".")
        here, members = found, field
        for name in above:
            here = here.setdefault(name, {})
            members = _below(members, name)
            if not isinstance(here, dict):
                raise BadValue(f"{name} is written twice")
        here[last] = value_of(_below(members, last), value, resolve)
    return found


def _is_bare(field: Field, text: str) -> bool:
    """Return whether *text* is the value of the only member of a structure, without its name: ``Hi root``."""
    if field.kind == "array" or len(field.fields) != 1:
        return False
    only = field.fields[0]
    return "=" not in text or (only.kind == "string" and not re.match(rf"{re.escape(only.name)}\s*=", text))


def _below(field: Field, name: str) -> Field:
    if field.kind == "array" and name.isdecimal():
        return field.fields[0]
    for one in field.fields:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in field.fields)
    raise BadValue(f"{name} is none of its members {names}" if names else f"{field.type} has no members")
