"""A user's C file is loaded, read, written and loaded again on the real kernel."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, execute, needs_root, needs_tracefs

pytestmark = [needs_root, needs_tracefs]

COUNTS = """\
BPF_HASH(counts, u32, u64);
BPF_PERCPU_ARRAY(total, u64, 2);
TRACEPOINT_PROBE(sched, sched_process_exec) {
    u32 pid = args->pid;
    counts.increment(pid);
    total.increment(1);
    return 0;
}
"""
EVENTS = """\
struct ran { u32 pid; char comm[16]; };
BPF_PERF_OUTPUT(by_perf);
BPF_RINGBUF_OUTPUT(by_ring, 8);
RAW_TRACEPOINT_PROBE(sched_process_exec) {
    struct ran ran = {};
    ran.pid = bpf_get_current_pid_tgid() >> 32;
    bpf_get_current_comm(&ran.comm, sizeof(ran.comm));
    by_perf.perf_submit(ctx, &ran, sizeof(ran));
    by_ring.ringbuf_output(&ran, sizeof(ran), 0);
    return 0;
}
"""
TAIL_CALLS = """\
// ebpftop: slot handlers[1]=second
BPF_PROG_ARRAY(handlers, 4);
BPF_HASH(seen, u32, u64);
RAW_TRACEPOINT_PROBE(sched_process_exec) {
    u32 slot = 1;
    handlers.call(ctx, slot);
    slot = 99;
    seen.increment(slot);
    return 0;
}
int second(struct bpf_raw_tracepoint_args *ctx) {
    u32 key = 1;
    seen.increment(key);
    return 0;
}
int third(struct bpf_raw_tracepoint_args *ctx) {
    u32 key = 3;
    seen.increment(key);
    return 0;
}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[LoadServer]:
    server = LoadServer()
    yield server
    server.close()


@pytest.fixture
def file(tmp_path: Path, running: LoadServer) -> Iterator[File]:
    made = File(tmp_path, running)
    yield made
    made.file.close()


def count_of(file: File, name: str, key: int) -> int:
    value = file.file.maps[name].lookup(struct.pack("=I", key))
    return sum(struct.unpack(f"={len(value) // 8}Q", value)) if value else 0


@pytest.mark.guest
@pytest.mark.newest
def test_a_program_counts_in_its_maps(file: File) -> None:
    loading = file.load(COUNTS)
    assert (loading.ok, loading.error, loading.generation) == (True, "", 1)
    (program,) = loading.programs
    assert program.attached == ("tracepoint:sched:sched_process_exec",)
    assert program.reason is None
    pid = execute()
    assert count_of(file, "counts", pid) == 1
    assert count_of(file, "total", 1) >= 1
    assert count_of(file, "total", 0) == 0
    keys, values = file.file.maps["counts"].entries()
    assert struct.pack("=I", pid) in keys
    assert len(values) == len(keys)
    total = file.file.maps["total"]
    assert [len(total.cpu_values(value)) for value in total.entries().values] == [os.cpu_count()] * 2
    facts = file.file.facts(program.name)
    assert facts.id > 0
    assert facts.xlated_bytes >= len(program.insns)


def test_each_instruction_has_its_line(file: File) -> None:
    (program,) = file.load(COUNTS).programs
    lines = {line.line: line.text for line in program.lines}
    assert lines[5] == "counts.increment(pid);"
    assert lines[6] == "total.increment(1);"
    assert {line.file for line in program.lines} <= {"hello.c", "/virtual/include/bcc/helpers.h"}


@pytest.mark.guest
def test_the_verifier_names_lines_on_every_kernel(file: File) -> None:
    loading = file.load(COUNTS.replace("counts.increment(pid);", "u64 *v = counts.lookup(&pid); *v += 1;"))
    assert (loading.ok, loading.stage) == (False, "verifier")
    assert "kernel refused to load tracepoint__sched__sched_process_exec" in loading.error
    (program,) = loading.programs
    assert program.fd is None
    assert "@ hello.c:5" in program.log
    assert "map_value_or_null" in program.log


def test_maps_that_stay_the_same_are_kept_and_others_are_new(file: File) -> None:
    file.load(COUNTS)
    pid = execute()
    before = {name: one.id for name, one in file.file.maps.items()}
    loading = file.load(COUNTS.replace("BPF_PERCPU_ARRAY(total, u64, 2)", "BPF_PERCPU_ARRAY(total, u64, 3)"))
    assert loading.ok
    assert loading.generation == 2
    assert loading.kept == {"counts"}
    assert count_of(file, "counts", pid) == 1
    assert file.file.maps["counts"].id == before["counts"]
    assert file.file.maps["total"].id != before["total"]
    later = execute()
    assert count_of(file, "counts", later) == 1, "the old program is gone, the new one runs"


def test_a_map_whose_type_changed_is_new_though_its_size_is_the_same(file: File) -> None:
    one, other = "struct v { u32 a; u32 b; };\n", "struct v { u32 c; u32 b; };\n"
    text = COUNTS.replace("u32, u64)", "u32, struct v)").replace(
        "counts.increment(pid);", "struct v v = {}; counts.update(&pid, &v);"
    )
    assert file.load(one + text).ok
    assert file.load(one + text + "\n").kept == {"counts", "total"}
    assert file.load(other + text).kept == {"total"}


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (COUNTS.replace("return 0;", "return nothing;"), "clang"),
        (COUNTS.replace("return 0;", "char a[600] = {}; bpf_probe_read_kernel(a, 600, args); return a[9];"), "clang"),
        (COUNTS.replace("sched_process_exec", "sched_no_such"), "clang"),
        (COUNTS.replace("counts.increment(pid);", "u64 *v = counts.lookup(&pid); *v += 1;"), "verifier"),
        ("int f(void *ctx) { return 0; }\n// ebpftop: attach f=raw_tracepoint:no_such\n", "attach"),
        ("// nothing\n", "source"),
    ],
)  # fmt: skip
def test_the_last_good_one_runs_on(file: File, text: str, stage: str) -> None:
    good = file.load(COUNTS)
    loading = file.load(text)
    assert not loading.ok
    assert loading.error
    assert (loading.stage, loading.generation) == (stage, 1)
    assert file.file.good == good
    pid = execute()
    assert count_of(file, "counts", pid) == 1
    assert file.load(COUNTS).generation == 2
    assert count_of(file, "counts", pid) == 1


def test_a_program_that_the_verifier_refuses_is_not_tried_elsewhere(file: File) -> None:
    """Where it hangs is not to blame, and the next version is to hang at the best place again."""
    text = "// ebpftop: attach hello=syscall:execve\nBPF_HASH(counts, u32, u64);\n"
    text += "int hello(void *ctx) {\n    u32 k = 1;\n    counts.increment(k);\n    return 0;\n}\n"
    via = file.load(text).programs[0].attached
    failed = file.load(text.replace("counts.increment(k);", "u64 *v = counts.lookup(&k); *v = 1;"))
    assert failed.stage == "verifier"
    assert file.load(text).programs[0].attached == via


@pytest.mark.guest
@pytest.mark.oldest
def test_events_of_both_buffers(file: File) -> None:
    assert file.load(EVENTS).ok
    file.file.events()
    pid = execute()
    events = [event for event in file.file.events() if event.data[:4] == struct.pack("=I", pid)]
    assert {event.map for event in events} == {"by_perf", "by_ring"}
    for event in events:
        assert event.data[4:9] == b"true\0"
        assert len(event.data) >= 20
        assert (event.cpu is None, event.time_ns is None) == ((event.map == "by_ring"),) * 2
    assert file.file.lost() == {"by_perf": 0, "by_ring": 0}


def test_a_buffer_is_kept_unless_its_events_change(file: File) -> None:
    file.load(EVENTS)
    pid = execute()
    loading = file.load(EVENTS.replace("return 0;", "bpf_ktime_get_ns();\n    return 0;"))
    assert loading.ok, loading
    assert loading.kept == {"by_perf", "by_ring"}
    assert len([event for event in file.file.events() if event.data[:4] == struct.pack("=I", pid)]) == 2
    assert not file.load(EVENTS.replace("char comm[16];", "char comm[16]; u64 more;")).kept & {"by_perf"}
    pid = execute()
    assert len([event for event in file.file.events() if event.data[:4] == struct.pack("=I", pid)]) == 2


def test_a_perf_buffer_says_how_much_was_lost(file: File) -> None:
    flood = EVENTS.replace(
        "    by_ring", "    for (int i = 0; i < 64; i++) by_perf.perf_submit(ctx, &ran, sizeof(ran));\n    by_ring"
    )
    assert file.load(flood).ok
    for _ in range(300):
        execute()
    seen = len([event for event in file.file.events() if event.map == "by_perf"])
    for cpu in sorted(os.sched_getaffinity(0)):  # what was lost on a CPU is said with its next event
        execute(cpu)
    more = len([event for event in file.file.events() if event.map == "by_perf"])
    lost = file.file.lost()["by_perf"]
    assert lost is not None
    assert lost > 0
    assert seen + more + lost >= 300 * 65


def test_programs_are_put_into_slots_by_name_and_again_at_each_load(file: File) -> None:
    loading = file.load(TAIL_CALLS)
    assert loading.ok, loading
    assert loading.slot_errors == {}
    assert {one.name: bool(one.attached) for one in loading.programs} == {
        "raw_tracepoint__sched_process_exec": True, "second": False, "third": False,
    }  # fmt: skip
    execute()
    assert count_of(file, "seen", 1) >= 1
    assert file.file.slots("handlers") == {1: "second"}
    file.file.set_slot("handlers", 1, "third")
    execute()
    assert count_of(file, "seen", 3) >= 1
    file.load(TAIL_CALLS.replace("u32 key = 3", "u32 key = 33"))
    execute()
    assert count_of(file, "seen", 33) >= 1, "what was chosen by hand is chosen again"
    file.load(TAIL_CALLS.replace("[1]=second", "[2]=second"))
    assert file.file.slots("handlers") == {2: "second"}
    execute()
    assert count_of(file, "seen", 99) >= 1
    file.file.set_slot("handlers", 2, None)
    assert file.file.slots("handlers") == {}
    with pytest.raises(KeyError, match="no program"):
        file.file.set_slot("handlers", 1, "fourth")
    with pytest.raises(OSError, match="updated"):
        file.file.set_slot("handlers", 4, "third")


def test_cells_are_written_and_deleted(file: File) -> None:
    file.load(COUNTS)
    key, value = struct.pack("=I", 7), struct.pack("=Q", 41)
    file.file.write("counts", key, value)
    assert count_of(file, "counts", 7) == 41
    assert file.file.delete("counts", key)
    assert not file.file.delete("counts", key)
    file.file.write("total", struct.pack("=I", 0), value)
    assert count_of(file, "total", 0) == 41
    file.file.delete("total", struct.pack("=I", 0))
    assert count_of(file, "total", 0) == 0
    with pytest.raises(ValueError, match="8 bytes"):
        file.file.write("counts", key, b"12")
    with pytest.raises(KeyError):
        file.file.write("nothing", key, value)


def wait_until_saved(file: File) -> None:
    until_s = time.monotonic() + 20
    while not file.file.saved():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_it_is_seen_when_it_is_saved(file: File, tmp_path: Path) -> None:
    (tmp_path / "own.h").write_text("#define STEP 1\n")
    text = '#include "own.h"\n' + COUNTS.replace("increment(pid)", "increment(pid, STEP)")
    assert file.load(text).ok
    assert not file.file.saved()
    file.write(text + "\n")  # renamed into its place
    wait_until_saved(file)
    assert file.file.load().ok
    assert not file.file.saved()
    file.path.write_text(text)  # written in its place
    wait_until_saved(file)
    assert file.file.load().ok
    (tmp_path / "own.h").write_text("#define STEP 10\n")
    wait_until_saved(file)
    assert file.file.load().ok
    assert count_of(file, "counts", execute()) == 10
    file.path.unlink()
    assert not file.file.saved()
    assert file.file.load().stage == "source"
    assert count_of(file, "counts", execute()) == 10, "what was loaded runs on"


def test_nothing_stays_open(file: File) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for text in (COUNTS, EVENTS, TAIL_CALLS, COUNTS.replace("return 0", "return x"), EVENTS):
        file.load(text)
    file.file.close()
    file.file.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_program_samples(file: File) -> None:
    text = """\
// ebpftop: attach sample=profile:hz:199
#include <uapi/linux/bpf_perf_event.h>
BPF_HASH(samples, u32, u64);
int sample(struct bpf_perf_event_data *ctx) {
    u32 cpu = bpf_get_smp_processor_id();
    samples.increment(cpu);
    return 0;
}
"""
    loading = file.load(text)
    assert loading.ok, loading
    assert loading.programs[0].attached == ("perf:profile:hz:199",)
    until_s = time.monotonic() + 60
    while not file.file.maps["samples"].entries().keys:  # only a busy CPU is sampled by some kernels
        assert time.monotonic() < until_s


@pytest.mark.guest
@pytest.mark.newest
def test_a_program_runs_at_a_function_of_a_program(file: File) -> None:
    libc = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    text = f"""\
// ebpftop: attach on_getppid=uprobe:{libc}:getppid
BPF_HASH(calls, u32, u64);
int on_getppid(struct pt_regs *ctx) {{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    calls.increment(pid);
    return 0;
}}
"""
    loading = file.load(text)
    if not loading.ok and not Path("/sys/bus/event_source/devices/uprobe").exists():
        assert "no user-space probes" in loading.error
        return
    assert loading.ok, loading
    os.getppid()
    assert count_of(file, "calls", os.getpid()) == 1


def test_a_link_in_the_place_of_the_file_is_not_read(file: File) -> None:
    loading = file.load(COUNTS)
    assert loading.ok, loading
    secret = file.path.with_name("secret")
    secret.write_text("root:secret\n")
    file.path.unlink()
    file.path.symlink_to(secret)
    loading = file.file.load()
    assert (loading.ok, loading.error) == (False, "hello.c is a link, and links are not followed")
    assert loading.source == COUNTS, "what it leads to is not shown"
    assert file.file.good is not None, "the last good one runs on"
    assert file.load(COUNTS).ok, "it is a file again"
