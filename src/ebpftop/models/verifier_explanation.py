"""The form of an explanation of one of the verifier's messages; see verifier_words.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

NUMBER = r"(?:scalar|inv|invP)"
"""What the verifier calls a number: ``inv`` was renamed ``scalar`` in Linux 5.18."""
REGISTER = r"R(?P<register>\d+)"


Place: TypeAlias = Callable[[Sequence[str]], "int | None"]


def _nowhere(_: Sequence[str]) -> int | None:
    return None


class Explanation(NamedTuple):
    """What a message means.

    `asks_for_null_test`: the suggestion is a test of `it`, made of the line itself. `place` returns the line that it is
    probably about, if the verifier says none.
    """

    pattern: re.Pattern[str]
    meaning: str
    suggestion: str
    asks_for_null_test: bool = False
    place: Place = _nowhere


def explain(
    pattern: str, meaning: str, suggestion: str, *, null_test: bool = False, place: Place = _nowhere
) -> Explanation:
    """Return an explanation of the messages that *pattern* finds; of the texts, see verifier_words.py."""
    return Explanation(re.compile(pattern), meaning, suggestion, null_test, place)
