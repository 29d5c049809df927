"""One trial for each kind of package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ebpftop_packages.project import version, wheel_name
from ebpftop_packages.system_package import package_name
from ebpftop_packages.system_tree import PRIVATE, SETTINGS
from ebpftop_trials.system import System, TrialError
from ebpftop_trials.use import AS_NOBODY, complete, nothing_is_left, play, read_the_kernel, write_perfetto

_BCC = "python3-bpfcc"
_CACHE = frozenset({"var/cache/ebpftop", "var/cache/private"})


def try_deb(system: System) -> None:
    """The .deb: apt finds what it depends on; upgraded, installed again, removed; purged, and nothing is left."""
    file = f"/packages/{package_name('deb')}"
    system.install(file)
    system.run("dpkg-query", "-W", _BCC).must(_BCC)
    complete(system)
    system.run("apt-get", "-qq", "purge", "-y", "ebpftop").must()
    if left := system.named("ebpftop"):
        raise TrialError(f"purged, and still there: {sorted(left)[:20]}")
    before = system.files()

    system.install(_older_deb(system, file))
    _is_compiled(system)
    system.install(file)
    if left := system.named("/ebpftop/gone"):
        raise TrialError(f"upgraded, and still there: {sorted(left)}")
    system.run("dpkg", "--verify", "ebpftop").must()
    _is_compiled(system)
    _is_not_enabled(system)
    read_the_kernel(system, "ebpftop")
    write_perfetto(system, "ebpftop")
    play(system, "ebpftop")
    system.install("--reinstall", file)
    system.run("ebpftop", "--version").must(version())
    system.run("apt-get", "-qq", "remove", "-y", "ebpftop").must()
    after = {name for name in system.files() if name not in before and not name.startswith("var/cache/ebpftop")}
    if after != {SETTINGS}:
        raise TrialError(f"removed: only {SETTINGS} may stay, not {sorted(after ^ {SETTINGS})[:20]}")
    system.run("apt-get", "-qq", "purge", "-y", "ebpftop").must()
    nothing_is_left(before, system)


def try_rpm(system: System) -> None:
    """The .rpm, on a Debian with dnf: what Fedora calls python3 and python3-bcc is provided by a package made here."""
    file = f"/packages/{package_name('rpm')}"
    system.install("rpm", "dnf", _BCC)
    refused = system.run("dnf", "install", "-y", "--disablerepo=*", file)
    if refused.status == 0 or "python3-bcc" not in refused.output:
        raise TrialError(f"dnf does not ask for python3-bcc:\n{refused.output[-2000:]}")
    python = system.run("python3", "-c", "import platform; print(platform.python_version())").must().strip()
    (system.root / "tmp/stand-in.spec").write_text(
        "Name: stand-in\nVersion: 1\nRelease: 1\nSummary: other names\nLicense: none\nBuildArch: noarch\n"
        f"Provides: python3 = {python}\nProvides: python3-bcc\nProvides: libstdc++\nProvides: /bin/sh\n"
        "%description\nNothing.\n%files\n"
    )
    system.run("rpmbuild", "-bb", "--define", "_rpmdir /tmp/rpms", "/tmp/stand-in.spec").must()
    system.run("dnf", "install", "-y", "--disablerepo=*", "/tmp/rpms/noarch/stand-in-1-1.noarch.rpm").must()
    before = system.files()

    system.run("dnf", "install", "-y", "--disablerepo=*", file).must()
    system.run("rpm", "-V", "ebpftop").must()
    _is_compiled(system)
    _is_not_enabled(system)
    read_the_kernel(system, "ebpftop")
    write_perfetto(system, "ebpftop")
    play(system, "ebpftop")
    system.run("rpm", "-U", "--replacepkgs", file).must()
    system.run("ebpftop", "--version").must(version())
    system.run("dnf", "remove", "-y", "--disablerepo=*", "ebpftop").must()
    nothing_is_left(before, system)


def try_wheel(system: System) -> None:
    """The wheel, by pipx: without the distribution's packages it says what to do, and with them it reads the kernel."""
    system.install("pipx", "python3-venv", _BCC)
    pipx = {"PIPX_HOME": "/opt/pipx", "PIPX_BIN_DIR": "/usr/local/bin", "PIPX_MAN_DIR": "/usr/local/share/man"}
    file = f"/packages/{wheel_name()}"
    system.run("pipx", "install", file, env=pipx, pip=True).must()
    system.run("ebpftop", "check").must("pipx install --force --system-site-packages ebpftop", status=1)
    system.run("pipx", "install", "--force", "--system-site-packages", file, env=pipx, pip=True).must()
    system.run("/opt/pipx/venvs/ebpftop/bin/python", "-m", "pip", "check").must()
    read_the_kernel(system, "ebpftop")
    # /opt/pipx is root's: an ordinary user may run what is there.
    play(system, "ebpftop")
    system.run("pipx", "uninstall", "ebpftop", env=pipx).must()
    shutil.rmtree(system.root / "var/cache/ebpftop")
    if left := system.named("ebpftop"):
        raise TrialError(f"uninstalled, and still there: {sorted(left)[:20]}")


def try_pex(system: System) -> None:
    """The single file: on a machine with Python alone it plays recordings, and says what it is not for."""
    system.install("python3")
    file = f"/packages/ebpftop-{version()}.pex"
    before = system.files()
    play(system, file)
    check = system.run(*AS_NOBODY, file, "check")
    if check.status not in (1, 3):
        raise TrialError(f"check ended with {check.status}:\n{check.output[-2000:]}")
    system.run(file, "check", env={"HOME": "/tmp/root"}).must(
        "this single file plays and converts recordings", status=1
    )
    nothing_is_left(before, system)


TRIALS: dict[str, Callable[[System], None]] = {
    "deb": try_deb,
    "rpm": try_rpm,
    "wheel": try_wheel,
    "pex": try_pex,
}


def _older_deb(system: System, file: str) -> str:
    """Return an older version of the package, made in there, with a module that the newer one has not."""
    system.shell(
        f"cd /tmp && dpkg-deb -R {file} older && mkdir older/{PRIVATE}/ebpftop/gone && "
        f"echo >older/{PRIVATE}/ebpftop/gone/__init__.py && "
        "sed -i 's/^Version: .*/Version: 0.0.1-1/' older/DEBIAN/control && "
        "dpkg-deb --root-owner-group -Zgzip -b older older.deb && rm -r older"
    ).must()
    return "/tmp/older.deb"


def _is_compiled(system: System) -> None:
    """Raise TrialError unless each module of ebpftop is compiled, so that root's first start writes none."""
    package = system.root / PRIVATE / "ebpftop"
    missing = [
        str(file) for file in package.rglob("*.py") if not list(file.parent.glob(f"__pycache__/{file.stem}.*.pyc"))
    ]
    if missing:
        raise TrialError(f"{len(missing)} modules are not compiled: {missing[:5]}")


def _is_not_enabled(system: System) -> None:
    """Raise TrialError if the service is there not at all, or would start at the next boot."""
    if not (system.root / "usr/lib/systemd/system/ebpftop.service").exists():
        raise TrialError("there is no ebpftop.service")
    if links := list(Path(system.root / "etc/systemd/system").rglob("ebpftop.service")):
        raise TrialError(f"the service is enabled: {links}")
