"""The screen's thread comes before those that collect, and the session gets back what was its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from benchmarks.terminal import Screen

from ebpftop.lifecycle.priority import SCREEN_NICE


@pytest.mark.parametrize("key", [b"q", b"\x03", b""], ids=["q", "ctrl-c", "killed"])
def test_the_screen_comes_before_its_collectors_and_nothing_of_it_stays(key: bytes) -> None:
    if os.getpriority(os.PRIO_PROCESS, 0) != 0:
        pytest.fail("run it at nice 0")
    # The shell has the session; ebpftop is a guest in it.
    command = f"{os.path.dirname(sys.executable)}/ebpftop live; sleep 100"
    shell = Screen(["sh", "-c", command], (120, 35))
    try:
        assert shell.wait_for(b"EXECS/s")
        time.sleep(1)
        pid = int(Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()[0])
        tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        nices = {task: os.getpriority(os.PRIO_PROCESS, task) for task in tasks}
        assert nices[pid] == SCREEN_NICE
        assert sum(nice == 0 for nice in nices.values()) >= 4, nices
        helpers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert [os.getpriority(os.PRIO_PROCESS, int(helper)) for helper in helpers] == [0, 0, 0]
        grouped = Path(f"/proc/{pid}/autogroup")
        if grouped.exists():
            assert grouped.read_text().split()[-1] == str(SCREEN_NICE)
        if key:
            shell.press(key)
        else:
            os.kill(pid, signal.SIGKILL)
        shells = Path(f"/proc/{shell.pid}/autogroup")
        until_s = time.monotonic() + 20
        while shells.exists() and shells.read_text().split()[-1] != "0":
            assert time.monotonic() < until_s, shells.read_text()
            time.sleep(0.05)
    finally:
        shell.close()
