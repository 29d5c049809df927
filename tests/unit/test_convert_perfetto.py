"""A recording as a Perfetto trace, read again by the schema of Perfetto's authors."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.conversion import exec_tree, perfetto_writer
from ebpftop.conversion.input import Input
from ebpftop.conversion.perfetto import to_perfetto
from ebpftop.core.load_records import (
    BpfEvent,
    Diagnostic,
    Field,
    Loaded,
    LoadedMap,
    MapReading,
    MapRow,
    ProgramRun,
    ProgramRuns,
)
from ebpftop.core.process_records import Exec, Exit, Killer, Process
from ebpftop.core.records import Cost, Lost, Record
from ebpftop.core.syscall_records import InFlight, Syscall, SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.opens import Open
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_file
from tests.unit.perfetto_reader import PerfettoTrace
from tests.unit.recording_samples import HEADER, START, exec_at, exit_at, story

BOOT_NS = 5_000 * 10**9
"""Time since boot when the recording begins."""
MS = 1_000_000


def boot(time: float) -> int:
    return BOOT_NS + round((time - START) * 1e9)


def reading(time: float, **fields: object) -> Syscalls:
    return msgspec.structs.replace(Syscalls(time=time, rows=(), boot_ns=boot(time)), **fields)


def start(time: float, pid: int, ppid: int, comm: str, **fields: object) -> Exec:
    began = boot(time) - MS
    record = msgspec.structs.replace(exec_at(time, pid), ppid=ppid, comm=comm, pcomm="sh", start_ns=began)
    return msgspec.structs.replace(record, **fields)


def end(time: float, of: Exec, **fields: object) -> Exit:
    record = msgspec.structs.replace(exit_at(time, of.pid), comm=of.comm, ppid=of.ppid, start_ns=of.start_ns)
    return msgspec.structs.replace(record, **fields)


def trace_of(records: list[Record], slower_ns: int = 10 * MS, begin: float = START) -> PerfettoTrace:
    return PerfettoTrace(b"".join(to_perfetto(Input(HEADER, records, begin), slower_ns)))


SHELL = Process(
    time=START, pid=10, ppid=1, uid=0, user="root", comm="sh", argv=("sh",), start_ns=BOOT_NS - 3600 * 10**9
)
MAKE = start(START + 1, 20, 10, "make", argv=("make", "-j2"), cwd="/src", exe="/usr/bin/make")
CC = start(START + 2, 21, 20, "cc")


def test_programs_are_slices_from_exec_to_exit_below_the_process_that_started_them() -> None:
    killer = Killer(pid=1, comm="systemd", uid=0)
    trace = trace_of(
        [
            reading(START),
            SHELL,
            MAKE,
            CC,
            end(START + 3, CC, user_s=0.25, max_rss_bytes=4096),
            end(START + 4, MAKE, code=None, signal="SIGTERM", killer=killer),
        ]
    )
    make, cc = trace.slices_of("make")[0], trace.slices_of("cc")[0]
    assert (make.begin, make.end) == pytest.approx((boot(START + 1), boot(START + 4)), abs=1000)
    assert make.track == ("ebpftop: demo", "Programs", "sh 10", "make 20")
    assert make.args["argv"] == ["make", "-j2"]
    assert (make.args["cwd"], make.args["exe"], make.args["uid"]) == ("/src", "/usr/bin/make", 1000)
    assert (make.args["signal"], make.args["killer"]) == ("SIGTERM", {"pid": 1, "comm": "systemd", "uid": 0})
    assert cc.track == (*make.track, "cc 21")
    assert (cc.args["code"], cc.args["user_s"], cc.args["max_rss_bytes"]) == (0, 0.25, 4096)
    shell = trace.slices_of("sh")[0]
    assert (shell.begin, shell.end) == pytest.approx((boot(START), boot(START + 4)), abs=1000)
    assert shell.args["began"].startswith("before the recording")
    assert shell.args["end"] == "still running"
    assert trace.boot_to_unix_ns == pytest.approx(START * 1e9 - BOOT_NS, abs=1000)


def test_a_process_that_does_nothing_has_no_track() -> None:
    assert [track.name for track in trace_of([reading(START), SHELL]).tracks.values() if "10" in track.name] == []


def test_another_exec_of_a_process_ends_the_slice_before_it() -> None:
    second = start(START + 2, 20, 10, "gmake", start_ns=MAKE.start_ns)
    trace = trace_of([reading(START), MAKE, second, end(START + 3, second)])
    make, gmake = trace.slices_of("make")[0], trace.slices_of("gmake")[0]
    assert make.track == gmake.track
    assert make.end == gmake.begin
    assert make.args["end"] == "became another program"


def test_a_pid_that_is_used_again_is_another_track() -> None:
    again = start(START + 9, 20, 10, "vi")
    trace = trace_of([reading(START), MAKE, again])
    assert trace.slices_of("make")[0].args["end"] == "not seen"
    assert trace.slices_of("make")[0].track[-1] == "make 20"
    assert trace.slices_of("vi")[0].track[-1] == "vi 20"


def test_a_failed_exec_is_an_instant_of_the_process_that_tried() -> None:
    failed = start(START + 1.5, 20, 10, "make", start_ns=MAKE.start_ns, ret=-2, error="ENOENT", file="/bin/as")
    trace = trace_of([reading(START), MAKE, failed])
    (instant,) = trace.instants
    assert (instant.name, instant.track[-1], instant.args["error"]) == ("ENOENT /bin/as", "make 20", "ENOENT")
    assert instant.time == pytest.approx(boot(START + 1.5), abs=1000)


def test_a_fork_that_executes_nothing_is_a_slice_from_its_fork() -> None:
    fork = end(START + 3, CC, comm="make", forked=True, duration_s=None, start_ns=boot(START + 2.5))
    trace = trace_of([reading(START), MAKE, fork])
    forked = next(one for one in trace.slices_of("make") if one.track[-1] == "make 21")
    assert (forked.begin, forked.end) == pytest.approx((boot(START + 2.5), boot(START + 3)), abs=1000)
    assert forked.args["began"].startswith("forked")


def test_a_parent_of_which_only_a_child_was_seen_gets_its_own_parent_when_it_ends() -> None:
    subshell = msgspec.structs.replace(SHELL, pid=15, ppid=20, time=START + 1.5, start_ns=boot(START + 1.2))
    child = start(START + 2, 21, 15, "cc", pcomm="make")
    trace = trace_of([reading(START), MAKE, subshell, child, end(START + 3, child)])
    assert trace.slices_of("cc")[0].track[-3:] == ("make 20", "sh 15", "cc 21")


def syscall(time: float, ns: int, tid: int = 20, name: str = "read") -> Syscall:
    return Syscall(
        time=time, pid=20, tid=tid, comm="make", abi="x86_64", nr=0, name=name, args=("3", "..."), ret=4, ns=ns
    )


def opened(time: float, ns: int) -> Open:
    return Open(
        time=time,
        pid=20,
        tid=20,
        uid=0,
        user=None,
        comm="make",
        call="openat",
        dirfd=None,
        path="/x",
        flags="O_RDONLY",
        ret=3,
        error=None,
        ns=ns,
    )


def test_slow_calls_are_slices_of_their_threads_that_do_not_overlap() -> None:
    calls: list[Record] = [
        syscall(START + 2, 20 * MS),
        syscall(START + 2.02 - 1e-7, 15 * MS),  # the steps of the clock
        syscall(START + 2.5, 9 * MS),
        syscall(START + 2.01, 30 * MS, tid=22, name="write"),
        # The same call, reported by another probe.
        opened(START + 2, 20 * MS),
    ]
    trace = trace_of([reading(START), MAKE, *calls])
    reads = [one for one in trace.slices if one.track[-1] == "calls"]
    assert [round((one.end - one.begin) / MS) for one in reads] == [20, 15]
    assert reads[0].track[-2] == "make 20"
    (write,) = trace.slices_of("write")
    assert write.track[-2:] == ("make 20", "calls of make, thread 22")
    assert write.args["args"] == ["3", "..."]
    assert not trace_of([reading(START), MAKE, *calls], slower_ns=40 * MS).slices_of("write")


def flight(ns: int, nr: int = 61, before: bool = False) -> InFlight:
    return InFlight(pid=20, tid=20, comm="make", abi="x86_64", nr=nr, name=f"call{nr}", ns=ns, before=before)


def test_a_call_in_flight_lasts_from_its_entry_to_the_last_reading_that_has_it() -> None:
    s = 10**9
    trace = trace_of(
        [
            reading(START),
            MAKE,
            reading(START + 2, in_flight=(msgspec.structs.replace(flight(s // 2), fd=3, path="pipe:[5]"),)),
            reading(START + 3, whole=False),  # it goes on
            reading(START + 4, whole=False, removed={"in_flight": ((20, 20),)}),
            reading(START + 5, whole=False, in_flight=(flight(s // 4, nr=7),)),
            reading(START + 6, in_flight=()),
        ]
    )
    first, second = trace.slices_of("call61")[0], trace.slices_of("call7")[0]
    assert (first.begin, first.end) == pytest.approx((boot(START + 1.5), boot(START + 3)), abs=1000)
    assert (second.begin, second.end) == pytest.approx((boot(START + 4.75), boot(START + 5)), abs=1000)
    assert "in flight" in first.args["returned"]
    assert first.args["waits_for"] == "fd 3 → pipe:[5]"


def test_a_call_that_was_traced_is_not_shown_in_flight_too() -> None:
    rows = (flight(MS * 500),)
    traced = msgspec.structs.replace(syscall(START + 1.5, 2000 * MS), name="call61")
    trace = trace_of([reading(START), MAKE, reading(START + 2, in_flight=rows), reading(START + 4), traced])
    assert len(trace.slices_of("call61")) == 1


def test_nothing_begins_before_the_trace() -> None:
    rows = (flight(3600 * 10**9),)
    trace = trace_of([reading(START), MAKE, reading(START + 2, in_flight=rows)])
    (call,) = trace.slices_of("call61")
    assert call.begin == pytest.approx(boot(START), abs=1000)
    assert call.args["s"] == pytest.approx(3600)


def test_a_time_that_the_format_cannot_hold_is_the_last_that_it_can() -> None:
    late = start(1e11, 21, 20, "cc")
    trace = trace_of([reading(START), MAKE, late])
    (cc,) = trace.slices_of("cc")
    assert cc.begin == 2**63 - 1


def test_counters_have_the_rate_from_one_reading_to_the_next() -> None:
    def users(time: float, whole: bool, *rows: UserRow) -> Users:
        return Users(time=time, whole=whole, rows=rows)

    ann, root = UserRow(uid=1, user="ann", execs=10, failed=1), UserRow(uid=0, user="root", execs=4, failed=0)
    row = SyscallRow(abi="x86_64", nr=0, name="read", count=100, errors=10, histogram_ns=())
    trace = trace_of(
        [
            reading(START, rows=(row,)),
            users(START, True, ann, root),
            users(START + 2, False, msgspec.structs.replace(ann, execs=20, failed=3)),
            reading(START + 1, whole=False, rows=(msgspec.structs.replace(row, count=400, errors=20),)),
            Lost(time=START + 1, probe="execs", where="ring", count=7),
            Cost(time=START + 1, kernel=0.01, user=0.02, runs=3),
        ]
    )
    machine = ("ebpftop: demo", "Machine")

    def first(*path: str) -> float:
        return trace.counters[path][0][1]

    assert first(*machine, "programs started") == pytest.approx(4)
    assert first(*machine, "execve failed") == pytest.approx(1)
    assert first(*machine, "system calls") == pytest.approx(300)
    assert first(*machine, "system calls failed") == pytest.approx(10)
    assert first(*machine, "events lost so far") == 7
    assert first(*machine, "ebpftop in the kernel") == pytest.approx(1)
    assert first("ebpftop: demo", "Users: execve", "ann") == pytest.approx(5)
    assert trace.counters["ebpftop: demo", "Machine", "programs started"][0][0] == pytest.approx(boot(START), abs=1000)


def test_a_parent_that_was_not_known_is_known_with_the_first_exec() -> None:
    before = msgspec.structs.replace(SHELL, pid=20, ppid=10, comm="sh")
    program = msgspec.structs.replace(MAKE, start_ns=before.start_ns, pcomm="sshd")
    assert trace_of([reading(START), before, program]).slices_of("make")[0].track[-2:] == ("sshd 10", "make 20")


def test_what_ebpf_programs_print_is_a_track_of_its_own() -> None:
    line = Trace(time=START + 1, cpu=0, pid=20, task="make", message="hello")
    (instant,) = trace_of([reading(START), line]).instants
    assert (instant.track[-1], instant.name, instant.args["task"]) == ("Trace log (printk)", "hello", "make")


def test_events_of_a_program_of_ones_own_are_tracks_by_their_buffer() -> None:
    event = BpfEvent(
        time=START + 1, map="output", comm="make", fields={"pid": 20, "in": {"a": [1, 2]}, "most": (1 << 64) - 1}
    )
    (instant,) = trace_of([reading(START), event]).instants
    assert (instant.track[-1], instant.name) == ("Events of output", "make")
    assert instant.args["pid"] == 20
    assert "18446744073709551615" in str(instant.args)


def test_maps_and_runs_of_a_program_of_ones_own_are_rates_and_reloads_are_marked() -> None:
    u64 = Field(type="u64", kind="uint", size=8)
    loaded = Loaded(
        time=START,
        file="count.c",
        path="/count.c",
        state="on",
        generation=1,
        maps=(LoadedMap(name="counts", type="hash", key=u64, value=u64),),
    )
    bad = Diagnostic(stage="clang", line=7, message="expected ';'")
    failed = msgspec.structs.replace(loaded, time=START + 1.5, state="failed", diagnostics=(bad,))

    def rows(counts: dict[int, int]) -> tuple[MapRow, ...]:
        return tuple(MapRow(id=f"{key:08x}", key=key, value=count) for key, count in counts.items())

    records: list[Record] = [reading(START), loaded]
    for second in range(3):
        time = START + second
        records.append(ProgramRuns(time=time, rows=(ProgramRun(program="hello", runs=100 * second, run_ns=7),)))
        many = {1000: 50 * second, **dict.fromkeys(range(100), 2 * second)}
        records.append(MapReading(time=time, map="counts", type="hash", rows=rows(many), entries=101))
        records.append(MapReading(time=time, map="unknown", type="hash", rows=rows(many)))
    trace = trace_of([*records, failed])
    rates = {path[-2:]: max(value for _, value in values) for path, values in trace.counters.items()}
    assert rates["Runs", "hello"] == 100
    assert rates["Map counts", "1000"] == 50
    assert rates["Map counts", "all others"] == 2 * (101 - 32)
    assert not any("unknown" in part for path in rates for part in path)
    marks = [(one.track[-1], one.name) for one in trace.instants]
    assert marks == [("count.c", "generation 1"), ("count.c", "not loaded")]
    assert trace.instants[1].args["error 1"] == "line 7: expected ';'"


def test_without_a_reading_the_clock_is_that_of_the_starts() -> None:
    trace = trace_of([MAKE, end(START + 3, MAKE)])
    assert trace.slices_of("make")[0].begin == pytest.approx(boot(START + 1), abs=MS)


def test_records_of_other_probes_may_come_late() -> None:
    trace = trace_of([reading(START), syscall(START + 2.3, 20 * MS), SHELL, start(START + 2.2, 20, 10, "vi")])
    assert trace.slices_of("read")[0].track[-3:] == ("sh 10", "vi 20", "calls")


def test_more_names_than_a_reader_should_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfetto_writer, "_NAMES", 5)
    monkeypatch.setattr(perfetto_writer, "_TOGETHER", 3)
    programs = [start(START + number, 100 + number, 10, f"job{number}") for number in range(30)]
    assert len(trace_of([reading(START), *programs]).slices) == 31  # with the shell


def test_a_deep_tree_is_cut_into_trees() -> None:
    chain = [start(START + n / 100, 100 + n, 99 + n, f"c{n}") for n in range(250)]
    trace = trace_of([reading(START), *chain])
    assert max(len(one.track) for one in trace.slices) < 110
    assert len({one.name for one in trace.slices} & {f"c{n}" for n in range(250)}) == 250


def _any_record(kind: int, at: float, pid: int, ppid: int, start_ns: int, comm: str, ns: int) -> Record:
    if kind in (0, 1):
        return msgspec.structs.replace(exec_at(at, pid, -2 if kind else 0), ppid=ppid, comm=comm, start_ns=start_ns)
    if kind == 2:
        return msgspec.structs.replace(exit_at(at, pid), ppid=ppid, start_ns=start_ns, forked=bool(ns % 2))
    if kind == 3:
        return msgspec.structs.replace(syscall(at, ns % 10**10, tid=pid + 1), pid=pid, name=comm)
    if kind == 4:
        return reading(at, in_flight=(msgspec.structs.replace(flight(ns), pid=pid, tid=pid),))
    return msgspec.structs.replace(SHELL, time=at, pid=pid, ppid=ppid, start_ns=start_ns)


def test_processes_whose_ends_are_lost_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_tree, "_MOST", 20)
    starts = [start(START + n / 10, 100 + n, 10, f"c{n}") for n in range(100)]
    trace = trace_of([reading(START), SHELL, *starts])
    lost = [one for one in trace.slices if one.args.get("end") == "not seen"]
    assert len(lost) == 81  # the shell, their parent, is not among them
    assert trace.slices_of("sh")[0].args["end"] == "still running"


_TEXT = st.text(max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            _any_record,
            *(st.integers(0, 5), st.floats(START - 5, START + 30), st.integers(1, 6), st.integers(0, 6)),
            *(st.sampled_from([0, BOOT_NS - 5, BOOT_NS + 10**9, 2**63]), _TEXT, st.integers(0, 2**62)),
        ),
        max_size=60,
    )
)
def test_whatever_a_recording_says_the_trace_is_well_formed(records: list[Record]) -> None:
    trace_of([reading(START), *records], slower_ns=1)


def test_a_made_up_machine_and_the_demo_are_well_formed() -> None:
    trace_of(list(story(30)))
    path = Path(str(files("ebpftop").joinpath("demo/demo.jsonl.zst")))
    passage = Passage(open_file(str(path)), str(path))
    first = passage.first_time()
    trace = PerfettoTrace(b"".join(to_perfetto(Input(passage.header, passage.records(), first), 10 * MS)))
    assert len(trace.slices_of("cc")) > 50
    assert any(instant.name.startswith("ENOENT ") for instant in trace.instants)
