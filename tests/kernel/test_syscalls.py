"""System calls on the running kernel: each is counted once, timed and told as what it was."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ebpftop.core.records import Lost, Record
from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import InFlight, ProcessCalls, Syscall, SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bpf_syscall, maps, task_cache_map
from ebpftop.kernel.bpf_syscall import fentry_refusal
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.offsets import function_id
from ebpftop.probes import busiest_callers, pair_figures, syscall_callers, syscall_counters, syscall_processes
from ebpftop.probes import syscall_programs as probe
from ebpftop.probes.entered_before import EnteredBefore
from ebpftop.probes.syscalls import SyscallsProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.tracing import TracedCall
from tests.kernel import syscall_workloads as workloads
from tests.kernel.support import Line, Stream, compile_c, last, needs_root, of, whole

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are x86-64's")]


def rows(lines: list[Line]) -> dict[tuple[str, int], Line]:
    """Return the counters of the last reading by ABI and number."""
    return {(row["abi"], row["nr"]): row for row in last("syscalls", lines)["rows"]}


def by_name(lines: list[Line]) -> dict[str, Line]:
    """Return the counters of the last reading of x86-64's calls by name."""
    return {row["name"]: row for (abi, _), row in rows(lines).items() if abi == "x86_64"}


def watched(program: Path, *arguments: str, options: tuple[str, ...] = ()) -> list[Line]:
    """Return what a stream said while *program* ran from beginning to end, of this program alone."""
    with Stream("--comm", program.name, *options, probes="syscalls") as stream:
        subprocess.run([program, *arguments], check=True)
        return stream.stop()


def watched_whole(program: Path, options: tuple[str, ...]) -> list[Line]:
    """Watch *program* until nothing of a run was lost."""
    return whole(lambda: watched(program, options=options))


class Live:
    """A source of this process's own, asked when it suits the test."""

    def __init__(self, comm: str, **options: object) -> None:
        fields: dict[str, object] = {"probes": ("syscalls",), "filter": Filter(comms=(comm,)), **options}
        self.source = KernelSource(Options(**fields))  # type: ignore[arg-type]  # of any field
        self.records: list[Record] = []

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_error: object) -> None:
        self.source.close()

    def read_records(self) -> list[Record]:
        """Return all records until now."""
        self.records += [record for batch in self.source.read_all() for record in batch.records]
        return self.records

    def read(self) -> Syscalls:
        """Return the counters now."""
        return next(record for record in reversed(self.read_records()) if isinstance(record, Syscalls))

    def poll_readings(self, count: int) -> list[Syscalls]:
        """Return the next *count* readings that are due."""
        found: list[Syscalls] = []
        while len(found) < count:
            batch = self.source.poll("syscalls", 1.0)
            found += [record for record in (batch.records if batch else ()) if isinstance(record, Syscalls)]
        return found

    def row(self, name: str) -> SyscallRow | None:
        """Return the counters of one call now."""
        return next((row for row in self.read().rows if row.name == name), None)

    def traced(self) -> list[Syscall]:
        """Return the traced calls so far."""
        self.read()
        return [record for record in self.records if isinstance(record, Syscall)]

    def waiting(self, pid: int) -> int:
        """Return how many calls of a process the kernel's map holds."""
        module = self.source.find(SyscallsProbe).module
        assert module is not None
        size = syscall_counters.WAITING.size
        return sum(
            syscall_counters.WAITING.unpack(value)[3] == pid
            for _, value in maps.items(module.table("waiting"), 8, size)
        )


# ---- Truth ----


@pytest.mark.parametrize(
    "options",
    [pytest.param((), marks=pytest.mark.guest), ("--attach", "syscalls=tracepoint"), ("--no-latency",)],
    ids=" ".join,
)
def test_every_call_is_counted_once_under_its_own_number(tmp_path: Path, options: tuple[str, ...]) -> None:
    seen = rows(watched_whole(compile_c(tmp_path, "golden", workloads.GOLDEN), options))
    counts = {call: row["count"] for call, row in seen.items()}
    assert counts["x86_64", 57] == 10, "fork: its children return from it too, and never entered it"
    assert counts["x86_64", 15] == 10, "rt_sigreturn: leaves with number -1"
    assert counts["x86_64", 231] == 11, "exit_group: never returns"
    assert counts["i386", 20] == 10, "int80 getpid: number 20 is writev to x86-64"
    assert ("x86_64", 20) not in counts
    assert counts["x32", 39] == 10
    assert ("x86_64", 39) not in counts
    assert counts["x86_64", 9999] == 10
    assert counts["x32", 9999] == 10
    assert counts["x86_64", -1] == 10
    assert seen["x86_64", 9999]["name"] == "syscall_9999"
    assert seen["i386", 20]["name"] == seen["x32", 39]["name"] == "getpid"
    if "--no-latency" not in options:
        assert sum(seen["x86_64", 57]["histogram_ns"]) == 10
        assert sum(seen["x86_64", 15]["histogram_ns"]) == 10
        assert seen["x86_64", 130]["errors"] == 10, "rt_sigsuspend"
        assert seen["x86_64", 15]["errors"] == 0, "rt_sigreturn: the error is that of the call that it goes back to"
        assert sum(seen["x86_64", 231]["histogram_ns"]) == 0
        assert seen["x32", 39]["errnos"] in ({}, {"ENOSYS": 10}), "kernels without x32 refuse it"
        for call in (("x86_64", 9999), ("x86_64", -1), ("x32", 9999)):
            assert (seen[call]["errors"], seen[call]["errnos"]) == (10, {"ENOSYS": 10})


@pytest.mark.guest
@pytest.mark.everywhere
def test_every_call_is_counted_at_the_function_too_if_this_kernel_allows_it(tmp_path: Path) -> None:
    """Except those that the kernel does not have: it answers them without that function."""
    program = compile_c(tmp_path, "golden", workloads.GOLDEN)
    functions: list[str] = []
    with suppress(OSError):  # a kernel may refuse even this
        functions = Path("/sys/kernel/tracing/available_filter_functions").read_text().split("\n")
    found = function_id("x64_sys_call")
    with Live("golden", attach={"syscalls": "fentry"}, latency=False, processes=False) as live:
        if "x64_sys_call" not in functions or found is None or fentry_refusal(found) is not None:
            assert [record.state for record in live.source.failed] == ["failed"]
            states = {attempt.via: attempt.state for attempt in live.source.failed[0].attempts}
            assert (
                states.pop("fentry:x64_sys_call", "failed") == "failed"
            )  # it is listed if the kernel has the function
            assert states == {
                "raw_tracepoint:sys_enter": "off",
                "tracepoint:raw_syscalls:sys_enter": "off",
            }
            return
        subprocess.run([program], check=True)
        counts = {(row.abi, row.nr): row.count for row in live.read().rows}
        families = live.read().families
    with Live("golden", attach={"syscalls": "raw_tracepoint"}, latency=False, processes=False) as live:
        subprocess.run([program], check=True)
        expected = {(row.abi, row.nr): row.count for row in live.read().rows}
        assert live.read().families == families
    unknown = {("x86_64", -1), ("x86_64", 9999), ("x32", 9999)} | ({("x32", 39)} - counts.keys())
    assert expected == counts | dict.fromkeys(unknown, 10)
    assert counts["i386", 20] == 10


def test_more_unknown_numbers_than_there_is_room_for_are_counted_as_lost(tmp_path: Path) -> None:
    lines = watched(compile_c(tmp_path, "unknown", workloads.UNKNOWN_NUMBERS, "-static"))
    counted = sum(row["count"] for (_, nr), row in rows(lines).items() if nr >= 2000)
    failed = sum(row["errors"] for (_, nr), row in rows(lines).items() if nr >= 2000)
    lost = sum(line["count"] for line in of("lost", lines, probe="syscalls", where="map"))
    # Their errors have a map of their own.
    assert (counted, failed) == (1024, 1024)
    assert lost == 2 * (1100 - 1024)


# Calls of DENIED that never reach sys_enter: how often each happens for its argument, and how they end.
DENIED = {
    ("x86_64", 83): {"EPERM": 200},  # mkdir
    ("x86_64", 84): {},  # rmdir
    ("x86_64", 121): {},  # getpgid: SIGSYS
    ("i386", 39): {"EACCES": 200},  # mkdir
}


@pytest.mark.guest
@pytest.mark.newest
def test_calls_that_seccomp_denies_are_calls(tmp_path: Path) -> None:
    lines = watched(compile_c(tmp_path, "denied", workloads.DENIED, "-pthread"), "100")
    seen = rows(lines)
    if kernel_version() > (6, 18):  # programs may be passed over there: see the test of preempted programs
        lost = sum(line["count"] for line in of("lost", lines, probe="syscalls", where="recursion"))
        assert all(200 - lost <= seen[call]["count"] <= 200 for call in DENIED)
        return
    assert {call: (seen[call]["count"], seen[call]["errnos"]) for call in DENIED} == {
        call: (200, errors) for call, errors in DENIED.items()
    }
    assert all(seen[call]["histogram_ns"] == [] for call in DENIED), "nobody knows when they began"
    assert (seen["x86_64", 110]["count"], sum(seen["x86_64", 110]["histogram_ns"])) == (200, 200)
    by_process = {(row["abi"], row["nr"]): row for row in last("syscalls", lines)["processes"]}
    assert {call: (by_process[call]["count"], by_process[call]["errors"]) for call in DENIED} == {
        call: (200, sum(errors.values())) for call, errors in DENIED.items()
    }
    clones = [row["count"] for (_, nr), row in seen.items() if nr in (56, 435) and row["abi"] == "x86_64"]
    assert clones == [1], "the new thread's return is no call"
    assert ("x86_64", 59) not in seen, "its execve was entered under a name that nobody asked for"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its program sets registers of x86-64")
def test_what_a_tracer_takes_away_is_no_call_of_any_number(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "skipped", workloads.SKIPPED_BY_TRACER)
    with Stream("--comm", program.name, probes="syscalls") as stream:
        assert subprocess.run([program, "100"], capture_output=True, check=True).stdout == b"100\n"
        seen = rows(stream.stop())
    assert seen["x86_64", 101]["count"] > 100, "its tracer's calls are seen"
    assert ("x86_64", 83) not in seen, "no mkdir reached the kernel"
    assert [key for key in seen if not 0 <= key[1] < 1024] == []


def test_calls_that_seccomp_denies_of_a_program_that_ran_before(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "denied", workloads.DENIED, "-pthread")
    with subprocess.Popen([program, "100", "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.read(5) == b"ready"
        with Stream("--comm", "denied", probes="syscalls") as stream:
            child.stdin.write(b"x")
            child.stdin.close()
            assert child.wait() == 0
            seen = rows(stream.stop())
    assert {call: seen[call]["count"] for call in DENIED} == dict.fromkeys(DENIED, 200)
    assert ("x86_64", 0) not in seen, "the read that it was in when we came is none of ours"


def test_no_call_is_counted_twice_when_too_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "WAITING_MAX", 2)
    program = compile_c(tmp_path, "churn", workloads.CHURN, "-pthread")
    with Live("churn") as live, subprocess.Popen([program, "400"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(4) == b"done"
        counted = {row.name: row.count for row in live.read().rows}
        child.kill()
        lost = sum(record.count for record in live.records if isinstance(record, Lost) and record.where == "map")
    assert lost > 0
    assert (counted["getppid"], counted["clock_nanosleep"], counted["read"]) == (400, 400, 401)


@pytest.mark.parametrize("options", [(), ("--attach", "syscalls=tracepoint")], ids=" ".join)
def test_calls_that_seccomp_denies_pass_filter_and_table(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = compile_c(tmp_path, "denied", workloads.DENIED, "-pthread")
    other = tmp_path / "other"
    other.symlink_to(program)
    chosen = ("--ignore", "x86_64:rmdir", "--trace", "x86_64:mkdir", *options)
    with Stream("--comm", "denied", *chosen, probes="syscalls") as stream:
        subprocess.run([other, "10"], check=True)
        subprocess.run([program, "10"], check=True)
        lines = stream.stop()
    seen = rows(lines)
    assert {call: seen[call]["count"] for call in DENIED} == {
        call: 0 if call == ("x86_64", 84) else 20 for call in DENIED
    }
    traced = of("syscall", lines)
    if options:
        assert traced == [], "a tracepoint hands over no arguments at the exit"
    else:
        assert [(line["args"], line["ret"], line["error"], line["ns"]) for line in traced] == [
            (['"/nowhere"', "0700"], -1, "EPERM", None)
        ] * 20


@pytest.mark.guest
@pytest.mark.newest
def test_what_is_not_counted_because_a_program_was_preempted_is_told_as_lost(tmp_path: Path) -> None:
    lines = watched(compile_c(tmp_path, "crowd", workloads.CROWD), "4", "20000")
    counted = by_name(lines)["getppid"]["count"]
    # Linux 7.3 runs these programs preemptibly, and passes over whoever comes to one that is not done yet on that CPU.
    lost = sum(line["count"] for line in of("lost", lines, probe="syscalls", where="recursion"))
    assert counted <= 80_000 <= counted + lost
    if kernel_version() <= (6, 18):
        assert (counted, lost) == (80_000, 0)
    assert not of("lost", lines, where="map")


def native_calls(text: str) -> dict[str, int]:
    """Return calls and errors by name of strace's summary."""
    found = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:(\d+) +)?(\w+)$", text, re.MULTILINE)
    return {name: int(calls) for calls, _errors, name in found if name != "total"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("mixed"), "mixedcalls", workloads.MIXED, "-static")


@pytest.fixture(scope="module")
def seen(mixed: Path) -> dict[str, Line]:
    """What we see of it."""
    # Its execve begins under another name and ends under this.
    return {name: row for name, row in by_name(watched(mixed)).items() if name != "execve"}


def test_the_counts_are_those_of_strace(mixed: Path, seen: dict[str, Line], tmp_path: Path) -> None:
    subprocess.run(["strace", "-fc", "-o", tmp_path / "summary", mixed], check=True)
    text = (tmp_path / "summary").read_text()
    theirs = {name: calls for name, calls in native_calls(text).items() if name != "execve"}
    # strace -c leaves out what does not return.
    ours = {name: row["count"] for name, row in seen.items() if name != "exit_group"}
    assert theirs["getpgid"] == 200
    assert ours == {name: calls for name, calls in theirs.items() if name != "exit_group"}
    errors = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +\d+ +(\d+) +(\w+)$", text, re.MULTILINE)
    theirs_failed = {name: int(count) for count, name in errors if name != "total"}
    assert {name: row["errors"] for name, row in seen.items() if row["errors"]} == theirs_failed


def test_the_counts_are_those_of_perf(mixed: Path, seen: dict[str, Line], tmp_path: Path) -> None:
    # perf names events after the kernel's functions.
    renamed = {
        "newfstat": "fstat",
        "newstat": "stat",
        "newlstat": "lstat",
        "newuname": "uname",
        "sendfile64": "sendfile",
    }
    script = (
        "mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing; "
        'exec perf stat -x, -e "syscalls:sys_enter_*" -o "$0" "$1"'
    )
    subprocess.run(["unshare", "--mount", "sh", "-c", script, tmp_path / "stat", mixed], check=True)
    found = re.findall(r"^(\d+),,syscalls:sys_enter_(\w+),", (tmp_path / "stat").read_text(), re.MULTILINE)
    theirs = {renamed.get(name, name): int(count) for count, name in found if int(count)}
    theirs.pop("execve", None)
    assert theirs["getpgid"] == 200
    assert {name: row["count"] for name, row in seen.items()} == theirs


# ---- Latency ----


def test_a_sleep_of_known_length_lands_in_its_bucket(tmp_path: Path) -> None:
    row = by_name(watched(compile_c(tmp_path, "sleeps", workloads.SLEEPS)))["clock_nanosleep"]
    assert row["count"] == 5
    # 2^25 ns are 33 ms, 2^26 are 67; a busy machine only makes it longer.
    assert sum(row["histogram_ns"][:25]) == 0
    assert sum(row["histogram_ns"]) == 5
    assert row["total_ns"] >= 5 * 50_000_000
    assert row["total_ns"] / 5 <= row["max_ns"] <= row["total_ns"]
    assert len(row["histogram_ns"]) - 1 == row["max_ns"].bit_length() - 1


@pytest.mark.guest
@pytest.mark.oldest
def test_the_latencies_of_calls_that_failed_are_counted_apart_too(tmp_path: Path) -> None:
    rows = by_name(watched_whole(compile_c(tmp_path, "refused", workloads.REFUSED), ()))
    row = rows["clock_nanosleep"]
    assert (row["count"], row["errors"]) == (12, 7)
    failed, every = row["failed_histogram_ns"], row["histogram_ns"]
    assert (sum(failed), sum(every)) == (7, 12)
    assert all(failed[i] <= every[i] for i in range(len(failed)))
    assert sum(every[i] - (failed[i] if i < len(failed) else 0) for i in range(25)) == 0, "what slept did not fail"
    assert rows["getppid"]["failed_histogram_ns"] == []


def test_enters_and_exits_are_joined_exactly_and_nothing_leaks_when_threads_come_and_go(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "churn", workloads.CHURN, "-pthread")
    with Live("churn") as live:
        child = subprocess.Popen([program, "2000"], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.read(4) == b"done"
        # The last threads are on their way to where they hang; a reading takes its time, and they would go on in it.
        reading, before = live.read(), None
        while before is None or reading.rows != before.rows:
            time.sleep(0.2)
            reading, before = live.read(), reading
        assert 0 < live.waiting(child.pid) <= 21, "only threads that wait now are in the map"
        child.kill()
        child.wait()
        child.stdout.close()
        assert live.waiting(child.pid) == 0
    by_call = {row.name: row for row in reading.rows}
    assert by_call["getppid"].count == sum(by_call["getppid"].histogram_ns) == 2000
    assert by_call["clock_nanosleep"].count == sum(by_call["clock_nanosleep"].histogram_ns) == 2000
    assert all(n == 0 for n in by_call["clock_nanosleep"].histogram_ns[:15]), "50 us are more than 2^15 ns"
    assert by_call["exit"].count == 2000
    assert sum(by_call["exit"].histogram_ns) == 0
    for row in reading.rows:
        assert sum(row.histogram_ns) <= row.count
        assert row.max_ns <= row.total_ns


# A thread waits for a line, and the first one for the thread.
HANGS = """
import threading
def wait():
    open("/proc/thread-self/comm", "w").write("hangs")
    print(threading.get_native_id(), flush=True)
    input()
open("/proc/self/comm", "w").write("hangs")
thread = threading.Thread(target=wait)
thread.start()
thread.join()
"""


def test_a_call_that_hangs_is_visible_while_it_hangs() -> None:
    with Live("hangs") as live:
        child = subprocess.Popen(
            [sys.executable, "-c", HANGS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None
        assert child.stdout is not None
        tid = int(child.stdout.readline())
        waits: list[InFlight] = []
        until_s = time.monotonic() + 30
        while not waits and time.monotonic() < until_s:
            time.sleep(0.05)
            waits = [call for call in live.read().in_flight if call.tid == tid and call.ns > 1_000_000_000]
        row = live.row("read")
        child.stdin.close()
        child.wait()
        child.stdout.close()
        after = [call for call in live.read().in_flight if call.pid == child.pid]
    assert tid != child.pid
    assert [(call.name, call.comm, call.pid) for call in waits] == [("read", "hangs", child.pid)]
    assert row is not None
    assert row.count == sum(row.histogram_ns) + 1, "it entered and has not returned"
    assert not after


def test_a_call_that_leaves_its_cpu_and_never_returns_is_forgotten_with_its_thread(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "heldexit", workloads.HELD_EXIT)
    with Live("heldexit") as live:
        pid = int(subprocess.run([program], check=True, capture_output=True).stdout)
        row = live.row("exit_group")
        left = live.waiting(pid)
    assert row is not None
    assert row.count == 2
    assert left == 0


def test_a_filter_that_is_set_later_holds_for_the_calls_that_hang_already() -> None:
    mine = Filter(pids=(os.getpid(),))
    with Live("", filter=mine) as live, ExitStack() as stack:
        sleepers = [stack.enter_context(subprocess.Popen(["/bin/sleep", "600"])) for _ in range(2)]
        for sleeper in sleepers:
            stack.callback(sleeper.kill)

        def hang() -> set[int]:
            return {call.pid for call in live.read().in_flight} & {sleeper.pid for sleeper in sleepers}

        until_s = time.monotonic() + 20
        while hang() != {sleeper.pid for sleeper in sleepers}:
            assert time.monotonic() < until_s
            time.sleep(0.1)
        live.source.set_filter(Filter(pids=(sleepers[0].pid,)))
        assert hang() == {sleepers[0].pid}
        live.source.set_filter(mine)
        assert hang() == {sleeper.pid for sleeper in sleepers}


def test_a_call_that_computes_is_visible_while_it_does(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "spins", workloads.SPINS)
    with Live("spins") as live:
        child = subprocess.Popen([program])
        seen: list[InFlight] = []
        until_s = time.monotonic() + 10
        # Where others want its CPU, it has left it, and is among those that wait, until it returns: seen all the same.
        while not any(call.running for call in seen) and time.monotonic() < until_s:
            time.sleep(0.05)
            seen += [call for call in live.read().in_flight if call.pid == child.pid]
        child.kill()
        child.wait()
        after = [call for call in live.read().in_flight if call.pid == child.pid]
    assert {(call.name, call.comm, call.tid) for call in seen} == {("getrandom", "spins", child.pid)}
    assert all(call.ns >= 100_000_000 for call in seen)
    assert not after


# ---- Errors, processes ----


def test_errors_are_counted_by_name_and_by_process(tmp_path: Path) -> None:
    lines = watched(compile_c(tmp_path, "fails", workloads.FAILS, "-static"))
    row = by_name(lines)["openat"]
    assert (row["count"], row["errors"]) == (11, 10)
    assert row["errnos"] == {"ENOENT": 7, "EBADF": 3}
    record = last("syscalls", lines)
    (pair,) = [pair for pair in record["processes"] if pair["name"] == "openat"]
    assert (pair["comm"], pair["count"], pair["errors"]) == ("fails", 11, 10)
    (total,) = record["process_totals"]
    # Everything but the execve, which began under another name.
    assert total["count"] == sum(row["count"] for row in record["rows"])
    assert total["errors"] == sum(row["errors"] for row in record["rows"])


def test_a_result_that_is_only_negative_is_no_error(tmp_path: Path) -> None:
    row = by_name(watched(compile_c(tmp_path, "seeks", workloads.SEEKS_HIGH)))["lseek"]
    assert (row["count"], row["errors"]) == (20, 10)
    assert row["errnos"] == {"EINVAL": 10}


def test_what_falls_out_of_the_bounded_map_is_the_difference_to_the_exact_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscall_callers, "PROCESS_CALLS_MAX", 64)
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids") as live:
        for _ in range(150):
            subprocess.run([program, "3"], check=True)
        reading = live.read()
    (row,) = [row for row in reading.rows if row.name == "getppid"]
    kept = sum(pair.count for pair in reading.processes if pair.name == "getppid")
    assert row.count == 450
    assert 0 < kept < 450
    assert reading.evicted >= 150 - 64, "at most a pair of each process is left"
    assert all(isinstance(pair, ProcessCalls) and pair.comm == "getppids" for pair in reading.processes)


def getppids(reading: Syscalls) -> dict[tuple[int, int], int]:
    """Return how often each process, by pid and start, called getppid."""
    return {(pair.pid, pair.start_ns): pair.count for pair in reading.processes if pair.name == "getppid"}


def test_a_process_that_takes_another_name_is_told_under_that(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "first", workloads.RENAMED, "-static")
    with Live("", filter=Filter(comms=("first", "renamed"))) as live:
        subprocess.run([program], check=True)
        (pair,) = [pair for pair in live.read().processes if pair.name == "getppid"]
    assert (pair.comm, pair.count) == ("renamed", 201)


def test_two_processes_of_one_pid_stand_apart(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "reused", workloads.REUSED_PID, "-static")
    with Live("reused") as live:
        subprocess.run([program], check=True)
        reading = live.read()
    counts = getppids(reading)
    assert [counts[process] for process in sorted(counts, key=lambda process: process[1])] == [3, 5]
    assert len({pid for pid, _ in counts}) == 1


@pytest.mark.parametrize("remembering", [True, False])
def test_each_process_has_its_own_calls_whoever_called_before_it_on_that_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembering: bool
) -> None:
    monkeypatch.setattr(busiest_callers, "PROCESSES_OF_A_CALL", 1000)
    if not remembering:
        monkeypatch.setattr(task_cache_map, "should_cache_task", lambda _kernel: False)
    program = compile_c(tmp_path, "manyproc", workloads.MANY_PROCESSES, "-static")
    with Live("manyproc") as live:
        module = live.source.find(SyscallsProbe).module
        assert module is not None
        assert ("task_cache_on_sched_process_exit" in module.programs) == task_cache_map.should_cache_task(
            kernel_version()
        )
        subprocess.run([program, "42"], check=True)
        reading = live.read()
    counts = sorted(getppids(reading).values())
    assert counts == sorted(i % 7 for i in range(42) if i % 7)
    assert {pair.count for pair in reading.processes if pair.name == "exit_group"} == {1}


def test_the_calls_of_each_user_are_exact_when_its_processes_have_ended_too(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids") as live:
        assert live.read().users == ()
        for uid, calls in ((64001, 1000), (64002, 20_000), (64001, 500)):
            subprocess.run([program, str(calls), str(uid)], check=True)
        reading = live.read()
        live.source.toggle("syscalls")
        live.source.toggle("syscalls")
        subprocess.run([program, "7", "64002"], check=True)
        later = live.read()
    by_uid = {user.uid: user.count for user in reading.users}
    assert sum(by_uid.values()) == sum(row.count for row in reading.rows)
    # What they called before they became that user is root's; at the end comes an exit_group.
    assert (by_uid[64001], by_uid[64002]) == (1502, 20_001)
    assert by_uid.keys() == {0, 64001, 64002}
    assert {user.uid: user.count for user in later.users if user.uid} == {64001: 1502, 64002: 20_009}
    assert later.evicted == 0
    # The kernel's counters went with the probe.
    (before,), (row,) = ([row for row in one.rows if row.name == "getppid"] for one in (reading, later))
    assert (before.count, sum(before.histogram_ns)) == (21_500, 21_500)
    assert (row.count, sum(row.histogram_ns)) == (21_507, 21_507)
    assert row.total_ns > before.total_ns


def pairs_in_map(live: Live) -> set[tuple[int, int]]:
    """Return the processes whose pairs are in the kernel's map, by pid and start."""
    module = live.source.find(SyscallsProbe).module
    assert module is not None
    found = maps.items(module.table("process_calls"), syscall_processes._KEY.size, pair_figures.VALUE_SIZE * maps.CPUS)
    return {(pid, start_ns) for start_ns, pid, *_ in (syscall_processes._KEY.unpack(key) for key, _ in found)}


def user_sums(reading: Syscalls) -> dict[int, int]:
    return {user.uid: user.count for user in reading.users}


@pytest.mark.guest
@pytest.mark.oldest
def test_a_thousand_processes_between_two_readings_are_in_the_sums_and_not_in_the_map(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "short", workloads.SHORT_PROCESSES, "-static")
    with Live("short") as live:
        live.read()
        for uid in ((), ("64003",)):
            subprocess.run([program, "500", *uid], check=True)
        reading = live.read()
        assert pairs_in_map(live) == set()
        again = live.read()
    (row,) = [row for row in reading.rows if row.name == "getppid"]
    assert row.count == 2 * sum(i % 7 + 1 for i in range(500))
    users = user_sums(reading)
    assert sum(users.values()) == sum(row.count for row in reading.rows)
    # Of user 64003: the calls of each child, and its exit_group; before it was root.
    assert users[64003] == row.count // 2 + 500
    assert reading.evicted == 0
    assert sorted(getppids(reading).values())[-8:] == [7] * 8
    assert (again.processes, again.process_totals, again.users) == (
        reading.processes,
        reading.process_totals,
        reading.users,
    )


def test_a_storm_of_programs_does_not_overflow_a_map_that_is_read_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscall_callers, "PROCESS_CALLS_MAX", 2048)
    monkeypatch.setattr(syscall_callers, "ENDED_MAX", 1024)
    monkeypatch.setattr(syscall_callers, "FAST_PAIRS_PER_S", 1)  # however slow the machine is
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", interval_s=3600.0) as live:
        live.read()
        # An LRU map gives a deleted entry back to the CPU that had made it: so small a one may then evict on another.
        command: list[str | Path] = ["taskset", "-c", str(min(os.sched_getaffinity(0))), program, "3", "64004"]
        for _ in range(300):
            subprocess.run(command, check=True)
            live.source.poll("syscalls", 0)
        probe_of = live.source.find(SyscallsProbe)
        reading = live.read()
        assert probe_of._callers.pairs._deleted > 2048, "it would have overflowed"
        assert probe_of.expects_events, "it is to be read between the readings too"
        for _ in range(2):
            time.sleep(0.5)
            live.source.poll("syscalls", 0)
        assert not probe_of.expects_events, "no longer"
    users = user_sums(reading)
    assert reading.evicted == 0
    assert users[64004] == 300 * (3 + 1)
    assert sum(users.values()) == sum(row.count for row in reading.rows)


@pytest.mark.guest
@pytest.mark.oldest
def test_a_process_ends_with_its_last_thread_and_stays_itself_through_an_exec_of_another_thread(
    tmp_path: Path,
) -> None:
    program = compile_c(tmp_path, "outlives", workloads.OUTLIVES_ITS_LEADER, "-static", "-pthread")
    counts = []
    with (
        Live("outlives") as live,
        subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.read(1) == b"x"
            counts.append(getppids(live.read()))
            assert process.pid in {pid for pid, _ in pairs_in_map(live)}, "it runs"
            process.stdin.write(b"x")
            process.stdin.flush()
        process.wait()
        counts.append(getppids(live.read()))
        assert process.pid not in {pid for pid, _ in pairs_in_map(live)}
    assert [list(count.values()) for count in counts] == [[3], [8], [15], [15]]
    assert {pid for count in counts for pid, _ in count} == {process.pid}
    assert len(set().union(*counts)) == 1, "one process"


def test_who_calls_is_read_at_its_own_pace_unless_somebody_looks(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", interval_s=0.2, pairs_every_s=3600.0) as live:

        def readings(count: int, *, calls: str = "10") -> list[Syscalls]:
            subprocess.run([program, calls], check=True)
            return live.poll_readings(count)

        first = readings(1, calls="0")[0]
        others = readings(3)
        assert first.pairs_time == first.time
        assert {(one.pairs_time, one.processes) for one in others} == {(first.time, first.processes)}
        assert sum(row.count for row in others[-1].rows) > sum(row.count for row in first.rows)
        live.source.watch(frozenset(("callers",)))
        watched = readings(4)[1:]
        assert all(one.pairs_time == one.time for one in watched)
        live.source.watch(frozenset())
        rest = readings(4)
        assert len({one.pairs_time for one in rest[1:]}) == 1
        last = live.read()
        assert last.pairs_time == last.time, "the last reading has everything"
        assert sum(getppids(last).values()) == 30


def test_who_calls_is_read_less_often_while_there_are_few_calls(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", interval_s=0.1, pairs_every_s=0.5, pairs_calm_s=3600.0) as live:

        def times_read(calls: int) -> set[float | None]:
            subprocess.run([program, str(calls)], check=True)
            return {record.pairs_time for record in live.poll_readings(8)}

        times_read(0)
        first, second = times_read(syscall_callers.CALM_CALLS // 2), times_read(syscall_callers.CALM_CALLS)
        assert len(first) == len(second) == 1
        assert first != second


def test_what_ends_while_the_probe_is_detached_is_in_the_sums_once(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "short", workloads.SHORT_PROCESSES, "-static")
    with Live("short") as live:
        counts = []
        for _ in range(4):
            running = subprocess.Popen([program, "200", "64005"])
            time.sleep(0.05)
            live.source.toggle("syscalls")
            running.wait()
            reading = next(r for r in reversed(live.read_records()) if isinstance(r, Syscalls))
            assert sum(user_sums(reading).values()) == sum(row.count for row in reading.rows)
            live.source.toggle("syscalls")
            counts.append(user_sums(live.read()).get(64005, 0))
        subprocess.run([program, "200", "64005"], check=True)
        reading = live.read()
    assert counts == sorted(counts)
    assert sum(user_sums(reading).values()) == sum(row.count for row in reading.rows)
    assert reading.evicted == 0


def test_a_reading_costs_by_what_it_shows_and_not_by_how_often_that_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    call = bpf_syscall.call

    def counting(command: int, attr: ctypes.Array[ctypes.c_char], size: int) -> int:
        # Not those that depend on what the machine does: the processes that ended, and statistics now and then.
        if command not in (maps._LOOKUP_AND_DELETE_BATCH, bpf_syscall._ENABLE_STATS):
            asked.append(command)
        return call(command, attr, size)

    # The calls that threads were in before are found by a worker, and let go of one by one.
    monkeypatch.setattr(EnteredBefore, "begin", lambda _self: None)
    monkeypatch.setattr(bpf_syscall, "call", counting)
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    costs = []
    with Live("getppids") as live:
        for calls in (10, 2_000_000):
            subprocess.run([program, str(calls)], check=True)
            asked.clear()
            reading = live.read()
            costs.append((len(asked), len(reading.rows)))
        (row,) = [row for row in reading.rows if row.name == "getppid"]
    assert row.count == 2_000_010
    assert costs[0] == costs[1]


# ---- The table ----


def test_ignored_calls_are_neither_counted_nor_timed(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "fails", workloads.FAILS, "-static")
    calls = by_name(watched(program, options=("--ignore", "openat")))
    assert calls["openat"]["handler"] == "ignore"
    assert (calls["openat"]["count"], calls["openat"]["errors"], calls["openat"]["histogram_ns"]) == (0, 0, [])
    assert calls["exit_group"]["count"] == 1


def test_a_call_can_be_ignored_and_counted_again_while_it_runs(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")

    def run() -> None:
        subprocess.run([program, "100"], check=True)

    with Live("getppids") as live:
        run()
        live.source.set_handlers([("x86_64", 110)], "ignore")
        run()
        ignored = live.row("getppid")
        live.source.set_handlers([("x86_64", 110)], "count")
        run()
        again = live.row("getppid")
        live.source.set_handlers([("x86_64", 59)], "ignore")
        table = {(slot.abi, slot.name): (slot.slot, slot.handler) for slot in live.read().table}
        live.source.set_handlers([("x86_64", 59)], "count")
        restored = {(slot.abi, slot.name): (slot.slot, slot.handler) for slot in live.read().table}
    assert ignored is not None
    assert again is not None
    assert (ignored.count, ignored.handler) == (100, "ignore")
    assert (again.count, again.handler, again.slot) == (200, "count", 110)
    assert table["x86_64", "execve"] == (59, "ignore")
    assert restored["x86_64", "execve"] == (59, "exec"), "its own handler comes back"


def test_a_call_beyond_the_table_is_refused_in_words() -> None:
    with Live("nobody") as live, pytest.raises(SourceError, match="syscall_9999"):
        live.source.set_handlers([("x86_64", 9999)], "ignore")


@pytest.mark.guest
@pytest.mark.newest
def test_handlers_of_programs_and_timers_count_and_say_so(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "timers", workloads.TIMERS, "-static")
    with Live("timers", probes=("syscalls", "trace"), printk=True) as live:
        subprocess.run([program], check=True)
        families = live.read().families
        for _ in range(100):
            said = [record.message for record in live.records if isinstance(record, Trace) and record.task == "timers"]
            if len(said) >= 16:
                break
            time.sleep(0.05)
            live.read()
    assert families == {"timer_create": 4, "timer_delete": 4, "timer_other": 8}
    assert said.count("Creating a timer") == 4
    assert said.count("Deleting a timer") == 4
    assert said.count("Some other timer operation") == 8


# ---- Traced calls ----


@pytest.fixture(params=[(), ("--no-latency",), ("--buffer", "perf"), ("--attach", "syscalls=tracepoint")], ids=" ".join)
def ways(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return tuple(request.param)


def test_traced_calls_come_one_by_one_decoded(tmp_path: Path, ways: tuple[str, ...]) -> None:
    program = compile_c(tmp_path, "fails", workloads.FAILS, "-static")
    lines = watched(program, options=("--trace", "openat,exit_group", *ways))
    opens = of("syscall", lines, name="openat")
    assert len(opens) == 11
    assert opens[0]["args"][:3] == [f"AT_FDCWD<{os.getcwd()}>", '"/no/such/file"', "O_RDONLY"]
    assert (opens[0]["ret"], opens[0]["error"], opens[0]["comm"]) == (-2, "ENOENT", "fails")
    assert opens[-1]["args"][2] == "O_RDWR|O_CLOEXEC"
    assert opens[-1]["ret"] >= 3
    assert all(line["ns"] > 0 and line["pid"] == line["tid"] for line in opens)
    (end,) = of("syscall", lines, name="exit_group")
    assert (end["args"], end["ret"], end["ns"]) == (["0"], None, None)
    assert not of("lost", lines)


def test_a_path_is_empty_whole_or_said_to_be_cut(tmp_path: Path, ways: tuple[str, ...]) -> None:
    program = compile_c(tmp_path, "paths", workloads.PATHS, "-static")
    lines = watched(program, options=("--trace", "newfstatat,renameat", *ways))
    stats = [line["args"][1] for line in of("syscall", lines, name="newfstatat") if line["args"][0].startswith("0")]
    whole = [f'"{"p" * length}"' for length in (0, 1, 254, 255)]
    assert stats == [*whole, *[f'"{"p" * 255}"...'] * 4, "NULL", "0x1000"]
    renames = [(line["args"][1], line["args"][3]) for line in of("syscall", lines, name="renameat")]
    assert renames == [('""', f'"{"p" * 255}"...'), (f'"{"p" * 255}"...', '""')]


def test_a_path_that_only_the_call_itself_brings_in_is_told(tmp_path: Path, ways: tuple[str, ...]) -> None:
    program = compile_c(tmp_path, "untouched", workloads.UNTOUCHED_PATH, "-static")
    calls = of("syscall", watched(program, options=("--trace", "openat", *ways)))
    assert [(call["args"][1], call["error"]) for call in calls] == [('"/untouched"', "ENOENT")]


def test_all_arguments_of_a_32_bit_call_are_its_own(tmp_path: Path, ways: tuple[str, ...]) -> None:
    program = compile_c(tmp_path, "six", workloads.SIX_ARGUMENTS, "-static")
    (call,) = of("syscall", watched(program, options=("--trace", "i386:mmap2", *ways)))
    assert call["args"] == ["0x1000", "8192", "PROT_READ", "MAP_PRIVATE", "5", "0x7000"]
    assert (call["ret"], call["error"]) == (-9, "EBADF")


def test_an_execve_is_traced_with_the_path_that_its_success_wipes_out() -> None:
    with Stream("--pid", str(os.getpid()), "--trace", "execve", probes="syscalls") as stream:
        subprocess.run(["/bin/true"], check=True, close_fds=True)
        calls = of("syscall", stream.stop(), name="execve", ret=0)
    assert [call["args"][0] for call in calls] == ['"/bin/true"']


def test_the_path_of_an_execve_is_not_read_from_the_program_that_it_started(
    tmp_path: Path, ways: tuple[str, ...]
) -> None:
    overlays = compile_c(tmp_path, "overlays", workloads.OVERLAYS)
    started = compile_c(tmp_path, "started", workloads.OVERLAYS, "-static", "-no-pie")
    place = int(subprocess.run([started], check=True, capture_output=True).stdout)
    with Stream("--comm", "overlays", "--trace", "execve", *ways, probes="syscalls") as stream:
        subprocess.run([overlays, str(place), started], check=True, stdout=subprocess.DEVNULL)
        calls = of("syscall", stream.stop(), name="execve", ret=0)
    assert hex(place) in [call["args"][0] for call in calls]


def test_the_rate_limit_counts_what_it_drops(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", trace=(TracedCall("x86_64", 110),)) as live:
        subprocess.run([program, "50000"], check=True)
        row = live.row("getppid")
        told = len(live.traced())
        dropped = {record.where: record.count for record in live.records if isinstance(record, Lost)}
    assert row is not None
    assert row.count == 50_000, "what is not told is counted all the same"
    assert 0 < told < 50_000
    assert told + dropped["rate"] + dropped.get("ring", 0) == 50_000


def test_the_rate_limit_is_one_of_each_second(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", trace=(TracedCall("x86_64", 110),), trace_limit=10) as live:
        for _ in range(3):
            cpu = str(min(os.sched_getaffinity(0)))  # each CPU has a limit of its own
            subprocess.run(["taskset", "-c", cpu, program, "100"], check=True)
            time.sleep(1.1)
        told = len(live.traced())
    # A run may lie in two seconds.
    assert 30 <= told <= 60


def test_tracing_while_it_runs_attaches_what_it_needs_and_takes_it_away_again(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("getppids", latency=False, processes=False) as live:
        module = live.source.find(SyscallsProbe).module
        assert module is not None
        before = set(module.programs)
        alone = set(module._links)
        live.source.set_handlers([("x86_64", 110)], "trace")
        subprocess.run([program, "5"], check=True)
        calls = live.traced()
        live.source.set_handlers([("x86_64", 110)], "count")
        assert set(module._links) == alone
        assert not {"sys_exit", "on_sched_switch", "on_task_exit"} & before
    assert [(call.name, call.args, call.error) for call in calls] == [("getppid", (), None)] * 5
    assert all(call.ret == os.getpid() for call in calls)


def test_without_a_filter_everybody_is_counted_but_ourselves(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "getppids", workloads.MANY_GETPPIDS, "-static")
    with Live("", filter=Filter()) as live:
        child = subprocess.Popen([program, "12345"])
        child.wait()
        reading = live.read()
    (pair,) = [pair for pair in reading.processes if pair.pid == child.pid and pair.name == "getppid"]
    assert pair.count == 12345
    assert os.getpid() not in {pair.pid for pair in reading.processes}
