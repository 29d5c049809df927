"""How often each line of a program ran, counted for real: what is counted is what was executed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, needs_root, needs_tracefs

pytestmark = [needs_root, needs_tracefs]

# A line of which only inlined functions are left has no instructions of its own: what is counted here calls a helper.
# Each program does something only for the thread whose number is in the map `who`, at each getppid(2).
ONLY_ME = """\
BPF_ARRAY(who, u32, 1);
BPF_ARRAY(results, u64, 8);
static inline int is_me(struct bpf_raw_tracepoint_args *ctx) { int zero = 0; u32 *me = who.lookup(&zero);
    return me && *me == (u32)bpf_get_current_pid_tgid() && ctx->args[1] == NUMBER; }
static inline void add(int slot, u64 n) { u64 *one = results.lookup(&slot); if (one) lock_xadd(one, n); }
"""
ATTACH = "// ebpftop: attach hello=raw_tracepoint:sys_enter\n"
GETPPID = {"x86_64": 110, "aarch64": 173}[os.uname().machine]
RUNS = 100


@pytest.fixture(scope="module")
def server() -> Iterator[LoadServer]:
    made = LoadServer()
    yield made
    made.close()


class Counting:
    """A file whose lines are counted."""

    def __init__(self, folder: Path, server: LoadServer) -> None:
        self.file = File(folder, server)
        self.file.file.counting = True
        self.text = ""

    def load(self, body: str) -> Loading:
        self.text = ONLY_ME.replace("NUMBER", str(GETPPID)) + body + ATTACH
        loading = self.file.load(self.text)
        assert loading.ok, (loading.error, loading.output, [one.log for one in loading.programs])
        return loading

    def run(self, times: int = RUNS) -> None:
        """Call getppid(2) so many times while the programs see it."""
        me = struct.pack("=I", os.getpid())
        self.file.file.write("who", struct.pack("=I", 0), me)
        for _ in range(times):
            os.getppid()
        self.file.file.write("who", struct.pack("=I", 0), struct.pack("=I", 0))

    def counts(self, *marks: str) -> list[int]:
        """Return how often the lines ran that end with these comments."""
        lines = self.text.split("\n")
        found = self.file.file.line_counts()
        return [
            found.get(next(i for i, text in enumerate(lines, 1) if text.endswith(f"/* {mark} */")), 0) for mark in marks
        ]

    def results(self) -> list[int]:
        return [
            struct.unpack("=Q", self.file.file.maps["results"].lookup(struct.pack("=I", i)) or bytes(8))[0]
            for i in range(8)
        ]


@pytest.fixture
def counting(tmp_path: Path, server: LoadServer) -> Iterator[Counting]:
    made = Counting(tmp_path, server)
    yield made
    made.file.file.close()


@pytest.mark.guest
@pytest.mark.newest
def test_lines_on_both_sides_of_a_branch(counting: Counting) -> None:
    loading = counting.load("""\
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    u64 *n = results.lookup(&(int){0});
    if (!n)
        return 0;
    u64 before = *n;
    lock_xadd(n, 1);            /* every */
    if (before % 4 == 0) {
        add(1, 1);
        bpf_get_numa_node_id();  /* fourth */
    } else {
        add(2, 1);
        bpf_get_prandom_u32();  /* others */
    }
    return 0;
}
""")
    assert [one.counts_reason for one in loading.programs] == [None]
    counting.run()
    assert counting.results()[:3] == [RUNS, RUNS // 4, RUNS - RUNS // 4]
    assert counting.counts("every", "fourth", "others") == [RUNS, RUNS // 4, RUNS - RUNS // 4]


def test_lines_in_a_loop_and_around_it(counting: Counting) -> None:
    counting.load("""\
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    add(0, 1);
    bpf_get_smp_processor_id();  /* before */
#pragma clang loop unroll(disable)
    for (int i = 0; i < 7; i++) {
        u64 t = bpf_ktime_get_ns();                     /* round */
        if (t == 1)
            bpf_get_current_comm(&t, sizeof(t));        /* never */
        asm volatile("");
    }
    add(1, 1);
    bpf_get_smp_processor_id();  /* after */
    return 0;
}
""")
    counting.run()
    assert counting.counts("before", "round", "never", "after") == [RUNS, 7 * RUNS, 0, RUNS]


def test_a_function_that_is_inlined_twice_counts_for_both(counting: Counting) -> None:
    counting.load("""\
static inline void twice(int slot) {
    add(slot, 2);
    bpf_get_smp_processor_id();  /* inlined */
}
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    u64 t = bpf_ktime_get_ns();
    if (t & 1)
        twice(3);
    bpf_get_prandom_u32();
    twice(4);
    return 0;
}
""")
    counting.run()
    odd, always = counting.results()[3:5]
    assert always == 2 * RUNS
    assert counting.counts("inlined") == [(odd + always) // 2]


def test_what_comes_after_a_tail_call_counts_only_if_it_fails(counting: Counting) -> None:
    counting.load("""\
BPF_PROG_ARRAY(calls, 4);
// ebpftop: slot calls[1]=other
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    u64 *n = results.lookup(&(int){0});
    if (!n)
        return 0;
    u64 before = *n;
    lock_xadd(n, 1);
    calls.call(ctx, before & 1);        /* call */
    add(1, 1);
    bpf_get_smp_processor_id();  /* after */
    return 0;
}
int other(struct bpf_raw_tracepoint_args *ctx) {
    add(2, 1);
    bpf_get_smp_processor_id();  /* other */
    return 0;
}
""")
    counting.run()
    assert counting.results()[:3] == [RUNS, RUNS // 2, RUNS // 2]
    assert counting.counts("call", "after", "other") == [RUNS, RUNS // 2, RUNS // 2]


@pytest.mark.guest
@pytest.mark.newest
def test_registers_that_are_in_use_are_saved(counting: Counting) -> None:
    loading = counting.load("""\
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    u64 sum = 0;
    asm volatile("r0 = 1; r1 = 2; r2 = 3; r3 = 4; r4 = 5; r5 = 6; r6 = 7; r7 = 8; r8 = 9; r9 = 10;"
                 "if r0 != 1 goto +10; if r9 == 11 goto +9;"
                 "r0 += r1; r0 += r2; r0 += r3; r0 += r4; r0 += r5; r0 += r6; r0 += r7; r0 += r8; r0 += r9;"
                 "*(u64 *)(r10 - 256) = r0");
    asm volatile("%0 = *(u64 *)(r10 - 256)" : "=r"(sum));
    add(5, sum);
    bpf_get_smp_processor_id();  /* add */
    return 0;
}
""")
    assert [one.counts_reason for one in loading.programs] == [None]
    counting.run()
    assert counting.results()[5] == 55 * RUNS
    assert counting.counts("add") == [RUNS]


def test_a_program_that_calls_its_own_functions_runs_uncounted(counting: Counting) -> None:
    # BCC loads no such program, so it is only refused to be planned.
    from ebpftop.kernel.load.line_counts import NotCountable, plan

    with pytest.raises(NotCountable, match="called and not inlined"):
        plan(struct.pack("=BBhiBBhi", 0x85, 1 << 4, 0, 0, 0x95, 0, 0, 0), {})


def test_counting_ends_and_the_program_runs_on(counting: Counting) -> None:
    counting.load("""\
int hello(struct bpf_raw_tracepoint_args *ctx) {
    if (!is_me(ctx))
        return 0;
    add(0, 1);
    bpf_get_smp_processor_id();  /* every */
    return 0;
}
""")
    counting.run()
    assert counting.counts("every") == [RUNS]
    assert counting.file.file.count_lines(False).ok
    assert counting.file.file.line_counts() == {}
    counting.run()
    assert counting.results()[0] == 2 * RUNS
    assert counting.file.file.count_lines(True).ok
    counting.run()
    assert counting.counts("every") == [RUNS]
    assert counting.results()[0] == 3 * RUNS
