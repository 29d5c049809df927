"""Files of a learner's own, as `ebpftop load` runs them: a counter, a buffer, tail calls, a histogram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ebpftop.core.load_records import (
    BpfEvent,
    Code,
    CodeLine,
    Diagnostic,
    Field,
    LineCount,
    LineCounts,
    Loaded,
    LoadedMap,
    LoadedProgram,
    MapReading,
    MapRow,
    ProgramRun,
    ProgramRuns,
    Register,
)
from ebpftop.core.records import Lost, Record
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import PrintingProgram, Trace
from ebpftop.probes.registry import registry

from .scene import START, FakeSource, batch, minute, probe_state

PROBES = (*(name for name in registry().names if name != "load"), "load")

U64 = Field(type="u64", kind="uint", size=8)
U32 = Field(type="u32", kind="uint", size=4)

COUNTER = """\
// Counts the programs that each user starts.
#include <uapi/linux/ptrace.h>

BPF_HASH(counter_table, u64, u64);
BPF_HASH(config, u32, struct user_msg_t);

int hello(void *ctx) {
    u64 uid = bpf_get_current_uid_gid() & 0xffffffff;
    u64 one = 1, *n;

    n = counter_table.lookup(&uid);
    if (n) (*n)++;
    else counter_table.update(&uid, &one);
    return 0;
}
""".splitlines()

BROKEN = [line.replace("if (n) (*n)++;", "(*n)++;") for line in COUNTER if "else counter" not in line]

UID = replace(U64, meaning="uid")
MESSAGE = Field(
    type="struct user_msg_t",
    kind="struct",
    size=16,
    fields=(
        Field(name="message", type="char[12]", kind="string", size=12),
        replace(U32, name="times"),
    ),
)

MAPS = (
    LoadedMap(name="counter_table", type="hash", id=71, key=UID, value=U64, max_entries=10_240, writable=True),
    LoadedMap(
        name="config", type="hash", id=72, key=replace(U32, meaning="uid"), value=MESSAGE, max_entries=64, writable=True
    ),
)

HELLO = LoadedProgram(
    name="hello",
    type="raw_tracepoint",
    id=214,
    tag="a04f5eef06a7f555",
    event="syscall:execve",
    attached=("raw_tracepoint:sys_enter",),
    via="raw tracepoint",
    insns=23,
    jited_bytes=148,
    verified_insns=41,
    load_s=0.0002,
)

LOADED = Loaded(
    time=START + 2,
    file="counter.c",
    path="/home/ann/counter.c",
    state="on",
    generation=1,
    saved=START + 1.9,
    compile_s=0.061,
    source=tuple(COUNTER),
    programs=(HELLO,),
    maps=MAPS,
)

REFUSED = Diagnostic(
    program="hello",
    stage="verifier",
    line=12,
    column=5,
    message="R0 invalid mem access 'map_value_or_null'",
    meaning="n may be NULL: there is no such key yet. Test it before you use what it points to.",
    suggestion="if (n) (*n)++;",
    registers=(
        Register(name="r0", text="map_value_or_null(counter_table, 8 bytes)"),
        Register(name="r10", text="frame pointer"),
    ),
    path=(8, 9, 11, 12),
    log=tuple(f"{at}: (b7) r{at % 9} = {at}" for at in range(212)),
)

FAILED = replace(
    LOADED,
    time=START + 50,
    saved=START + 49.9,
    state="failed",
    source=tuple(BROKEN),
    running=tuple(COUNTER),
    diagnostics=(REFUSED,),
)

TYPO = Diagnostic(
    stage="clang",
    line=8,
    column=15,
    message="use of undeclared identifier 'bpf_get_curent_uid_gid'; did you mean 'bpf_get_current_uid_gid'?",
    meaning="Nothing of this name is declared: a helper, a variable or a macro is misspelt, or its header is missing.",
    suggestion="bpf_get_current_uid_gid()",
    log=("hello.c:8:15: error: use of undeclared identifier",),
)

NOWHERE = Diagnostic(
    stage="clang",
    message="it was not compiled within 5 s of CPU time",
    suggestion="see macros and unrolled loops (#pragma unroll), which multiply code, and large arrays",
)

CODE = Code(
    time=START + 2,
    program="hello",
    generation=1,
    arch="x86_64",
    xlated=tuple(
        CodeLine(at=at, text=text, line=line, function="hello" if not at else None)
        for at, line, text in (
            (0, 8, "call bpf_get_current_uid_gid"),
            (1, 8, "r0 <<= 32"),
            (2, 8, "r0 >>= 32"),
            (3, 8, "*(u64 *)(r10 - 8) = r0"),
            (4, 9, "r1 = 1"),
            (5, 9, "*(u64 *)(r10 - 16) = r1"),
            (6, 11, "r2 = r10"),
            (7, 11, "r2 += -8"),
            (8, 11, "r1 = map[counter_table]"),
            (10, 11, "call bpf_map_lookup_elem"),
            (11, 12, "if r0 == 0 goto +4"),
            (12, 12, "r1 = *(u64 *)(r0 + 0)"),
            (13, 12, "r1 += 1"),
            (14, 12, "*(u64 *)(r0 + 0) = r1"),
            (15, 12, "goto +6"),
            (16, 13, "r2 = r10"),
            (17, 13, "r2 += -8"),
            (18, 13, "r3 = r10"),
            (19, 13, "r3 += -16"),
            (20, 13, "r1 = map[counter_table]"),
            (22, 13, "call bpf_map_update_elem"),
            (23, 14, "r0 = 0"),
            (24, 14, "exit"),
        )
    ),
    native=tuple(
        CodeLine(at=at, text=text, line=line)
        for at, line, text in (
            (0, None, "push rbp"),
            (1, None, "mov rbp, rsp"),
            (4, 8, "call bpf_get_current_uid_gid"),
            (9, 8, "shl rax, 32"),
            (13, 8, "shr rax, 32"),
            (17, 8, "mov qword ptr [rbp - 8], rax"),
        )
    ),
)

EXECS = {1000: 1.7, 0: 0.3, 33: 0.1, 65534: 0.0}
NAMES = {1000: "ann", 0: "root", 33: "www-data", 65534: "nobody"}


def counted(at: float) -> MapReading:
    """What the counter holds *at* so many seconds: one user comes late."""
    rows = []
    for uid, rate in EXECS.items():
        since = at if uid != 33 else at - 40
        value = int(rate * since + (uid == 1000) * 5 * int(at / 20)) + (uid == 65534)
        if since > 0:
            key = uid.to_bytes(8, "little").hex()
            rows.append(MapRow(id=key, key=uid, value=value, names={"key": NAMES[uid]}))
    rows.sort(key=lambda row: row.id)
    return MapReading(time=START + at, map="counter_table", type="hash", rows=tuple(rows), entries=len(rows))


def messages(at: float) -> MapReading:
    """What is configured: a message for one user."""
    row = MapRow(id="e8030000", key=1000, value={"message": "hi, ann", "times": 3}, names={"key": "ann"})
    return MapReading(time=START + at, map="config", type="hash", rows=(row,), entries=1)


def runs(at: float, *names: str) -> ProgramRuns:
    """What the programs ran."""
    total = int(at * 2.1)
    rows = tuple(ProgramRun(program=name, runs=total, run_ns=total * 243) for name in sorted(names))
    return ProgramRuns(time=START + at, rows=rows)


def lines(at: float, **more: int) -> LineCounts:
    """How often each line ran, if that is counted."""
    total = int(at * 2.1)
    counts = {8: total, 9: total, 11: total, 12: total - 4, 13: 4, 14: total}
    rows = tuple(LineCount(line=line, runs=count) for line, count in counts.items())
    return LineCounts(time=START + at, rows=rows, generation=more.get("generation", 1))


def counter(last: int = 60, *, with_lines: bool = False) -> list[Batch]:
    """A minute of the counter."""
    return [
        batch("load", 0, probe_state("load", "on")),
        batch("load", 2, LOADED, CODE),
        *(
            batch("load", at, runs(at, "hello"), counted(at), messages(at), *([lines(at)] if with_lines else []))
            for at in range(3, last + 1)
        ),
    ]


def failing_as_a_whole() -> list[Batch]:
    """A long file that is not compiled, for a reason that is about no line, and includes what does not exist."""
    missing = Diagnostic(
        stage="source",
        severity="warning",
        line=2,
        message="there is no own.h beside counter.c: it counts as empty",
        suggestion="it is read as soon as it is there; headers of the kernel are not needed",
    )
    source = (*COUNTER, *(f"// line {at}" for at in range(60)))
    tried = replace(FAILED, source=source, diagnostics=(NOWHERE, missing))
    return [*counter(49), batch("load", 50, tried), *(one for one in counter(60) if one.time > START + 50)]


def failing() -> list[Batch]:
    """The counter, until it was saved with an error at 50 s."""
    return [*counter(49), batch("load", 50, FAILED), *(one for one in counter(60) if one.time > START + 50)]


# A buffer.

BUFFER = """\
struct data_t {
    u32 pid;
    u32 uid;
    u64 delay;
    char command[16];
    char message[16];
};
BPF_PERF_OUTPUT(output);

int hello(void *ctx) {
    struct data_t data = {};
    char message[16] = "Hello World";

    data.pid = bpf_get_current_pid_tgid() >> 32;
    data.uid = bpf_get_current_uid_gid();
    bpf_get_current_comm(&data.command, sizeof(data.command));
    bpf_probe_read_kernel(&data.message, sizeof(data.message), message);
    output.perf_submit(ctx, &data, sizeof(data));
    bpf_trace_printk("sent %d", data.pid);
    return 0;
}
""".splitlines()

DATA = Field(
    type="struct data_t",
    kind="struct",
    size=48,
    fields=(
        replace(U32, name="pid", meaning="pid"),
        replace(U32, name="uid", meaning="uid"),
        replace(U64, name="delay", meaning="ns"),
        Field(name="command", type="char[16]", kind="string", size=16),
        Field(name="message", type="char[16]", kind="string", size=16),
    ),
)

BUFFER_LOADED = replace(
    LOADED,
    file="buffer.c",
    path="/home/ann/buffer.c",
    source=tuple(BUFFER),
    maps=(LoadedMap(name="output", type="perf_event_array", id=81, value=DATA, max_entries=2),),
)


def sent(at: float, pid: int, command: str, message: str, uid: int = 1000, delay: int = 1200) -> BpfEvent:
    """An event of the buffer."""
    return BpfEvent(
        time=START + at,
        map="output",
        program="hello",
        cpu=pid % 2,
        pid=pid,
        uid=uid,
        comm=command,
        fields={"pid": pid, "uid": uid, "delay": delay, "command": command, "message": message},
        names={"uid": NAMES[uid], **({"pid": "bash"} if pid == 4101 else {})},
        size=48,
    )


EVENTS = (
    sent(4.01, 4101, "bash", "Hello World"),
    sent(9.5, 4102, "git", "Hello World", delay=83_000),
    sent(21.25, 4103, "cron", "hey root!", uid=0, delay=4_100_000),
    sent(33.0, 4104, "日本語", "\\x1b[2Jred", uid=33),
    sent(47.75, 4105, "make", "Hello World", delay=999),
)


def buffer() -> list[Batch]:
    """A minute of the buffer, and what it prints."""
    program = PrintingProgram(id=214, name="hello")
    printed = [
        Trace(time=e.time, cpu=0, pid=e.pid or 0, task=e.comm or "", message=f"sent {e.pid}", program=program)
        for e in EVENTS
    ]
    other = Trace(
        time=START + 5, cpu=0, pid=1, task="x", message="of another", program=PrintingProgram(id=9, name="biolat")
    )
    return [
        batch("load", 2, probe_state("load", "on"), BUFFER_LOADED),
        *(batch("load", at, runs(at, "hello")) for at in (3, 4)),
        *(batch("load", e.time - START + 0.1, e) for e in EVENTS),
        batch("trace", 50, other, *printed),
        batch("load", 60, runs(60, "hello"), Lost(time=START + 60, probe="load", where="ring", count=4)),
    ]


# Tail calls, and a histogram.

SLOTS = Field(type="u32", kind="uint", size=4, meaning="syscall")
TAIL = """\
BPF_PROG_ARRAY(syscalls, 512);
BPF_HISTOGRAM(dist);

RAW_TRACEPOINT_PROBE(sys_enter) {
    int nr = ctx->args[1];
    dist.increment(bpf_log2l(nr));
    syscalls.call(ctx, nr);
    return 0;
}

int hello_exec(void *ctx) {
    bpf_trace_printk("execve");
    return 0;
}

int ignore(void *ctx) {
    return 0;
}
""".splitlines()

TAIL_LOADED = replace(
    LOADED,
    file="tail.c",
    path="/home/ann/tail.c",
    source=tuple(TAIL),
    programs=(
        replace(HELLO, name="raw_tracepoint__sys_enter", event="raw_tracepoint:sys_enter"),
        replace(HELLO, name="hello_exec", event=None, attached=(), via=None, id=215),
        replace(HELLO, name="ignore", event=None, attached=(), via=None, id=216),
    ),
    maps=(
        LoadedMap(name="syscalls", type="prog_array", id=91, key=SLOTS, value=U32, max_entries=512, writable=True),
        LoadedMap(
            name="dist",
            type="array",
            id=92,
            key=replace(U32, meaning="slot"),
            value=U64,
            max_entries=64,
            histogram="log2",
        ),
    ),
)


def tail(at: float = 60) -> list[Batch]:
    """Tail calls: two slots are filled, and what was called is a histogram."""
    slots = MapReading(
        time=START + at,
        map="syscalls",
        type="prog_array",
        rows=(
            MapRow(id="3b000000", key=59, value="hello_exec", names={"key": "execve"}),
            MapRow(id="df000000", key=223, value="ignore", names={"key": "timer_settime"}),
        ),
        entries=2,
    )
    counts = [0, 120, 31, 0, 412, 900, 311, 77, 12, 3, *[0] * 54]
    dist = MapReading(
        time=START + at,
        map="dist",
        type="array",
        rows=tuple(MapRow(id=f"{slot:02x}000000", key=slot, value=n) for slot, n in enumerate(counts)),
        entries=64,
    )
    return [batch("load", 2, probe_state("load", "on"), TAIL_LOADED), batch("load", at, slots, dist)]


def with_load(batches: Iterable[Batch], *, live: bool = True, others: Sequence[Batch] = ()) -> FakeSource:
    """A source that runs a file."""
    return FakeSource([*(others or minute()), *batches], live=live, probes=PROBES)


def record(at: float, *records: Record) -> Batch:
    """A batch of the file."""
    return batch("load", at, *records)
