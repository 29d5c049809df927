"""Debian's arm64 kernel under QEMU, with an arm64 userland of Debian's packages: all of it in an initial file system.

No part of it runs on this machine, so the packages are only unpacked: Python and BCC need none of their scripts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .guest import CHECKOUT, NO_STATUS, TIMED_OUT, Finished
from .kernels import Apt, Kernel, KernelTree, cache_folder, run

KERNEL = Kernel("arm64", "debian-security", "trixie-security", "arm64")
# The release that brings Python and BCC; the kernel may be of another.
_USERLAND_SUITE = "bookworm"
_USERLAND = ("busybox-static", "coreutils", "mount", "python3", "python3-bpfcc", "util-linux")
# What `stream` and `check` import.
_WHEELS = ("msgspec", "rich", "system-calls")
_NEEDLESS = ("usr/share/doc", "usr/share/locale", "usr/share/man")
_PORT = "/dev/vport0p1"
_INIT = f"""\
#!/bin/sh
busybox mount -t proc none /proc; busybox mount -t sysfs none /sys; busybox mount -t devtmpfs none /dev
busybox mount -t tmpfs none /tmp; busybox mount -t cgroup2 none /sys/fs/cgroup
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/opt/wheels:/checkout/src:/checkout/tests
cd /checkout
python3 -m vm.matrix {_PORT}
echo "ended with $?"
busybox poweroff -f
"""
MEMORY = "3G"


def fetch() -> KernelTree:
    """Return kernel and userland from the cache, fetching about 130 MB first where they are not there."""
    kept = cache_folder() / KERNEL.name
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".arm64.", dir=kept.parent) as scratch:
            tree = Path(scratch) / "tree"
            tree.mkdir()
            _fetch_kernel(Path(scratch), tree)
            _fetch_userland(Path(scratch), tree)
            tree.rename(kept)
    return KernelTree(KERNEL.name, (kept / "release").read_text().strip(), kept / "vmlinuz", kept / "no-headers")


def _fetch_kernel(scratch: Path, tree: Path) -> None:
    apt = Apt(scratch / "kernel", KERNEL.archive, KERNEL.suite, KERNEL.arch)
    release = apt.newest_release()
    unpacked = scratch / "image"
    for package in apt.download(release):
        if package.name.startswith("linux-image-"):
            run("dpkg-deb", "-x", str(package), str(unpacked))
    (unpacked / "boot" / f"vmlinuz-{release}").rename(tree / "vmlinuz")
    (tree / "release").write_text(release + "\n")


def _fetch_userland(scratch: Path, tree: Path) -> None:
    apt = Apt(scratch / "userland", "debian", _USERLAND_SUITE, KERNEL.arch)
    root = scratch / "root"
    for package in apt.download_with_dependencies(*_USERLAND):
        run("dpkg-deb", "-x", str(package), str(root))
    python = next(path.name for path in (root / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", path.name))
    run(
        *(sys.executable, "-m", "pip", "install", "-q", "--target", str(root / "opt/wheels"), "--only-binary=:all:"),
        *("--platform", "manylinux2014_aarch64", "--python-version", python.removeprefix("python"), *_WHEELS),
    )
    for folder in _NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
    # What the packages' scripts would have made.
    (root / "bin/sh").symlink_to("busybox")
    for folder in ("dev", "lib/modules", "proc", "sys", "tmp", "usr/src"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    _archive(root, tree / "userland.cpio")


def _archive(folder: Path, to: Path) -> None:
    """Write what lies in *folder* to *to*, in the format that the kernel unpacks."""
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    with to.open("wb") as out:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"],
            cwd=folder, input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip


def run_matrix(tree: KernelTree, result: Path, *, timeout_s: float) -> Finished:
    """Boot *tree* and run the matrix in it; what it finds is written to *result*."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as console:
        initial = _with_checkout(tree, Path(scratch))
        child = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM", "timeout", "--kill-after=5", str(timeout_s)),
                *("qemu-system-aarch64", "-M", "virt", "-accel", "tcg", "-smp", "2", "-m", MEMORY),
                # Pointer authentication by QEMU's own cheap function; the architected one takes half of the time.
                *("-cpu", "max,pauth-impdef=on", "-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"),
                *("-device", "virtio-serial-pci", "-chardev", f"file,id=result,path={result}"),
                *("-device", "virtserialport,chardev=result"),
                *("-kernel", str(tree.image), "-initrd", str(initial)),
                *("-append", "console=ttyAMA0 quiet panic=-1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        timed_out = child.wait() == TIMED_OUT
        console.seek(0)
        said = console.read().decode("utf-8", "replace")
    ended = re.search(r"^ended with (\d+)", said, re.MULTILINE)
    status = TIMED_OUT if timed_out else int(ended[1]) if ended else NO_STATUS
    return Finished(status, said, time.monotonic() - begin)


def _with_checkout(tree: KernelTree, scratch: Path) -> Path:
    """Return userland and checkout, one archive behind the other: the kernel unpacks both."""
    checkout = scratch / "root/checkout"
    for folder in ("bpf", "src", "tests/vm"):
        shutil.copytree(CHECKOUT / folder, checkout / folder)
    own = scratch / "checkout.cpio"
    _archive(scratch / "root", own)
    both = scratch / "initial.cpio"
    with both.open("wb") as out:
        for archive in (tree.image.with_name("userland.cpio"), own):
            with archive.open("rb") as part:
                shutil.copyfileobj(part, out)
            # Each begins at a multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
            out.write(bytes(-out.tell() % 512))
    return both
