"""ebpftop in a time namespace, where its clocks are not those of the kernel's events."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.kernel.support import Stream, last, needs_root, of

pytestmark = needs_root

# It runs in the namespace from its execve on (Linux 6.0).
_IN_A_NAMESPACE = ("unshare", "--time", "--monotonic", "50000", "--boottime", "100000")


def test_what_it_tells_has_the_times_that_it_has_elsewhere(tmp_path: Path) -> None:
    sleep = shutil.copy("/bin/sleep", tmp_path / "slumbers")  # others sleep too
    stream = Stream("--comm", "slumbers", "--trace", "clock_nanosleep", probes="execs,syscalls,trace")
    stream.command = [*_IN_A_NAMESPACE, *stream.command]
    with subprocess.Popen([sleep, "60"]) as before:
        began_s, since_boot_s = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
        with stream:
            subprocess.run([sleep, "0.3"], check=True)
            stream.wait_for(lambda lines: of("syscall", lines) and of("trace", lines))
            stream.wait_for(lambda lines: of("syscalls", lines) and last("syscalls", lines)["in_flight"])
            lines = stream.stop()
        ended_s = time.time()
        before.kill()
    (started,) = of("exec", lines, argv=[str(sleep), "0.3"])
    (ended,) = of("exit", lines)
    assert (ended["pid"], ended["start_ns"]) == (started["pid"], started["start_ns"]), (
        "whoever still runs has not ended"
    )
    lately = [line["time"] for kind in ("exec", "exit", "trace", "syscall") for line in of(kind, lines)]
    assert all(began_s <= moment <= ended_s for moment in lately), lately
    assert 0.3 <= ended["duration_s"] <= ended_s - began_s
    (process,) = of("process", lines, pid=before.pid)
    boot_ns = last("syscalls", lines)["boot_ns"]
    starts = (process["start_ns"], started["start_ns"], boot_ns)
    assert all(abs(start / 1e9 - since_boot_s) < ended_s - began_s + 1 for start in starts), starts
    hanging = {call["pid"]: call["ns"] / 1e9 for call in last("syscalls", lines)["in_flight"]}
    assert 0 <= hanging[before.pid] <= ended_s - began_s, hanging
