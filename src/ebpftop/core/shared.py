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


_NAMES_BYTES = 4 << 20


class SharedNames:
    """Tuples of names, each once, for as long as the process lives: a record that has one needs no memory for it.

    Of what is more than *room* bytes nothing is shared. Any thread may ask.
    """

    def __init__(self, room: int = _NAMES_BYTES) -> None:
        self._room = room
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._ids: set[int] = set()

    def __getitem__(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the shared tuple that equals *names*, or *names*."""
        found = self._known.get(names)
        if found is None:
            size = sum(60 + 4 * len(name) for name in names)
            if size > self._room:
                return names
            self._room -= size
            found = self._known.setdefault(names, names)
            self._ids.add(id(found))
        return found

    def has(self, names: tuple[str, ...]) -> bool:
        """Return whether this very tuple is shared."""
        return id(names) in self._ids


ENVIRONMENTS = SharedNames()
"""The names in environments of programs: dozens, and the same ones in most records."""
