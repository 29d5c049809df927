"""The trace log against programs that print what looks like something else, and more than anybody can read."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from ebpftop.core.escape import c_string, escape
from ebpftop.core.printed import PRINTED_BY
from ebpftop.core.records import Lost, Probe, Record
from ebpftop.core.trace_records import Trace
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bpf_programs, bpf_syscall
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.trace_buffer import statistics
from ebpftop.probes.printing_programs import UNKNOWN, PrintingPrograms
from ebpftop.probes.trace import PROGRAM
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.printer import ROUND, Printed, Printer, printers
from tests.kernel.support import Line, Stream, needs_root, of

pytestmark = needs_root

RUN = f"forged-{os.getpid()}"
FORGED = f"            init-1       [000] ...11     1.000000: bpf_trace_printk: {RUN}".encode()

HOSTILE: Sequence[bytes] = (
    b"",
    b"\n",
    b"plain",
    b"a line that ends\n",
    b"\n\nin between\n\nand at the end\n\n",
    b"CPU:0 [LOST 5 EVENTS]",
    b"x\nCPU:0 [LOST 5 EVENTS]\nCPU:1 [LOST 100G EVENTS]\nCPU:99999999999999999999 [LOST 1 EVENTS]",
    b"lost 54",
    b"x\n" + FORGED,
    FORGED,
    # Greedy patterns end at the last of these.
    b"1-1 [000] d..1 1.0: bpf_trace_printk: " * 8,
    b"-99999999999999999999 [999999999999999999999] d..1 1" + b"0" * 400 + b".0: bpf_trace_printk: " + RUN.encode(),
    b"\xff\xfe no UTF-8 \xc3",
    b"\x1b]0;title\a\x1b[2J\x1b[31mred",
    "\u202egnirts \u0007 ünïcode".encode(),
    b"\t%s %n %x \\x0a \\",
)
TASKS: Sequence[bytes] = (
    b"\n-1 [000] d..1",
    b"-1 [0] . 1.0: x",
    b": bpf_trace_pri",
    b"a)\n(b\n\n",
    b"\xff\x1b[2J",
    b"CPU:0 [LOST 9 E",
)
# Before 5.13 bpf_trace_printk takes no more than that of a string (kernel/trace/bpf_trace.c).
STRING_MAX = 63 if kernel_version() < (5, 13) else 1023
WAYS = (
    pytest.param("instance", marks=pytest.mark.guest),
    "raw_tracepoint",
    "trace_pipe",
    "filter",
)


@contextmanager
def alone_at_the_global_pipe() -> Iterator[None]:
    """Wait for other runs on this machine: what one of them reads there, the other misses."""
    with Path(tempfile.gettempdir(), "ebpftop-tests-trace_pipe").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def expected(printed: Printed, message: bytes) -> dict[str, object]:
    """Return the fields of the one record that a printed line must be."""
    return {
        "pid": printed.pid,
        "tid": printed.tid,
        "cpu": printed.cpu,
        "task": c_string(printed.task),
        "message": escape(message.removesuffix(b"\n")),
    }


def fields(line: Line) -> dict[str, object]:
    """Return what *expected* tells of a record."""
    return {name: line[name] for name in ("pid", "tid", "cpu", "task", "message")}


def print_hostile(printer: Printer) -> Iterator[tuple[Printed, bytes]]:
    """Have everything hostile printed, on every CPU in turns."""
    cpus = itertools.cycle(sorted(os.sched_getaffinity(0)))
    for text in (text[:STRING_MAX] for text in HOSTILE):
        yield printer.print(text, cpu=next(cpus)), text
    for task in TASKS:
        yield printer.print(b"by a task", task=task, cpu=next(cpus)), b"by a task"
    long = (f"{RUN} " * 200).encode()[:1022]
    yield printer.print(long, cpu=next(cpus), as_format=True), long


@pytest.mark.parametrize("way", WAYS)
def test_what_is_printed_is_one_record_of_who_printed_it(way: str) -> None:
    with printers() as (printer,), alone_at_the_global_pipe() if way == "trace_pipe" else nullcontext():
        options = ["--pid", str(printer.pid)] if way == "filter" else ["--attach", f"trace.lines={way}"]
        with Stream(*options, probes="trace") as stream:
            printed = list(print_hostile(printer))
            lines = stream.stop()
    records = [record for record in of("trace", lines, pid=printer.pid) if record["message"] != "Hello World!"]
    assert [fields(record) for record in records] == [expected(one, text) for one, text in printed]
    for record, (one, _) in zip(records, printed, strict=True):
        assert one.begin - 0.05 < record["time"] < one.end + 0.05
    assert not of("lost", lines)
    assert not [line for line in of("trace", lines) if line["pid"] != printer.pid and RUN in str(line)]


@pytest.mark.guest
@pytest.mark.newest
def test_a_line_says_which_program_printed_it_and_another_ebpftop_greets_only_itself() -> None:
    with printers() as (printer,), Stream(probes="trace") as one, Stream(probes="trace") as other:
        for text in (b"slow io", b"Hello World!"):
            printer.print(text)
        printer.print(b"Hello World!", as_format=True)
        started = subprocess.Popen(["/bin/true"])
        started.wait()
        both = one.stop(), other.stop()
    greeters = []
    for lines in both:
        by = [(record["program"]["name"], record["message"]) for record in of("trace", lines, pid=printer.pid)]
        assert by == [
            ("print_text", "slow io"),
            ("print_text", "Hello World!"),
            ("print_format", "Hello World!"),
        ]
        (greeting,) = of("trace", lines, pid=started.pid)
        assert greeting["message"] == "Hello World!"
        assert greeting["program"]["name"].startswith(PRINTED_BY)
        greeters.append(greeting["program"]["id"])
    assert greeters[0] != greeters[1]


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.parametrize("filtered", [False, True])
def test_only_the_lines_of_other_programs_are_looked_for_on_the_stack(
    filtered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrintingPrograms, "find", lambda *_: UNKNOWN)
    with printers() as (printer,), opened(Filter(uids=(os.getuid(),)) if filtered else None) as source:
        read(source)
        printer.print(b"Hello World!")
        started = subprocess.Popen(["/bin/true"])
        started.wait()
        lines = [record for record in read(source) if isinstance(record, Trace)]
    programs = {line.pid: line.program for line in lines}
    greeter = programs[started.pid]
    assert greeter is not None
    assert greeter.name.startswith(PRINTED_BY)
    assert programs[printer.pid] is None


def flooded(records: Sequence[Record], pid: int) -> list[Trace]:
    """Return the records of the lines that a process printed in a flood."""
    return [r for r in records if isinstance(r, Trace) and r.pid == pid and r.task == "flood"]


def lost(records: Sequence[Record], where: str) -> int:
    """Return how many lines were lost in the end."""
    return max((r.count for r in records if isinstance(r, Lost) and r.where == where), default=0)


@contextmanager
def opened(wanted: Filter | None = None, **via: str) -> Iterator[KernelSource]:
    """Open the trace log in this process."""
    options = Options(
        probes=("trace",), filter=wanted or Filter(), attach={f"trace.{name}": option for name, option in via.items()}
    )
    source = KernelSource(options)
    try:
        yield source
    finally:
        source.close()


def read(source: KernelSource) -> list[Record]:
    """Return what there is."""
    return [record for batch in source.read_all() for record in batch.records]


SOME, FEW, MANY = 2_000, 10_000, 120_000
"""Lines of many pages, lines that fit into the buffer of one CPU, and lines that do not."""


@pytest.mark.guest
@pytest.mark.oldest
def test_a_flood_beyond_the_buffer_is_delivered_or_told_as_lost_to_the_line() -> None:
    cpu = min(os.sched_getaffinity(0))
    with printers() as (printer,), opened() as source:
        before = read(source)
        assert printer.flood(MANY, cpu=cpu).lines == MANY
        records = [*before, *(record for batch in source.finish() for record in batch.records)]
        instance = source._probes["trace"]._instance.path  # type: ignore[attr-defined]  # the trace probe's
        printed = {path.name: counted(path) for path in (instance / "per_cpu").iterdir()}
        probe = source._probes["trace"]
        probe.stop()
        assert probe.lost_now()["pipe"] == lost(records, "pipe")
    delivered = Counter(f"cpu{record.cpu}" for record in records if isinstance(record, Trace))
    assert delivered.total() + lost(records, "pipe") == sum(printed.values())
    assert all(delivered[name] == count for name, count in printed.items() if name != f"cpu{cpu}")
    numbers = [int(line.message.split()[1]) for line in flooded(records, printer.pid)]
    assert numbers == sorted(set(numbers))
    assert 0 < MANY - len(numbers) <= lost(records, "pipe")
    assert numbers[-1000:] == list(range(MANY - 1000, MANY)), "the newest are kept"


def test_where_the_kernel_does_not_say_which_program_printed_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_than: int) -> bpf_programs.Listing:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(bpf_programs, "newer", refused)
    with printers() as (printer,), opened() as source:
        printer.print(b"by whom?")
        records = read(source)
    (line,) = (record for record in records if isinstance(record, Trace) and record.pid == printer.pid)
    assert (line.message, line.program) == ("by whom?", None)
    blind = [attempt.blind for record in records if isinstance(record, Probe) for attempt in record.attempts]
    assert (PROGRAM,) in blind


def counted(cpu_folder: Path) -> int:
    """Return how many lines were ever printed on a CPU, by the kernel's own figures."""
    figures = statistics(cpu_folder)
    return sum(int(figures[name]) for name in ("entries", "overrun", "read events"))


def test_one_reading_takes_all_that_was_printed_before_it() -> None:
    with printers() as (printer,), opened() as source:
        read(source)
        printer.flood(FEW)
        time.sleep(0.1)  # what was printed a moment ago waits for what other CPUs printed before it
        batch = source.poll("trace", 0)
    assert batch is not None
    assert len(flooded(batch.records, printer.pid)) == FEW


def test_two_floods_at_once_come_whole_and_in_order() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    with Stream(probes="trace") as stream, printers(2) as both:
        for i in range(10):
            for printer, cpu in zip(both, (cpus[0], cpus[-1]), strict=True):
                assert printer.flood(1000, cpu=cpu, per_second=50_000).lines == 1000 * (i + 1)
        stream.wait_for(lambda lines: len(of("trace", lines, task="flood")) >= 20 * 1000)
        lines = stream.stop()
        pids = [printer.pid for printer in both]
    assert not of("lost", lines)
    told = [line for line in of("trace", lines, task="flood") if line["pid"] in pids]
    turns = [(pid, 1000 * i + n) for i in range(10) for pid in pids for n in range(1000)]
    assert [(line["pid"], int(line["message"].split()[1])) for line in told] == turns


def test_what_is_in_the_pipe_when_the_stream_ends_is_told() -> None:
    with Stream(probes="trace") as stream, printers() as (printer,):
        stream.signal(signal.SIGSTOP)
        printer.flood(SOME)
        stream.signal(signal.SIGINT)
        stream.signal(signal.SIGCONT)
        stream._finish()
        assert len(of("trace", stream.lines, pid=printer.pid, task="flood")) == SOME
    assert not of("lost", stream.lines)


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_in_the_pipe_when_the_probe_is_turned_off_is_told(wanted: bool) -> None:
    with printers() as (printer,), opened(Filter(pids=(printer.pid,)) if wanted else None) as source:
        read(source)
        printer.flood(FEW)
        source.toggle("trace")
        batch = source.poll("trace", 0)
        assert batch is not None
        assert len(flooded(batch.records, printer.pid)) == FEW
        (state,) = [record.state for record in batch.records if isinstance(record, Probe)]
        assert state == "off"
        printer.flood(ROUND)
        # On again: what was printed meanwhile was nobody's.
        source.toggle("trace")
        printer.flood(ROUND)
        (first, *_) = again = flooded(read(source), printer.pid)
        assert (len(again), first.message) == (ROUND, f"flood {FEW + ROUND} of printer")


@pytest.mark.parametrize("ending", ["turned off", "finished"])
def test_what_is_printed_until_the_probe_is_detached_is_told(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with printers() as (printer,), opened() as source:
        probe = source._probes["trace"]
        detach = probe.detach

        def print_and_detach() -> None:
            printer.flood(FEW)
            detach()

        monkeypatch.setattr(probe, "detach", print_and_detach)
        if ending == "finished":
            batches = list(source.finish())
        else:
            source.toggle("trace")
            batch = source.poll("trace", 0)
            batches = [batch] if batch else []
    assert len(flooded([record for batch in batches for record in batch.records], printer.pid)) == FEW


def test_a_program_that_is_passed_over_loses_a_line_only_where_it_hands_lines_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def runs(fd: int) -> bpf_syscall.Runs:
        return bpf_syscall.Runs(0, 0, misses if fd == handing_over else 0)

    misses = 0
    with opened() as source:
        probe = source._probes["trace"]
        assert probe.module is not None
        handing_over = probe.module.programs["on_trace_printk"]
        monkeypatch.setattr(bpf_syscall, "runs", runs)
        misses = 3
        assert probe.lost_now()["recursion"] == 0
        source.set_filter(Filter(uids=(0,)))
        misses = 8
        assert probe.lost_now()["recursion"] == 5
        source.set_filter(Filter())
        misses = 10
        assert probe.lost_now()["recursion"] == 5
        source.toggle("trace")
        assert probe.lost_now()["recursion"] == 5


def test_a_name_is_the_one_that_the_thread_had_when_it_printed() -> None:
    names = [f"name-of-length-{i % 7}"[-15:] for i in range(60)]
    with printers() as (printer,), opened() as source:
        for name in names:
            printer.print(name.encode(), task=name.encode())
        lines = [record for record in read(source) if isinstance(record, Trace) and record.pid == printer.pid]
    assert [line.task for line in lines if line.message != "Hello World!"] == names


def test_somebody_who_reads_the_instance_does_not_stop_it_from_ending() -> None:
    with opened() as source:
        path = source._probes["trace"]._instance.path  # type: ignore[attr-defined]  # the trace probe's
        reader = (path / "trace_pipe").open("rb")
        source.toggle("trace")
        assert path.exists()
        source.toggle("trace")
        states = [record.state for record in read(source) if isinstance(record, Probe)]
        assert states[-1] == "on"
        reader.close()
    assert not path.exists()


def test_reading_the_pipe_of_all_is_told() -> None:
    with opened(lines="trace_pipe") as source:
        (probe,) = [record for record in read(source) if isinstance(record, Probe)]
    (option,) = [option for option in probe.attempts if option.via.startswith("lines: ") and option.reason is None]
    assert (option.via, "other readers" in option.cost) == ("lines: trace_pipe", True)
