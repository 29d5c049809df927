"""What script/package makes of the dependencies, and what it tells nfpm: without the index, of packages made here."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import tomlkit

from ebpftop import __version__
from ebpftop_packages.carried import CarriedPackage, carry
from ebpftop_packages.project import BEFORE_PYTHON, CHECKOUT, PYTHONS, BuildError, version, wheel_name
from ebpftop_packages.system_package import NEEDS, nfpm_settings, package_name
from ebpftop_packages.system_tree import COMPLETIONS, DOC, MAN, PRIVATE, SETTINGS, ZSH, copyright_text

SCRIPTS = CHECKOUT / "packaging/maintainer"


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    """Return a wheel with these files."""
    path = folder / name
    project, number = name.split("-")[:2]
    with zipfile.ZipFile(path, "w") as file:
        for place, content in files.items():
            file.writestr(place, content)
        said = f"Metadata-Version: 2.1\nName: {project}\nVersion: {number}\nLicense: MIT\n"
        file.writestr(f"{project}-{number}.dist-info/METADATA", said)
        file.writestr(f"{project}-{number}.dist-info/RECORD", f"of {name}")
        file.writestr(f"{project}-{number}.dist-info/WHEEL", f"Tag: {name}")
    return path


def pex_of(folder: Path, *wheels: Path) -> Path:
    """Return a single file that has these wheels."""
    path = folder / "some.pex"
    with zipfile.ZipFile(path, "w") as file:
        for one in wheels:
            file.write(one, f".deps/{one.name}")
        file.writestr("__main__.py", "")
    return path


def own(folder: Path) -> Path:
    return wheel(
        folder,
        wheel_name(),
        {
            "ebpftop/__init__.py": "",
            "ebpftop/docs/run.md": "a page",
            "ebpftop/docs/lesson/1-hello.md": "a lesson",
            f"ebpftop-{version()}.data/data/share/man/man1/ebpftop.1": "a page",
        },
    )


def compiled(folder: Path, python: str, module: str = "same") -> Path:
    """Return a compiled package for one version of Python."""
    tag = f"cp{python.replace('.', '')}"
    return wheel(
        folder,
        f"fast-1.0-{tag}-{tag}-manylinux_2_28_x86_64.whl",
        {"fast/__init__.py": module, f"fast/_core.cpython-{tag[2:]}-x86_64-linux-gnu.so": python},
    )


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_one_folder_serves_each_python(tmp_path: Path) -> None:
    wheels = [compiled(tmp_path, python) for python in PYTHONS]
    packages = carry(pex_of(tmp_path, own(tmp_path), *wheels), tmp_path / "private")
    assert packages == [CarriedPackage("fast", "1.0", "MIT", ("fast", "fast-1.0.dist-info"))]
    assert names(tmp_path / "private") == {
        "ebpftop/__init__.py",
        "ebpftop/docs/lesson/1-hello.md",
        f"ebpftop-{version()}.dist-info/METADATA",
        "fast/__init__.py",
        "fast-1.0.dist-info/METADATA",
        *(f"fast/_core.cpython-{python.replace('.', '')}-x86_64-linux-gnu.so" for python in PYTHONS),
    }


def test_a_package_that_differs_from_python_to_python_is_refused(tmp_path: Path) -> None:
    wheels = [compiled(tmp_path, "3.11"), compiled(tmp_path, "3.13", "another")]
    with pytest.raises(BuildError, match=r"fast-1.0-cp313.*its __init__.py differs"):
        carry(pex_of(tmp_path, own(tmp_path), *wheels), tmp_path / "private")


def test_two_versions_of_one_package_are_refused(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path, f"pure-{number}-py3-none-any.whl", {f"pure{number}.py": ""}) for number in ("1", "2")]
    with pytest.raises(BuildError, match="pure: 1 for one Python and 2 for another"):
        carry(pex_of(tmp_path, own(tmp_path), *wheels), tmp_path / "private")


def test_what_is_carried_is_named_with_its_licence() -> None:
    text = copyright_text([CarriedPackage("fast", "1.0", "MIT", ("fast", "fast-1.0.dist-info"))])
    stanza = text.split("\n\n")[-1]
    assert stanza.startswith(f"Files: {PRIVATE}/fast {PRIVATE}/fast-1.0.dist-info\nComment: fast 1.0\n")
    assert stanza.endswith("License: MIT\n")
    assert "GPL-2.0-only" in text


# ---- What nfpm is told ----


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree of files as it is laid out for a package."""
    for name in (f"{PRIVATE}/ebpftop/__init__.py", f"{DOC}/README.md", SETTINGS, "usr/bin/ebpftop", MAN):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_folders_of_its_own_are_owned_so_that_none_is_left_and_settings_survive(kind: str, root: Path) -> None:
    contents = {entry["dst"]: entry.get("type", "file") for entry in nfpm_settings(kind, root)["contents"]}
    # rpm leaves an empty folder that no package names; others may name it too.
    shells = {
        "/usr/share/bash-completion": "dir",
        "/usr/share/bash-completion/completions": "dir",
        "/usr/share/fish": "dir",
        "/usr/share/fish/vendor_completions.d": "dir",
        "/usr/share/zsh": "dir",
        "/usr/share/zsh/site-functions": "dir",
    }
    assert contents == (shells if kind == "rpm" else {}) | {
        f"/{PRIVATE}": "tree",
        f"/{DOC}": "tree",
        f"/{SETTINGS}": "config|noreplace",
        "/usr/bin/ebpftop": "file",
        f"/{MAN}": "file",
    }


def test_each_distribution_is_asked_for_its_bcc_and_for_a_python_that_is_carried(root: Path) -> None:
    assert {"python3-bpfcc", f"python3 (>= {PYTHONS[0]})", f"python3 (<< {BEFORE_PYTHON})"} <= set(NEEDS["deb"])
    assert {"python3-bcc", f"python3 >= {PYTHONS[0]}", f"python3 < {BEFORE_PYTHON}"} <= set(NEEDS["rpm"])
    for kind in ("deb", "rpm"):
        assert nfpm_settings(kind, root)["depends"] == NEEDS[kind]
    # None between the first and the last is left out.
    minors = [int(python.partition(".")[2]) for python in (*PYTHONS, BEFORE_PYTHON)]
    assert minors == list(range(minors[0], minors[0] + len(minors)))


def test_names_and_versions_are_those_of_the_distributions() -> None:
    assert version() == __version__
    assert package_name("deb") == f"ebpftop_{__version__}-1_amd64.deb"
    assert package_name("rpm") == f"ebpftop-{__version__}-1.x86_64.rpm"


def test_each_script_of_a_package_is_there_and_is_a_script(root: Path) -> None:
    used = set()
    for kind in ("deb", "rpm"):
        settings = nfpm_settings(kind, root)
        used |= set(settings["scripts"].values()) | (
            set(settings["rpm"]["scripts"].values()) if kind == "rpm" else set()
        )
    assert {Path(name) for name in used} == set(SCRIPTS.iterdir())
    for name in used:
        assert Path(name).read_text().startswith("#!/bin/sh\n")
        subprocess.run(["sh", "-n", name], check=True)


def test_removal_forgets_nothing_that_the_service_or_python_made() -> None:
    unit = (CHECKOUT / "packaging/systemd/ebpftop.service").read_text()
    cache = re.search(r"^CacheDirectory=(.*)$", unit, re.MULTILINE)
    assert cache is not None
    for name in ("deb-postremove.sh", "rpm-postremove.sh"):
        text = (SCRIPTS / name).read_text()
        assert f"rm -rf /var/cache/{cache[1]} /var/cache/private/{cache[1]}\n" in text
    for name in ("deb-preremove.sh", "rpm-preremove.sh"):
        assert f"find /{PRIVATE} -depth -type d -name __pycache__" in (SCRIPTS / name).read_text()


def test_the_unit_runs_what_the_packages_install_and_reads_their_settings() -> None:
    unit = (CHECKOUT / "packaging/systemd/ebpftop.service").read_text()
    assert "ExecStart=/usr/bin/ebpftop serve" in unit
    assert f"EnvironmentFile=-/{SETTINGS}" in unit


def test_completion_is_made_for_each_shell_that_ebpftop_knows() -> None:
    from ebpftop.commands.completion import SHELLS

    assert {*COMPLETIONS, "zsh"} == set(SHELLS)
    assert set(ZSH) == {"deb", "rpm"}


def test_what_makes_packages_is_installed_with_them() -> None:
    extras = tomlkit.parse((CHECKOUT / "pyproject.toml").read_text()).unwrap()["project"]["optional-dependencies"]
    needs = {re.split(r"\W", need)[0] for need in (*extras["package"], *extras["completion"])}
    assert needs == {"hatchling", "pex", "nfpm", "shtab"}
    assert "[completion,package]" in (CHECKOUT / "script/package").read_text()
