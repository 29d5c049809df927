"""The files of a system package, as they lie on the machine that it is installed on."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ebpftop_packages.carried import CarriedPackage, carry, copy_tree
from ebpftop_packages.project import CHECKOUT, made_s, run

PRIVATE = "usr/lib/ebpftop"
"""Where ebpftop and its Python packages are. No other program imports from there."""

SETTINGS = "etc/default/ebpftop"
"""The only file that an administrator is meant to change."""

DOC = "usr/share/doc/ebpftop"

MAN = "usr/share/man/man1/ebpftop.1.gz"

COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/ebpftop",
    "fish": "usr/share/fish/vendor_completions.d/ebpftop.fish",
}
ZSH = {"deb": "usr/share/zsh/vendor-completions/_ebpftop", "rpm": "usr/share/zsh/site-functions/_ebpftop"}

_LAUNCHER = f"""\
#!/usr/bin/python3 -I
# -I: the environment and the home of the caller must not decide what root runs.
import sys

sys.path.insert(0, "/{PRIVATE}")

from ebpftop.__main__ import main

main()
"""

_SETTINGS = """\
# What `ebpftop serve` does as a service (ebpftop.service): docs/serve.md has all options.
#SERVE="--listen 127.0.0.1:10919 --by unit"
"""


def make_system_tree(pex: Path, kind: str, root: Path) -> None:
    """Lay out below *root* what the package of *kind*, deb or rpm, has. Raises BuildError."""
    packages = carry(pex, root / PRIVATE)
    _write(root / "usr/bin/ebpftop", _LAUNCHER, 0o755)
    _write(root / SETTINGS, _SETTINGS)
    _write(
        root / "usr/lib/systemd/system/ebpftop.service", (CHECKOUT / "packaging/systemd/ebpftop.service").read_text()
    )
    run(sys.executable, CHECKOUT / "script/manpage", "--check", what="the manual page")
    page = gzip.compress((CHECKOUT / "docs/ebpftop.1").read_bytes(), mtime=0)
    (root / MAN).parent.mkdir(parents=True)
    (root / MAN).write_bytes(page)
    for shell, place in {**COMPLETIONS, "zsh": ZSH[kind]}.items():
        words = run(sys.executable, "-m", "ebpftop", "--print-completion", shell, what=f"completion for {shell}")
        _write(root / place, words)
    _write_documents(root / DOC, packages)
    _set_times(root)


def _write_documents(doc: Path, packages: Sequence[CarriedPackage]) -> None:
    copy_tree(CHECKOUT / "docs", doc / "docs")
    (doc / "docs/ebpftop.1").unlink()
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md"):
        shutil.copyfile(CHECKOUT / name, doc / name)
    for name in ("grafana", "kubernetes", "prometheus", "systemd"):
        copy_tree(CHECKOUT / "packaging" / name, doc / "packaging" / name)
    _write(doc / "copyright", copyright_text(packages))


def copyright_text(packages: Sequence[CarriedPackage]) -> str:
    """Return whose work the package is, in the form of Debian's copyright files."""
    carried = "".join(
        f"\nFiles: {' '.join(f'{PRIVATE}/{name}' for name in package.files)}\n"
        f"Comment: {package.name} {package.version}\nCopyright: its authors\nLicense: {package.licence}\n"
        for package in packages
    )
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: ebpftop\n"
        "Comment: This package carries Python packages that distributions lack or have in other versions.\n"
        f" The texts of their licences lie beside them, in /{PRIVATE}/*.dist-info.\n"
        f"\nFiles: *\nCopyright: the authors of ebpftop\nLicense: Apache-2.0\n"
        f"\nFiles: {PRIVATE}/ebpftop/bpf/*\nCopyright: the authors of ebpftop\nLicense: GPL-2.0-only\n"
        f"{carried}"
    )


def _write(place: Path, text: str, mode: int = 0o644) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)


def _set_times(root: Path) -> None:
    """Give all files one time, so that the same checkout makes the same package."""
    made = made_s()
    for place in (root, *root.rglob("*")):
        os.utime(place, (made, made), follow_symlinks=False)
        if place.is_dir():
            place.chmod(0o755)
