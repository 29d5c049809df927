"""What a user is told who has no bcc: it depends on how ebpftop was installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.commands.bcc_missing import PACKAGES, SYSTEM_PYTHON, Installation
from ebpftop.commands.kernel_options import options_of
from ebpftop.core.source import SourceError

PLAIN = Installation(
    prefix="/usr",
    base_prefix="/usr",
    python="/usr/bin/python3.13",
    system_python="/usr/bin/python3.13",
    is_single_file=False,
    system_has_bcc=False,
)


def venv(folder: Path, *, sees_system: bool, receipt: str = "") -> Installation:
    """Return an installation in a virtual environment of the system's interpreter."""
    (folder / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {'true' if sees_system else 'false'}\nversion = 3.13.5\n"
    )
    if receipt:
        (folder / receipt).touch()
    return replace(PLAIN, prefix=str(folder))


def test_outside_of_an_environment_it_is_the_package_of_the_distribution() -> None:
    assert PLAIN.remedy() == PACKAGES


def test_another_interpreter_than_the_distributions_cannot_have_it() -> None:
    remedy = replace(PLAIN, python="/opt/python/bin/python3.12").remedy()
    assert remedy.startswith(f"{PACKAGES}; then ")
    assert "/opt/python/bin/python3.12 is not the distribution's interpreter" in remedy
    assert f"{SYSTEM_PYTHON} -m venv --system-site-packages" in remedy


def test_an_environment_that_sees_the_distributions_packages_lacks_only_the_package(tmp_path: Path) -> None:
    assert venv(tmp_path, sees_system=True).remedy() == PACKAGES


@pytest.mark.parametrize(
    ("receipt", "what"),
    [
        ("pipx_metadata.json", "pipx install --force --system-site-packages ebpftop"),
        ("uv-receipt.toml", "uv tool uninstall ebpftop && pipx install --system-site-packages ebpftop"),
        ("", "/usr/bin/python3 -m venv --system-site-packages FOLDER"),
    ],
)
def test_an_environment_of_its_own_is_made_again_with_the_tool_that_made_it(
    receipt: str, what: str, tmp_path: Path
) -> None:
    installed = venv(tmp_path, sees_system=False, receipt=receipt)
    remedy = installed.remedy()
    assert remedy.startswith(f"{PACKAGES}; then ")
    assert what in remedy
    assert "does not see the distribution's packages" in remedy
    # Who has the package already is not told to install it.
    assert replace(installed, system_has_bcc=True).remedy() == remedy.removeprefix(f"{PACKAGES}; then ")


def test_an_environment_of_another_interpreter_is_made_again_with_the_distributions(tmp_path: Path) -> None:
    for sees_system in (False, True):
        installed = venv(tmp_path, sees_system=sees_system, receipt="pipx_metadata.json")
        other = replace(installed, python="/opt/python/bin/python3.12", system_has_bcc=True)
        assert f"pipx install --force --system-site-packages --python {SYSTEM_PYTHON} ebpftop" in other.remedy()


def test_a_single_file_says_what_it_is_for() -> None:
    remedy = replace(PLAIN, is_single_file=True, system_has_bcc=True).remedy()
    assert remedy.startswith("this single file plays and converts recordings (demo, replay, diff, convert)")
    assert "--system-site-packages" in remedy


def test_the_one_that_runs_is_recognised() -> None:
    this = Installation.this()
    assert (this.prefix, this.is_single_file) == (sys.prefix, False)
    assert Path(this.python).exists()
    found = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-c", "import importlib.util as u; print(u.find_spec('bcc') is not None)"],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(this.system_has_bcc) == found.strip()


def test_a_command_that_reads_the_kernel_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpftop.commands.kernel_options._has_bcc", lambda: False)
    monkeypatch.setattr(Installation, "this", classmethod(lambda cls: PLAIN))
    with pytest.raises(SourceError) as raised:
        options_of(parser().parse_args(["check"]))
    assert raised.value.remedy == PACKAGES
