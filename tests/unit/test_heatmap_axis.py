"""The line below the latency of a call over time."""

from __future__ import annotations

import pytest

from ebpftop.ui.widgets.heatmap import axis_text


@pytest.mark.parametrize(
    ("began", "columns", "room", "text"),
    [
        ("2.02s", 2, 20, "       2.02s ago now"),
        ("2.02s", 12, 20, "       2.02s ago now"),
        ("2.02s", 13, 20, "       2.02s ago now"),
        ("2.02s", 16, 20, "    2.02s ago    now"),
        ("2.02s", 20, 20, "2.02s ago        now"),
        ("2.02s", 300, 20, "2.02s ago        now"),
        ("2.02s", 5, 13, "2.02s ago now"),
        ("2.02s", 5, 12, "         now"),
        ("", 1, 6, "   now"),
        ("", 6, 6, "   now"),
        ("2.02s", 5, 2, "ow"),
    ],
)
def test_words_stand_apart_however_narrow_it_is(began: str, columns: int, room: int, text: str) -> None:
    assert axis_text(began, columns, room) == text
