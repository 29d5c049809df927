"""A C file of one's own on the running kernel: what its maps and buffers have is what the test did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ebpftop.core.load_records import BpfEvent, Code, LineCounts, Loaded, MapReading, ProgramRuns
from ebpftop.core.source import SourceError
from ebpftop.core.trace_records import Trace
from ebpftop.kernel.load import server
from ebpftop.probes.load_request import LoadRequest
from ebpftop.recording.parse import read_line
from ebpftop.recording.readings import ReadingDecoder
from tests.kernel import forked_start, own_source
from tests.kernel.support import Line, Stream, needs_root, of
from tests.unit.recording_samples import play

pytestmark = needs_root

LESSONS = Path(__file__).parents[2] / "bpf/lesson"
UID = 54_321
"""Nobody else on the machine is this user: what it does is the test's alone."""

EVENTS = """\
// ebpftop: attach hello=syscall:execve
struct inner { s32 a; signed char b; u16 grid[2][3]; };
enum how { FIRST = 1, SECOND };
struct event { u64 at; u32 pid; u32 uid; char comm[16]; struct inner in; enum how how; u32 low : 3, high : 5; };
BUFFER
BPF_PERCPU_ARRAY(each, u64, 1);
BPF_ARRAY(settings, u32, 300);
int hello(void *ctx)
{
	struct event e = {.in = {.a = -5, .b = -3}, .how = SECOND, .low = 5, .high = 17};
	u32 zero = 0;
	u64 *n = each.lookup(&zero);

	if ((u32)bpf_get_current_uid_gid() != 54321)
		return 0;
	if (n)
		*n += 1;
	e.at = bpf_ktime_get_ns();
	e.pid = bpf_get_current_pid_tgid() >> 32;
	e.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(&e.comm, sizeof(e.comm));
	e.in.grid[0][0] = 1;
	e.in.grid[1][2] = 9;
	SEND
	return 0;
}
"""
BUFFERS = {
    "perf": ("BPF_PERF_OUTPUT(output);", "output.perf_submit(ctx, &e, sizeof(e));"),
    "ring": ("BPF_RINGBUF_OUTPUT(output, 8);", "output.ringbuf_output(&e, sizeof(e), 0);"),
}


def source(buffer: str) -> str:
    """Return a program that writes an event for each execve of the user into a buffer."""
    made, send = BUFFERS[buffer]
    return EVENTS.replace("BUFFER", made).replace("SEND", send)


def run_as_user(times: int = 1) -> None:
    for _ in range(times):
        subprocess.run(["/bin/true"], check=True, user=UID, group=UID)


class Loads(Stream):
    """`ebpftop stream --load FILE.c`, entered when it is loaded."""

    forked = True

    def __init__(self, path: Path, *arguments: str) -> None:
        super().__init__("--load", str(path), "--interval", "0.2", *arguments, probes="trace")

    def __enter__(self) -> Loads:
        super().__enter__()
        self.wait_for(lambda lines: of("loaded", lines))
        return self

    def map(self, name: str) -> dict[Any, Any]:
        """Return the values of a map by their keys, as they were read last; {} if it was not read yet."""
        readings = [line for line in of("map", self.lines) if line["map"] == name]
        return {str(row["key"]): row["value"] for row in readings[-1]["rows"]} if readings else {}

    def wait_for_map(self, name: str, holds: Callable[[dict[Any, Any]], object]) -> None:
        self.wait_for(lambda _: holds(self.map(name)))

    def loaded(self) -> Line:
        """Return what became of the file last."""
        return of("loaded", self.lines)[-1]


@pytest.mark.guest
@pytest.mark.newest
def test_the_lesson_counts_every_program_that_a_user_starts() -> None:
    with Loads(LESSONS / "2-counter.c") as stream:
        run_as_user(20)
        subprocess.run(["/bin/true"], check=True)
        stream.wait_for_map("counter_table", lambda counts: counts.get(str(UID), 0) >= 20 and "0" in counts)
    assert stream.map("counter_table")[str(UID)] == 20
    rows = [row for line in of("map", stream.lines) for row in line["rows"] if row["key"] == 0]
    assert rows[-1]["names"] == {"key": "root"}
    (program,) = stream.loaded()["programs"]
    assert (program["name"], program["event"], bool(program["attached"])) == ("hello", "syscall:execve", True)
    (row,) = of("runs", stream.lines)[-1]["rows"]
    assert row["program"] == "hello"
    code = of("code", stream.lines)[-1]
    lines = {one["line"] for one in code["xlated"]}
    source_ = stream.loaded()["source"]
    assert any("counter_table" in one["text"] for one in code["xlated"]), code
    assert {"(*count)++;" in source_[line - 1] for line in lines if line} == {True, False}
    assert row["runs"] >= 20 or not of("runs", stream.lines)[-1]["counted"]


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.parametrize(
    "buffer",
    [
        "perf",
        pytest.param(
            "ring",
            marks=pytest.mark.skipif(
                tuple(map(int, os.uname().release.split(".")[:2])) < (5, 8), reason="ring buffers are new in Linux 5.8"
            ),
        ),
    ],
)
def test_every_event_of_a_buffer_comes_once_with_the_members_as_c_has_them(tmp_path: Path, buffer: str) -> None:
    path = tmp_path / "events.c"
    path.write_text(source(buffer))
    with Loads(path) as stream:
        begin = time.time()
        run_as_user(5)
        stream.wait_for(lambda lines: len(of("event", lines)) >= 5)
        end = time.time()
        stream.wait_for_map("each", lambda counts: counts.get("0", 0) >= 5)
    events = of("event", stream.lines)
    assert len(events) == 5
    assert stream.map("each") == {"0": 5}
    for event in events:
        fields = event["fields"]
        assert fields["in"] == {"a": -5, "b": -3, "grid": [[1, 0, 0], [0, 0, 9]]}
        assert (fields["how"], fields["low"], fields["high"], fields["uid"]) == ("SECOND", 5, 17, UID)
        assert event["program"] == stream.loaded()["programs"][0]["name"]
        assert (event["map"], event["pid"], event["uid"], event["cut"]) == ("output", fields["pid"], UID, False)
        assert event["comm"] == fields["comm"]
        assert begin - 0.1 <= event["time"] <= end + 0.1
    (found,) = [one for one in stream.loaded()["maps"] if one["name"] == "output"]
    assert [(one["name"], one["meaning"]) for one in found["value"]["fields"]][:3] == [
        *(("at", ""), ("pid", "pid"), ("uid", "uid")),
    ]


def test_the_filter_holds_for_events_that_say_whose_they_are(tmp_path: Path) -> None:
    path = tmp_path / "events.c"
    path.write_text(source("perf").replace("!= 54321", "< 54321"))
    with Loads(path, "--uid", str(UID + 1)) as stream:
        run_as_user(2)
        subprocess.run(["/bin/true"], check=True, user=UID + 1, group=UID + 1)
        stream.wait_for(lambda lines: of("event", lines))
        stream.wait_for_map("each", lambda counts: counts.get("0", 0) >= 3)
    assert [event["uid"] for event in of("event", stream.lines)] == [UID + 1]
    assert stream.map("each") == {"0": 3}


FIRES = """\
struct event { u32 pid; u32 filler; u64 rest[4]; };
BPF_ARRAY(fired, u64, 1);
BPF_RINGBUF_OUTPUT(output, 1);
RAW_TRACEPOINT_PROBE(sys_enter)
{
    struct event e = {.pid = bpf_get_current_pid_tgid() >> 32};
    int zero = 0;
    u64 *n = fired.lookup(&zero);

    if (!n)
        return 0;
    __sync_fetch_and_add(n, 1);
    output.ringbuf_output(&e, sizeof(e), 0);
    return 0;
}
"""


@pytest.mark.parametrize("option", ["--hide-self", "--no-hide-self", f"--uid={UID}"])
def test_records_lost_and_hidden_events_are_all_that_were_written(tmp_path: Path, option: str) -> None:
    path = tmp_path / "fires.c"
    path.write_text(FIRES)
    with Loads(path, option) as stream:
        for _ in range(20_000):
            os.getppid()
        stream.wait_for(lambda lines: of("lost", lines) and stream.map("fired").get("0", 0) > 20_000)
    runs = of("runs", stream.lines)[-1]
    lost = [line["count"] for line in of("lost", stream.lines) if line["probe"] == "load"][-1]
    hidden = runs["own_events"] + runs["excluded_events"]
    assert stream.map("fired")["0"] == len(of("event", stream.lines)) + lost + hidden
    assert bool(runs["own_events"]) == (option != "--no-hide-self")
    assert bool(runs["excluded_events"]) == option.startswith("--uid")


def test_only_the_lines_of_its_own_programs_are_in_the_trace_log() -> None:
    with Loads(LESSONS / "1-hello.c") as stream, Loads(LESSONS / "1-hello.c") as other:
        run_as_user(3)
        for one in (stream, other):
            one.wait_for(lambda lines: len(of("trace", lines)) >= 3)
    for one in (stream, other):
        number = one.loaded()["programs"][0]["id"]
        assert {line["program"]["id"] for line in of("trace", one.lines)} == {number}
        assert {line["message"] for line in of("trace", one.lines)} == {"Hello World!"}


def test_slots_say_which_program_is_in_them() -> None:
    with Loads(LESSONS / "4-tail-call.c") as stream:
        stream.wait_for_map("syscalls", lambda slots: len(slots) >= 3)
    assert set(stream.map("syscalls").values()) == {"hello_exec", "hello_timer", "ignore"}


def test_saving_loads_it_again_and_counters_go_on(tmp_path: Path) -> None:
    path = tmp_path / "counter.c"
    text = (LESSONS / "2-counter.c").read_text()
    path.write_text(text)
    with Loads(path) as stream:
        run_as_user(3)
        stream.wait_for_map("counter_table", lambda counts: counts.get(str(UID), 0) >= 3)
        path.write_text(text.replace("(*count)++", "(*count) += 100"))
        stream.wait_for(lambda _: stream.loaded()["generation"] == 2)
        run_as_user(1)
        stream.wait_for_map("counter_table", lambda counts: counts.get(str(UID), 0) >= 103)
        path.write_text(text.replace("return 0;", "leave 0;"))
        stream.wait_for(lambda _: stream.loaded()["state"] == "failed")
        run_as_user(1)
        stream.wait_for_map("counter_table", lambda counts: counts.get(str(UID), 0) >= 203)
    states = [(line["state"], line["generation"]) for line in of("loaded", stream.lines)]
    assert states == [("on", 1), ("compiling", 1), ("on", 2), ("compiling", 2), ("failed", 2)]
    assert [one["kept"] for one in of("loaded", stream.lines)[2]["maps"]] == [True]
    failed = stream.loaded()
    assert failed["diagnostics"][0]["line"] == text.split("\n").index("\treturn 0;") + 1
    assert failed["source"][failed["diagnostics"][0]["line"] - 1] == "        leave 0;"
    assert failed["running"] is not None
    assert stream.map("counter_table")[str(UID)] == 203


def test_a_recording_shows_again_what_it_saw(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl.zst"
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ebpftop",
            "record",
            str(path),
            "--load",
            str(LESSONS / "3-buffer.c"),
            "--interval",
            "0.2",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until_s = time.monotonic() + 120
        while not (path.exists() and _has_loaded(path)):
            assert child.poll() is None, child.communicate()[1]
            assert time.monotonic() < until_s
            time.sleep(0.2)
        run_as_user(4)
        time.sleep(1)
    finally:
        child.terminate()
        stderr = child.communicate(timeout=60)[1]
    assert "records in" in stderr
    text = subprocess.run(["zstdcat", str(path)], check=True, capture_output=True).stdout
    decoder = ReadingDecoder()
    written = [whole for line in text.splitlines() if (whole := decoder.whole(read_line(line))) is not None]
    shown, _ = play(path)
    for kind in (Loaded, BpfEvent, MapReading, ProgramRuns, Code, Trace):
        assert [one for one in shown if isinstance(one, kind)] == [one for one in written if isinstance(one, kind)]
    events = [one for one in shown if isinstance(one, BpfEvent) and one.uid == UID]
    assert [one.fields["message"] for one in events] == ["Hello World!"] * 4


def _has_loaded(path: Path) -> bool:
    found = subprocess.run(["zstdcat", str(path)], check=False, capture_output=True).stdout
    return b'"kind":"loaded"' in found


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (None, 1, "there is no file "),
        ("print('hello')\n", 1, "has no program; a program is a function that is not static"),
        (
            "int hello(void *ctx) { leave 0; }\n// ebpftop: attach hello=syscall:execve\n",
            *(1, "file.c:1:24: use of undeclared identifier 'leave'"),
        ),
    ],
    ids=["no file", "not C", "wrong C"],
)
def test_what_cannot_be_loaded_is_said_in_a_line(tmp_path: Path, text: str | None, status: int, said: str) -> None:
    path = tmp_path / "file.c"
    if text is not None:
        path.write_text(text)
    done = forked_start.run("stream", "--load", str(path), "--duration", "1")
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def _stream(*options: str) -> subprocess.CompletedProcess[str]:
    return forked_start.run("stream", *options, "--duration", "0.5")


@pytest.mark.parametrize(
    ("options", "probes"),
    [((), {"load", "trace"}), (("--probes", "load"), {"load"}), (("--probes", "users,load"), {"load", "users"})],
)
def test_the_probe_of_a_file_may_be_named_beside_others(options: tuple[str, ...], probes: set[str]) -> None:
    done = _stream("--load", str(LESSONS / "2-counter.c"), *options)
    assert {line["probe"] for line in of("probe", list(map(json.loads, done.stdout.splitlines())))} == probes


def test_without_a_file_it_cannot_be_named() -> None:
    done = _stream("--probes", "load")
    assert (done.returncode, "--load FILE.c" in done.stderr) == (2, True), done.stderr


def test_without_root_it_says_so_and_ends_with_3(tmp_path: Path) -> None:
    path = tmp_path / "file.c"
    path.write_text("int hello(void *ctx) { return 0; }\n// ebpftop: attach hello=syscall:execve\n")
    command = [sys.executable, "-m", "ebpftop", "stream", "--load", str(path), "--duration", "1"]
    code = f"import os, sys\nos.setgid(65534)\nos.setuid(65534)\nos.execv(sys.executable, {command!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 3), done.stderr
    if done.returncode == 1:  # this checkout is not readable for everybody
        pytest.skip(done.stderr)
    assert "insufficient privileges" in done.stderr


class Owned(own_source.OwnSource):
    """A source of the test's own process, which it edits."""

    def value(self, name: str, key: object) -> object:
        """Return the value of a key of a map as it is now; None if there is none."""
        self.poll()
        reading = next(one for one in reversed(self.records) if isinstance(one, MapReading) and one.map == name)
        return next((row.value for row in reading.rows if row.key == key), None)


@contextmanager
def owned(path: Path) -> Iterator[Owned]:
    server.start()
    try:
        with own_source.opened(Owned, probes=("load",), load=LoadRequest(path)) as one:
            yield one
    finally:
        server.close()


EDITED = """\
// ebpftop: attach hello=raw_tracepoint:sys_enter
// ebpftop: slot calls[getppid]=first
struct key { u32 uid; u8 failed; };
struct value { u64 count; char text[8]; };
BPF_HASH(table, struct key, struct value);
BPF_PERCPU_ARRAY(each, u64, 2);
BPF_PROG_ARRAY(calls, 512);
BPF_ARRAY(runs, u64, 2);
int hello(struct bpf_raw_tracepoint_args *ctx) { calls.call(ctx, ctx->args[1]); return 0; }
int first(struct bpf_raw_tracepoint_args *ctx) { runs.increment(0); return 0; }
int second(struct bpf_raw_tracepoint_args *ctx) { runs.increment(1); return 0; }
"""


def test_cells_are_written_keys_removed_and_slots_filled(tmp_path: Path) -> None:
    path = tmp_path / "edited.c"
    path.write_text(EDITED)
    with owned(path) as one:
        source_ = one.source
        source_.write_map("table", "uid=7 failed=1", 'count=5 text="abc"')
        assert one.value("table", {"uid": 7, "failed": 1}) == {"count": 5, "text": "abc"}
        source_.write_map("table", "uid=7 failed=1", "9", "count")
        assert one.value("table", {"uid": 7, "failed": 1}) == {"count": 9, "text": "abc"}
        source_.delete_key("table", "uid=7 failed=1")
        assert one.value("table", {"uid": 7, "failed": 1}) is None
        source_.write_map("each", "1", "77")
        assert one.value("each", 1) == 77
        os.getppid()
        before = one.value("runs", 0)
        assert isinstance(before, int)
        assert before > 0
        source_.set_slot("calls", "getppid", "second")
        os.getppid()
        after = one.value("runs", 1)
        assert isinstance(after, int)
        assert after > 0
        source_.set_slot("calls", "getppid", None)
        with pytest.raises(SourceError, match="-1 is beyond u64"):
            source_.write_map("table", "uid=7", "count=-1")
        with pytest.raises(SourceError, match="there is no map nothing"):
            source_.write_map("nothing", "1", "1")
        with pytest.raises(SourceError, match="has no key uid=8"):
            source_.delete_key("table", "uid=8")
        with pytest.raises(SourceError, match="has the slots 0 to 511"):
            source_.set_slot("calls", "600", "first")
        with pytest.raises(SourceError, match=r"^there is no program third$"):
            source_.set_slot("calls", "1", "third")
        with pytest.raises(SourceError, match="neither a number nor a system call"):
            source_.set_slot("calls", "no_such_call", "first")


def test_how_often_each_line_runs_is_counted_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lines.c"
    text = (LESSONS / "2-counter.c").read_text()
    path.write_text(text)
    adds = text.split("\n").index("\t\t(*count)++;") + 1
    with owned(path) as one:
        one.poll()
        one.source.count_lines(True)
        run_as_user(5)
        counts = {row.line: row.runs for row in one.now(LineCounts).rows}
        assert counts[adds] >= 4, counts
        one.source.count_lines(False)
        run_as_user(2)
        assert one.value("counter_table", UID) == 7  # the map went on through both loads


def test_nothing_of_it_is_left_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "edited.c"
    path.write_text(EDITED)
    with owned(path) as one:
        one.poll()
        numbers = [program.id for program in one.last(Loaded).programs]
        assert all(_exists(number) for number in numbers)
    until_s = time.monotonic() + 20  # the kernel frees them when no CPU may run them any more
    while any(_exists(number) for number in numbers):
        assert time.monotonic() < until_s
        time.sleep(0.2)


def _exists(number: int | None) -> bool:
    listed = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(number)], check=False, capture_output=True)
    return b'"error"' not in listed.stdout
