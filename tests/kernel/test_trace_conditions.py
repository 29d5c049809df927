"""Which calls of a traced system call are reported: decided in the kernel, whatever the way there."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.kernel import maps
from ebpftop.probes.syscall_slots import Call
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.errno_names import error_name
from ebpftop.syscalls.tracing import CONDITIONS_MAX
from tests.kernel import syscall_workloads as workloads
from tests.kernel.support import Line, Stream, alone, compile_c, last, needs_root, of, whole

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are x86-64's")]

_PROGRAM = r"""
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	struct timespec moment = {.tv_nsec = 30000000};
	char byte;

	if (count > 1)
		read(0, &byte, 1); /* until whoever started us has asked */
	for (int i = 0; i < 3; i++)
		open("/no/such/file", O_RDONLY);
	for (int i = 0; i < 2; i++)
		close(open("/dev/null", O_RDONLY));
	open("/dev/null/below", O_RDONLY);
	read(-1, &byte, 1);
	nanosleep(&moment, 0);
	if (!fork()) {
		open("/no/such/file", O_RDONLY);
		_exit(0);
	}
	wait(0);
	return 0;
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return compile_c(tmp_path, "asked", _PROGRAM, "-static")


def reported(program: Path, trace: str, expected: Mapping[str, int], *options: str) -> Counter[str]:
    """Return how often each call with its error was reported while *program* ran, again while *expected* are lost."""

    def run() -> list[Line]:
        with Stream("--comm", program.name, "--trace", trace, *options, probes="syscalls") as stream:
            subprocess.run(alone(program), check=True)
            return stream.stop()

    def counted(lines: list[Line]) -> Counter[str]:
        return Counter(f"{line['name']} {line['error']}" for line in of("syscall", lines))

    return counted(whole(run, lambda lines: counted(lines) == expected))


_MIXED = "openat:ENOTDIR,openat:/dev/null,openat:*/file,*sleep:>20ms,all:EBADF,wait4,%signal:>20s"


@pytest.mark.newest
@pytest.mark.parametrize(
    "ways",
    [pytest.param((), marks=pytest.mark.guest), ("--no-latency",), ("--attach", "syscalls=tracepoint")],
    ids=" ".join,
)
def test_only_the_calls_that_meet_a_condition_are_reported(program: Path, ways: tuple[str, ...]) -> None:
    expected = {
        "openat ENOTDIR": 1,
        "openat None": 2,
        "openat ENOENT": 4,
        "clock_nanosleep None": 1,
        "read EBADF": 1,
        "wait4 None": 1,
    }
    assert reported(program, _MIXED, expected, *ways) == expected


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("openat:failed:/dev/*,close:EACCES,*sleep:>20s", {"openat ENOTDIR": 1}),
        ("openat:/dev/*", {"openat None": 2, "openat ENOTDIR": 1}),
        ("%desc:failed", {"openat ENOENT": 4, "openat ENOTDIR": 1, "read EBADF": 1}),
        ("openat:failed,openat", {"openat ENOENT": 4, "openat ENOTDIR": 1, "openat None": 2}),
    ],
)
def test_all_conditions_of_an_item_must_hold_and_one_item_suffices(
    program: Path, trace: str, expected: dict[str, int]
) -> None:
    assert reported(program, trace, expected) == expected


@pytest.mark.guest
@pytest.mark.everywhere
def test_a_condition_on_the_path_of_an_execve_holds_for_one_that_succeeds() -> None:
    with Stream("--pid", str(os.getpid()), "--trace", "execve:*/true", probes="syscalls") as stream:
        subprocess.run(["/bin/true"], check=True, close_fds=True)
        subprocess.run(["/bin/false"], check=False, close_fds=True)
        calls = of("syscall", stream.stop())
    assert [call["args"][0] for call in calls] == ['"/bin/true"']


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.parametrize("trace", ["all:pid={}", "%file:pid={}:failed"])
def test_a_process_is_traced_with_what_it_forks_and_nobody_else(program: Path, trace: str) -> None:
    pids: list[int] = []

    def run() -> list[Line]:
        with subprocess.Popen([program, "wait"], stdin=subprocess.PIPE) as asked:
            pids.append(asked.pid)
            with Stream("--trace", trace.format(asked.pid), probes="syscalls") as stream:
                subprocess.run([program], check=True)
                asked.communicate(b"x")
                return stream.stop()

    calls = of("syscall", whole(run))
    assert Counter(call["name"] for call in calls if call["error"] in ("ENOENT", "ENOTDIR")) == {"openat": 5}
    children = {call["pid"] for call in calls} - {pids[-1]}
    assert len(children) == 1, "the child, and nobody else"
    if trace.startswith("all"):
        assert {"exit_group", "wait4", "close", "read"} <= {call["name"] for call in calls}
    else:
        assert {call["name"] for call in calls} == {"openat"}


def test_calls_that_are_not_reported_are_counted_and_take_nothing_of_the_budget(tmp_path: Path) -> None:
    many = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Stream("--comm", "getppids", "--trace", "getppid:failed", probes="syscalls") as stream:
        subprocess.run([many, "50000"], check=True)
        lines = stream.stop()
    assert not of("syscall", lines)
    assert not of("lost", lines)
    reading = last("syscalls", lines)
    assert {row["name"]: row["count"] for row in reading["rows"]}["getppid"] == 50_000
    (slot,) = [slot for slot in reading["table"] if (slot["abi"], slot["name"]) == ("x86_64", "getppid")]
    assert (slot["handler"], slot["conditions"]) == ("trace", ["failed"])


def test_a_call_that_is_no_longer_asked_for_when_it_returns_is_not_reported() -> None:
    source = KernelSource(Options(probes=("syscalls",), filter=Filter(pids=(os.getpid(),))))
    try:
        source.set_handlers([("x86_64", 230)], "trace", ["failed"])
        with subprocess.Popen(["sleep", "1"]):
            time.sleep(0.5)
            source.set_handlers([("x86_64", 230)], "count")
        records = [record for batch in source.read_all() for record in batch.records]
    finally:
        source.close()
    rows = {row.name: row.count for reading in records if isinstance(reading, Syscalls) for row in reading.rows}
    assert rows["clock_nanosleep"] >= 1
    assert not [record for record in records if isinstance(record, Syscall)]


def test_conditions_that_nobody_uses_any_more_make_room_and_follow_nobody() -> None:
    calls: list[Call] = [("x86_64", 257)]
    source = KernelSource(Options(probes=("syscalls",)))
    try:
        module = source.find(SyscallsProbe).module
        assert module is not None
        for error in range(1, 3 * CONDITIONS_MAX):
            source.set_handlers(calls, "trace", [error_name(error)])
        for nr in range(CONDITIONS_MAX - 1):
            source.set_handlers([("x86_64", nr)], "trace", [f">{nr + 1}s"])
        with pytest.raises(SourceError, match="8 different conditions"):
            source.set_handlers([("x86_64", 30)], "trace", [">30s"])
        source.set_handlers([("x86_64", nr) for nr in range(20)], "count")
        source.set_handlers(calls, "trace", [f"pid={os.getpid()}"])
        followed = source._filter._module.table("filter_pids")
        assert maps.has_entries(followed, 4)
        source.set_handlers(calls, "count")
        assert not maps.has_entries(followed, 4)
        with pytest.raises(SourceError, match="no such process"):
            source.set_handlers(calls, "trace", ["pid=4194304"])
        assert source.find(SyscallsProbe)._table.handler(("x86_64", 257)) == "count"
        with pytest.raises(SourceError, match="unknown condition"):
            source.set_handlers(calls, "trace", ["nonsense"])
        # A probe that is detached follows nobody, and does so again when it is attached.
        source.set_handlers(calls, "trace", [f"pid={os.getpid()}"])
        source.toggle("syscalls")
        assert not maps.has_entries(followed, 4)
        source.toggle("syscalls")
        assert maps.has_entries(followed, 4)
    finally:
        source.close()
