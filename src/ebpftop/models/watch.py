"""Watches: what to look out for among all records, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ebpftop.core.escape import escape
from ebpftop.core.records import End, Reading, Record, TableReading, TimedRecord, series_of
from ebpftop.models.match_words import Found, found_in, summary_of
from ebpftop.probes.registry import registry

if TYPE_CHECKING:
    from ebpftop.filters.expression import Expression
    from ebpftop.filters.expression_named import Named

Test: TypeAlias = Callable[[Any], bool]

MARKS_MAX = 10_000
"""Moments that are kept for the timeline; the oldest are dropped."""


def compile_watch(text: str) -> Watch:
    """Return the watch of an expression. Raises ExpressionError."""
    from ebpftop.filters.expression import compile_expression  # the screen starts without it

    kinds = {kind: record for kind, record in registry().kinds.items() if issubclass(record, TimedRecord)}
    kinds = {kind: record for kind, record in kinds.items() if record is not End}
    expression = compile_expression(text, kinds, escape)
    named = {registry().kinds[kind]: named for kind, named in expression.named.items()}
    return Watch(text, tests_of(expression), named)


def tests_of(expression: Expression) -> dict[type[Record], Test]:
    """Return the test for each class of record that *expression* is about."""
    return {registry().kinds[kind]: test for kind, test in expression.tests.items()}


@dataclass(eq=False)
class Watch:
    """Something to look out for: its words, and a test for each class of record that can match.

    `named` says what a match was about. `count`, `last` (Unix seconds) and `last_words` say what has matched so far.
    """

    label: str
    tests: Mapping[type[Record], Test]
    named: Mapping[type[Record], Named] = field(default_factory=dict)
    count: int = 0
    last: float = 0.0
    last_words: str = ""
    _lasting: dict[Hashable, frozenset[Hashable]] = field(default_factory=dict)
    """The keys of what matched in the last reading of each series, if that one matched."""

    def news(self, reading: Reading, *, matches: bool) -> tuple[Found, ...] | None:
        """Return what of *reading* matches and did not in the one before; None if there is no news."""
        series = series_of(reading) if isinstance(reading, TableReading) else type(reading)
        before = self._lasting.pop(series, None)
        if not matches:
            return None
        found = found_in(reading, self.named.get(type(reading)))
        self._lasting[series] = frozenset(one.key for one in found)
        if before is None:
            return found
        return tuple(one for one in found if one.key not in before) or None

    def matched(self, time: float, words: str) -> None:
        """Remember the newest match."""
        if time >= self.last:
            self.last, self.last_words = time, words


@dataclass(frozen=True, slots=True)
class Match:
    """A record that a watch looked out for, and what happened, in one line."""

    watch: Watch
    record: Record
    time: float
    summary: str


@dataclass
class Watches:
    """All watches, and the moments at which they matched. Records of other kinds cost one look-up."""

    watches: list[Watch] = field(default_factory=list)
    moments: dict[float, str] = field(default_factory=dict)
    """What happened, by the time. A recording that plays a part of itself again marks nothing twice."""
    _tests: dict[type[Record], list[tuple[Watch, Test]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index()

    def __bool__(self) -> bool:
        return bool(self.watches)

    @property
    def kinds(self) -> Collection[type[Record]]:
        """The classes of the records that can match."""
        return self._tests.keys()

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
        """Return what matched of *records*, in their order. A reading that goes on matching matches once, and again for
        each row that did not match in the reading before."""
        matches: list[Match] = []
        for record in records:
            for watch, test in self._tests.get(type(record), ()):
                if isinstance(record, Reading):
                    found = watch.news(record, matches=test(record))
                    if found is None:
                        continue
                elif test(record):
                    found = ()
                else:
                    continue
                match = Match(watch, record, getattr(record, "time", 0.0), summary_of(record, found))
                watch.count += 1
                watch.matched(match.time, match.summary)
                matches.append(match)
        if matches:
            self.mark({match.time: match.summary for match in matches})
        return matches

    def mark(self, moments: Mapping[float, str]) -> None:
        """Add *moments* (Unix seconds), and what happened then."""
        self.moments.update(moments)
        while len(self.moments) > MARKS_MAX:
            del self.moments[next(iter(self.moments))]

    def _index(self) -> None:
        self._tests.clear()
        for watch in self.watches:
            for kind, test in watch.tests.items():
                self._tests.setdefault(kind, []).append((watch, test))
