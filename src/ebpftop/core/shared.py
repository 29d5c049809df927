"""Equal values as one object: most of what is kept of thousands of events is the same in many of them."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")

_VALUES_MAX = 4096


class Shared(dict[Value, Value]):
    """`shared[value]` is *value*, or the equal one that was asked for before. Each instance is for values of one type.

    It forgets all of them whenever they are too many, so that values that are all different do not stay in it.
    """

    def __missing__(self, value: Value) -> Value:
        if len(self) >= _VALUES_MAX:
            self.clear()
        self[value] = value
        return value
