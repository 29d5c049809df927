"""The header of what the screen saves names the filter, if options can say it."""

from __future__ import annotations

import math

import pytest

from ebpftop.filters.spec import Filter, Values
from ebpftop.models.filter_match import ViewFilter
from ebpftop.ui.screens.save_actions import _options

SHELLS = Filter(comms=("sh*", "-x"), excluded=Values(uids=(0,)))


@pytest.mark.parametrize(
    ("recorded", "shown", "since", "options"),
    [
        pytest.param(None, SHELLS, 5.0, ("--comm", "sh*", "--comm=-x", "--not-uid", "0"), id="live"),
        pytest.param((), Filter(), math.inf, (), id="all"),
        pytest.param(("--pid", "7"), Filter(uids=(5,)), math.inf, ("--pid", "7", "--uid", "5"), id="of a recording"),
        pytest.param(("--comm=-x",), SHELLS, math.inf, None, id="of one kind both"),
        pytest.param(None, SHELLS, math.inf, None, id="an old recording"),
    ],
)
def test_the_filter_of_a_saved_part(
    recorded: tuple[str, ...] | None, shown: Filter, since: float, options: tuple[str, ...] | None
) -> None:
    assert _options(recorded, ViewFilter(shown, since)) == options
