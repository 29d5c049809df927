"""What nothing sees: docs/limits.md and `ebpftop check` say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.kernel import unseen

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()


def test_the_page_lists_all_that_check_may_say_and_no_more() -> None:
    section = PAGE.split("## What nothing here sees")[1].split("\n## ")[0]
    items = [re.sub(r"\s+", " ", item) for item in section.split("\n- ")[1:]]
    said = {*unseen.unseen((7, 3), uring=True), *unseen.unseen((7, 3), uring=False)}
    assert len(items) == len(said)
    for sentence in said:
        assert (
            sum(
                item.lower().startswith(f"{sentence}.".lower()) or item.lower().startswith(f"{sentence},".lower())
                for item in items
            )
            == 1
        ), sentence


@pytest.mark.parametrize(("version", "preempted"), [((5, 10), False), ((7, 2), False), ((7, 3), True), ((8, 0), True)])
def test_a_kernel_is_told_what_holds_there(version: tuple[int, int], preempted: bool) -> None:
    assert (unseen.PREEMPTED in unseen.unseen(version, uring=True)) is preempted
    assert unseen.NO_URING not in unseen.unseen(version, uring=True)
    assert unseen.URING not in unseen.unseen(version, uring=False)
