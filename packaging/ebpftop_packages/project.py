"""What all packages agree on."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The versions of CPython for which compiled dependencies are carried: Debian 12, Ubuntu 24.04, Debian 13, sid."""

BEFORE_PYTHON = "3.15"
"""The first version for which there are none."""

PLATFORM = "manylinux_2_28_x86_64"
"""Compiled dependencies are for this processor, and for glibc from 2.28 on (Debian 10)."""


class BuildError(Exception):
    """A package could not be made: one line, with the remedy."""


def version() -> str:
    """Return the version of this checkout."""
    found = re.search(r'^__version__ = "(.+)"$', (CHECKOUT / "src/ebpftop/__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def wheel_name() -> str:
    """Return the name of the wheel's file."""
    return f"ebpftop-{version()}-py3-none-any.whl"


def made_s() -> int:
    """Return the time that files in packages bear, in Unix seconds: SOURCE_DATE_EPOCH, or that of the last commit.

    The same checkout makes the same packages.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    commit = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", CHECKOUT, "log", "-1", "--format=%ct"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return int(commit.stdout) if commit.stdout.strip().isdigit() else int(time.time())


def run(*command: str | Path, what: str, cwd: Path = CHECKOUT, env: dict[str, str] | None = None) -> str:
    """Run a tool and return its stdout; raises BuildError with what it wrote if it fails, or is missing."""
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{what}: {command[0]} is not here; script/package installs it") from error
    if done.returncode:
        raise BuildError(f"{what}: {Path(command[0]).name} failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout
