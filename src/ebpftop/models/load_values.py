"""Values of maps and events as text: by what they mean, else by what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ebpftop.core.format import nanoseconds, size
from ebpftop.core.load_records import Field
from ebpftop.models.load_fields import UNKNOWN
from ebpftop.syscalls.errno_names import error_name, signal_name

_ERRNO_MAX = 4095
_SIGNAL_MAX = 64
_ITEMS = 16
"""Items of an array that are written."""

_HEXADECIMAL = frozenset(("hex", "dev"))


class Worded(NamedTuple):
    """A value as it is shown: the number or the text, and what the number stands for, if that has a name."""

    plain: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.plain} {self.name}" if self.plain and self.name else self.plain or self.name


def worded(field: Field, value: object, name: str = "") -> Worded:
    """Return *value* of *field*, which *name* is the name of, as it is shown: ``1000 ann``, ``1.2ms``, ``ENOENT``."""
    if value is None:
        return Worded("")
    if isinstance(value, bool):
        return Worded("yes" if value else "no")
    if isinstance(value, Mapping):
        known = {one.name: one for one in field.fields}
        inner = (f"{key}={worded(known.get(key, UNKNOWN), one)}" for key, one in value.items())
        return Worded("{" + " ".join(inner) + "}")
    if isinstance(value, (list, tuple)):
        return Worded(_array(field, value))
    if isinstance(value, (int, float)):
        return _number(field, value, name)
    return Worded(str(value), name if name != value else "")


def _number(field: Field, value: float, name: str) -> Worded:
    meaning = field.meaning
    if meaning == "ns":
        return Worded(f"-{nanoseconds(-value)}" if value < 0 else nanoseconds(value) if value else "0")
    if meaning == "bytes" and value >= 0:
        return Worded(size(int(value)))
    if meaning == "errno" and 0 < abs(value) <= _ERRNO_MAX:
        return Worded(error_name(abs(int(value))))
    if meaning == "ret" and -_ERRNO_MAX <= value < 0:
        return Worded(str(int(value)), error_name(-int(value)))
    if meaning == "signal" and 0 < value <= _SIGNAL_MAX:
        return Worded(signal_name(int(value)))
    if meaning == "syscall" and name:
        return Worded(name)
    if field.kind == "pointer" or meaning in _HEXADECIMAL:
        return Worded(f"{int(value):#x}", name)
    return Worded(f"{value:g}" if isinstance(value, float) else str(value), name)


def _array(field: Field, values: Sequence[object]) -> str:
    each = field.fields[0] if field.fields else UNKNOWN
    texts = [str(worded(each, one)) for one in values[:_ITEMS]]
    more = " …" if len(values) > _ITEMS else ""
    return f"[{' '.join(texts)}{more}]"


def typed(value: object) -> str:
    """Return a value as it can be typed again: ``1000``, ``uid=1000 failed=1``, ``1,2,3``."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={typed(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(typed(one) for one in value)
    return "" if value is None else str(value)
