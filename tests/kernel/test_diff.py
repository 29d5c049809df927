"""`ebpftop diff` on recordings of the running kernel: a program that ran in the second one only is found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from ebpftop.models.changed_rows import Changed
from tests.kernel.support import needs_root

pytestmark = needs_root

# Only what the test itself starts, so that others on the machine change nothing.
ME = ("--pid", str(os.getpid()), "--interval", "0.5")
SECONDS = 8.0


def record(path: Path, *programs: str) -> None:
    """Record for some seconds in which each of *programs* is started again and again."""
    command = [sys.executable, "-m", "ebpftop", "record", str(path), "--duration", f"{SECONDS:g}", *ME]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until_s = time.monotonic() + 60
    while child.poll() is None:
        assert time.monotonic() < until_s
        for program in programs:
            subprocess.run(
                [program, "/no/such/file"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        time.sleep(0.05)
    assert child.wait() == 0, child.communicate()[1]
    child.communicate()


def test_a_program_that_ran_in_the_second_recording_only_is_found(tmp_path: Path) -> None:
    before, after = tmp_path / "before.zst", tmp_path / "after.zst"
    record(before, "/bin/true", "/bin/cat")
    record(after, "/bin/true", "/bin/cat", "/bin/readlink", "/bin/mkdir")
    done = subprocess.run(
        [sys.executable, "-m", "ebpftop", "diff", str(before), str(after), "--json"], check=True, capture_output=True
    )
    changed = msgspec.json.decode(done.stdout, type=Changed)
    found = {(row.mark, row.what, row.name) for row in changed.rows}
    assert {("+", "program", "readlink"), ("+", "program", "mkdir"), ("+", "call", "mkdir")} <= found
    assert ("+", "errno", "ENOENT of mkdir") in found
    assert ("+", "exit", "mkdir exit 1") in found
    assert not found & {("+", "program", "true"), ("-", "program", "true"), ("+", "program", "cat")}
