"""ebpftop in a cgroup namespace: the paths that it sees there are those of other cgroups to the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebpftop.kernel.cgroups import hierarchies
from tests.kernel.support import needs_root
from tests.kernel.workload_context import cgroup

pytestmark = needs_root

_ENTER = 'echo $$ > "$1/cgroup.procs" && shift && exec unshare --mount --cgroup "$@"'
_STREAM = """
import subprocess, sys
from ebpftop.__main__ import main
place = sys.argv.pop(1)
# The hierarchy as a container has it: mounted from the namespace's root, and no other.
for mount in sys.argv.pop(1).split(","):
    subprocess.run(["umount", "-l", mount], check=True)
subprocess.run(["mount", "-t", "cgroup2", "none", place], check=True)
sys.argv[0] = "ebpftop"
main()
"""


def _in_a_namespace(place: Path, inside: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    mounts = ",".join(str(one.root) for one in sorted(hierarchies(), key=lambda one: -len(one.root.parts)))
    stream = ["stream", "--probes", "users", "--duration", "1", *options]
    done = subprocess.run(
        ["sh", "-c", _ENTER, "sh", str(inside), sys.executable, "-c", _STREAM, str(place), mounts, *stream],
        check=False,
        capture_output=True,
        timeout=120,
    )
    until_s = time.monotonic() + 30
    # Its guard is the last to go.
    while (inside / "cgroup.procs").read_text() and time.monotonic() < until_s:
        time.sleep(0.02)
    return done


@pytest.mark.parametrize("option", ["--cgroup=/below", "--container=8f3a0c11d2e4"])
def test_cgroups_are_refused_with_the_remedy(tmp_path: Path, option: str) -> None:
    name = f"ebpftop-test-{os.getpid()}-ns"
    with cgroup(name) as inside, cgroup(f"{name}/below"):
        done = _in_a_namespace(tmp_path, inside, option)
    assert done.returncode == 1, done.stderr
    assert b"means other cgroups in a cgroup namespace" in done.stderr
    assert b"--cgroupns=host" in done.stderr


def test_without_them_it_works(tmp_path: Path) -> None:
    with cgroup(f"ebpftop-test-{os.getpid()}-ns") as inside:
        done = _in_a_namespace(tmp_path, inside)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["kind"] == "header"
