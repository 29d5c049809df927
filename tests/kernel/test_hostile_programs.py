"""What hostile programs tried, and ebpftop held: many of everything, and names that are no names."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Cost
from ebpftop.filters.spec import Filter
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Line, Stream, compile_c, last, needs_root, of
from tests.kernel.workload_context import cgroup

pytestmark = [needs_root, pytest.mark.heavy]

FLOOD = Path(__file__).parents[2] / "benchmarks/flood.c"
ME = ("--pid", str(os.getpid()))
RENAMES = 300_000
CGROUPS = 300
BINARIES = 1000
CHANGES = 100
INSTANCES = 5


@pytest.fixture
def flood(tmp_path: Path) -> Path:
    return compile_c(tmp_path, "flood", FLOOD.read_text())


def test_a_process_that_renames_itself_without_end_is_counted_to_the_call(flood: Path) -> None:
    with Stream(*ME, probes="syscalls") as stream:
        done = subprocess.run([flood, "rename", "0", str(RENAMES), "60"], check=True, capture_output=True, text=True)
        reading = last("syscalls", stream.stop())
    assert int(done.stdout.split()[0]) == RENAMES
    assert {row["name"]: row["count"] for row in reading["rows"]}["prctl"] == RENAMES
    assert all(process["comm"].isprintable() for process in reading["processes"])


def test_many_cgroups_with_names_full_of_escapes_are_told_each(flood: Path) -> None:
    with cgroup(f"held-{os.getpid()}") as folder, Stream(*ME, probes="execs") as stream:
        try:
            command = [str(flood), "cgroups", "0", str(CGROUPS), "60", str(folder), "/bin/true"]
            subprocess.run(command, check=True, capture_output=True)
            told = {line["cgroup"] for line in of("exec", stream.stop(), comm="true")}
        finally:
            for path in folder.iterdir():
                if path.is_dir():
                    path.rmdir()
    assert told == {f"/held-{os.getpid()}/{number}\\x1b]0;A\\x07[red]\\xff" for number in range(CGROUPS)}


def test_many_programs_are_told_each_under_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "true").write_bytes(Path("/bin/true").read_bytes())
    (tmp_path / "true").chmod(0o755)
    paths = [tmp_path / f"{number}\x1b[31m\n" for number in range(BINARIES)]
    with Stream(*ME, probes="execs") as stream:
        for path in paths:
            path.hardlink_to(tmp_path / "true")
            subprocess.run([path], check=True)
        lines = stream.stop()
    assert [line["file"] for line in of("exec", lines)] == [
        str(tmp_path / f"{number}\\x1b[31m\\x0a") for number in range(BINARIES)
    ]


@pytest.fixture
def source() -> Iterator[KernelSource]:
    opened = KernelSource(Options(filter=Filter(pids=(os.getpid(),))))
    yield opened
    opened.close()


def open_files(source: KernelSource) -> list[str]:
    """Return what this process has open, between two samples of what ebpftop costs: one keeps a descriptor open."""
    until_s = time.monotonic() + 60
    while not any(isinstance(record, Cost) for batch in source.read_all() for record in batch.records):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    fds = Path("/proc/self/fd")
    return sorted(os.readlink(fds / fd) for fd in os.listdir(fds) if (fds / fd).is_symlink())


def test_a_filter_that_changes_all_the_time_leaks_nothing_and_holds_at_the_end(source: KernelSource) -> None:
    wanted = Filter(pids=(os.getpid(),))
    source.set_filter(wanted)
    before = open_files(source)
    for number in range(CHANGES):
        source.set_filter(Filter(uids=(number,), comms=(f"name{number}*",)) if number % 2 else Filter())
        if number % 50 == 0:
            source.read_all()
    source.set_filter(wanted)
    source.read_all()
    subprocess.run(["/bin/true", "at the end"], check=True)
    seen = [record for batch in source.read_all() for record in batch.records if isinstance(record, Exec)]
    assert [record.argv for record in seen] == [("/bin/true", "at the end")]
    assert open_files(source) == before


def greetings(lines: Sequence[Line], pids: list[int]) -> list[int]:
    """Return how often each of *pids* was greeted."""
    return [len(of("trace", lines, pid=pid, message="Hello World!")) for pid in pids]


def test_several_instances_see_all_each() -> None:
    words = [str(number) for number in range(20)]
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(*ME, probes="execs,trace")) for _ in range(INSTANCES)]
        pids = []
        for word in words:
            child = subprocess.Popen(["/bin/true", word])
            pids.append(child.pid)
            child.wait()
        every = [stream.stop() for stream in streams]
    for lines in every:
        assert [line["argv"][1] for line in of("exec", lines, comm="true")] == words
        # Each shows its own greeting, and not those of the others.
        assert greetings(lines, pids) == [1] * len(pids)
