"""`ebpftop serve` on this kernel: its counters are what was done, and a real Prometheus gets all of it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from ebpftop.core.ending_records import Endings
from ebpftop.filters.spec import Filter
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import EMULATED, compile_c, needs_root
from tests.kernel.workload_context import WANTED_UID, in_child, many_programs
from tests.prometheus import Prometheus, needs_prometheus

pytestmark = needs_root

ME = Filter(pids=(os.getpid(),))

# Processes whose last two threads end at the same moment, each of which may see itself as the last.
TWINS = r"""
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int ready;
static void *twin(void *unused)
{
	__sync_fetch_and_add(&ready, 1);
	while (ready < 2)
		;
	syscall(SYS_exit, 0);
	return NULL;
}
int main(int argc, char **argv)
{
	for (int i = atoi(argv[1]); i > 0; i--)
		if (fork() == 0) {
			pthread_t other;
			pthread_create(&other, NULL, twin, NULL);
			twin(NULL);
		} else {
			wait(NULL);
		}
	return argc != 2;
}
"""


def endings_of(source: KernelSource) -> dict[tuple[str, str], int]:
    """Return how processes ended until now."""
    readings = [record for batch in source.read_all() for record in batch.records if isinstance(record, Endings)]
    return {(row.reason, row.signal): row.count for row in readings[-1].rows}


def end_with(*statuses: int) -> None:
    """Have a process end with each of *statuses*; a negative one is a signal."""
    for status in statuses:
        pid = os.fork()
        if pid == 0:
            if status < 0:
                with suppress(OSError):  # SIGKILL cannot be handled
                    signal.signal(-status, signal.SIG_DFL)
                os.kill(os.getpid(), -status)
            os._exit(status)
        os.waitpid(pid, 0)


def fail_to_execute(file: Path, count: int) -> None:
    for _ in range(count):
        with suppress(OSError):
            os.execv(file, [str(file)])


@pytest.mark.parametrize(
    "events", [pytest.param(False, id="only", marks=pytest.mark.guest), pytest.param(True, id="with-events")]
)
def test_ends_are_counted_once_each_through_all_toggles(events: bool, tmp_path: Path) -> None:
    twins = compile_c(tmp_path, "twins", TWINS, "-pthread")
    source = KernelSource(Options(probes=("execs",), filter=ME, exec_events=events))
    try:
        end_with(0, 0, 1, 255, -9, -11, -34)
        expected = {("ok", ""): 2, ("error", ""): 2}
        expected |= {("signal", name): 1 for name in ("SIGKILL", "SIGSEGV", "SIGRTMIN")}
        assert endings_of(source) == expected
        source.toggle("execs")
        end_with(0, 3, -9)
        source.toggle("execs")
        assert endings_of(source) == expected
        # One in a thousand is a pair of which the second one no longer sees the first.
        pairs = 100 if events or EMULATED else 2000
        subprocess.run([twins, str(pairs)], check=True)
        end_with(-9)
        assert endings_of(source) == expected | {("ok", ""): 2 + pairs + 1, ("signal", "SIGKILL"): 2}
    finally:
        source.close()


class Serving:
    """`ebpftop serve` as a child process, of what this process and its descendants do."""

    def __init__(self, *arguments: str) -> None:
        words = ["serve", "--pid", str(os.getpid()), "--interval", "0.1", *arguments]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "ebpftop", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.child.stderr is not None
        self.first = self.child.stderr.readline()
        found = re.search(r"http://127.0.0.1:(\d+)/metrics", self.first)
        self.port = int(found[1]) if found else 0

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.stop()

    def stop(self) -> tuple[int, str, str]:
        """End it; return its status, and what it wrote."""
        self.child.send_signal(signal.SIGTERM)
        stdout, stderr = self.child.communicate(timeout=60)
        return self.child.returncode, stdout, stderr

    def text(self) -> str:
        """Return the metrics."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("GET", "/metrics")
        return client.getresponse().read().decode()

    def counted(self) -> dict[str, float]:
        """Return all series that are not 0, by their names and labels."""
        lines = (line.rpartition(" ") for line in self.text().splitlines() if not line.startswith("#"))
        return {name.removeprefix("ebpftop_"): float(number) for name, _, number in lines if float(number)}

    def settled(self) -> dict[str, float]:
        """Return them as of a reading that began from now on."""

        def read_after(moment: float) -> Callable[[], dict[str, float] | None]:
            return lambda: found if (found := self.counted())["reading_timestamp_seconds"] > moment else None

        # The first one may have begun before.
        first = wait_for(read_after(time.time()))
        return wait_for(read_after(first["reading_timestamp_seconds"]))


_Found = TypeVar("_Found")


def wait_for(get: Callable[[], _Found | None], timeout_s: float = 60.0) -> _Found:
    until_s = time.monotonic() + timeout_s
    while (found := get()) is None:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    return found


def test_the_counters_are_what_was_done(tmp_path: Path) -> None:
    denied, no_program = tmp_path / "denied", tmp_path / "none"
    denied.write_text("#!/bin/sh\n")
    no_program.write_text("\x01\x02")
    no_program.chmod(0o755)
    file = tmp_path / "a.prom"
    with Serving("--listen", "127.0.0.1:0", "--textfile", str(file)) as serving:
        before = serving.settled()

        def work() -> None:
            for path, count in ((tmp_path / "missing", 5), (denied, 3), (no_program, 2)):
                fail_to_execute(path, count)
            for _ in range(40):
                with suppress(OSError):
                    os.close(-1)
            end_with(0, 1, 1, -11, -9, -9)
            os.execv("/bin/sh", ["/bin/sh", "-c", "for i in 1 2 3 4; do /bin/true; done; /bin/false; exit 0"])

        tmp_path.chmod(0o755)
        for folder in tmp_path.parents[:2]:
            folder.chmod(0o755)
        in_child(work, uid=WANTED_UID)
        now = serving.settled()
        grown = {name: number - before.get(name, 0) for name, number in now.items() if number > before.get(name, 0)}
        user = f'uid="{WANTED_UID}",user=""'
        assert grown[f"execs_total{{{user}}}"] == 10 + 6
        assert grown[f"exec_failures_total{{{user}}}"] == 10
        errors = {name: number for name, number in grown.items() if name.startswith("exec_errors_total")}
        assert errors == {
            f'exec_errors_total{{errno="{code}"}}': count
            for code, count in (("ENOENT", 5), ("EACCES", 3), ("ENOEXEC", 2))
        }
        ends = {name: number for name, number in grown.items() if name.startswith("process_exits_total")}
        assert ends == {
            'process_exits_total{reason="ok",signal=""}': 1 + 4 + 1,
            'process_exits_total{reason="error",signal=""}': 2 + 1,
            'process_exits_total{reason="signal",signal="SIGSEGV"}': 1,
            'process_exits_total{reason="signal",signal="SIGKILL"}': 2,
        }
        (closing,) = (name for name in grown if 'syscall="close",errno="EBADF"' in name)
        assert grown[closing] == 40
        waits = [name for name in grown if name.startswith("syscall_duration_seconds_count") and '"wait4"' in name]
        assert grown[waits[0]] == grown[waits[0].replace("syscall_duration_seconds_count", "syscalls_total")]
        assert {f'probe_up{{probe="{probe}"}}' for probe in ("execs", "users", "syscalls")} <= now.keys()
        assert not [name for name in now if name.startswith("lost_total")]
        assert "ebpftop_execs_total" in file.read_text()
        again = Serving("--listen", f"127.0.0.1:{serving.port}")
        assert again.child.wait(60) == 1
        assert "Address already in use; name another one" in again.first
        again.stop()
        status, stdout, stderr = serving.stop()
    assert (status, stdout, stderr) == (0, "", "")
    assert not file.exists()


@pytest.mark.heavy
@needs_prometheus
def test_a_prometheus_that_was_stopped_meanwhile_misses_nothing(tmp_path: Path) -> None:
    ends = 'ebpftop_process_exits_total{reason="ok",signal=""}'
    with Serving("--listen", "127.0.0.1:0") as serving:
        prometheus = Prometheus(tmp_path, serving.port)

        def catch_up() -> Sequence[list[float]]:
            """Return all samples once there is one of what happened until now."""
            since = time.time() + 0.5
            return wait_for(lambda: found if (found := prometheus.values(ends)) and found[-1][0] > since else None)

        with prometheus.running():
            catch_up()
            in_child(many_programs(20))
            catch_up()
        in_child(many_programs(30))  # nobody looks
        with prometheus.running():
            catch_up()
            in_child(many_programs(10))
            values = catch_up()
            ended = 60 + 3 + 1  # with the shells, and the first Prometheus
            assert float(values[-1][1]) - float(values[0][1]) == ended
            # From the first sample to the last, nothing is extrapolated.
            first, last = values[0][0], values[-1][0]
            (increase,) = prometheus.ask(f"increase({ends}[{round((last - first) * 1000)}ms])", last)
            assert float(increase["value"][1]) == pytest.approx(ended, abs=0.1)
            (errors,) = prometheus.ask("sum(scrape_samples_scraped) - sum(scrape_samples_post_metric_relabeling)")
            assert float(errors["value"][1]) == 0
