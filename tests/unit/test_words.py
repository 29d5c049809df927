"""Everything on the screen has a sentence that says what it is."""

from __future__ import annotations

import pytest

from ebpftop.models.overview import KINDS_OF_LOSS
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import panes
from ebpftop.ui.words import LOSSES
from tests.screens.scene import FakeSource

PANES = panes().classes


@pytest.mark.parametrize("kind", PANES.values(), ids=PANES)
def test_each_pane_and_each_of_its_columns_says_what_it_is(kind: type[Pane]) -> None:
    pane = kind(FakeSource(), 1)
    if kind.explained is Pane.explained:
        pane.lines = pane.make_lines()
    assert pane.about.endswith(".")
    columns = [column for _, group in pane.explained() for column in group]
    assert len(columns) >= 3
    for column in columns:
        assert len(column.about.split()) >= 2, column.key
        assert column.about.endswith("."), column.key


def test_each_kind_of_loss_says_what_is_missing_and_what_helps() -> None:
    assert tuple(LOSSES) == KINDS_OF_LOSS
    for loss in LOSSES.values():
        assert loss.missing.endswith(".")
        assert loss.helps.endswith(".")
