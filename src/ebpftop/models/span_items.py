"""What is counted of a span, and which probe counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "program",
    "failed",
    "exit",
    "unit",
    "user",
    "call",
    "errno",
    "process",
    "pair",
    "event",
    "field",
    "took",
    "entry",
    "run",
]
Clock: TypeAlias = Literal["execs", "users", "syscalls", "callers", "groups", "load"]


class Item(NamedTuple):
    """What is counted: of a kind, by what names it. Two spans have the same one if these are equal."""

    kind: Kind
    name: str
    of: str = ""
    """Of `failed` the errno, of `exit` how, of `user` what, of `errno` and `pair` the call.

    Of `entry`, whose name is its key, the map; of `field` and `took`, a field of its events, the buffer. Of `process`
    and `unit` what, if it is counted for all of them, and not for the busiest, or at their execs.
    """
    abi: str = ""
    """Of a call that is not one of the native ABI."""


_CLOCK_OF: Mapping[Kind, Clock] = {
    "program": "execs",
    "failed": "execs",
    "exit": "execs",
    "unit": "execs",
    "call": "syscalls",
    "errno": "syscalls",
    "process": "callers",
    "pair": "callers",
    "event": "load",
    "field": "load",
    "took": "load",
    "entry": "load",
    "run": "load",
}
"""The probe that a kind comes from. Users come from several: what of them is counted says which."""

_CLOCK_OF_USER: Mapping[str, Clock] = {
    "programs": "users",
    "failed programs": "users",
    "calls": "callers",
    "failed calls": "callers",
}

CLOCKS_OF: Mapping[str, tuple[Clock, ...]] = {
    "users": ("users",),
    "syscalls": ("syscalls", "callers"),
    "cgroups": ("groups",),
    "load": ("load",),
}
"""What each probe counts."""


OF_SEVERAL = frozenset(("user", "process", "unit", "entry", "field"))
"""Kinds of which several things are counted, which `Item.of` names: a share is that of one of them."""


def clock_of(item: Item) -> Clock:
    """Return which probe counts an item."""
    if item.kind in ("process", "unit") and item.of:
        return "groups"
    return _CLOCK_OF_USER[item.of] if item.kind == "user" else _CLOCK_OF[item.kind]
