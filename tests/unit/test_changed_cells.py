"""Which cells of a line are written again."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len

from ebpftop.ui.widgets.changed_cells import changed_cells
from ebpftop.ui.widgets.columns import Span


def span(*texts: str) -> list[Span]:
    return [Span(*text.partition(":")[::2]) for text in texts]


def cells(spans: list[Span]) -> list[tuple[str, str]]:
    """Return character and look of each cell."""
    found: list[tuple[str, str]] = []
    for text, look in spans:
        for character in text:
            found += [(character, look)] * max(1, cell_len(character))
    return found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (span("a:x", "b:y"), span("a:x", "b:y"), None),
        (span("12 of 40:x", "z:x"), span("13 of 40:x", "z:x"), (0, 8)),
        (span("ab:x", "cd:y"), span("ab:x", "cd:z"), (2, 4)),
        (span("ab:x", "cd:y"), span("ab:x", "c:y"), (2, 4)),
        (span("ab:x"), [], (0, 2)),
        (span("日本:x", "1:y", "z:x"), span("日本:x", "2:y", "z:x"), (4, 5)),
        (span("日本1:x"), span("日本2:x"), (0, 5)),
    ],
)
def test_only_what_differs_is_drawn(before: list[Span], after: list[Span], expected: tuple[int, int] | None) -> None:
    assert changed_cells(before, after) == expected


def test_whatever_changes_is_within() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        before = [
            Span("".join(chance.choices("ab ▂日", k=chance.randint(0, 3))), chance.choice("xy")) for _ in range(3)
        ]
        after = list(before)
        for _ in range(chance.randint(0, 2)):
            text = "".join(chance.choices("ab ▂日", k=chance.randint(0, 3)))
            after[chance.randrange(3)] = Span(text, chance.choice("xy"))
        old, new = cells(before), cells(after)
        differs = [at for at in range(max(len(old), len(new))) if old[at : at + 1] != new[at : at + 1]]
        found = changed_cells(before, after)
        if differs:
            assert found is not None
            assert found[0] <= differs[0]
            assert differs[-1] < found[1]
