"""The incident report: all that a ticket needs, as plain text."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ebpftop.core.records import Attempt, Cost, Header, Lost, Probe
from ebpftop.core.source import Batch
from ebpftop.models.overview import KINDS_OF_LOSS, Overview
from ebpftop.models.report import _LOSSES, Graph, Log, Report, Table, report_text

PROBE = Probe(
    time=1.0,
    probe="execs",
    state="on",
    via="raw_tracepoint:sched_process_exec",
    reason=None,
    attempts=(Attempt(via="x", cost="0", reason=None, blind=("32-bit calls",)),),
)
FAILED = Probe(time=1.0, probe="trace", state="failed", via=None, reason="EPERM")


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def text(**more: object) -> str:
    overview = Overview()
    lost = Lost(time=2.0, probe="execs", where="argv", count=54)
    overview.feed(Batch("execs", 2.0, (PROBE, FAILED, lost, Cost(time=2.0, kernel=0.002, user=0.029, runs=1))))
    report = Report(
        header=Header(schema=2, version="0.2.0", host="web1", kernel="6.18.44", abi="x86_64", started=0.0),
        version="0.3.0",
        made=1795352500.0,
        span=(1795352400.0, 1795352460.0),
        shown=1795352460.0,
        overview=overview,
        **more,  # type: ignore[arg-type]
    )
    return report_text(report)


def test_it_says_where_when_by_what_and_what_is_missing() -> None:
    lines = text(filter="ann", watches=("exit.core",)).splitlines()
    assert lines[0] == "ebpftop report of web1"
    for line in (
        "kernel       6.18.44 x86_64",
        "ebpftop      0.3.0; records by 0.2.0",
        "span         2026-11-22T14:00:00+01:00 to 2026-11-22T14:01:00+01:00, 60s",
        "filter       ann",
        "watched for  exit.core",
        "cost         0.2% of one CPU in the kernel, 2.9% in user space",
        "execs  on      via raw_tracepoint:sched_process_exec",
        "               does not see: 32-bit calls",
        "trace  failed  EPERM",
        "54 of the probe execs: commands shown without some arguments; none was missed (argv)",
    ):
        assert line in [one.rstrip() for one in lines], line


def test_every_kind_of_loss_has_words() -> None:
    assert set(_LOSSES) == set(KINDS_OF_LOSS)


def test_a_graph_has_a_scale_its_unit_and_the_ends_of_the_span() -> None:
    graph = Graph("Events", [0.0, 5.0, 10.0, None], "a second")
    assert (
        "Events\n------\nscale 0 to 10 a second; average 5; · is not known\n| ▄█·|\n 14:00:00+01:0014:01:00+01:00\n"
        in text(graphs=(graph,))
    )
    assert "nothing is known" in text(graphs=(Graph("Events", [None], "a second"),))


def test_figures_of_a_table_stand_right() -> None:
    table = Table("Users", ("USER", "EXECS"), (("ann", "27"), ("www-data", "1204")), 9)
    assert "Users: 2 of 9 rows\n------------------\nUSER      EXECS\nann          27\nwww-data   1204\n" in text(
        tables=(table,)
    )
    assert "Users: 0 rows" in text(tables=(Table("Users", ("USER",), (), 0),))


def test_failures_of_a_log_come_first_and_are_marked() -> None:
    log = Log("Exec log", (("true", False), ("pg_dump ENOENT", True), ("x" * 9999, False)), 500)
    told = text(logs=(log,))
    assert "Exec log: the newest 3 of 500 lines, 1 failure first\n" in told
    assert "! pg_dump ENOENT\n\n  true\n! pg_dump ENOENT\n" in told
    assert max(map(len, told.splitlines())) < 500


def test_nothing_in_it_can_act_on_a_terminal_or_look_like_another_line() -> None:
    hostile = "\x1b[31m\nLost\n----\nnothing\u202e"
    told = text(
        filter=hostile, logs=(Log(hostile, ((hostile, True),), 1),), tables=(Table("t", ("a",), ((hostile,),), 1),)
    )
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert told.splitlines().count("nothing") == 0
