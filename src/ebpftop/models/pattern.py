"""The filter that one types: a regular expression, inverted by a leading ``!``."""

from __future__ import annotations

import re
from dataclasses import dataclass


class PatternError(ValueError):
    """What was typed is no regular expression (yet)."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled filter; `text` is what was typed."""

    text: str
    regex: re.Pattern[str]
    inverted: bool

    def matches(self, text: str) -> bool:
        return (self.regex.search(text) is None) is self.inverted


def parse(text: str) -> Pattern | None:
    """Return the filter of what was typed; None for nothing. Small letters match capitals, capitals only themselves.

    Raises PatternError where the regular expression is invalid.
    """
    inverted = text.startswith("!")
    source = text[1:] if inverted else text
    if not source:
        return None
    try:
        return Pattern(text, re.compile(source, 0 if any(c.isupper() for c in source) else re.IGNORECASE), inverted)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error
