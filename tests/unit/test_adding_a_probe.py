"""docs/adding-a-probe.md against the files that it goes through; and that a probe is four files and two rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.probes.registry import PROBES, registry
from ebpftop.ui.registry import PANES, panes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-probe.md").read_text()
FILES = ("bpf/opens.c", "src/ebpftop/probes/opens.py", "src/ebpftop/models/opens.py", "src/ebpftop/ui/panes/opens.py")
ROWS = ("src/ebpftop/probes/registry.py", "src/ebpftop/ui/registry.py")


def excerpts() -> list[tuple[str, str]]:
    """Return the file and the text of each block of code: the file is the one linked last before it."""
    found = []
    file = ""
    for part in re.split(r"(```\w+\n.*?```)", PAGE, flags=re.DOTALL):
        if part.startswith("```"):
            found.append((file, part.partition("\n")[2].removesuffix("```")))
        else:
            links = re.findall(r"From \[[^]]+\]\(\.\./([^)]+)\)", part)
            file = links[-1] if links else file
    return found


EXCERPTS = excerpts()


@pytest.mark.parametrize(("file", "text"), EXCERPTS, ids=[f"{at}-{file}" for at, (file, _) in enumerate(EXCERPTS)])
def test_what_the_page_shows_is_in_the_file(file: str, text: str) -> None:
    source = (ROOT / file).read_text()
    at = 0
    for piece in text.split("...\n"):
        assert piece in source[at:], f"{file} has no more\n{piece}"
        at = source.index(piece, at) + len(piece)


def test_the_page_goes_through_all_that_a_probe_is() -> None:
    assert {file for file, _ in EXCERPTS} >= {*FILES, *ROWS}
    for link in re.findall(r"\]\(\.\./([^)]+)\)", PAGE):
        assert (ROOT / link).exists(), link


def test_nothing_else_knows_of_it() -> None:
    """What lists probes, panes or kinds of records has it from the rows."""
    knows = re.compile(r"""["']opens["']|Opens?(?:Pane|Probe|Log)\b|(?:models|probes|panes)\.opens|OPENS_PER_SECOND""")
    places = [path for room in ("src", "bpf", "script") for path in (ROOT / room).rglob("*") if path.is_file()]
    texts = {str(path.relative_to(ROOT)): path for path in places if path.suffix not in (".pyc", ".zst")}
    found = {name for name, path in texts.items() if knows.search(path.read_text(errors="replace"))}
    # The summary of `run` is made of what three probes say, and a trace for Perfetto has the files that calls opened.
    others = {"commands/run_options.py", "models/run_totals.py", "conversion/perfetto_calls.py"}
    assert found == {*FILES, *ROWS, *(f"src/ebpftop/{other}" for other in others)}


WITHOUT_A_PANE = {*registry().with_screen, "load"}
"""They have a screen of their own; `load` is only there with a file."""


def test_every_probe_has_a_pane_and_every_pane_a_probe() -> None:
    assert len(PROBES) == len(PANES) + len(WITHOUT_A_PANE)
    assert list(panes().rows) == [row.name for row in PROBES if row.name not in WITHOUT_A_PANE]
    assert set(registry().channels) == {*panes().rows, *WITHOUT_A_PANE}
