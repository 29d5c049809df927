"""The private folder: ebpftop and the Python packages that it needs, for several versions of Python in one place.

Compiled modules have the version in their names (`_core.cpython-313-x86_64-linux-gnu.so`), and everything else is the
same for all: so one folder serves each Python, and a package survives the upgrade of the distribution to another one.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from ebpftop_packages.project import BuildError, wheel_name


@dataclass(frozen=True)
class CarriedPackage:
    """One Python package that lies in the private folder."""

    name: str
    version: str
    licence: str
    """As the package itself calls it."""
    files: tuple[str, ...]
    """What it has at the top of the private folder."""


def carry(pex: Path, folder: Path) -> list[CarriedPackage]:
    """Unpack all wheels of *pex* into *folder*; return what they are, ebpftop itself left out.

    Raises BuildError if two of them have one file with different contents, so that one folder cannot serve both.
    """
    packages: dict[str, CarriedPackage] = {}
    for name, wheel in _wheels(pex):
        for path, content in _modules(wheel):
            _put(folder / path, content, name)
        if name != wheel_name():
            package = _describe(wheel)
            other = packages.setdefault(package.name, package)
            if other.version != package.version:
                raise BuildError(f"{package.name}: {other.version} for one Python and {package.version} for another")
    _remove_pages(folder)
    return sorted(packages.values(), key=lambda package: package.name.lower())


def _wheels(pex: Path) -> Iterator[tuple[str, zipfile.ZipFile]]:
    with zipfile.ZipFile(pex) as whole:
        for name in sorted(whole.namelist()):
            if name.startswith(".deps/") and name.endswith(".whl"):
                yield name.removeprefix(".deps/"), zipfile.ZipFile(io.BytesIO(whole.read(name)))


def _modules(wheel: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield what is imported, and the metadata; not commands and pages, nor lists of files that do not hold here."""
    for name in wheel.namelist():
        top, _, rest = name.partition("/")
        if name.endswith("/"):
            continue
        if top.endswith(".data"):
            kind, _, path = rest.partition("/")
            if kind in ("purelib", "platlib"):
                yield path, wheel.read(name)
        elif not (top.endswith(".dist-info") and rest in ("RECORD", "WHEEL")) and not rest.startswith("sboms/"):
            yield name, wheel.read(name)


def _put(place: Path, content: bytes, wheel: str) -> None:
    if place.exists():
        if place.read_bytes() != content:
            raise BuildError(f"{wheel}: its {place.name} differs from that for another Python")
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o644)


def _describe(wheel: zipfile.ZipFile) -> CarriedPackage:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
    said = message_from_bytes(wheel.read(name))
    licences = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License ::")]
    licence = said["License-Expression"] or " and ".join(licences) or (said["License"] or "").partition("\n")[0]
    tops = {path.partition("/")[0] for path, _ in _modules(wheel)}
    return CarriedPackage(
        str(said["Name"]), str(said["Version"]), str(licence or "see its metadata"), tuple(sorted(tops))
    )


def _remove_pages(folder: Path) -> None:
    """Remove the pages that a system package has in its own place; those of the lesson are shown on the screen."""
    for page in (folder / "ebpftop/docs").iterdir():
        if page.is_file():
            page.unlink()


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of the checkout, without what Python left in it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)
