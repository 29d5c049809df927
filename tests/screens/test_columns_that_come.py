"""A column that has nothing in it takes no room; once it has something it stays."""

from __future__ import annotations

from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.title import joined

from .conftest import until
from .scene import FakeSource, batch, before, probe_state, ran
from .test_screen_keys import running


async def test_the_unit_comes_with_the_first_row_in_view_that_has_one_and_stays() -> None:
    plain = [ran(i, 100 + i, "ls", unit=None) for i in range(3)]
    source = FakeSource([batch("execs", 3, probe_state("execs", "on"), before(1, 0, "/sbin/init"), *plain)])
    async with running(source, (200, 50)) as (pilot, app):
        lines = app.main.query_one(ExecsPane).log_lines

        def shown() -> bool:
            return "unit" in [slot.column.key for slot in lines.slots]

        assert lines.end == 3
        assert not shown()
        source.give(batch("execs", 4, ran(3.5, 104, "ls", container="8f3a0c11d2e4", unit=None)))
        await until(pilot, shown)
        source.give(batch("execs", 5, *(ran(4 + i / 100, 200 + i, f"ls{i}", unit=None) for i in range(60))))
        await until(pilot, lambda: lines.end == 64)
        assert shown()


async def test_C_without_a_row_says_what_to_do() -> None:
    async with running(FakeSource([batch("execs", 0, probe_state("execs", "on"))])) as (pilot, app):
        await pilot.press("C")
        assert [note.message for note in app._notifications] == [
            "Choose a row (j, k, a click), or set a filter (/): C makes a line of ebpftop, jq, bpftrace .. of it"
        ]
        assert joined(app.main.query_one(ExecsPane).title_counts()) == "0/s"
