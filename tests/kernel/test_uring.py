"""io_uring's operations: counted by name, as many as were asked for, under the same filter as everything else."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.core.syscall_records import Syscalls
from ebpftop.filters.spec import Filter
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import compile_c, needs_root

pytestmark = needs_root

# Without liburing: the rings are mapped, and operations put into them, as io_uring(7) says.
URING_C = """
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static struct io_uring_params p;
static unsigned *tail, *mask, *array, *head, *done;
static struct io_uring_sqe *sqes;
static int ring;
static void submit(int opcode, int fd, void *to)
{
    unsigned at = *tail & *mask;
    memset(&sqes[at], 0, sizeof(*sqes));
    sqes[at].opcode = opcode;
    sqes[at].fd = fd;
    sqes[at].addr = (unsigned long)to;
    sqes[at].len = to ? 1 : 0;
    array[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(426, ring, 1, 1, 1, 0, 0) != 1) exit(2);
    *head = *done;
}
int main(int argc, char **argv)
{
    char byte;
    ring = syscall(425, 8, &p);
    if (ring < 0) return 77;
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * 16, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    sqes = mmap(0, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    tail = (unsigned *)(sq + p.sq_off.tail); mask = (unsigned *)(sq + p.sq_off.ring_mask);
    array = (unsigned *)(sq + p.sq_off.array);
    head = (unsigned *)(cq + p.cq_off.head); done = (unsigned *)(cq + p.cq_off.tail);
    for (int i = 0; i < atoi(argv[1]); i++) submit(IORING_OP_NOP, -1, 0);
    int zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < atoi(argv[2]); i++) submit(IORING_OP_READ, zero, &byte);
    return 0;
}
"""


def operations(source: KernelSource) -> dict[str, int] | None:
    """Return what the newest reading says of io_uring."""
    records = [record for batch in source.read_all() for record in batch.records if isinstance(record, Syscalls)]
    return records[-1].io_uring


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.guest
@pytest.mark.everywhere
def test_operations_are_counted_by_name_under_the_filter_and_through_a_toggle(place: Path) -> None:
    program = compile_c(place, "uring", URING_C)

    def run(*counts: str, uid: int | None = None) -> None:
        status = subprocess.run([program, *counts], user=uid, check=False).returncode
        if status == 77:
            pytest.skip("this kernel has no io_uring, or forbids it")
        assert status == 0

    source = KernelSource(Options(probes=("syscalls",), filter=Filter(pids=(os.getpid(),), uids=(os.getuid(),))))
    try:
        if source.tracefs is None:
            pytest.skip("tracefs is closed to us")
        assert operations(source) == {}
        run("500", "70")
        run("9", "9", uid=4321)
        assert operations(source) == {"nop": 500, "read": 70}
        source.toggle("syscalls")
        run("9", "9")
        source.toggle("syscalls")
        run("1", "1")
        assert operations(source) == {"nop": 501, "read": 71}
    finally:
        source.close()
