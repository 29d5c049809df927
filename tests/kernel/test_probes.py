"""The four probes on the running kernel, against what the test itself executed and counted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ebpftop.core.group_records import Comms
from ebpftop.core.process_records import Exec
from ebpftop.core.records import Probe, ProbeName, Record
from ebpftop.core.syscall_records import Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import defines
from ebpftop.probes.registry import registry
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Stream, last, needs_root, of

pytestmark = needs_root

EBPFTOP = (sys.executable, "-m", "ebpftop")
ME = ("--pid", str(os.getpid()))


def test_an_older_kernel_without_a_ring_buffer_gets_a_perf_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defines, "kernel_version", lambda: (5, 7))
    source = KernelSource(Options())
    try:
        subprocess.run(["/bin/true", "older"], check=True)
        records = [record for batch in source.read_all() for record in batch.records]
        modules = [probe.module for probe in source._probes.values()]
        rings = [module for module in modules if module and module.has(["ring_events"], [])]
    finally:
        source.close()
    assert {record.probe: record.reason for record in records if isinstance(record, Probe)} == dict.fromkeys(
        registry().on
    )
    assert [record.argv for record in records if isinstance(record, Exec) and "older" in record.argv]
    assert rings == []


def test_a_program_with_its_arguments_is_in_the_exec_log_within_a_second() -> None:
    with Stream(probes="execs") as stream:
        subprocess.run(["/bin/echo", "hello", "", "a b"], check=True, stdout=subprocess.DEVNULL)
        stream.wait_for(lambda lines: of("exec", lines, argv=["/bin/echo", "hello", "", "a b"]), 1.0)
        record = of("exec", stream.stop(), argv=["/bin/echo", "hello", "", "a b"])[0]
    assert record["comm"] == "echo"
    assert record["file"] == "/bin/echo"
    assert record["ppid"] == os.getpid()
    assert record["uid"] == os.getuid()
    assert record["ret"] == 0
    assert not record["truncated"]


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_both_buffers_carry_every_exec(buffer: str) -> None:
    with Stream("--buffer", buffer, *ME, probes="execs") as stream:
        for i in range(50):
            subprocess.run(["/bin/true", str(i)], check=True)
        lines = stream.stop()
    assert [e["argv"][1] for e in of("exec", lines, comm="true")] == [str(i) for i in range(50)]
    assert len(of("exit", lines, comm="true", code=0)) == 50
    assert not of("lost", lines)


def test_execs_of_each_user_are_counted_failures_too() -> None:
    with Stream(*ME, "--interval", "0.1", probes="users") as stream:
        for _ in range(7):
            subprocess.run(["/bin/true"], check=True)
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                subprocess.run(["/nonexistent/program"], check=True)
        rows = last("users", stream.stop())["rows"]
    assert [(row["uid"], row["execs"], row["failed"]) for row in rows] == [(os.getuid(), 10, 3)]


def test_system_calls_are_counted_by_name() -> None:
    program = "import os\nfor _ in range(1234): os.getppid()"
    with Stream(*ME, probes="syscalls") as stream:
        subprocess.run([sys.executable, "-c", program], check=True)
        rows = {row["name"]: row for row in last("syscalls", stream.stop())["rows"]}
    assert rows["getppid"]["count"] == 1234
    assert sum(rows["getppid"]["histogram_ns"]) == 1234
    assert rows["execve"]["handler"] == "exec"


def test_hello_world_comes_through_a_private_trace_instance() -> None:
    with Stream(probes="trace") as stream:
        child = subprocess.run(["/bin/sh", "-c", "echo $$"], check=True, capture_output=True)
        pid = int(child.stdout)
        stream.wait_for(lambda lines: of("trace", lines, pid=pid, message="Hello World!"))
        record = of("trace", stream.stop(), pid=pid)[0]
    assert record["cpu"] in os.sched_getaffinity(0)


def test_without_a_terminal_the_screen_says_what_to_use_instead() -> None:
    done = subprocess.run([*EBPFTOP], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "ebpftop stream" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_stream_cleanly(number: int, status: int) -> None:
    with Stream(*ME) as stream:
        subprocess.run(["/bin/true", "last words"], check=True)
        stream.signal(number)
        stream._finish()
    assert stream.status == status
    assert stream.stderr == ""
    assert of("exec", stream.lines, argv=["/bin/true", "last words"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m ebpftop stream --duration 20 --interval 0.1 | head -n 3; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


# Every look at the wall clock finds it an hour earlier, as if somebody set it all the time.
CLOCK_GOES_BACK = """
import itertools, sys, time
hours = itertools.count()
wall = time.time
time.time = lambda: wall() - 3600 * next(hours)
from ebpftop.cli.main import main
sys.exit(main(["stream", "--probes", "users", "--duration", "1"]))
"""


def test_duration_does_not_run_on_a_clock_that_is_set() -> None:
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CLOCK_GOES_BACK], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun > 1


def test_duration_counts_from_the_last_attach() -> None:
    done = subprocess.run(
        [*EBPFTOP, "stream", "--duration", "1", "--interval", "0.2"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    attached = max(line["time"] for line in of("probe", lines))
    assert lines[0]["kind"] == "header"
    assert lines[0]["schema"] == 2
    # Counted from its start, which takes half a second or more, it would be less; on a busy machine it is more.
    assert 0.7 <= last("users", lines)["time"] - attached < 30


def test_without_privilege_the_message_says_what_to_do() -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=12345", "--clear-groups", "--bounding-set=-all", *EBPFTOP, "stream"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3
    assert "sudo ebpftop" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["stream", "--probes", "nonsense"],
        ["stream", "--interval", "0"],
        ["stream", "--duration", "soon"],
        ["stream", "--pid", "-1"],
        ["stream", "--comm", "a*b"],
        ["stream", "--uid", "nobody-of-that-name"],
        ["stream", "--attach", "execs"],
        ["stream", "--attach", "execs.faliures=kprobe"],
        ["stream", "--attach", "execs=nonsense"],
        ["stream", "--attach", "execs=fentry"],
        ["stream", "--attach", "execs.failures=tracepoint:sched:sched_switch"],
        ["stream", "--attach", "trace.lines=nonsense"],
        ["check", "--attach", "syscalls=kprobe"],
        ["stream", "--ignore", "nonsense"],
        ["stream", "--trace", "openta"],
        ["stream", "--probes", "trace", "--printk"],
        ["stream", "--probes", "execs", "--attach", "users=tracepoint"],
        ["stream", "--probes", ""],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_status_2_and_one_clear_line(arguments: list[str]) -> None:
    done = subprocess.run([*EBPFTOP, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ebpftop")


def test_check_tells_every_attach_option_of_every_probe() -> None:
    done = subprocess.run([*EBPFTOP, "check", "--json"], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert {p["probe"]: p["state"] for p in report["probes"]} == dict.fromkeys(registry().names, "on")
    for probe in report["probes"]:
        taken = [attempt for attempt in probe["attempts"] if attempt["reason"] is None]
        assert taken
        assert probe["via"] in [attempt["via"] for attempt in taken]


def test_check_says_the_same_for_people() -> None:
    said, as_json = (
        subprocess.run([*EBPFTOP, "check", *form], check=True, capture_output=True, text=True).stdout
        for form in ((), ("--json",))
    )
    report = json.loads(as_json)
    lines = said.splitlines()
    assert f"events through a {report['buffer']} buffer" in said
    assert [line for line in lines if "works via" in line] == [
        f"{probe['probe']}  works via {probe['via']}" for probe in report["probes"]
    ]
    attempts = [attempt for probe in report["probes"] for attempt in probe["attempts"]]
    blind = [attempt["blind"] for attempt in attempts if attempt["blind"] and attempt["reason"] is None]
    assert [line.strip() for line in lines if "cannot see" in line] == [f"cannot see {'; '.join(one)}" for one in blind]
    end = lines.index("no probe sees")
    assert [line.strip(" ·") for line in lines[end + 1 :]] == report["unseen"]
    assert report["unseen"]
    marked = [line for line in lines[:end] if line.startswith(("  ● ", "  ○ ", "  ✗ "))]
    for line, attempt in zip(marked, attempts, strict=True):
        reason = attempt["reason"] or ""
        mark = "○" if reason.startswith("not needed") else "✗" if reason else "●"
        assert line.startswith(f"  {mark} {attempt['via']} ")
        assert line.rstrip().endswith(attempt["reason"] or f"costs {attempt['cost']}")


def programs_of(pid: int) -> set[int]:
    """Return the ids of the BPF programs that a process holds descriptors of."""
    found = set()
    for path in Path("/proc", str(pid), "fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this very listing
            found |= {int(number) for number in re.findall(r"^prog_id:\s*(\d+)", path.read_text(), re.MULTILINE)}
    return found


def loaded() -> set[int]:
    """Return the ids of all programs in the kernel, as bpftool sees them."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], check=True, capture_output=True, text=True)
    return {program["id"] for program in json.loads(shown.stdout)}


def assert_gone(programs: set[int]) -> None:
    """Wait until *programs* are out of the kernel, which frees them a grace period after the last descriptor."""
    until_s = time.monotonic() + 10
    while programs & loaded():
        assert time.monotonic() < until_s, programs & loaded()
        time.sleep(0.05)


def test_nothing_stays_in_the_kernel_after_the_end() -> None:
    with Stream() as stream:
        mine = programs_of(stream.pid)
        instance = Path("/proc", str(stream.pid), "root/sys/kernel/tracing/instances", f"ebpftop-{stream.pid}")
        assert instance.exists()
        assert mine
        assert mine <= loaded()
    assert_gone(mine)


@pytest.mark.parametrize("probe", [name for name in registry().names if name != "programs"])  # it has none there
def test_a_probe_that_is_off_has_nothing_in_the_kernel_and_resumes_when_it_is_on_again(probe: ProbeName) -> None:
    source = KernelSource(Options(probes=(probe,), filter=Filter(pids=(os.getpid(),)), interval_s=0.05))
    try:
        seen: list[Record] = []

        def happens(word: str) -> None:
            subprocess.run(["/bin/true", word], check=True)
            seen.extend(record for batch in source.read_all() for record in batch.records)

        happens("one")
        before = programs_of(os.getpid())
        source.toggle(probe)
        filters = programs_of(os.getpid())  # what follows --pid stays
        assert filters < before
        assert_gone(before - filters)
        happens("unseen")
        source.toggle(probe)
        assert programs_of(os.getpid()) > filters
        happens("two")
    finally:
        source.close()
    states = [record.state for record in seen if isinstance(record, Probe)]
    assert states == ["on", "off", "on"]
    argv = [record.argv[1] for record in seen if isinstance(record, Exec) and record.ret == 0]
    assert argv == (["one", "two"] if probe == "execs" else [])
    users = [record.rows[0].execs for record in seen if isinstance(record, Users) and record.rows]
    assert users[-1:] == ([2] if probe == "users" else [])
    calls = [
        row.count for record in seen if isinstance(record, Syscalls) for row in record.rows if row.name == "execve"
    ]
    assert calls[-1:] == ([2] if probe == "syscalls" else [])
    started = [row.execs for record in seen if isinstance(record, Comms) for row in record.rows if row.comm == "true"]
    assert started[-1:] == ([2] if probe == "cgroups" else [])
    # Another ebpftop may greet them too.
    greeted = {record.pid for record in seen if isinstance(record, Trace)}
    assert len(greeted) == (2 if probe == "trace" else 0)


def test_what_a_killed_run_left_is_removed_by_the_next() -> None:
    with Stream(probes="trace") as stream:
        stream.signal(signal.SIGKILL)
        stream._finish()
        dead = stream.pid
    with Stream(probes="trace") as stream:
        instances = Path("/proc", str(stream.pid), "root/sys/kernel/tracing/instances")
        assert not (instances / f"ebpftop-{dead}").exists()
        assert (instances / f"ebpftop-{stream.pid}").exists()
