"""Kinds of settings: how a value is read from TOML or from what was typed, and how it is written.

What may be wrong raises argparse.ArgumentTypeError with the reason and with what is allowed, as options do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

Value = TypeVar("Value")
Item = TypeVar("Item")

_LONGEST = 40
"""Characters of a wrong value that are repeated in its error."""


class Wrong(argparse.ArgumentTypeError):
    """A value that is not allowed; the text says why, and what is."""


class Kind(Struct, Generic[Value], frozen=True):
    """One kind. `read` takes what TOML gives, `write` returns what TOML takes, `typed` makes the former of a text."""

    read: Callable[[object], Value]
    allowed: str
    write: Callable[[Value], object] = lambda value: value
    typed: Callable[[str], object] = lambda text: text
    choices: tuple[str, ...] = ()
    """All values as texts, if they are few."""
    between: str = ", "
    """What is between the values of a list, as it is typed."""

    def shown(self, value: Value) -> str:
        """Return *value* as it can be typed."""
        written = self.write(value)
        if written is None:
            return ""
        if isinstance(written, bool):
            return "yes" if written else "no"
        if isinstance(written, (list, tuple)):
            return self.between.join(map(str, written))
        return f"{written:g}" if isinstance(written, float) else str(written)


def _repeated(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def wrong(value: object, allowed: str) -> Wrong:
    """Return the error of a value that is not one of those that are *allowed*."""
    return Wrong(f"{_repeated(value)} is not {allowed}")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong(value, "true or false")
    return value


def _flag_typed(text: str) -> object:
    return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}.get(text.lower(), text)


FLAG = Kind(_flag, "true or false", typed=_flag_typed, choices=("yes", "no"))


def choice(*names: str, flags: Mapping[bool, str] | None = None) -> Kind[str]:
    """Return the kind of one of *names*; *flags* are the names that true and false stand for."""

    def read(value: object) -> str:
        if flags is not None and isinstance(value, bool):
            return flags[value]
        if isinstance(value, int):
            value = str(value)  # the name of a theme
        if value not in names:
            raise wrong(value, f"one of {', '.join(names)}")
        return str(value)

    return Kind(read, ", ".join(names), choices=names)


def word(allowed: str) -> Kind[str]:
    """Return the kind of one text, of which more is known where it is used."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise wrong(value, allowed)
        return value

    return Kind(read, allowed)


def number(parse: Callable[[str], Value], allowed: str) -> Kind[Value]:
    """Return the kind of a number that *parse*, of an option, takes."""

    def read(value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong(value, allowed)
        try:
            return parse(f"{value:.12g}" if isinstance(value, float) else str(value))
        except (ValueError, argparse.ArgumentTypeError):  # an int of thousands of digits has no text
            raise wrong(value, allowed) from None

    return Kind(read, allowed, write=_whole_if_it_is, typed=_number_typed)


def _whole_if_it_is(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def optional(kind: Kind[Value]) -> Kind[Value | None]:
    """Return *kind*, or nothing: the key is not there then."""
    return Kind(
        kind.read,
        kind.allowed,
        write=lambda value: None if value is None else kind.write(value),
        typed=kind.typed,
        choices=kind.choices,
    )


def _number_typed(text: str) -> object:
    for make in (int, float):
        try:
            return make(text)
        except ValueError:
            continue
    return text


def listed(parse: Callable[[str], Item], allowed: str, write: Callable[[Item], object] = str) -> Kind[list[Item]]:
    """Return the kind of a list; one value alone stands for a list of one."""

    def read(value: object) -> list[Item]:
        given: Sequence[object] = value if isinstance(value, list) else [value]
        for one in given:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                raise wrong(one, allowed)
        return [parse(str(one)) for one in given]

    return Kind(
        read,
        allowed,
        write=lambda items: [write(item) for item in items],
        typed=lambda text: [part.strip() for part in text.split(",") if part.strip()],
    )


def words(check: Callable[[str], object], allowed: str) -> Kind[str | None]:
    """Return the kind of a text with commas that *check* takes as a whole; TOML may have it as an array."""

    def read(value: object) -> str | None:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = ",".join(value)
        if not isinstance(value, str):
            raise wrong(value, allowed)
        if value:
            check(value)
        return value or None

    return Kind(read, allowed)
