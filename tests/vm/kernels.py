"""Debian's kernels, fetched from the mirror that apt is already set up with, and kept in a cache outside the checkout.

Each kernel gets apt directories of its own, so that the system's package lists and sources stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

Archive: TypeAlias = Literal["debian", "debian-security"]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What a guest on virtiofs needs. With all modules there, udev adds 1 to 4 s to a boot under emulation.
KEPT_MODULES = ("drivers/virtio/", "drivers/char/virtio_console.ko", "fs/fuse/", "fs/overlayfs/")


class KernelError(Exception):
    """A kernel that could not be fetched, and why."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of the matrix: the newest of the flavour "cloud" in one suite of Debian."""

    name: str
    archive: Archive
    suite: str
    arch: str = "amd64"


@dataclass(frozen=True, slots=True)
class KernelTree:
    """An unpacked kernel: `image` to boot, its few modules, and its headers, all below one folder."""

    name: str
    release: str
    image: Path
    headers: Path


KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        kernel.name: kernel
        for kernel in (
            Kernel("5.10", "debian-security", "bullseye-security"),
            Kernel("6.1", "debian-security", "bookworm-security"),
            Kernel("6.12", "debian-security", "trixie-security"),
            Kernel("newest", "debian", "trixie-backports"),
        )
    }
)


def cache_folder() -> Path:
    """Where kernels are kept from one run to the next; remove it to fetch newer ones."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ebpftop" / "kernels"


def fetch(kernel: Kernel) -> KernelTree:
    """Return *kernel* from the cache, fetching about 100 MB first where it is not there."""
    kept = cache_folder() / kernel.name
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{kernel.name}.", dir=kept.parent) as scratch:
            unpacked = Path(scratch) / "tree"
            _build_tree(kernel, Path(scratch), unpacked)
            unpacked.rename(kept)
    release = (kept / "release").read_text().strip()
    return KernelTree(kernel.name, release, kept / "vmlinuz", kept / "usr/src" / f"linux-headers-{release}")


def _build_tree(kernel: Kernel, scratch: Path, tree: Path) -> None:
    """Download the packages of *kernel* and leave in *tree* what a guest needs of them."""
    apt = Apt(scratch / "apt", kernel.archive, kernel.suite, kernel.arch)
    release = apt.newest_release()
    for package in apt.download(release):
        run("dpkg-deb", "-x", str(package), str(tree))
    modules = next(m for m in (tree / "usr/lib/modules" / release, tree / "lib/modules" / release) if m.is_dir())
    images = (tree / "boot" / f"vmlinuz-{release}", modules / "vmlinuz")
    next(image for image in images if image.is_file()).rename(tree / "vmlinuz")
    _prune_modules(modules)
    if modules.is_relative_to(tree / "usr"):
        (tree / "lib").mkdir(exist_ok=True)
        modules.parent.rename(tree / "lib/modules")
        modules = tree / "lib/modules" / release
    headers = tree / "usr/src"
    common = next(headers.glob("linux-headers-*-common*"), headers / f"linux-headers-{release}")
    for link, target in (("build", headers / f"linux-headers-{release}"), ("source", common)):
        (modules / link).unlink(missing_ok=True)
        (modules / link).symlink_to(os.path.relpath(target, modules))
    shutil.rmtree(tree / "boot", ignore_errors=True)
    (tree / "release").write_text(release + "\n")


def _prune_modules(modules: Path) -> None:
    """Remove the modules that no guest loads, and the indexes of those that were there (depmod makes them anew)."""
    for path in sorted(modules.rglob("*.ko*")):
        if not str(path.relative_to(modules / "kernel")).startswith(KEPT_MODULES):
            path.unlink()
    for path in modules.glob("modules.*"):
        if not path.name.startswith(("modules.builtin", "modules.order")):
            path.unlink()


class Apt:
    """apt with one source, and directories of its own; *arch* is Debian's name of an architecture."""

    def __init__(self, folder: Path, archive: Archive, suite: str, arch: str) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror(archive)} {suite} main\n")
        self._folder = folder
        self._arch = arch
        self._environment = {**os.environ, "LC_ALL": "C"}
        self._options = (
            # The system's apt.conf stays in force: it may name a proxy.
            f"-oDir::Etc::sourcelist={folder}/sources.list",
            *(f"-oDir::Etc::{other}=/dev/null" for other in ("sourceparts", "preferences", "preferencesparts")),
            f"-oDir::State={folder}/state",
            "-oDir::State::status=/dev/null",
            f"-oDir::Cache={folder}/cache",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=3",
            # Downloads are made by root in a folder of root's; the sandbox user could not write there.
            "-oAPT::Sandbox::User=root",
            f"-oAPT::Architecture={arch}",
            f"-oAPT::Architectures={arch}",
        )
        self._apt("apt-get", "-q", "--error-on=any", "update")

    def newest_release(self) -> str:
        """The release (``uname -r``) that the suite's meta package asks for."""
        shown = self._apt("apt-cache", "show", "--no-all-versions", f"linux-image-cloud-{self._arch}")
        match = re.search(rf"^Depends:.*?linux-image-(\d\S*-cloud-{self._arch})", shown, re.MULTILINE)
        if match is None:
            raise KernelError(f"linux-image-cloud-{self._arch} names no kernel in its dependencies:\n{shown}")
        return match[1]

    def download_with_dependencies(self, *packages: str) -> list[Path]:
        """Download *packages* and all that they depend on, for a system that has nothing; return the files."""
        self._apt("apt-get", "-q", "-y", "--no-install-recommends", "--download-only", "install", *packages)
        return sorted((self._folder / "cache/archives").glob("*.deb"))

    def download(self, release: str) -> list[Path]:
        """Download image, modules and headers of *release*; return the package files."""
        wanted = (f"linux-image-{release}", f"linux-headers-{release}")
        only_depends = ("--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces")
        tree = self._apt("apt-cache", "depends", "--recurse", "--no-enhances", *only_depends, *wanted)
        names = re.findall(r"^(linux-(?:image|base|binary|modules|headers)-\S+)$", tree, re.MULTILINE)
        target = self._folder / "packages"
        target.mkdir()
        self._apt("apt-get", "-q", "download", *sorted(set(names)), cwd=target)
        return sorted(target.glob("*.deb"))

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        return run(program, *self._options, *arguments, cwd=cwd, env=self._environment)


def _mirror(archive: Archive) -> str:
    """The address of *archive* on the mirror in the system's own apt sources."""
    printed = run("apt-get", "--print-uris", "update")
    match = re.search(rf"'(\w+:\S+/{archive})/dists/", printed)
    if match is None:
        raise KernelError(f"apt has no source of the archive {archive!r}; the kernels of the matrix are Debian's")
    return match[1]


def run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return what *command* prints; raises KernelError with its words where it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise KernelError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
