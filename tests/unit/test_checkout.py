"""What lies at the top of the checkout: a file that a test saved there under an odd name was committed once."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
FOLDERS = {".ci", ".github", "benchmarks", "bpf", "docs", "packaging", "screenshots", "script", "src", "tests"}
FILES = {
    *(".clang-format", ".gitignore", ".pre-commit-config.yaml", "pyproject.toml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"),
}


def test_nothing_but_the_project_lies_at_the_top_of_the_checkout() -> None:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", CHECKOUT, "ls-files", "-z", "-co", "--exclude-standard"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode(errors="surrogateescape")
    found = {name.partition("/")[0] for name in listed.split("\0") if name and (CHECKOUT / name).exists()}
    assert sorted(found - FOLDERS - FILES) == []
