"""A typed filter, cut into its terms."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_%]*):")
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Term:
    """One term: an expression, or, if it has a `name` (`written` as it was typed), what must hold for that field.

    `text` is the expression or the value, without quotes; `typed` all of the term as it was typed. If it is `quoted`,
    signs at its beginning, and commas, mean nothing.
    """

    typed: str
    begin: int
    name: str
    written: str
    text: str
    inverted: bool
    quoted: bool


def split(text: str) -> tuple[bool, list[Term]]:
    """Cut *text* at blanks, except in quotes and within the brackets of an expression.

    Also return whether all of it is inverted: by a ``!`` that stands alone in front.

    >>> split('!comm:gcc "no such file"')[1][1].text
    'no such file'
    """
    terms: list[Term] = []
    at, end = 0, len(text)
    inverted = False
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        begin = at
        if not terms and not inverted and text[at] == "!" and (at + 1 == end or text[at + 1].isspace()):
            inverted = True
            at += 1
            continue
        negated = False
        while text.startswith("!", at):
            negated = not negated
            at += 1
        match = _NAME.match(text, at)
        written = match[1] if match else ""
        at = match.end() if match else at
        if written and text.startswith("!", at):
            negated = not negated
            at += 1
        if quoted := at < end and text[at] in _QUOTES:
            content, at = _quoted(text, at)
        else:
            content, at = _plain(text, at, is_expression=not written)
        terms.append(Term(text[begin:at], begin, written.lower(), written, content, negated, quoted))
    return inverted, terms


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Return what is in the quotes that begin at *at*, and where the term ends. They need not be closed yet."""
    mark = text[at]
    close = text.find(mark, at + 1)
    if close < 0:
        return text[at + 1 :], len(text)
    return text[at + 1 : close], close + 1


def _plain(text: str, at: int, *, is_expression: bool) -> tuple[str, int]:
    begin, depth, in_class = at, 0, False
    while at < len(text):
        char = text[at]
        if char.isspace() and not (is_expression and (depth or in_class)):
            break
        if char == "\\" and at + 1 < len(text):
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            # A bracket right at the start of a class is a plain character.
            at += text.startswith("^]", at + 1) * 2 or text.startswith("]", at + 1)
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                depth = 0
        at += 1
    return text[begin:at], at


def field_before(text: str, at: int) -> tuple[int, str]:
    """Return what has been typed, up to *at*, of the word that *at* is in, and where it begins, behind any ``!``."""
    begin = at
    while begin and not text[begin - 1].isspace():
        begin -= 1
    begin += text.startswith("!", begin) and begin < at
    return begin, text[begin:at]
