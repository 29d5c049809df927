"""A .deb or an .rpm of a tree of files, made by nfpm."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ebpftop_packages.project import BEFORE_PYTHON, CHECKOUT, PYTHONS, made_s, run, version
from ebpftop_packages.system_tree import COMPLETIONS, DOC, PRIVATE, SETTINGS, ZSH

RELEASE = "1"
ARCHITECTURE = "amd64"

NEEDS = {
    "deb": [
        f"python3 (>= {PYTHONS[0]})",
        f"python3 (<< {BEFORE_PYTHON})",
        "python3-bpfcc",
        "libc6 (>= 2.28)",
        "libstdc++6",
    ],
    "rpm": [f"python3 >= {PYTHONS[0]}", f"python3 < {BEFORE_PYTHON}", "python3-bcc", "libstdc++"],
}

_OWNED = (PRIVATE, DOC)
"""Folders that are the package's alone; all others are the distribution's, or shared."""

_SHARED = tuple(
    str(folder)
    for place in sorted((*COMPLETIONS.values(), ZSH["rpm"]))
    for folder in (Path(place).parents[1], Path(place).parent)
)
"""Folders of shells that may not be there. dpkg counts who uses a folder; rpm removes only one that a package names."""

_MAINTAINER_SCRIPTS = CHECKOUT / "packaging/maintainer"


def package_name(kind: str) -> str:
    """Return the name of the package's file, as each distribution forms it."""
    if kind == "deb":
        return f"ebpftop_{version()}-{RELEASE}_{ARCHITECTURE}.deb"
    return f"ebpftop-{version()}-{RELEASE}.x86_64.rpm"


def nfpm_settings(kind: str, root: Path) -> dict[str, Any]:
    """Return what nfpm is told about the package of *kind* whose files lie below *root*."""
    contents: list[dict[str, Any]] = [
        {"src": str(root / folder), "dst": f"/{folder}", "type": "tree"} for folder in _OWNED
    ]
    if kind == "rpm":
        contents += [{"dst": f"/{folder}", "type": "dir", "file_info": {"mode": 0o755}} for folder in _SHARED]
    for file in sorted(root.rglob("*")):
        name = str(file.relative_to(root))
        if file.is_file() and not name.startswith(tuple(f"{folder}/" for folder in _OWNED)):
            entry = {"src": str(file), "dst": f"/{name}"}
            contents.append(entry | ({"type": "config|noreplace"} if name == SETTINGS else {}))
    return {
        "name": "ebpftop",
        "arch": ARCHITECTURE,
        "platform": "linux",
        "version": version(),
        "release": RELEASE,
        "section": "admin",
        "priority": "optional",
        "maintainer": _maintainer(),
        "description": "what programs start, who starts them, and what they ask of the kernel\n"
        "A terminal dashboard, seen by eBPF: every program that starts, every system call of every process,\n"
        "live, recorded or as metrics for Prometheus. The service ebpftop.service is not enabled by itself.",
        "license": "Apache-2.0 AND GPL-2.0-only",
        "homepage": os.environ.get("EBPFTOP_REPOSITORY", ""),
        "mtime": datetime.fromtimestamp(made_s(), timezone.utc).isoformat(),
        "umask": 0o022,
        "disable_globbing": True,
        "depends": NEEDS[kind],
        "contents": contents,
        "scripts": {
            "postinstall": str(_MAINTAINER_SCRIPTS / f"{kind}-postinstall.sh"),
            "preremove": str(_MAINTAINER_SCRIPTS / f"{kind}-preremove.sh"),
            "postremove": str(_MAINTAINER_SCRIPTS / f"{kind}-postremove.sh"),
        },
        "deb": {"compression": "xz"},
        "rpm": {
            "compression": "xz",
            "buildhost": "localhost",  # not the name of this machine
            "summary": "What programs start, who starts them, and what they ask of the kernel, by eBPF",
            "scripts": {"posttrans": str(_MAINTAINER_SCRIPTS / "rpm-posttrans.sh")},
        },
    }


def build_system_package(kind: str, root: Path, output: Path) -> Path:
    """Make the package of *kind*, deb or rpm, of the files below *root*. Raises BuildError."""
    settings = root.with_name(f"nfpm-{kind}.json")
    settings.write_text(json.dumps(nfpm_settings(kind, root)))
    target = output / package_name(kind)
    run("nfpm", "package", "--config", settings, "--packager", kind, "--target", target, what=f"the .{kind}")
    return target


def _maintainer() -> str:
    """Return who answers for the package, as Debian's own tools find it."""
    name, address = os.environ.get("DEBFULLNAME", ""), os.environ.get("DEBEMAIL", "")
    return f"{name or 'local build'} <{address or 'root@localhost'}>"
