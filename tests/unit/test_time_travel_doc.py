"""docs/time-travel.md against the keys that are bound and the figures that hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.binding import Binding, BindingsMap

from ebpftop.cli.commands import parser
from ebpftop.models.seeking import SPEEDS
from ebpftop.recording import timeline
from ebpftop.sources.history import KEEP_S, MAX_BYTES
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.over_time import TIME_KEYS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "time-travel.md").read_text()
README = (ROOT / "README.md").read_text()
NAMES = {
    "space": "Space",
    "comma": ",",
    "full_stop": ".",
    "left_square_bracket": "[",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "right_square_bracket": "]",
    "plus": "+",
    "minus": "-",
    "ctrl+s": "Ctrl-S",
}


def keys_of(text: str) -> set[str]:
    """The keys in the first column of a table of keys."""
    return {
        key
        for line in text.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`([^`]+)`", line.split("|")[1])
    }


def bound(keys: Iterable[object]) -> dict[str, str]:
    """The keys that are bound, by the name that the page gives them, and their actions."""
    declared = [b for b in keys if isinstance(b, Binding)]
    return {NAMES.get(key, key): binding.action for key, binding in BindingsMap(declared)}


def test_every_key_of_time_is_on_the_page_and_no_other() -> None:
    time, main = bound(TIME_KEYS), bound(MainScreen.BINDINGS)
    assert set(time) <= keys_of(PAGE)
    others = {key: main[key] for key in keys_of(PAGE) - set(time)}
    assert others == {
        "+": "interval(1)",
        "-": "interval(-1)",
        "Ctrl-S": "save('recording')",
        "E": "save('csv')",
        "M": "mark_moment",
        "D": "changed",
    }


def test_the_readme_names_the_keys_of_time_too() -> None:
    missing = {key for key in keys_of(PAGE) if f"`{key}`" not in README}
    assert missing == {"p"}


@pytest.mark.parametrize(
    "said",
    [
        f"the newest {timeline.EVENTS:,} events",
        f"the last {KEEP_S / 60:.0f} minutes in at most {MAX_BYTES >> 20} MiB",
        f"more than {timeline.RANGE_BYTES >> 20} MiB of records",
        f"from {SPEEDS[0]:g} to {SPEEDS[-2]:g} times",
    ],
)
def test_the_figures_on_the_page_hold(said: str) -> None:
    assert said in " ".join(PAGE.split())


def test_every_command_on_the_page_is_understood() -> None:
    commands = re.findall(
        r"(?:^ +|\| )(?:sudo )?ebpftop ((?:record|replay|demo)[^|\n]*?)(?:  .*)?$", PAGE, re.MULTILINE
    )
    assert len(commands) >= 5
    for command in commands:
        assert parser().parse_args(command.split()).command == command.split()[0]


def test_the_page_is_linked() -> None:
    assert "docs/time-travel.md" in README
