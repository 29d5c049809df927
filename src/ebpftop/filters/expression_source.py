"""What the parts of an expression mean: each is checked against the fields, and becomes Python's source."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from ebpftop.filters.expression_named import Figure, Named, RowSearch
from ebpftop.filters.expression_tokens import ExpressionError, Token, unescape
from ebpftop.filters.record_fields import Field, Holds, fields_of, unit_of
from ebpftop.filters.regex import PatternError
from ebpftop.filters.regex import parse as parse_pattern

CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    **{"==": operator.eq, "!=": operator.ne},
    **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
}
_METHODS: Mapping[str, str] = {"startsWith": "startswith", "endsWith": "endswith", "contains": "__contains__"}


@dataclass(frozen=True, slots=True)
class Node:
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
    parts: tuple[Node, ...] = ()
    """What stands between `||`."""


@dataclass(slots=True)
class _Sources:
    """The sources of what an expression names, as they are found."""

    figures: dict[str, Node] = field(default_factory=dict)
    rows: list[tuple[Node, str, dict[str, Node]]] = field(default_factory=list)
    """The field that is searched, the source of the search, and the figures of a row."""


class Writer:
    """Writes the source of one expression. Raises ExpressionError for what no record can be."""

    def __init__(self, text: str, kinds: Mapping[str, type], escape: Callable[[str], str]) -> None:
        self.text = text
        self._kinds = kinds
        self._escape = escape
        self._constants: dict[str, object] = {}
        self._fields: dict[str, Mapping[str, Field]] = {}
        self._variables: dict[str, tuple[str, Field, Mapping[str, int]]] = {}
        self._sources = _Sources()
        self._outer: dict[str, Node] = {}

    def alternatives(self, whole: Node) -> dict[str, str]:
        """Return the source for each kind of record that *whole* is about."""
        found: dict[str, list[str]] = {}
        for part in whole.parts or (whole,):
            self.need(part, "bool", "an expression is true or false")
            if not part.kinds:
                self.fail(f"no record is named; begin with one of {self._names(self._kinds)}", part.at)
            (first, _), *others = sorted(part.kinds.items(), key=lambda named: named[1])
            if others:
                other, at = others[0]
                self.fail(f"one record is never both {first} and {other}; join these by ||", at)
            found.setdefault(first, []).append(part.source)
        return {kind: " or ".join(sources) for kind, sources in found.items()}

    def function(self, argument: str, source: str) -> Callable[[Any], Any]:
        """Return a function of one argument. *source* has only names, signs and constants that were written here."""
        code = compile(f"lambda {argument}: {source}", "<expression>", "eval")
        made: Callable[[Any], Any] = eval(code, {"__builtins__": {}, **self._constants, **_HELPERS})
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

    def _figures(self, argument: str, nodes: Iterable[Node]) -> tuple[Figure, ...]:
        return tuple(
            Figure(_below(node.label), node.about.unit, self.function(argument, node.source)) for node in nodes
        )

    def _note(self, node: Node) -> Node:
        """Remember *node* if it is a figure."""
        if node.about.holds in ("text", "number", "bool", "any"):
            self._sources.figures.setdefault(node.source, node)
        return node

    def join(self, word: str, parts: list[Node]) -> Node:
        """Return *parts* joined by `&&` (*word* is and) or `||`."""
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            self.need(part, "bool", f"{'||' if word == 'or' else '&&'} joins what is true or false")
        source = f"({f' {word} '.join(part.source for part in parts)})"
        flat = tuple(one for part in parts for one in (part.parts or (part,))) if word == "or" else ()
        return Node(source, Field("bool"), parts[0].at, kinds=_all_kinds(*parts), parts=flat)

    def invert(self, sign: Token, inner: Node) -> Node:
        """Return `!` of *inner*."""
        self.need(inner, "bool", "! inverts what is true or false")
        return Node(f"(not {inner.source})", Field("bool"), sign.at, kinds=inner.kinds)

    def compare(self, left: Node, sign: Token, right: Node) -> Node:
        """Return what a comparison or `in` means."""
        kinds = _all_kinds(left, right)
        if sign.value == "in":
            source = self._inside(left, right)
        else:
            left, right = self._same_unit(left, right), self._same_unit(right, left)
            self._check_comparable(left, right, sign)
            source = f"{left.source} {sign.value} {right.source}"
            if "any" in (left.about.holds, right.about.holds):
                source = f"_compare({self._constant(_COMPARISONS[sign.value])}, {left.source}, {right.source})"
            elif sign.value not in ("==", "!="):
                source = " and ".join(
                    [*(f"{one.source} is not None" for one in (left, right) if one.about.nullable), source]
                )
        return Node(f"({source})", Field("bool"), left.at, kinds=kinds)

    def _inside(self, left: Node, right: Node) -> str:
        if right.about.holds not in ("list", "map"):
            self.fail("in is followed by a list, as [1, 2], or by a field that is one", right.at)
        if right.is_constant and isinstance(right.constant, tuple):
            values = []
            for value in right.constant:
                node = self._same_unit(value, left)
                self._check_comparable(left, node, None)
                values.append(node.constant)
            if left.about.holds == "any":
                return f"_among({left.source}, {self._constant(frozenset(values))})"
            return f"{left.source} in {self._constant(frozenset(values))}"
        item = Field("text") if right.about.holds == "map" else right.about.item
        if item is not None and item.holds != left.about.holds and "null" not in (item.holds, left.about.holds):
            self.fail(f"{right.label} holds {Field(item.holds)}, this is {Field(left.about.holds)}", left.at)
        return f"{left.source} in ({right.source} or ())"

    def _same_unit(self, node: Node, other: Node) -> Node:
        """Return *node* in the unit of *other*, if it is a constant with a unit."""
        if node.seconds is None or other.seconds is not None:
            return node
        if other.about.unit not in ("s", "ns"):
            self.fail(f"{other.label or 'this'} is no duration: write a number alone", node.at)
        value = node.seconds if other.about.unit == "s" else node.seconds * 1e9
        return Node(self._constant(value), Field("number"), node.at, constant=value, is_constant=True)

    def _check_comparable(self, left: Node, right: Node, sign: Token | None) -> None:
        holds = {left.about.holds, right.about.holds}
        label = left.label or right.label or "the left side"
        if "any" in holds and holds & {"list", "object", "map"} == set():
            return
        if "null" in holds:
            if sign is not None and sign.value not in ("==", "!="):
                self.fail("null is only equal or not equal", sign.at)
            return
        if len(holds) > 1:
            named, other = (left, right) if left.label else (right, left)
            self.fail(f"{named.label or 'one side'} is {named.about}, this is {Field(other.about.holds)}", other.at)
        if holds & {"list", "object", "map"}:
            self.fail(f"{label} is {left.about}: compare what is in it (exists, size, in, a field of it)", left.at)
        if holds == {"bool"} and sign is not None and sign.value not in ("==", "!="):
            self.fail("true and false are only equal or not equal", sign.at)
        for one, other in ((left, right), (right, left)):
            words = one.about.words
            equal = sign is None or sign.value in ("==", "!=")
            if words and equal and other.is_constant and other.constant not in words:
                self.fail(f"{one.label} is never that; it is one of {self._names(words)}", other.at)

    def literal(self, value: object, holds: Holds, at: int, seconds: float | None = None) -> Node:
        """Return a text, a number, true, false or null."""
        return Node(self._constant(value), Field(holds), at, constant=value, is_constant=True, seconds=seconds)

    def name(self, token: Token) -> Node:
        """Return what a word is: a constant, a row of `exists`, a kind of record."""
        name = token.value
        if name in CONSTANTS:
            value = CONSTANTS[name]
            return self.literal(value, "null" if value is None else "bool", token.at)
        if name in self._variables:
            source, about, kinds = self._variables[name]
            return Node(source, about, token.at, name, kinds)
        if name in self._kinds:
            return Node("r", Field("object", fields=self._fields_of(name)), token.at, name, {name: token.at})
        near = get_close_matches(name, self._kinds, 1)
        owners = [kind for kind in self._kinds if name in self._fields_of(kind)]
        hint = f"; did you mean {near[0]}?" if near else ""
        hint = f"; write {' or '.join(f'{kind}.{name}' for kind in owners[:3])}" if owners else hint
        return self.fail(f"{name} is not a kind of record{hint or ': ' + self._names(self._kinds)}", token.at)

    def _fields_of(self, kind: str) -> Mapping[str, Field]:
        if kind not in self._fields:
            self._fields[kind] = fields_of(self._kinds[kind])
        return self._fields[kind]

    def call(self, name: str, argument: Node, at: int) -> Node:
        """Return `size` or `has` of *argument*."""
        if name == "has":
            return Node(f"({argument.source} is not None)", Field("bool"), at, kinds=argument.kinds)
        if argument.about.holds not in ("text", "list", "map") or argument.is_constant:
            self.fail(f"size is of a text or a list; {argument.label or 'this'} is {argument.about}", argument.at)
        source = f"_size({argument.source})"
        return self._note(Node(source, Field("number"), at, f"size({_below(argument.label)})", argument.kinds))

    def attribute(self, node: Node, name: Token) -> Node:
        """Return a field of *node*, or what a map has under this name."""
        fields = node.about.fields
        label = f"{node.label}.{name.value}"
        if node.about.holds == "map" and node.about.item is not None:
            source = f"_item({node.source}, {self._constant(name.value)})"
            about = _null_too(node.about.item)
            if about.holds == "any":
                about = Field("any", True, unit_of(name.value))
            return self._note(Node(source, about, node.at, label, node.kinds))
        if node.about.holds == "any":
            about = Field("any", True, unit_of(name.value))
            source = f"_within({node.source}, {self._constant(name.value)})"
            return self._note(Node(source, about, node.at, label, node.kinds))
        if fields is None:
            hint = " (use exists, or [0])" if node.about.holds == "list" else ""
            self.fail(f"{node.label} is {node.about}: it has no fields{hint}", name.at)
        if name.value not in fields:
            near = get_close_matches(name.value, fields, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            list_of = ", ".join(f"{known} ({about})" for known, about in fields.items())
            self.fail(f"{node.label} has no field {name.value}; {hint}It has {list_of}", name.at)
        about = fields[name.value]
        if node.about.nullable:
            source = f"_field({node.source}, {self._constant(name.value)})"
            return self._note(Node(source, _null_too(about), node.at, label, node.kinds))
        return self._note(Node(f"{node.source}.{name.value}", about, node.at, label, node.kinds))

    def item(self, node: Node, key: Node) -> Node:
        """Return `node[key]`."""
        if node.about.holds == "any" and key.is_constant and not isinstance(key.constant, float):
            label = f"{node.label}[{key.constant}]"
            return Node(f"_within({node.source}, {key.source})", Field("any", True), node.at, label, node.kinds)
        wanted: Holds = "text" if node.about.holds == "map" else "number"
        if node.about.holds not in ("list", "map") or node.about.item is None:
            self.fail(f"{node.label} is {node.about}: nothing in it has a number", key.at)
        if not key.is_constant or key.about.holds != wanted or isinstance(key.constant, float):
            self.fail(f"{'a name' if wanted == 'text' else 'a whole number'} goes into the brackets", key.at)
        source = f"_item({node.source}, {key.source})"
        label = f"{node.label}[{key.constant}]"
        return self._note(Node(source, _null_too(node.about.item), node.at, label, node.kinds))

    def method(self, node: Node, name: Token, quoted: Token, argument: Node) -> Node:
        """Return the call of a method of a text; *quoted* is its argument as it was typed."""
        if name.value not in (*_METHODS, "matches"):
            self.fail(
                f"{name.value} is unknown; there are {self._names((*_METHODS, 'matches', 'exists', 'all'))}", name.at
            )
        if node.about.holds == "any":
            node = Node(f"_text({node.source})", Field("text", True), node.at, node.label, node.kinds)
        if node.about.holds != "text":
            self.fail(f"{name.value} is of a text; {node.label or 'this'} is {node.about}", node.at)
        if not isinstance(argument.constant, str):
            self.fail(f"{name.value} takes a text in quotes", argument.at)
        if name.value == "matches":
            try:
                pattern = parse_pattern("".join(map(self._in_pattern, unescape(quoted.value))))
            except PatternError as error:
                self.fail(str(error), argument.at)
            test = f"{self._constant(pattern.matches if pattern else bool)}({node.source})"
        else:
            test = f"{node.source}.{_METHODS[name.value]}({argument.source})"
        source = f"({node.source} is not None and {test})" if node.about.nullable else test
        return Node(source, Field("bool"), node.at, kinds=node.kinds)

    def _in_pattern(self, character: str) -> str:
        """Return a character of a regular expression so that it matches what records have for it."""
        return character if character.isprintable() else re.escape(self._escape(character))

    def begin_row(self, node: Node, name: Token, variable: Token) -> None:
        """Let *variable* be a row of *node*, as `exists` and `all` need it; what is noted from here is of the row."""
        if node.about.holds != "list" or node.about.item is None or node.is_constant:
            self.fail(f"{name.value} is of a list; {node.label or 'this'} is {node.about}", node.at)
        if self._variables:
            self.fail(f"{name.value} inside another one would take too long", name.at)
        if variable.kind != "name" or variable.value in (*self._kinds, *CONSTANTS, "size", "has", "in"):
            self.fail(f"{name.value} begins with a name of its own, as in exists(a, a == 1)", variable.at)
        self._variables[variable.value] = ("v", node.about.item, node.kinds)
        self._outer, self._sources.figures = self._sources.figures, {}

    def end_row(self, node: Node, name: Token, inner: Node) -> Node:
        """Return `exists` or `all` of *node*, with *inner* for a row."""
        self._variables.clear()
        item = node.about.item
        assert item is not None  # as `begin_row` made sure
        of_row, self._sources.figures = self._sources.figures, self._outer
        self.need(inner, "bool", f"{name.value} needs what is true or false")
        if name.value == "exists" and item.holds == "object":
            matching = f"[v for v in {node.source} or () if {inner.source}]"
            self._sources.rows.append((node, matching, of_row))
        source = f"_{name.value}({inner.source} for v in {node.source} or ())"
        return Node(source, Field("bool"), node.at, kinds=_all_kinds(node, inner))

    def _constant(self, value: object) -> str:
        name = f"_c{len(self._constants)}"
        self._constants[name] = value
        return name

    def need(self, node: Node, holds: Holds, why: str) -> None:
        """Fail, and say *why*, unless *node* holds that."""
        if node.about.holds != holds:
            self.fail(f"{why}; {node.label or 'this'} is {node.about}", node.at)

    def _names(self, names: Mapping[str, Any] | tuple[str, ...]) -> str:
        return ", ".join(names)

    def fail(self, reason: str, at: int) -> NoReturn:
        """Raise ExpressionError."""
        raise ExpressionError(reason, self.text, at)


def _all_kinds(*nodes: Node) -> dict[str, int]:
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


def _compare(comparison: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    """Compare what may be of any type: what cannot be compared is neither less nor more."""
    try:
        return bool(comparison(one, other))
    except TypeError:
        return False


def _among(one: Any, values: frozenset[object]) -> bool:
    return not isinstance(one, (dict, list)) and one in values


def _within(some: Any, key: Any) -> Any:
    """Return what a decoded value has by a name or a number; None if it has nothing there."""
    if isinstance(some, dict):
        return some.get(key)
    if isinstance(some, (list, tuple)) and isinstance(key, int) and -len(some) <= key < len(some):
        return some[key]
    return None


def _text(some: Any) -> str | None:
    return some if isinstance(some, str) else None


def _size(some: Any) -> int:
    return 0 if some is None else len(some)


_HELPERS: Mapping[str, object] = {
    **{"_item": _item, "_field": _field, "_size": _size, "_exists": any, "_all": all},
    **{"_compare": _compare, "_among": _among, "_within": _within, "_text": _text},
}
