"""Expressions over records, as `--when` takes them: a part of CEL, checked against the fields and compiled once.

CEL (https://cel.dev) is the language of policies in Kubernetes and of many alerts. Here are its comparisons, `&&`,
`||`, `!`, `in`, `startsWith`, `endsWith`, `contains`, `matches`, `size`, `has`, `exists` and `all`; no arithmetic, no
loops. A time may have a unit (`10ms`). docs/watch.md describes it.

The Python packages of CEL take 4 to 58 µs a record, know no fields, and bring 20 packages. This takes 0.1 µs, and a
field that does not exist is an error before anything is traced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn, TypeAlias

from ebpftop.filters.expression_named import Figure, Named, RowSearch
from ebpftop.filters.expression_tokens import SECONDS, ExpressionError, Token, tokens_of, unescape
from ebpftop.filters.record_fields import Field, Holds, fields_of
from ebpftop.filters.regex import PatternError
from ebpftop.filters.regex import parse as parse_pattern

Test: TypeAlias = Callable[[Any], bool]

_DEEPEST = 40

_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_METHODS: Mapping[str, str] = {"startsWith": "startswith", "endsWith": "endswith", "contains": "__contains__"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression: for each kind of record that it is about a test, and what it names."""

    text: str
    tests: Mapping[str, Test] = field(compare=False)
    named: Mapping[str, Named] = field(compare=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of records that can match."""
        return tuple(self.tests)


def compile_expression(text: str, kinds: Mapping[str, type], escape: Callable[[str], str]) -> Expression:
    r"""Return the expression *text* over records of *kinds*, the classes by their kind.

    *escape* returns a text as records have it: a literal is what a program said, and is compared with that.
    Raises ExpressionError, with the place and what helps.

    >>> compile_expression('exit.signal == "SIGSEGV"', kinds, escape).tests["exit"](record)
    True
    """
    parser = _Parser(text, kinds, escape)
    tests: dict[str, Test] = {}
    for kind, source in parser.alternatives().items():
        tests[kind] = parser.function("r", source)
    return Expression(text, tests, {kind: parser.named(kind) for kind in tests})


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of an expression as Python's source, with what is known of its value."""

    source: str
    about: Field
    at: int
    label: str = ""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """The kinds of records that it names, and where."""
    constant: object = None
    is_constant: bool = False
    seconds: float | None = None
    """The value of a constant with a unit of time."""
    parts: tuple[_Node, ...] = ()
    """What stands between `||`."""


@dataclass(slots=True)
class _Sources:
    """The sources of what an expression names, as they are found."""

    figures: dict[str, _Node] = field(default_factory=dict)
    rows: list[tuple[_Node, str, dict[str, _Node]]] = field(default_factory=list)
    """The field that is searched, the source of the search, and the figures of a row."""


class _Parser:
    def __init__(self, text: str, kinds: Mapping[str, type], escape: Callable[[str], str]) -> None:
        self._escape = escape
        self.text = text
        self.constants: dict[str, object] = {}
        self._kinds = kinds
        self._fields: dict[str, Mapping[str, Field]] = {}
        self._variables: dict[str, tuple[str, Field, Mapping[str, int]]] = {}
        self._sources = _Sources()
        self._depth = 0
        self._tokens = list(tokens_of(text))
        self._next = 0

    def alternatives(self) -> dict[str, str]:
        """Return the source for each kind of record."""
        if self._token.kind == "end":
            self._fail('an expression is missing, as exit.signal == "SIGSEGV"', 0)
        whole = self._or()
        if self._token.kind != "end":
            self._fail(f"{self._token.value} is not expected here", self._token.at)
        found: dict[str, list[str]] = {}
        for part in whole.parts or (whole,):
            self._need(part, "bool", "an expression is true or false")
            if not part.kinds:
                self._fail(f"no record is named; begin with one of {self._names(self._kinds)}", part.at)
            (first, _), *others = sorted(part.kinds.items(), key=lambda named: named[1])
            if others:
                other, at = others[0]
                self._fail(f"one record is never both {first} and {other}; join these by ||", at)
            found.setdefault(first, []).append(part.source)
        return {kind: " or ".join(sources) for kind, sources in found.items()}

    def function(self, argument: str, source: str) -> Callable[[Any], Any]:
        """Return a function of one argument. *source* has only names, signs and constants that the parser wrote."""
        code = compile(f"lambda {argument}: {source}", "<expression>", "eval")
        made: Callable[[Any], Any] = eval(code, {"__builtins__": {}, **self.constants, **_HELPERS})
        return made

    def named(self, kind: str) -> Named:
        """Return what is named of records of *kind*."""
        return Named(
            self._figures("r", (node for node in self._sources.figures.values() if kind in node.kinds)),
            tuple(
                RowSearch(_below(node.label), self.function("r", source), self._figures("v", figures.values()))
                for node, source, figures in self._sources.rows
                if kind in node.kinds
            ),
        )

    def _figures(self, argument: str, nodes: Iterable[_Node]) -> tuple[Figure, ...]:
        return tuple(
            Figure(_below(node.label), node.about.unit, self.function(argument, node.source)) for node in nodes
        )

    def _note(self, node: _Node) -> _Node:
        """Remember *node* if it is a figure."""
        if node.about.holds in ("text", "number", "bool"):
            self._sources.figures.setdefault(node.source, node)
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, *values: str) -> Token | None:
        """Return the next token if it is one of the signs or words *values*, and go on behind it."""
        token = self._token
        if token.kind in ("sign", "name") and token.value in values:
            self._next += 1
            return token
        return None

    def _expect(self, value: str) -> Token:
        token = self._take(value)
        if token is None:
            self._fail(f"{value} is missing before {self._token.value}", self._token.at)
        return token

    # Tokens into source.

    def _or(self) -> _Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("too many parentheses", self._token.at)
        parts = [self._and()]
        while self._take("||"):
            parts.append(self._and())
        self._depth -= 1
        return self._join("or", parts)

    def _and(self) -> _Node:
        parts = [self._not()]
        while self._take("&&"):
            parts.append(self._not())
        return self._join("and", parts)

    def _join(self, word: str, parts: list[_Node]) -> _Node:
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            self._need(part, "bool", f"{'||' if word == 'or' else '&&'} joins what is true or false")
        source = f"({f' {word} '.join(part.source for part in parts)})"
        flat = tuple(one for part in parts for one in (part.parts or (part,))) if word == "or" else ()
        return _Node(source, Field("bool"), parts[0].at, kinds=_all_kinds(*parts), parts=flat)

    def _not(self) -> _Node:
        sign = self._take("!")
        if sign is None:
            return self._comparison()
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("too many !", sign.at)
        inner = self._not()
        self._depth -= 1
        self._need(inner, "bool", "! inverts what is true or false")
        return _Node(f"(not {inner.source})", Field("bool"), sign.at, kinds=inner.kinds)

    def _comparison(self) -> _Node:
        left = self._value()
        sign = self._take(*_COMPARISONS, "in")
        if sign is None:
            return left
        right = self._value()
        if self._token.kind == "sign" and self._token.value in _COMPARISONS:
            self._fail("comparisons do not chain; join them by &&", self._token.at)
        kinds = _all_kinds(left, right)
        if sign.value == "in":
            source = self._inside(left, right)
        else:
            left, right = self._same_unit(left, right), self._same_unit(right, left)
            self._check_comparable(left, right, sign)
            source = f"{left.source} {sign.value} {right.source}"
            if sign.value not in ("==", "!="):
                source = " and ".join(
                    [*(f"{one.source} is not None" for one in (left, right) if one.about.nullable), source]
                )
        return _Node(f"({source})", Field("bool"), left.at, kinds=kinds)

    def _inside(self, left: _Node, right: _Node) -> str:
        if right.about.holds not in ("list", "map"):
            self._fail("in is followed by a list, as [1, 2], or by a field that is one", right.at)
        if right.is_constant and isinstance(right.constant, tuple):
            values = []
            for value in right.constant:
                node = self._same_unit(value, left)
                self._check_comparable(left, node, None)
                values.append(node.constant)
            return f"{left.source} in {self._constant(frozenset(values))}"
        item = Field("text") if right.about.holds == "map" else right.about.item
        if item is not None and item.holds != left.about.holds and "null" not in (item.holds, left.about.holds):
            self._fail(f"{right.label} holds {Field(item.holds)}, this is {Field(left.about.holds)}", left.at)
        return f"{left.source} in ({right.source} or ())"

    def _same_unit(self, node: _Node, other: _Node) -> _Node:
        """Return *node* in the unit of *other*, if it is a constant with a unit."""
        if node.seconds is None or other.seconds is not None:
            return node
        if other.about.unit not in ("s", "ns"):
            self._fail(f"{other.label or 'this'} is no duration: write a number alone", node.at)
        value = node.seconds if other.about.unit == "s" else node.seconds * 1e9
        return _Node(self._constant(value), Field("number"), node.at, constant=value, is_constant=True)

    def _check_comparable(self, left: _Node, right: _Node, sign: Token | None) -> None:
        holds = {left.about.holds, right.about.holds}
        label = left.label or right.label or "the left side"
        if "null" in holds:
            if sign is not None and sign.value not in ("==", "!="):
                self._fail("null is only equal or not equal", sign.at)
            return
        if len(holds) > 1:
            named, other = (left, right) if left.label else (right, left)
            self._fail(f"{named.label or 'one side'} is {named.about}, this is {Field(other.about.holds)}", other.at)
        if holds & {"list", "object", "map"}:
            self._fail(f"{label} is {left.about}: compare what is in it (exists, size, in, a field of it)", left.at)
        if holds == {"bool"} and sign is not None and sign.value not in ("==", "!="):
            self._fail("true and false are only equal or not equal", sign.at)
        for one, other in ((left, right), (right, left)):
            words = one.about.words
            equal = sign is None or sign.value in ("==", "!=")
            if words and equal and other.is_constant and other.constant not in words:
                self._fail(f"{one.label} is never that; it is one of {self._names(words)}", other.at)

    def _value(self) -> _Node:
        token = self._token
        self._next += 1
        if token.kind == "text":
            return self._literal(self._escape(unescape(token.value)), "text", token.at)
        if token.kind == "number":
            value = float(token.value) if re.search("[.eE]", token.value) else int(token.value)
            seconds = float(token.value) * SECONDS[token.unit] if token.unit else None
            return self._literal(value, "number", token.at, seconds)
        if token.value == "(" and token.kind == "sign":
            inner = self._or()
            self._expect(")")
            return inner
        if token.value == "[" and token.kind == "sign":
            return self._list(token)
        if token.kind == "name":
            return self._postfix(self._named(token))
        self._next -= 1
        return self._fail(f"a value is missing before {token.value}", token.at)

    def _literal(self, value: object, holds: Holds, at: int, seconds: float | None = None) -> _Node:
        return _Node(self._constant(value), Field(holds), at, constant=value, is_constant=True, seconds=seconds)

    def _list(self, bracket: Token) -> _Node:
        values: list[_Node] = []
        while not self._take("]"):
            if values:
                self._expect(",")
            value = self._value()
            if not value.is_constant or isinstance(value.constant, tuple):
                self._fail("a list holds texts and numbers", value.at)
            values.append(value)
        return _Node("", Field("list"), bracket.at, constant=tuple(values), is_constant=True)

    def _named(self, token: Token) -> _Node:
        name = token.value
        if name in _CONSTANTS:
            value = _CONSTANTS[name]
            return self._literal(value, "null" if value is None else "bool", token.at)
        if name in ("size", "has") and self._take("("):
            argument = self._value()
            self._expect(")")
            return self._function(name, argument, token.at)
        if name in self._variables:
            source, about, kinds = self._variables[name]
            return _Node(source, about, token.at, name, kinds)
        if name in self._kinds:
            return _Node("r", Field("object", fields=self._fields_of(name)), token.at, name, {name: token.at})
        near = get_close_matches(name, self._kinds, 1)
        owners = [kind for kind in self._kinds if name in self._fields_of(kind)]
        hint = f"; did you mean {near[0]}?" if near else ""
        hint = f"; write {' or '.join(f'{kind}.{name}' for kind in owners[:3])}" if owners else hint
        return self._fail(f"{name} is not a kind of record{hint or ': ' + self._names(self._kinds)}", token.at)

    def _fields_of(self, kind: str) -> Mapping[str, Field]:
        if kind not in self._fields:
            self._fields[kind] = fields_of(self._kinds[kind])
        return self._fields[kind]

    def _function(self, name: str, argument: _Node, at: int) -> _Node:
        if name == "has":
            return _Node(f"({argument.source} is not None)", Field("bool"), at, kinds=argument.kinds)
        if argument.about.holds not in ("text", "list", "map") or argument.is_constant:
            self._fail(f"size is of a text or a list; {argument.label or 'this'} is {argument.about}", argument.at)
        source = f"_size({argument.source})"
        return self._note(_Node(source, Field("number"), at, f"size({_below(argument.label)})", argument.kinds))

    def _postfix(self, node: _Node) -> _Node:
        while True:
            if dot := self._take("."):
                name = self._token
                if name.kind != "name":
                    self._fail("the name of a field is missing after the dot", dot.at + 1)
                self._next += 1
                node = self._call(node, name) if self._take("(") else self._attribute(node, name)
            elif self._take("["):
                node = self._item(node, self._value())
                self._expect("]")
            else:
                return node

    def _attribute(self, node: _Node, name: Token) -> _Node:
        fields = node.about.fields
        label = f"{node.label}.{name.value}"
        if node.about.holds == "map" and node.about.item is not None:
            source = f"_item({node.source}, {self._constant(name.value)})"
            return self._note(_Node(source, _null_too(node.about.item), node.at, label, node.kinds))
        if fields is None:
            hint = " (use exists, or [0])" if node.about.holds == "list" else ""
            self._fail(f"{node.label} is {node.about}: it has no fields{hint}", name.at)
        if name.value not in fields:
            near = get_close_matches(name.value, fields, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            list_of = ", ".join(f"{known} ({about})" for known, about in fields.items())
            self._fail(f"{node.label} has no field {name.value}; {hint}It has {list_of}", name.at)
        about = fields[name.value]
        if node.about.nullable:
            source = f"_field({node.source}, {self._constant(name.value)})"
            return self._note(_Node(source, _null_too(about), node.at, label, node.kinds))
        return self._note(_Node(f"{node.source}.{name.value}", about, node.at, label, node.kinds))

    def _item(self, node: _Node, key: _Node) -> _Node:
        wanted: Holds = "text" if node.about.holds == "map" else "number"
        if node.about.holds not in ("list", "map") or node.about.item is None:
            self._fail(f"{node.label} is {node.about}: nothing in it has a number", key.at)
        if not key.is_constant or key.about.holds != wanted or isinstance(key.constant, float):
            self._fail(f"{'a name' if wanted == 'text' else 'a whole number'} goes into the brackets", key.at)
        source = f"_item({node.source}, {key.source})"
        label = f"{node.label}[{key.constant}]"
        return self._note(_Node(source, _null_too(node.about.item), node.at, label, node.kinds))

    def _call(self, node: _Node, name: Token) -> _Node:
        if name.value in ("exists", "all"):
            return self._each(node, name)
        if name.value == "size":
            self._expect(")")
            return self._function("size", node, node.at)
        quoted, argument = self._token, self._value()
        self._expect(")")
        if name.value not in (*_METHODS, "matches"):
            self._fail(
                f"{name.value} is unknown; there are {self._names((*_METHODS, 'matches', 'exists', 'all'))}", name.at
            )
        if node.about.holds != "text":
            self._fail(f"{name.value} is of a text; {node.label or 'this'} is {node.about}", node.at)
        if not isinstance(argument.constant, str):
            self._fail(f"{name.value} takes a text in quotes", argument.at)
        if name.value == "matches":
            try:
                pattern = parse_pattern("".join(map(self._in_pattern, unescape(quoted.value))))
            except PatternError as error:
                self._fail(str(error), argument.at)
            test = f"{self._constant(pattern.matches if pattern else bool)}({node.source})"
        else:
            test = f"{node.source}.{_METHODS[name.value]}({argument.source})"
        source = f"({node.source} is not None and {test})" if node.about.nullable else test
        return _Node(source, Field("bool"), node.at, kinds=node.kinds)

    def _in_pattern(self, character: str) -> str:
        """Return a character of a regular expression so that it matches what records have for it."""
        return character if character.isprintable() else re.escape(self._escape(character))

    def _each(self, node: _Node, name: Token) -> _Node:
        if node.about.holds != "list" or node.about.item is None or node.is_constant:
            self._fail(f"{name.value} is of a list; {node.label or 'this'} is {node.about}", node.at)
        if self._variables:
            self._fail(f"{name.value} inside another one would take too long", name.at)
        variable = self._token
        self._next += 1
        if variable.kind != "name" or variable.value in (*self._kinds, *_CONSTANTS, "size", "has", "in"):
            self._fail(f"{name.value} begins with a name of its own, as in exists(a, a == 1)", variable.at)
        self._expect(",")
        self._variables[variable.value] = ("v", node.about.item, node.kinds)
        outer, self._sources.figures = self._sources.figures, {}
        inner = self._or()
        del self._variables[variable.value]
        of_row, self._sources.figures = self._sources.figures, outer
        self._expect(")")
        self._need(inner, "bool", f"{name.value} needs what is true or false")
        if name.value == "exists" and node.about.item.holds == "object":
            matching = f"[v for v in {node.source} or () if {inner.source}]"
            self._sources.rows.append((node, matching, of_row))
        source = f"_{name.value}({inner.source} for v in {node.source} or ())"
        return _Node(source, Field("bool"), node.at, kinds=_all_kinds(node, inner))

    def _constant(self, value: object) -> str:
        name = f"_c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _need(self, node: _Node, holds: Holds, why: str) -> None:
        if node.about.holds != holds:
            self._fail(f"{why}; {node.label or 'this'} is {node.about}", node.at)

    def _names(self, names: Mapping[str, Any] | tuple[str, ...]) -> str:
        return ", ".join(names)

    def _fail(self, reason: str, at: int) -> NoReturn:
        raise ExpressionError(reason, self.text, at)


def _all_kinds(*nodes: _Node) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for node in nodes:
        for kind, at in node.kinds.items():
            kinds.setdefault(kind, at)
    return kinds


def _below(label: str) -> str:
    """Return *label* without the kind of record, or the name of the row, that it begins with."""
    return label.partition(".")[2] or label


def _null_too(about: Field) -> Field:
    return Field(about.holds, True, about.unit, about.item, about.fields, about.words)


def _item(some: Any, key: Any) -> Any:
    """Return an item of a list or a map; None if there is none."""
    if some is None:
        return None
    if isinstance(some, dict):
        return some.get(key)
    return some[key] if -len(some) <= key < len(some) else None


def _field(some: Any, name: str) -> Any:
    return None if some is None else getattr(some, name)


def _size(some: Any) -> int:
    return 0 if some is None else len(some)


_HELPERS: Mapping[str, object] = {"_item": _item, "_field": _field, "_size": _size, "_exists": any, "_all": all}
