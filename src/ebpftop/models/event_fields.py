"""What may be typed to filter a log of events: the fields of its records, as their types say."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import get_annotations
from operator import attrgetter
from typing import Any, TypeVar

from ebpftop.core.records import Event
from ebpftop.filters.kinds import AnyOf, Number, Text, duration
from ebpftop.filters.query import Field, Language
from ebpftop.models.program_fields import ERRNO, SIGNAL, USER, signal_pair

LoggedEvent = TypeVar("LoggedEvent", bound=Event)

_LEFT_OUT = frozenset(("time", "cut", "error", "user"))
_NUMBERS = frozenset(("int", "float", "Count", "Time"))
_NAMES = {"ns": "duration", "task": "comm"}


def language_of(
    kind: type[LoggedEvent], searchable: Callable[[LoggedEvent], str], anchor: Callable[[LoggedEvent], str] | None
) -> Language[LoggedEvent]:
    """Return the language of events of *kind*: a field for each of its own.

    Names tell units, as in records (``ns``, ``.._s``). A ``uid`` goes with ``user``, a ``ret`` with ``error``.
    """
    names = [name for name in kind.__struct_fields__ if name not in _LEFT_OUT]
    return Language([_field(kind, name) for name in names], searchable, anchor)


def _field(kind: type[Event], name: str) -> Field[Any]:
    read, also = attrgetter(name), kind.__struct_fields__
    if name == "uid":
        return Field("user", USER, lambda e, _: (e.uid, getattr(e, "user", None)), "name or uid", ("uid",))
    if name == "ret" and "error" in also:
        return Field("ret", ERRNO, lambda e, _: (e.ret, e.error), "what it returned")
    annotation = _annotation(kind, name)
    shown = _NAMES.get(name, name)
    aliases = (name,) if shown != name else ()
    if name == "ns" or name.endswith("_ns"):
        return Field(shown, duration(1e-9), lambda e, _: read(e), "how long", aliases)
    if name.endswith("_s"):
        return Field(shown, duration(), lambda e, _: read(e), "how long", aliases)
    if name == "signal" and "str" in annotation:
        return Field(name, SIGNAL, lambda e, _: signal_pair(read(e)))
    if "tuple" in annotation:
        return Field(shown, AnyOf(Text()), lambda e, _: [str(one) for one in read(e) or ()], "", aliases)
    if not _NUMBERS.isdisjoint(re.findall(r"\w+", annotation)):
        return Field(shown, Number(hint=">0"), lambda e, _: read(e), "", aliases)
    return Field(shown, Text(), lambda e, _: None if read(e) is None else str(read(e)), "", aliases)


def _annotation(kind: type[Event], name: str) -> str:
    return next((str(known[name]) for one in kind.__mro__ if name in (known := get_annotations(one))), "")
