"""An expression as signs, names, texts and numbers; and what is wrong with one, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from unicodedata import east_asian_width

LONGEST = 4096
"""Characters of an expression."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?P<unit>ns|us|µs|ms|s|m|h|d)?(?![\w.])
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||==|!=|<=|>=|[<>!().,\[\]])
    )""",
    re.VERBOSE,
)
SECONDS: Mapping[str, float] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))")
_ESCAPES: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r"}
_WORD_SIGNS: Mapping[str, str] = {"and": "&&", "or": "||", "not": "!"}


class ExpressionError(ValueError):
    """An expression that cannot be used; `at` is where in its text."""

    def __init__(self, reason: str, text: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.at = at

    def __str__(self) -> str:
        """The reason, and the text with a mark below the place."""
        return "\n".join((self.reason, *self.place))

    @property
    def place(self) -> tuple[str, str]:
        """Two lines: the text, and a mark below the place."""
        # What does not print is one character here, as in the text: as an escape it would move what is behind it.
        line = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in self.text)
        # Only what is around the place, so that the mark stands in the same line of the terminal.
        first = max(0, self.at - 50)
        before = sum(2 if east_asian_width(one) in "WF" else 1 for one in line[first : self.at])
        return f"  {line[first : first + 76]}", f"  {' ' * max(before, self.at - first)}^"


@dataclass(frozen=True, slots=True)
class Token:
    at: int
    kind: str
    value: str
    unit: str = ""


def tokens_of(text: str) -> Iterator[Token]:
    """Yield the tokens of *text*, at last one of the kind ``end``. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"longer than the {LONGEST:,} allowed characters", text, LONGEST)
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            rest = text[at:]
            if rest[0] in "\"'":
                raise ExpressionError(f"the {rest[0]} is not closed", text, at)
            if rest[0] == "=":
                raise ExpressionError("write == to compare", text, at)
            if number := re.match(r"-?[0-9.]+\w*", rest):
                raise ExpressionError(f"{number[0]} is not a number; units of time are {', '.join(SECONDS)}", text, at)
            raise ExpressionError(f"{rest[0]!r} means nothing here", text, at)
        kind = str(match.lastgroup if match.lastgroup != "unit" else "number")
        value = match[kind]
        if kind == "name" and value in _WORD_SIGNS:
            kind, value = "sign", _WORD_SIGNS[value]
        yield Token(
            match.start(str(match.lastgroup)) if kind != "number" else match.start("number"),
            kind,
            value,
            match["unit"] or "",
        )
        at = match.end()
    yield Token(end, "end", "the end")


def unescape(quoted: str) -> str:
    def meant(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _ESCAPES.get(match[3], match[3])

    return _ESCAPE.sub(meant, quoted[1:-1])
