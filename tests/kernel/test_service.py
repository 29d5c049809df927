"""The unit of packaging/systemd, run by a systemd of its own on this kernel."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.kernel.support import needs_root
from tests.prometheus import free_port

CHECKOUT = Path(__file__).parents[2]
UNIT = CHECKOUT / "packaging/systemd/ebpftop.service"
SYSTEMD = Path("/usr/lib/systemd/systemd")

# Where cgroups of version 2 are mounted.
CGROUPS = next(
    (Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line), Path()
)

pytestmark = [needs_root, pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed")]

# The checkout may be in a folder that the unit hides, and none of it is installed. Nothing but the unit is started.
_DROP_IN = """
[Unit]
DefaultDependencies=no
[Service]
Environment=PYTHONPATH=/run/checkout/src:/run/site PYTHONDONTWRITEBYTECODE=1
Environment="SERVE=--listen 127.0.0.1:{port} --interval 0.2"
ExecStart=
ExecStart={python} -m ebpftop serve $SERVE
"""

# Namespaces of its own, in which no file of this machine can be changed: a systemd that starts empties /tmp, for one.
_BOOT = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/checkout /run/site
mount --bind "$3" /run/checkout
mount --bind "$4" /run/site
cp -r "$1"/. /run/
for folder in /var/cache /var/lib /var/tmp /tmp; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -o remount,bind,ro /
container=test exec "$2" --system --unit=ebpftop.service --log-target=console --show-status=no
"""


@contextmanager
def booted(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Have systemd run the unit, and nothing else, in a cgroup that is gone afterwards."""
    cgroup = CGROUPS / f"ebpftop-test-{os.getpid()}"
    cgroup.mkdir()
    system = folder / "systemd/system"
    (system / "ebpftop.service.d").mkdir(parents=True)
    (system / UNIT.name).write_bytes(UNIT.read_bytes())
    (system / "ebpftop.service.d/test.conf").write_text(
        _DROP_IN.format(port=port, python=Path(sys.executable).resolve())
    )
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(
            [
                *("sh", "-euc", 'echo $$ > "$0"/cgroup.procs; exec "$@"', cgroup),
                *("unshare", "--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--ipc", "--uts"),
                *("sh", "-euc", _BOOT, "sh", folder, SYSTEMD, CHECKOUT, sysconfig.get_path("purelib")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            for pids in cgroup.rglob("cgroup.procs"):
                for pid in pids.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            _remove(cgroup)


def _remove(cgroup: Path) -> None:
    for below in [path for path in cgroup.iterdir() if path.is_dir()]:
        _remove(below)
    until_s = time.monotonic() + 30
    while True:
        try:
            cgroup.rmdir()
        except OSError:  # what was killed has not quite gone
            assert time.monotonic() < until_s
            time.sleep(0.05)
        else:
            return


def metrics(port: int) -> dict[str, float]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with suppress(OSError, http.client.HTTPException):
        client.request("GET", "/metrics")
        text = client.getresponse().read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("ebpftop_"): float(number) for name, _, number in lines}
    return {}


def test_the_unit_counts_as_a_user_with_three_capabilities(tmp_path: Path) -> None:
    port = free_port()
    with booted(tmp_path, port) as systemd:
        until_s = time.monotonic() + 100
        while not (found := metrics(port)):
            assert systemd.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until_s, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert [found[f'probe_up{{probe="{probe}"}}'] for probe in ("execs", "users", "syscalls")] == [1, 1, 1]
        for _ in range(20):
            subprocess.run(["/bin/true"], check=True)
        ends = 'process_exits_total{reason="ok",signal=""}'
        while metrics(port)[ends] < found[ends] + 20:
            assert time.monotonic() < until_s
            time.sleep(0.1)
        # The process that listens: whatever it is told, it has no more than the unit gives.
        (status,) = (text for text in _statuses() if f"\0{port}\0" in text)
        assert not re.search(r"^Uid:.*\t0\b", status, re.MULTILINE)
        names = ("CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_BPF")
        given = sum(1 << number for number in (2, 38, 39))
        (effective,) = re.findall(r"^CapEff:\t(\w+)", status, re.MULTILINE)
        assert int(effective, 16) & ~given == 0, names
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status


def _statuses() -> Iterator[str]:
    """Yield /proc/PID/status of each process that serves, behind a line with the words of its command."""
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            command = (folder / "cmdline").read_text()
            if folder.name.isdigit() and "serve\0" in command:
                port = re.search(r"127\.0\.0\.1:(\d+)", command)
                status = (folder / "status").read_text()
                if port and "CapEff:\t0000000000000000" not in status:
                    yield f"\0{port[1]}\0\n{status}"
