"""docs/load-errors.md lists messages of the verifier: ebpftop explains each of them, and tries what it says there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.models.load_diagnostics import of_verifier
from ebpftop.models.verifier_words import explanation

PAGE = Path(__file__).parents[2] / "docs/load-errors.md"
ROWS = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)


def test_the_page_lists_more_than_the_twenty_commonest() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize("message", [row[0] for row in ROWS])
def test_each_message_is_explained(message: str) -> None:
    assert explanation(message)
    found = of_verifier("hello", f"0: (95) exit\n{message}\nprocessed 1 insns", ["int x;"], "a.c")
    assert found.message == message.rstrip()
    assert found.meaning
    assert found.suggestion


def test_the_meanings_differ() -> None:
    found = [known[0].meaning for row in ROWS if (known := explanation(row[0]))]
    assert len(set(found)) == len(found)
