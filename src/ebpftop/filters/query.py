"""The language of the filters that are typed for a list: expressions, and fields by name.

    comm:cc* ret:ENOENT duration:>1s !user:root "no such" ^git

Terms stand beside each other, and all must hold. A list has a `Language`: which fields its rows have, and the text that
an expression searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ebpftop.filters.kinds import Kind, Text, ValueRefused, nearest
from ebpftop.filters.regex import STEPS_MAX, TERMS_MAX, Pattern, PatternError, parse
from ebpftop.filters.terms import Term, field_before, split

Row = TypeVar("Row")


class QueryError(ValueError):
    """What was typed is not a filter (yet): where, why, and what would work.

    `rest` is what was typed without the field that has no meaning yet; None if an expression has none.
    """

    def __init__(self, message: str, rest: str | None = None) -> None:
        super().__init__(message)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Field(Generic[Row]):
    """A field: its name, its kind, and how its value is read from a row at a time (Unix seconds).

    With *varies* the value changes as time passes; with *at_end* it is known when what the row is about has ended.
    `aliases` are other names, which are not listed.
    """

    name: str
    kind: Kind
    read: Callable[[Row, float], Any]
    about: str = ""
    aliases: tuple[str, ...] = ()
    varies: bool = False
    at_end: bool = False


def text_field(name: str, read: Callable[[Row], str | None], about: str = "", *aliases: str) -> Field[Row]:
    """Return a field whose values are texts."""
    return Field(name, Text(), lambda row, _: read(row), about, aliases)


@dataclass(frozen=True, slots=True)
class _FieldTerm(Generic[Row]):
    read: Callable[[Row, float], Any]
    test: Callable[[Any], bool]
    inverted: bool

    def matches(self, row: Row, now: float) -> bool:
        return self.test(self.read(row, now)) is not self.inverted


@dataclass(frozen=True, slots=True)
class _Expression:
    pattern: Pattern
    anchored: bool
    inverted: bool


@dataclass(frozen=True)
class Query(Generic[Row]):
    """A filter that was typed; `text` is how."""

    text: str
    inverted: bool = field(compare=False)
    fields: tuple[_FieldTerm[Row], ...] = field(compare=False, repr=False)
    expressions: tuple[_Expression, ...] = field(compare=False, repr=False)
    language: Language[Row] = field(repr=False)
    varies: bool = field(default=False, compare=False)
    """Whether a row may come to match, or not to, only because time passes."""
    at_end: bool = field(default=False, compare=False)
    """Whether it asks how what a row is about has ended."""

    def matches(self, row: Row, now: float = 0.0) -> bool:
        """Return whether *row* matches at *now* (Unix seconds)."""
        return self._all(row, now) is not self.inverted

    def _all(self, row: Row, now: float) -> bool:
        for term in self.fields:
            if not term.matches(row, now):
                return False
        if self.expressions:
            steps = STEPS_MAX // len(self.expressions)
            whole = command = ""
            for one in self.expressions:
                if one.anchored:
                    text = command = command or self.language.anchor(row)
                else:
                    text = whole = whole or self.language.searchable(row)
                if one.pattern.matches(text, steps) is one.inverted:
                    return False
        return True


class Language(Generic[Row]):
    """What may be typed for a list.

    An expression searches `searchable`, all that a row shows; one that is anchored, by ``^`` in front or ``$`` at the
    end, `anchor`: what a row is about, such as its command.
    """

    def __init__(
        self,
        fields: Sequence[Field[Row]],
        searchable: Callable[[Row], str],
        anchor: Callable[[Row], str] | None = None,
    ) -> None:
        self.fields = tuple(fields)
        self.searchable = searchable
        self.anchor = anchor or searchable
        self._named = {name: one for one in fields for name in (one.name, *one.aliases)}

    @property
    def names(self) -> list[str]:
        """The names of the fields, as they are listed."""
        return [one.name for one in self.fields]

    def parse(self, text: str) -> Query[Row] | None:
        """Return the filter for the typed text; None if it is empty. Raises QueryError."""
        inverted, terms = split(text)
        terms = [term for term in terms if term.name or term.text]
        if not terms:
            return None
        if len(terms) > TERMS_MAX:
            raise QueryError(f"at most {TERMS_MAX} terms")
        fields: list[_FieldTerm[Row]] = []
        expressions: list[_Expression] = []
        varies = at_end = False
        for term in terms:
            one = self._named.get(term.name)
            if one is not None:
                try:
                    test = self._test(one, term)
                except ValueRefused as error:
                    rest = text[: term.begin] + text[term.begin + len(term.typed) :]
                    raise QueryError(f"{term.typed[:40]}: {error}", rest) from None
                fields.append(_FieldTerm(one.read, test, term.inverted))
                varies = varies or one.varies
                at_end = at_end or one.at_end
            else:
                expressions.append(self._expression(term))
        return Query(text, inverted, tuple(fields), tuple(expressions), self, varies, at_end)

    def doubt(self, text: str) -> str:
        """Return which term looks like a field and is none, so that it is searched as text; empty if there is none."""
        for term in split(text)[1]:
            if term.name and term.name not in self._named and not term.text.startswith(("/", ":")):
                close = nearest(term.name, self._named)
                return f"{term.name}: is searched as text; " + (f"the field is {close}" if close else "no field here")
        return ""

    def completions(self, text: str, at: int) -> tuple[int, list[str]]:
        """Return what may stand for the word that *at* is in, and where that begins: names, or a name's values."""
        begin, word = field_before(text, at)
        name, colon, value = word.partition(":")
        name = name.lower()
        if not colon:
            return begin, [f"{one}:" for one in self.names if one.startswith(name)]
        known = self._named.get(name)
        if known is None:
            return begin, []
        begin += len(name) + 1 + value.startswith("!")
        typed = value.removeprefix("!").lower()
        return begin, [one for one in known.kind.words if one.lower().startswith(typed)]

    def _test(self, one: Field[Row], term: Term) -> Callable[[Any], bool]:
        if not term.text:
            raise ValueRefused(f"add a value: {one.kind.example}")
        return one.kind.tests(term.text, quoted=term.quoted)

    def _expression(self, term: Term) -> _Expression:
        # What looks like a field and is none, as in http://host, is an expression with its colon.
        source = f"{term.written}:{term.text}" if term.name else term.text
        try:
            pattern = parse(source)
        except PatternError as error:
            raise QueryError(str(error)) from None
        assert pattern is not None
        anchored = source.startswith("^") or (source.endswith("$") and not source.endswith("\\$"))
        return _Expression(pattern, anchored, term.inverted)
