"""What the details of one call are computed of."""

from __future__ import annotations

import pytest

from ebpftop.ui.screens.call_tables import FAILED, RETURNED, Bucket


@pytest.mark.parametrize(
    ("calls", "failed", "of_peak", "drawn"),
    [
        pytest.param(1000, 1, 0.01, "█", id="one failure of many in a bar of one cell"),
        pytest.param(1000, 500, 0.01, "▒", id="half of them in a bar of one cell"),
        pytest.param(1000, 499, 0.01, "█", id="fewer than half in a bar of one cell"),
        pytest.param(1000, 1, 1.0, "█" * 9 + "▒", id="one failure in a longer bar"),
        pytest.param(1000, 490, 0.2, "█▒", id="most succeeded in a bar of two cells"),
        pytest.param(1000, 300, 1.0, "█" * 7 + "▒" * 3, id="three of ten"),
        pytest.param(1000, 1000, 1.0, "▒" * 10, id="all failed"),
        pytest.param(1000, 0, 1.0, "█" * 10, id="none failed"),
        pytest.param(0, 0, 0.0, "", id="no calls"),
    ],
)
def test_the_end_of_a_bar_are_the_calls_that_failed(calls: int, failed: int, of_peak: float, drawn: str) -> None:
    spans = Bucket(10, calls, failed, 0.5, of_peak).bar(10)
    assert "".join(span.text for span in spans) == drawn
    assert [(span.text[0], span.style) for span in spans if span.text] == [
        *([(RETURNED, "bar")] if RETURNED in drawn else []),
        *([(FAILED, "bad")] if FAILED in drawn else []),
    ]
