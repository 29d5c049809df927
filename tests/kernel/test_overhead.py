"""What ebpftop says that it costs, held against what the kernel says of the same programs and the same process."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ebpftop.kernel import bpf_syscall
from tests.kernel.support import Stream, compile_c, needs_root, of

pytestmark = [needs_root, pytest.mark.heavy]

# One process that does nothing but call, so that each second costs the same.
CALLS_C = """
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { for (;;) syscall(SYS_getppid); }
"""
_MEASURE_S = 6.0


def run_time_ns(pid: int) -> int:
    """Return how long the programs that process *pid* holds ran, as the kernel shows them in /proc/PID/fdinfo."""
    total, programs = 0, 0
    for entry in Path("/proc", str(pid), "fdinfo").iterdir():
        try:
            fields = dict(line.split(":", 1) for line in entry.read_text().splitlines() if ":" in line)
        except FileNotFoundError:
            continue
        if "run_time_ns" in fields:
            total += int(fields["run_time_ns"])
            programs += 1
    assert programs
    return total


def cpu_s(pid: int) -> float:
    """Return the CPU time of process *pid* (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def test_the_cost_is_what_the_kernel_says_within_a_third(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "calls", CALLS_C)
    stats = bpf_syscall.enable_stats()
    try:
        with subprocess.Popen([program]) as calls, Stream("--interval", "0.05") as stream:
            try:
                time.sleep(1)
                first = len(of("cost", stream.lines))
                began_s, ran_ns, used_s = time.monotonic(), run_time_ns(stream.pid), cpu_s(stream.pid)
                time.sleep(_MEASURE_S)
                wall_s = time.monotonic() - began_s
                kernel = (run_time_ns(stream.pid) - ran_ns) / 1e9 / wall_s
                user = (cpu_s(stream.pid) - used_s) / wall_s
            finally:
                calls.kill()
            told = of("cost", stream.stop())[first:]
    finally:
        bpf_syscall.close_stats(stats)
    assert len(told) >= 2
    assert kernel > 0.02
    assert sum(cost["kernel"] for cost in told) / len(told) == pytest.approx(kernel, rel=1 / 3)
    assert sum(cost["user"] for cost in told) / len(told) == pytest.approx(user, rel=1 / 3, abs=0.01)
