"""The form of an explanation of one of the verifier's messages; see verifier_words.py."""

from __future__ import annotations

import re
from typing import NamedTuple

NUMBER = r"(?:scalar|inv|invP)"
"""What the verifier calls a number: ``inv`` was renamed ``scalar`` in Linux 5.18."""
REGISTER = r"R(?P<register>\d+)"


class Explanation(NamedTuple):
    """What a message means.

    `asks_for_null_test`: the suggestion is a test of `it`, made of the line itself. `is_about_loops`: if the message
    says no line, it is that of the loop.
    """

    pattern: re.Pattern[str]
    meaning: str
    suggestion: str
    asks_for_null_test: bool = False
    is_about_loops: bool = False


def explain(
    pattern: str, meaning: str, suggestion: str, *, null_test: bool = False, loops: bool = False
) -> Explanation:
    """Return an explanation of the messages that *pattern* finds; of the texts, see verifier_words.py."""
    return Explanation(re.compile(pattern), meaning, suggestion, null_test, loops)
