"""The trace log's pane tells where its lines come from, where that costs somebody something."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.records import Attempt
from ebpftop.core.trace_records import Trace
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.trace import TracePane

from .conftest import settle
from .scene import START, FakeSource, batch, probe_state


@pytest.mark.parametrize("taken", ["lines: instance", "lines: trace_pipe"])
async def test_the_pane_says_that_other_readers_lose_lines(taken: str) -> None:
    ways = ("lines: instance", "lines: raw_tracepoint:bpf_trace_printk", "lines: trace_pipe")
    attempts = tuple(Attempt(via=via, cost="", reason=None if via == taken else "not here") for via in ways)
    source = FakeSource([batch("trace", 1, msgspec.structs.replace(probe_state("trace", "on"), attempts=attempts))])
    async with EbpftopApp(source).run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        remark = pilot.app.query_one(TracePane).subtitle()
    assert ("other readers of trace_pipe lose lines" in remark) is (taken == "lines: trace_pipe")


async def test_details_name_the_thread_where_it_is_not_the_process() -> None:
    lines = [Trace(time=START, cpu=1, pid=70, tid=tid, task="x", message=str(tid)) for tid in (70, 71)]
    source = FakeSource([batch("trace", 1, *lines)])
    async with EbpftopApp(source).run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        pane = pilot.app.query_one(TracePane)
        facts = [pane.details(line).sheet().content().plain for line in lines]
    assert ["thread 71" in said for said in facts] == [False, True]
