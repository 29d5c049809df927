"""The wheel, and the single file that plays recordings: a zip file with all dependencies for several Pythons."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ebpftop_packages.project import CHECKOUT, PLATFORM, PYTHONS, made_s, run, wheel_name


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into *folder*."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, what="the wheel", cwd=CHECKOUT)
    return folder / wheel_name()


def build_pex(wheel: Path, file: Path) -> None:
    """Build the single file of *wheel*.

    Its dependencies are the wheels that the index has for each Python. They lie in it as they are, so that other
    packages can be made of them (carried.py).
    """
    for_each_python = (
        argument
        for python in PYTHONS
        for argument in ("--platform", f"{PLATFORM}-cp-{python.replace('.', '')}-cp{python.replace('.', '')}")
    )
    run(
        *(sys.executable, "-m", "pex", f"{wheel}[perfetto]"),
        *("--console-script", "ebpftop"),
        # The index, and other places with wheels, are those that pip uses.
        "--use-pip-config",
        *for_each_python,
        # The first python3 that fits: the system's own, mostly.
        *("--python-shebang", "/usr/bin/env python3"),
        "--no-pre-install-wheels",
        # A time in the file would make each build another one.
        "--no-use-system-time",
        *("--output-file", file),
        what="the single file",
        env={"SOURCE_DATE_EPOCH": str(made_s()), "PEX_ROOT": str(file.parent / "pex-root")},
    )
    shutil.rmtree(file.parent / "pex-root", ignore_errors=True)
