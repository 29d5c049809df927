"""docs/security.md against the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "docs" / "security.md").read_text().partition("## A table of every fault")[2]
SOURCES = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| fault tried")]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:40] for row in ROWS])
def test_every_fault_has_tests_that_are_there(row: str) -> None:
    proof = row.rsplit("|", 2)[1]
    names = re.findall(r"(?:[\w/]+/)?test_\w+(?:\.py)?(?:::\w+)?(?:\.\.)?", proof)
    assert names or "the same" in proof, "no test is named"
    for name in names:
        file, _, test = name.partition("::") if ".py" in name else ("", "", name)
        paths = [path for path in SOURCES if not file or str(path).endswith("/" + file)]
        assert paths, f"no such file: {file}"
        if test:
            # A name that ends in two dots is the beginning of one.
            wanted = f"def {test.removesuffix('..')}" + ("" if test.endswith("..") else "(")
            assert any(wanted in SOURCES[path] for path in paths), f"no such test: {name}"


def test_there_are_as_many_faults_as_were_tried() -> None:
    assert len(ROWS) > 50
