"""ebpftop in a pid namespace: its own numbers mean other processes to the kernel, and to ebpftop elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ebpftop.kernel import tracefs
from ebpftop.leftovers import INSTANCE_PREFIX

_IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
_STREAM = """
import os, sys
from ebpftop.__main__ import main
sys.argv = ['ebpftop', 'stream', '--probes', 'users', '--duration', '2']
main()
"""


def test_it_hides_nobody_and_says_that_it_is_shown_itself() -> None:
    done = subprocess.run(
        [*_IN_A_NAMESPACE, sys.executable, "-c", _STREAM], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert b"ebpftop itself is shown too" in done.stderr
    assert b"--pid=host" in done.stderr
    assert json.loads(done.stdout.splitlines()[0])["kind"] == "header"


def test_what_ebpftop_of_another_namespace_made_in_tracefs_is_left_alone() -> None:
    """Its pid is nobody's in a namespace that has a handful of processes."""
    place = tracefs.mount_privately()
    assert place is not None
    instance = Path(place) / "instances" / f"{INSTANCE_PREFIX}{os.getpid()}"
    instance.mkdir()
    code = f"""
from pathlib import Path
from ebpftop.kernel import tracefs
tracefs.remove_leftovers(Path({str(place)!r}))
"""
    try:
        subprocess.run([*_IN_A_NAMESPACE, sys.executable, "-c", code], check=True, timeout=60)
        assert instance.exists()
    finally:
        instance.rmdir()
