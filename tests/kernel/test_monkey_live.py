"""A monkey at the live screen, while programs with hostile names and arguments run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.support import compile_c, needs_root
from tests.kernel.test_probes import assert_gone, programs_of
from tests.monkey import run

pytestmark = [needs_root, pytest.mark.heavy]

SECONDS = 14.0
FLOOD = Path(__file__).parents[2] / "benchmarks/flood.c"
HOSTILE = ("\x1b]0;PWNED\x07", "[@click=app.quit]Q[/]", "[a=", "line\nline", "\u202e\u3164e\u0301\u0301", "x" * 5000)


@pytest.fixture
def hostile_programs(tmp_path: Path) -> Iterator[None]:
    """Run 30 programs with hostile arguments a second, and rename a process 50 times a second."""
    flood = str(compile_c(tmp_path, "flood", FLOOD.read_text()))
    bounds = ("0", str(4 * SECONDS))
    commands = ([flood, "exec", "30", *bounds, "/bin/true", *HOSTILE], [flood, "rename", "50", *bounds])
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    yield
    for child in children:
        child.kill()
        child.wait()


@pytest.mark.parametrize("seed", range(20, 24))
@pytest.mark.usefixtures("hostile_programs")
def test_no_key_mouse_or_size_breaks_the_live_screen_and_nothing_stays_in_the_kernel(seed: int) -> None:
    programs: set[int] = set()
    run(["live"], seed, SECONDS, while_it_runs=lambda pid: programs.update(programs_of(pid)))
    assert programs
    assert_gone(programs)
