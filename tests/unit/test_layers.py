"""The rooms of the house lie above each other: a module imports from its own room and from those below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house import MODULES, level_of, own_imports, room_of

CHECKOUT = Path(__file__).parents[2]


def test_every_module_has_a_room() -> None:
    assert [name for name in MODULES if not room_of(name) and name not in ("", "ui")] == []


def test_no_module_imports_from_a_room_above_or_beside_its_own() -> None:
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other in own_imports(name)
        if room_of(other) != room_of(name) and level_of(room_of(other)) >= level_of(room_of(name))
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    left = {name: own_imports(name) - {name} for name in MODULES}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


def test_the_picture_of_the_house_is_that_of_the_imports() -> None:
    subprocess.run([sys.executable, CHECKOUT / "script/architecture", "--check"], check=True)
