"""However long a frame takes, there is time for keys between two; and a frame comes in the end."""

from __future__ import annotations

import pytest

from ebpftop.ui.textual_fixes.frame_pace import ANSWERS_S, KEYS_FIRST_S, PATIENCE_S, Pace


def test_quick_frames_are_never_held_up_without_keys() -> None:
    pace = Pace()
    pace.drawn(10.0, 10.01)
    assert pace.is_due(10.01, keys_wait=False)


def test_a_frame_waits_one_turn_for_other_changes_but_not_after_a_key() -> None:
    pace = Pace()
    assert [pace.gathers(10.0, 0.0) for _ in range(4)] == [True, False, True, False]
    assert not pace.gathers(10.0, 10.0 - ANSWERS_S / 2)


@pytest.mark.parametrize("took_s", [0.1, 1.0, 3.0, 60.0])
def test_slow_frames_take_half_of_the_time_at_most(took_s: float) -> None:
    pace = Pace()
    pace.drawn(10.0, 10.0 + took_s)
    rest_s = min(took_s, PATIENCE_S)
    assert not pace.is_due(10.0 + took_s + 0.9 * rest_s, keys_wait=False)
    assert pace.is_due(10.0 + took_s + 1.1 * rest_s, keys_wait=False)


@pytest.mark.parametrize("took_s", [0.001, 0.5, 2.0, 60.0])
def test_keys_that_wait_go_first_but_not_for_ever(took_s: float) -> None:
    pace = Pace()
    pace.drawn(10.0, 10.0 + took_s)
    rest_s = min(max(KEYS_FIRST_S, 2 * took_s), PATIENCE_S)
    assert not pace.is_due(10.0 + took_s + 0.9 * rest_s, keys_wait=True)
    assert pace.is_due(10.0 + took_s + 1.1 * rest_s, keys_wait=True)
