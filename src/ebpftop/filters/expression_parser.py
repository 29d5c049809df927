"""The grammar of expressions: tokens in, and a part of the source for each rule, as `Writer` writes it."""

from __future__ import annotations

import re
from collections.abc import Callable

from ebpftop.filters.expression_source import Node, Writer
from ebpftop.filters.expression_tokens import SECONDS, Token, tokens_of, unescape
from ebpftop.filters.record_fields import Field

_DEEPEST = 40
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


class Parser:
    """Parses one expression."""

    def __init__(self, writer: Writer, escape: Callable[[str], str]) -> None:
        self._writer = writer
        self._escape = escape
        self._fail = writer.fail
        self._depth = 0
        self._tokens = list(tokens_of(writer.text))
        self._next = 0

    def parse(self) -> Node:
        """Return the whole expression."""
        if self._token.kind == "end":
            self._fail('an expression is missing, as exit.signal == "SIGSEGV"', 0)
        whole = self._or()
        if self._token.kind != "end":
            self._fail(f"{self._token.value} is not expected here", self._token.at)
        return whole

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

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("too many parentheses", self._token.at)
        parts = [self._and()]
        while self._take("||"):
            parts.append(self._and())
        self._depth -= 1
        return self._writer.join("or", parts)

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("&&"):
            parts.append(self._not())
        return self._writer.join("and", parts)

    def _not(self) -> Node:
        sign = self._take("!")
        if sign is None:
            return self._comparison()
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("too many !", sign.at)
        inner = self._not()
        self._depth -= 1
        return self._writer.invert(sign, inner)

    def _comparison(self) -> Node:
        left = self._value()
        sign = self._take(*_COMPARISONS, "in")
        if sign is None:
            return left
        right = self._value()
        if self._token.kind == "sign" and self._token.value in _COMPARISONS:
            self._fail("comparisons do not chain; join them by &&", self._token.at)
        return self._writer.compare(left, sign, right)

    def _value(self) -> Node:
        token = self._token
        self._next += 1
        if token.kind == "text":
            return self._writer.literal(self._escape(unescape(token.value)), "text", token.at)
        if token.kind == "number":
            value = float(token.value) if re.search("[.eE]", token.value) else int(token.value)
            seconds = float(token.value) * SECONDS[token.unit] if token.unit else None
            return self._writer.literal(value, "number", token.at, seconds)
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

    def _list(self, bracket: Token) -> Node:
        values: list[Node] = []
        while not self._take("]"):
            if values:
                self._expect(",")
            value = self._value()
            if not value.is_constant or isinstance(value.constant, tuple):
                self._fail("a list holds texts and numbers", value.at)
            values.append(value)
        return Node("", Field("list"), bracket.at, constant=tuple(values), is_constant=True)

    def _named(self, token: Token) -> Node:
        if token.value in ("size", "has") and self._take("("):
            argument = self._value()
            self._expect(")")
            return self._writer.call(token.value, argument, token.at)
        return self._writer.name(token)

    def _postfix(self, node: Node) -> Node:
        while True:
            if dot := self._take("."):
                name = self._token
                if name.kind != "name":
                    self._fail("the name of a field is missing after the dot", dot.at + 1)
                self._next += 1
                node = self._call(node, name) if self._take("(") else self._writer.attribute(node, name)
            elif self._take("["):
                node = self._writer.item(node, self._value())
                self._expect("]")
            else:
                return node

    def _call(self, node: Node, name: Token) -> Node:
        if name.value in ("exists", "all"):
            return self._each(node, name)
        if name.value == "size":
            self._expect(")")
            return self._writer.call("size", node, node.at)
        quoted, argument = self._token, self._value()
        self._expect(")")
        return self._writer.method(node, name, quoted, argument)

    def _each(self, node: Node, name: Token) -> Node:
        variable = self._token
        self._next += 1
        self._writer.begin_row(node, name, variable)
        self._expect(",")
        inner = self._or()
        self._expect(")")
        return self._writer.end_row(node, name, inner)
