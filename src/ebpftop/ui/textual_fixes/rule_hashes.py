"""Textual finds the rules that may apply to a widget in a set, and computes the hash of each by a function in Python.

That is the identity, which Python uses without a function. There are 500 rules, and the styles of each part of a widget
are looked for: 35,000 hashes before the first picture, 5 ms.
"""

from __future__ import annotations

from textual.css.model import RuleSet


def install() -> None:
    """Let Python compute it."""
    RuleSet.__hash__ = object.__hash__  # type: ignore[method-assign]
