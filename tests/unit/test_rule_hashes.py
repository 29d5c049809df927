"""A rule of a stylesheet is found by what it is, not by what it contains, and no function in Python is asked."""

from __future__ import annotations

from textual.css.model import RuleSet

from ebpftop.ui.textual_fixes import rule_hashes


def test_rules_are_found_by_identity() -> None:
    rule_hashes.install()
    one, equal = RuleSet(), RuleSet()
    rules = {one}
    assert one in rules
    assert len({one, equal}) == 2
    assert RuleSet.__hash__ is object.__hash__
