"""What gives bcc to this kind of installation, if it has none: read only then.

bcc is a package of the distribution, made for the distribution's interpreter. A virtual environment does not see it
unless it was made with the system's packages, and a single file (pex) never does.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from glob import glob

PACKAGES = "apt-get install python3-bpfcc, dnf install python3-bcc, or pacman -S python-bcc"
"""What installs it."""

SYSTEM_PYTHON = "/usr/bin/python3"
"""The interpreter for which distributions package it."""

_PLACES = ("/usr/lib/python3/dist-packages/bcc/table.py", "/usr/lib*/python3*/site-packages/bcc/table.py")


@dataclass(frozen=True)
class Installation:
    """How ebpftop is installed, as far as that decides where bcc has to be."""

    prefix: str
    """Where the packages of this interpreter are: of the virtual environment, if it is in one."""
    base_prefix: str
    """The prefix of the interpreter itself."""
    python: str
    """The interpreter, links resolved."""
    system_python: str
    """The distribution's, links resolved; "" if there is none."""
    is_single_file: bool
    """It is a pex, which has its own packages and no others."""
    system_has_bcc: bool
    """The distribution's interpreter has bcc."""

    @classmethod
    def this(cls) -> Installation:
        """Return the one that runs."""
        return cls(
            prefix=sys.prefix,
            base_prefix=sys.base_prefix,
            python=os.path.realpath(sys.executable),
            system_python=os.path.realpath(SYSTEM_PYTHON) if os.path.exists(SYSTEM_PYTHON) else "",
            is_single_file="pex" in sys.modules,  # its own start, in each program that it starts
            system_has_bcc=any(glob(place) for place in _PLACES),
        )

    def remedy(self) -> str:
        """Return what to do, in one line."""
        if self.is_single_file:
            return (
                "this single file plays and converts recordings (demo, replay, diff, convert); to read the kernel, "
                "install ebpftop by its .deb or .rpm, or by pipx install --system-site-packages ebpftop "
                f"and {PACKAGES}"
            )
        is_alone = self.prefix != self.base_prefix and not self._sees_system_packages()
        if self._is_for_system_python() and not is_alone:
            return PACKAGES
        reason = (
            "this virtual environment does not see the distribution's packages"
            if is_alone
            else f"{self.python} is not the distribution's interpreter"
        )
        again = f"{self._again()}, as {reason}"
        return again if self.system_has_bcc else f"{PACKAGES}; then {again}"

    def _again(self) -> str:
        """Return how to install ebpftop so that it sees bcc."""
        python = "" if self._is_for_system_python() else f" --python {SYSTEM_PYTHON}"
        if self._has("uv-receipt.toml"):
            return f"uv tool uninstall ebpftop && pipx install --system-site-packages{python} ebpftop"
        if self._has("pipx_metadata.json"):
            return f"pipx install --force --system-site-packages{python} ebpftop"
        return f"make one with {SYSTEM_PYTHON} -m venv --system-site-packages FOLDER and install ebpftop into it"

    def _is_for_system_python(self) -> bool:
        return self.python == self.system_python

    def _sees_system_packages(self) -> bool:
        try:
            with open(os.path.join(self.prefix, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
                settings = dict(line.lower().replace(" ", "").strip().partition("=")[::2] for line in file)
        except OSError:
            return False
        return settings.get("include-system-site-packages") == "true"

    def _has(self, file: str) -> bool:
        return os.path.exists(os.path.join(self.prefix, file))
