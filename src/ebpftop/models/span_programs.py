"""Programs of a span: what started, what did not, how it ended."""

from __future__ import annotations

from ebpftop.core.process_records import Exec, Exit
from ebpftop.models.slices import Slices, Sums
from ebpftop.models.span_items import Item

_SEARCHED_ON = frozenset(("ENOENT", "EACCES", "ENOTDIR"))
_ATTEMPTS_MAX = 4096
"""Processes of which it is open whether their failed execve calls were a search in PATH."""
_TRIES_MAX = 64


class SpanPrograms:
    """Counts into *items*."""

    def __init__(self, slices: Slices, items: Sums[Item]) -> None:
        self._slices = slices
        self._items = items
        self._attempts: dict[int, list[Exec]] = {}

    def start(self, e: Exec) -> None:
        """Count a program that started, or that did not."""
        if e.ret < 0:
            if e.pid not in self._attempts and len(self._attempts) >= _ATTEMPTS_MAX:
                self._settle(next(iter(self._attempts)))
            attempts = self._attempts.setdefault(e.pid, [])
            attempts.append(e)
            if len(attempts) > _TRIES_MAX:
                self._settle(e.pid)
            return
        self._settle(e.pid, started=_base(e.file))
        number = self._slices.at(e.time)
        self._items.add(Item("program", e.comm), number)
        place = e.unit or e.container
        if place:
            self._items.add(Item("unit", place), number)

    def end(self, e: Exit) -> None:
        """Count how a program ended, unless it ended well."""
        self._settle(e.pid)
        how = e.signal or (f"exit {e.code}" if e.code else None)
        if how:
            self._items.add(Item("exit", e.comm, how), self._slices.at(e.time))

    def close(self) -> None:
        """Count what is open."""
        for pid in list(self._attempts):
            self._settle(pid)

    def _settle(self, pid: int, started: str = "") -> None:
        """Count the failed execve calls of a process, but not those of a search in PATH that *started* its program."""
        for e in self._attempts.pop(pid, ()):
            if not (started and _base(e.file) == started and e.error in _SEARCHED_ON):
                item = Item("failed", _base(e.file) or e.file, e.error or str(e.ret))
                self._items.add(item, self._slices.at(e.time))


def _base(path: str) -> str:
    return path.rpartition("/")[2]
