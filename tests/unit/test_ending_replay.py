"""A recording on the screen ends from any moment of its life, in any way (tests/ending.py); no kernel is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files

from tests import orphans
from tests.ending import Draw, Outcome, Session, run, unless_late

DRAWS = 30
FIRST_SEED = int(os.environ.get("EBPFTOP_ENDING_SEED", "1000"))
"""Other hundreds: EBPFTOP_ENDING_SEED=7000."""

_AT_ONCE = 4
_RECORDING = str(files("ebpftop").joinpath("demo/demo.jsonl.zst"))


def end(seed: int) -> Outcome:
    """End demo, replay of a file, or replay of a pipe."""
    draw = Draw.of(seed, screen=True)
    command: Sequence[str] = (sys.executable, "-m", "ebpftop")
    if seed % 3 == 0:
        return run(draw, [*command, "demo"])
    if seed % 3 == 1:
        return run(draw, [*command, "replay", _RECORDING])
    # The sender goes on: nothing comes, but the pipe stays open.
    reading_fd, writing_fd = os.pipe()
    os.set_inheritable(reading_fd, False)
    try:
        import fcntl

        fcntl.fcntl(writing_fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        with open(_RECORDING, "rb") as recording:
            os.set_blocking(writing_fd, False)
            os.write(writing_fd, recording.read(1 << 20))
        return run(draw, [*command, "replay", "-"], stdin_fd=reading_fd)
    finally:
        os.close(writing_fd)
        os.close(reading_fd)


def test_it_ends_from_any_moment_by_any_means() -> None:
    with ThreadPoolExecutor(_AT_ONCE) as several:
        outcomes = list(several.map(partial(unless_late, end), range(FIRST_SEED, FIRST_SEED + DRAWS)))
    print("slowest:", max(outcomes, key=lambda outcome: outcome.took_s))  # noqa: T201  # shown where the test fails
    wrong = [str(outcome) for outcome in outcomes if outcome.wrong]
    assert not wrong, f"{len(wrong)} of {len(outcomes)}:\n" + "\n".join(wrong)


def test_whose_the_orphans_are_is_as_before_once_no_program_runs() -> None:
    """Else later tests find helpers of ebpftop that stay for ever, because nobody waits for them (tests/orphans.py)."""
    sessions = [Session((sys.executable, "-c", "input()"), "job") for _ in range(2)]
    assert orphans.are_adopted()
    sessions[0].throw_away()
    assert orphans.are_adopted()
    sessions[1].throw_away()
    assert not orphans.are_adopted()
