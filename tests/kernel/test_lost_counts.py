"""What does not fit into a buffer of a user's program is counted: delivered and lost are all that was written."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, needs_root, needs_tracefs

pytestmark = [needs_root, needs_tracefs, pytest.mark.guest]

GETPPID = {"x86_64": 110, "aarch64": 173}[os.uname().machine]
# It writes to each of its buffers at each getppid(2) of one thread; a page is full after 56 of them.
WRITES = """\
struct data_t { u64 number; u64 rest[7]; };
BPF_ARRAY(who, u32, 1);
BPF_ARRAY(calls, u64, 1);
BPF_PERF_OUTPUT(by_perf);
BPF_RINGBUF_OUTPUT(by_output, 1);
BPF_RINGBUF_OUTPUT(by_reserve, 1);
int hello(struct bpf_raw_tracepoint_args *ctx)  // ebpftop: attach hello=raw_tracepoint:sys_enter
{
    int zero = 0;
    u32 *me = who.lookup(&zero);
    u64 *count = calls.lookup(&zero);
    struct data_t data = {}, *room;

    if (!me || !count || *me != (u32)bpf_get_current_pid_tgid() || ctx->args[1] != NUMBER)
        return 0;
    *count += 1;
    data.number = *count;
    by_perf.perf_submit(ctx, &data, sizeof(data));
    by_output.ringbuf_output(&data, sizeof(data), 0);
    room = by_reserve.ringbuf_reserve(sizeof(data));
    if (!room)
        return 0;
    room->number = *count;
    by_reserve.ringbuf_submit(room, 0);
    return 0;
}
"""
CALLS = 10_000
"""More than all pages of a perf buffer hold."""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    server = LoadServer()
    made = File(tmp_path, server)
    yield made
    made.file.close()
    server.close()


def call(file: File) -> None:
    me = struct.pack("=I", os.getpid())
    file.file.write("who", struct.pack("=I", 0), me)
    for _ in range(CALLS):
        os.getppid()
    file.file.write("who", struct.pack("=I", 0), struct.pack("=I", 0))


@pytest.mark.newest
def test_delivered_and_lost_are_what_was_written_also_over_reloads(file: File) -> None:
    text = WRITES.replace("NUMBER", str(GETPPID))
    delivered: Counter[str] = Counter()
    for round, counting in enumerate((False, True), 1):
        file.file.counting = counting
        loading = file.load(text + "// saved again\n" * round)
        assert loading.ok, (loading.error, loading.output, [one.log for one in loading.programs])
        file.file.release_plain()
        call(file)
        delivered.update(event.map for event in file.file.events())
        assert {name: delivered[name] + (lost or 0) for name, lost in file.file.lost().items()} == dict.fromkeys(
            ("by_perf", "by_output", "by_reserve"), round * CALLS
        )
        assert delivered["by_output"] == delivered["by_reserve"] == round * 56
    assert file.file.line_counts()
