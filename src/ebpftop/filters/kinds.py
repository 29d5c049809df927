"""What may stand behind the name of a field: the kinds of values, and what each value means."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ebpftop.filters.regex import STEPS_MAX, TERMS_MAX, Pattern, PatternError, parse

Test: TypeAlias = Callable[[Any], bool]
"""Takes the value of a field: None if the row has none, which matches nothing."""

COUNT_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
TIME_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
SIZE_UNITS = {"": 1.0} | {
    name: base**power
    for power, letter in enumerate("kMGT", 1)
    for base, name in (
        *((1e3, name) for name in (letter.lower(), letter.upper(), f"{letter}B")),
        (1024.0, f"{letter.upper()}iB"),
    )
}
"""As sizes are shown, in steps of 1000; of 1024 if written so."""
SHARE_UNITS = {"": 0.01, "%": 0.01}

_COMPARED = re.compile(r"(>=|<=|>|<|=)?\s*(-?[0-9][0-9_]*(?:\.[0-9]*)?|-?\.[0-9]+)\s*(.*)", re.DOTALL)
_SIGN = re.compile(r"(>=|<=|>|<)(.*)", re.DOTALL)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class ValueRefused(ValueError):
    """What is wrong with a value, and what would work."""


class Kind:
    """A kind of value."""

    @property
    def example(self) -> str:
        """A value that would work, for messages."""
        raise NotImplementedError

    @property
    def words(self) -> Sequence[str]:
        """The values that Tab can complete."""
        return ()

    def test(self, value: str) -> Test:
        """Return what *value* means. Raises ValueRefused."""
        raise NotImplementedError

    def tests(self, value: str, *, quoted: bool) -> Test:
        """Return what *value*, which is not empty, means; with a comma: what any of its parts means."""
        parts = [value] if quoted else [part for part in value.split(",") if part]
        if not parts:
            raise ValueRefused(f"add a value: {self.example}")
        some = [self.test(part) for part in parts]
        return some[0] if len(some) == 1 else lambda given: any(test(given) for test in some)


@dataclass(frozen=True)
class Text(Kind):
    """A text: all of it, or with ``*`` and ``?`` a pattern; ``~`` begins a regular expression. ``*`` alone: any."""

    hint: str = "gcc or cc*"

    @property
    def example(self) -> str:
        return self.hint

    def test(self, value: str) -> Test:
        if value == "*":
            return bool
        if value.startswith("~"):
            return _matching(value[1:])
        if "*" in value or "?" in value:
            return _matching(glob(value))
        plain = re.sub(r"\\(.)", r"\1", value)
        if any(c.isupper() for c in plain):
            return lambda given: given == plain
        return lambda given: given is not None and given.lower() == plain


@dataclass(frozen=True)
class Number(Kind):
    """A number, compared; `units` multiply it, and *needs_unit* if one must be there."""

    units: tuple[tuple[str, float], ...] = tuple(COUNT_UNITS.items())
    hint: str = ">100"
    needs_unit: bool = False
    scale: float = 1.0
    """What one of the row's is, in the unit of `units`: 1e-9 for a row with nanoseconds."""

    @property
    def example(self) -> str:
        return self.hint

    def test(self, value: str) -> Test:
        match = _COMPARED.fullmatch(value)
        sign = (_SIGN.match(value) or ("", "", ""))[1]
        if match is None:
            if sign and not value[len(sign) :].strip():
                raise ValueRefused(f"add a number: {sign}{self.example.lstrip('<>=')}")
            raise ValueRefused(f"not a number; try {self.example}")
        sign, digits, unit = match[1] or "", match[2].replace("_", ""), match[3].strip()
        units = dict(self.units)
        number = float(digits)
        if not unit and self.needs_unit and number:
            raise ValueRefused(f"add a unit: {digits}s")
        if unit and unit not in units:
            known = [name for name in units if name and name.isascii()]
            what = f"one of {' '.join(known)}" if known else "none"
            raise ValueRefused(f"unknown unit {unit[:12]}: {what}")
        if self.needs_unit and sign in ("", "="):
            raise ValueRefused(f"add > or <: >{match[2]}{unit or 's'}")
        bound = number * units.get(unit, 1.0) / self.scale
        # 10% is 0.1, and not what binary fractions make of it.
        bound = round(bound) if abs(bound - round(bound)) < 1e-9 * max(1.0, abs(bound)) else bound
        compare = _SIGNS[sign]
        return lambda given: given is not None and compare(given, bound)


def duration(scale: float = 1.0) -> Number:
    """Return a time span; a row's 1 is *scale* seconds."""
    return Number(tuple(TIME_UNITS.items()), ">1s", needs_unit=True, scale=scale)


def size() -> Number:
    """Return a number of bytes."""
    return Number(tuple(SIZE_UNITS.items()), ">1G")


def share() -> Number:
    """Return a share; a row has it from 0 to 1."""
    return Number(tuple(SHARE_UNITS.items()), ">10%")


@dataclass(frozen=True)
class Named(Kind):
    """A number that has a name: an errno, a signal, a user. A row has the pair of both, of which one may be None.

    *known* are the names that exist, if they are few; a name may be typed without *prefix*.
    """

    known: tuple[str, ...] = ()
    hint: str = "root"
    what: str = "name"
    prefix: str = ""

    @property
    def example(self) -> str:
        return self.hint

    @property
    def words(self) -> Sequence[str]:
        return self.known

    def test(self, value: str) -> Test:
        if value == "*":
            return lambda given: given is not None and given != (None, None)
        if _COMPARED.fullmatch(value) or _SIGN.match(value):
            number = Number(hint=">0").test(value)
            return lambda given: given is not None and number(given[0])
        name = value if not self.known else self._whole(value)
        text = Text().test(name)
        return lambda given: given is not None and text(given[1])

    def _whole(self, value: str) -> str:
        name = value.upper()
        if self.prefix and not name.startswith(self.prefix) and not name.startswith("*"):
            name = self.prefix + name
        if "*" in name or "?" in name:
            return name
        if name not in self.known:
            close = nearest(name, self.known)
            raise ValueRefused(f"unknown {self.what} {value[:20]}" + (f": {close}?" if close else f": {self.example}"))
        return name


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def example(self) -> str:
        return " ".join(self.choices)

    @property
    def words(self) -> Sequence[str]:
        return self.choices

    def test(self, value: str) -> Test:
        found = [choice for choice in self.choices if choice.startswith(value.lower())]
        if len(found) != 1:
            raise ValueRefused(f"one of {self.example}")
        return lambda given: given == found[0]


@dataclass(frozen=True)
class AnyOf(Kind):
    """A row has several values: one of them must match *each*."""

    each: Kind

    @property
    def example(self) -> str:
        return self.each.example

    @property
    def words(self) -> Sequence[str]:
        return self.each.words

    def test(self, value: str) -> Test:
        one = self.each.test(value)
        return lambda given: any(one(value) for value in given)


def glob(pattern: str) -> str:
    """Return the regular expression of a pattern with ``*`` and ``?``; a backslash takes the meaning from the next."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    signs = {"*": ".*", "?": "."}
    return "(?s:^" + "".join(signs.get(part) or re.escape(part[-1]) for part in parts) + "$)"


def _matching(source: str) -> Test:
    try:
        pattern: Pattern | None = parse(source)
    except PatternError as error:
        raise ValueRefused(str(error)) from None
    if pattern is None:
        return lambda given: given is not None
    steps = STEPS_MAX // TERMS_MAX
    return lambda given: given is not None and pattern.matches(given, steps)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return which of *known* was probably meant; empty if none comes near."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, 0.7)), "")
