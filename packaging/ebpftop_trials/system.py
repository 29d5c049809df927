"""A fresh Debian in a folder, and commands in it.

Each command has a mount namespace of its own, so what is mounted for it is gone with it. The kernel is the machine's:
real BPF programs run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RELEASES = ("bookworm", "trixie", "sid")

_ENTER = r"""
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mountpoint -q "$root/sys/kernel/tracing" || mount -t tracefs tracefs "$root/sys/kernel/tracing" || true
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mount --rbind /dev/pts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for pair; do
    shift
    [ "$pair" != -- ] || break
    place=$root${pair##*=}
    if [ -d "${pair%%=*}" ]; then
        mkdir -p "$place"
    else
        mkdir -p "${place%/*}"
        touch "$place"
    fi
    mount --bind "${pair%%=*}" "$place"
done
exec chroot "$root" "$@"
"""
"""Mounts what a system needs, then pairs of PLACE=PLACE_IN_IT, and runs what is behind `--`."""

_PLAIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "xterm-256color",
    # What is tested besides: nothing may need a locale.
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
}


class TrialError(Exception):
    """Something did not do what it should; the text says what."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    command: str
    status: int
    output: str
    """stdout and stderr."""

    def must(self, *words: str, status: int = 0) -> str:
        """Return the output; raise TrialError unless it ended with *status* and wrote each of *words*."""
        missing = [word for word in words if word not in self.output]
        if self.status != status or missing:
            wanted = f", and wrote no {missing[0]!r}" if missing else ""
            raise TrialError(f"`{self.command}` ended with {self.status}{wanted}:\n{self.output[-4000:]}")
        return self.output


@dataclass(frozen=True)
class System:
    """A fresh Debian."""

    root: Path
    release: str
    shared: Mapping[Path, str] = field(default_factory=dict)
    """Folders and files of this machine, and where they are seen in there."""

    def argv(self, command: Sequence[str], env: Mapping[str, str] | None = None, *, pip: bool = False) -> list[str]:
        """Return what runs *command* in there. *pip*: it reaches the index as this machine's pip does."""
        variables = {**_PLAIN, **_variables("_PROXY"), **(_variables("PIP_") if pip else {}), **(env or {})}
        shared = {**self.shared, **(_pip_files() if pip else {})}
        return [
            *("unshare", "--mount", "--propagation", "private", "--ipc", "--", "sh", "-c", _ENTER, "enter"),
            *(str(self.root), *(f"{here}={there}" for here, there in shared.items()), "--"),
            *("env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command),
        ]

    def run(self, *command: str, env: Mapping[str, str] | None = None, pip: bool = False, limit_s: float = 900) -> Done:
        """Run *command* in there; *pip* as for `argv`."""
        words = " ".join(command)
        try:
            done = subprocess.run(
                self.argv(command, env, pip=pip),
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired as error:
            raise TrialError(f"`{words}` did not end within {limit_s:.0f} s") from error
        return Done(words, done.returncode, done.stdout.decode(errors="replace"))

    def shell(self, script: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a line of shell in there."""
        return self.run("sh", "-c", script, env=env)

    def install(self, *packages: str) -> None:
        """Install packages of the distribution, or files."""
        self.run(
            "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "install", "-y", "--no-install-recommends", *packages
        ).must()

    def files(self) -> set[str]:
        """Return the names of all that lies in there, but for what package managers note for themselves."""
        return {name for name in _walk(self.root) if not _NOTES.match(name)}

    def named(self, word: str) -> set[str]:
        """Return those whose name has *word*."""
        return {name for name in self.files() if word in name}


_NOTES = re.compile(
    r"(?:proc|sys|dev|run|tmp|packages|var/(?:log|tmp|cache/(?:apt|debconf|man|fontconfig|ldconfig|dnf|libdnf5)|lib/(?:apt|dpkg|rpm|dnf)))/"
)


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(folder, name), root)


def base_system(release: str, cache: Path, mirror: str) -> Path:
    """Return the folder of an untouched system of *release*, made by debootstrap at the first time."""
    place = cache / release
    if not place.is_dir():
        new = cache / f"{release}.new"
        shutil.rmtree(new, ignore_errors=True)
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", release, new, mirror],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise TrialError(f"debootstrap could not make {release}:\n{done.stdout[-3000:]}")
        new.rename(place)
    return place


def fresh_system(release: str, folder: Path, cache: Path, mirror: str, packages: Path) -> System:
    """Return a copy of the untouched system in *folder*, which sees *packages* as /packages."""
    root = folder / release
    subprocess.run(["cp", "-a", "--reflink=auto", base_system(release, cache, mirror), root], check=True)
    archives = cache / f"{release}-archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    # Fresh packages are kept: the next trial installs most of them too.
    (root / "etc/apt/apt.conf.d/90trial").write_text('APT::Keep-Downloaded-Packages "true";\n' + _apt_settings())
    names = [Path(name) for name in ("/etc/resolv.conf", "/etc/hosts")]
    shared = {archives: "/var/cache/apt/archives", packages: "/packages", **{name: str(name) for name in names}}
    # This system need not survive a power failure: a third of the time.
    (root / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n")
    system = System(root, release, shared)
    system.run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "update").must()
    return system


# ---- How this machine reaches packages: lent to a system, or to one command of pip in it, and kept nowhere. ----


def _apt_settings() -> str:
    """Return how apt reaches its mirror here: proxies, certificates, whether lists may be old."""
    try:
        said = subprocess.run(["apt-config", "dump", "Acquire"], check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError):  # not a Debian: debootstrap alone is
        return ""
    return "".join(re.findall(r"^Acquire::(?:Check-|Max-FutureTime|Retries|https?::).*\n", said, re.MULTILINE))


def _pip_files() -> dict[Path, str]:
    """Return the files by which pip finds packages here, and where they are seen: the same places."""
    found = [Path(name) for name in ("/etc/pip.conf", "/root/.config/pip/pip.conf")]
    texts = [file.read_text(errors="replace") for file in found if file.exists()]
    texts += _variables("PIP_").values()
    # Certificates and folders that these settings name.
    for name in re.findall(r"(?<![\w/.-])/[\w./+-]+", "\n".join(texts).replace("file://", "")):
        # Links in an index of files lead to its neighbours.
        found.append(Path(name).parent if name.endswith("/simple") else Path(name))
    return {place: str(place) for place in dict.fromkeys(found) if place.is_file() or place.is_dir()}


def _variables(part: str) -> dict[str, str]:
    """Return those of this machine whose name, in capitals, has *part*."""
    return {name: value for name, value in os.environ.items() if part in name.upper()}
