"""A monkey at recordings: the demo, and records as no kernel makes them. `tests/kernel/test_monkey_live.py`: live."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile_records import write_hostile
from tests.monkey import run

SECONDS = 25.0


@pytest.mark.parametrize("seed", range(3))
def test_no_key_mouse_or_size_breaks_the_demo(seed: int) -> None:
    run(["demo"], seed, SECONDS)


@pytest.mark.parametrize("seed", range(10, 14))
def test_no_record_breaks_the_screen_whatever_is_pressed(seed: int, tmp_path: Path) -> None:
    recording = write_hostile(tmp_path / "hostile.jsonl", seed, 3000)
    run(["replay", str(recording)], seed, SECONDS)
