"""How full the buffer between the kernel and a probe was: what waited when it was read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Fullest, Record
from ebpftop.filters.spec import Filter
from ebpftop.kernel.event_buffer import Buffer
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import needs_root

pytestmark = needs_root


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_a_buffer_is_as_full_as_what_came_before_it_was_read(buffer: Buffer) -> None:
    source = KernelSource(Options(probes=("execs",), filter=Filter(pids=(os.getpid(),)), buffer=buffer))
    try:
        records = list(read(source))
        for programs in (1, 40):
            for _ in range(programs):
                subprocess.run(["/bin/true", "x" * 1000], check=True)
            records += read(source)
        records += [record for batch in source.finish() for record in batch.records]
    finally:
        source.close()
    assert sum(isinstance(record, Exec) for record in records) == 41
    fullest = [record for record in records if isinstance(record, Fullest)]
    assert {record.probe for record in fullest} == {"execs"}
    shares = [record.share for record in fullest]
    assert shares == sorted(set(shares))
    # Forty programs, on as many CPUs as there are, with a thousand bytes of arguments each.
    assert 40 * 1000 / 64 < shares[-1] * fullest[-1].size < 40 * 5000


def read(source: KernelSource) -> Iterator[Record]:
    """Yield what there is."""
    for batch in source.read_all():
        yield from batch.records
