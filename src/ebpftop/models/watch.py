"""Watches: what to look out for among all records, and what was found."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ebpftop.core.format import duration
from ebpftop.core.records import (
    End,
    Exec,
    Exit,
    Lost,
    Probe,
    Reading,
    Record,
    Syscall,
    TableReading,
    TimedRecord,
    Trace,
)
from ebpftop.probes.registry import kind_of, registry

if TYPE_CHECKING:
    from ebpftop.filters.expression import Expression

Test: TypeAlias = Callable[[Any], bool]

MARKS_MAX = 10_000
"""Moments that are kept for the timeline; the oldest are dropped."""

_LONGEST = 200
"""Characters of a summary."""


def compile_watch(text: str) -> Watch:
    """Return the watch of an expression. Raises ExpressionError."""
    from ebpftop.filters.expression import compile_expression  # the screen starts without it

    kinds = {kind: record for kind, record in registry().kinds.items() if issubclass(record, TimedRecord)}
    expression = compile_expression(text, {kind: record for kind, record in kinds.items() if record is not End})
    return Watch(text, tests_of(expression))


def tests_of(expression: Expression) -> dict[type[Record], Test]:
    """Return the test for each class of record that *expression* is about."""
    return {registry().kinds[kind]: test for kind, test in expression.tests.items()}


@dataclass(eq=False)
class Watch:
    """Something to look out for: its words, and a test for each class of record that can match.

    `count` and `last` (Unix seconds) say what has matched so far.
    """

    label: str
    tests: Mapping[type[Record], Test]
    count: int = 0
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """A record that a watch looked out for."""

    watch: Watch
    record: Record
    time: float

    @property
    def summary(self) -> str:
        """What happened, in one line."""
        return summary_of(self.record)


@dataclass
class Watches:
    """All watches, and the moments at which they matched. Records of other kinds cost one look-up."""

    watches: list[Watch] = field(default_factory=list)
    moments: dict[float, None] = field(default_factory=dict)
    """A recording that plays a part of itself again marks nothing twice."""
    _tests: dict[type[Record], list[tuple[Watch, Test]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index()

    def __bool__(self) -> bool:
        return bool(self.watches)

    def add(self, watch: Watch) -> None:
        """Look out for *watch* too, unless there is one of the same words."""
        if all(other.label != watch.label for other in self.watches):
            self.watches.append(watch)
            self._index()

    def remove(self, watch: Watch) -> None:
        """Forget *watch*; the moments at which it matched stay."""
        if watch in self.watches:
            self.watches.remove(watch)
            self._index()

    def feed(self, records: Iterable[Record]) -> Sequence[Match]:
        """Return what matched of *records*, in their order. A reading that goes on matching matches once."""
        found: list[Match] = []
        for record in records:
            for watch, test in self._tests.get(type(record), ()):
                if not test(record):
                    if isinstance(record, Reading):
                        self._lasting.discard((id(watch), type(record)))
                    continue
                if isinstance(record, Reading):
                    if (id(watch), type(record)) in self._lasting:
                        continue
                    self._lasting.add((id(watch), type(record)))
                time: float = getattr(record, "time", 0.0)
                watch.count += 1
                watch.last = max(watch.last, time)
                found.append(Match(watch, record, time))
        if found:
            self.mark(match.time for match in found)
        return found

    def mark(self, moments: Iterable[float]) -> None:
        """Add *moments* (Unix seconds)."""
        self.moments.update(dict.fromkeys(moments))
        while len(self.moments) > MARKS_MAX:
            del self.moments[next(iter(self.moments))]

    def _index(self) -> None:
        self._tests.clear()
        self._lasting: set[tuple[int, type[Record]]] = set()
        for watch in self.watches:
            for kind, test in watch.tests.items():
                self._tests.setdefault(kind, []).append((watch, test))


def summary_of(record: Record) -> str:
    """Return *record* in one line, as a notice or a line of a log has it."""
    return _cut(_summary(record))


def _summary(record: Record) -> str:
    match record:
        case Exec(ret=0):
            return f"{_who(record)} started: {shlex.join(record.argv or (record.file,))}"
        case Exec():
            return f"{_who(record)} could not start {record.file}: {record.error or record.ret}"
        case Exit():
            how = record.signal or ("exited" if record.code is None else f"exit {record.code}")
            core = ", core dumped" if record.core else ""
            after = f" after {duration(record.duration_s)}" if record.duration_s is not None else ""
            return f"{_who(record)} ended: {how}{core}{after}"
        case Syscall():
            result = "?" if record.ret is None else record.error or str(record.ret)
            took = f" in {duration(record.ns / 1e9)}" if record.ns is not None else ""
            return f"{_who(record)} {record.name}({', '.join(record.args)}) = {result}{took}"
        case Trace():
            return f"{record.task}[{record.pid}] printed: {record.message}"
        case Lost():
            return f"{record.probe} lost {record.count:,} ({record.where})"
        case Probe():
            return f"probe {record.probe} is {record.state}" + (f": {record.reason}" if record.reason else "")
        case TableReading():
            return f"a reading of {kind_of(type(record))}"
        case _:
            some = [f"{name} {value}" for name in record.__struct_fields__ if (value := _plain(record, name))]
            return " ".join((kind_of(type(record)), *some))


def _who(record: Exec | Exit | Syscall) -> str:
    return f"{record.comm}[{record.pid}]"


def _plain(record: Record, name: str) -> str:
    value = getattr(record, name)
    return str(value) if name != "time" and isinstance(value, (str, int, float)) else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
