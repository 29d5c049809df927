"""Textual asks inspect for the parameters of each callback; for a new closure or partial that takes a tenth of a ms.

Textual 8.2 keeps the number on the function, so that the next closure of the same code is inspected again, and a
partial each time. At rest that was an eighth of the screen's work. Here it is kept by code object.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from textual import _callback

_counts: dict[CodeType, int] = {}
_inspected = _callback._count_parameters


def count_parameters(func: Callable[..., Any]) -> int:
    """Return how many parameters a callable takes beyond those that it has already."""
    if isinstance(func, partial):
        return count_parameters(func.func) - len(func.args) - len(func.keywords)
    if isinstance(func, MethodType):
        return count_parameters(func.__func__) - 1
    if not isinstance(func, FunctionType) or hasattr(func, "__wrapped__"):
        return _inspected(func)
    count = _counts.get(func.__code__)
    if count is None:
        count = _counts[func.__code__] = _inspected(func)
    return count


def install() -> None:
    """Let Textual count with it."""
    _callback.count_parameters = count_parameters
