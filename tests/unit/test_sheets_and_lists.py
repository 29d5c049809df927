"""What the sheets and lists above the panes are made of."""

from __future__ import annotations

import io
import re

import msgspec
from rich.console import Console

from ebpftop.commands import check
from ebpftop.core.process_records import Exec
from ebpftop.core.records import Attempt, Probe
from ebpftop.core.source import Batch
from ebpftop.models.execlog import ExecLog
from ebpftop.syscalls import abi
from ebpftop.ui.panes.exec_columns import COLUMNS
from ebpftop.ui.panes.exec_details import exec_details
from ebpftop.ui.screens.diagnostics import diagnostics
from ebpftop.ui.screens.tail_call_table import TableEntry, program

LADDERS = (
    Attempt(via="raw_tracepoint:a", cost="nothing", reason=None),
    Attempt(via="tracepoint:a", cost="nothing", reason="not needed: raw_tracepoint:a works"),
    Attempt(via="failures: fexit:b", cost="nothing", reason="load refused: EPERM"),
    Attempt(via="failures: tracepoint:b", cost="75 ns", reason=None),
    Attempt(via="exits: raw_tracepoint:c", cost="nothing", reason=None),
)


def marks(probe: Probe) -> list[str]:
    """Return the first character of each attach option's line."""
    lines = diagnostics({"execs": probe}, None, ()).sheet().content().plain.splitlines()
    return [line[2] for line in lines if line[2:3] in ("●", "✗", "○")]


def test_diagnostics_mark_the_attach_option_in_use_of_every_ladder() -> None:
    on = Probe(time=1.0, probe="execs", state="on", via="raw_tracepoint:a", reason=None, attempts=LADDERS)
    assert marks(on) == ["●", "○", "✗", "●", "●"]
    off = Probe(time=1.0, probe="execs", state="off", via=None, reason=None, attempts=LADDERS)
    assert marks(off) == ["○", "○", "✗", "○", "○"]


def test_diagnostics_say_of_an_attach_option_what_check_says() -> None:
    on = Probe(time=1.0, probe="execs", state="on", via="raw_tracepoint:a", reason=None, attempts=LADDERS)
    lines = diagnostics({"execs": on}, None, ()).sheet().content().plain.splitlines()
    for attempt, said in zip(
        LADDERS,
        ("costs nothing", "not needed: raw_tracepoint:a works", "load refused: EPERM", "costs 75 ns", "costs nothing"),
        strict=True,
    ):
        mark = {"on": "●", "off": "○", "failed": "✗"}[attempt.state]
        at = lines.index(f"  {mark} {attempt.via}")
        assert lines[at + 1] == f"      {said}"
    text = io.StringIO()
    report = check.Report(
        version="", kernel="", btf=True, headers=None, tracefs=None, buffer="ring", probes=[on], disabled=[], unseen=[]
    )
    check._print(report, Console(file=text, width=200))
    told = [line.split(None, 1) for line in text.getvalue().splitlines() if line.startswith(("  ● ", "  ○ ", "  ✗ "))]
    assert [(mark, " ".join(rest.split())) for mark, rest in told] == [
        ({"on": "●", "off": "○", "failed": "✗"}[attempt.state], f"{attempt.via} {attempt.explanation}")
        for attempt in LADDERS
    ]


def test_the_table_names_each_program_of_timers() -> None:
    names = ("timer_create", "timer_delete", "timer_settime", "alarm", "timerfd_create")
    numbers = [abi.number("x86_64", name) or 0 for name in names]
    slots = [TableEntry(nr, ("x86_64", nr), name, "timer", 1) for nr, name in zip(numbers, names, strict=True)]
    assert [program(slot) for slot in slots] == [
        *("handle_timer_create", "handle_timer_delete", "handle_timer_other", "handle_timer_other"),
        "handle_timer_create",
    ]
    assert program(TableEntry(0, ("x86_64", 0), "read", "count", 1)) == "(empty: counted)"
    assert program(TableEntry(59, ("x86_64", 59), "execve", "exec", 1)) == "handle_exec"


PROGRAM = Exec(
    time=100.0, pid=50, tid=50, ppid=1, uid=1000, user="ada", comm="sleep", file="/usr/bin/sleep", argv=("sleep", "9"),
    truncated=False, ret=0, error=None, cgroup="/a.slice", interp="/bin/sh",
)  # fmt: skip


def drawn(record: Exec) -> tuple[str, dict[str, str]]:
    """Return the command as the exec log shows it, and the facts of its details."""
    log = ExecLog(10)
    log.feed(Batch("execs", 110.0, (record,)))
    row = log.view[log.view.first]
    (column,) = (column for column in COLUMNS if column.key == "command")
    text = exec_details(log, row, 110.0).sheet().content(200).plain
    facts = dict(re.findall(r"(?:· |^)(FILE|interpreter|CGROUP) +([^·\n]*)", text, re.MULTILINE))
    return "".join(span.text for span in column.cell(row, 110.0)), facts


def test_what_was_cut_is_marked() -> None:
    command, facts = drawn(PROGRAM)
    assert "truncated" not in command
    found = [facts[label].strip() for label in ("FILE", "interpreter", "CGROUP")]
    assert found == ["/usr/bin/sleep", "/bin/sh", "/a.slice"]
    for field, label in (("file", "FILE"), ("interp", "interpreter"), ("cgroup", "CGROUP"), ("argv", "")):
        cut = msgspec.structs.replace(PROGRAM, cut=(field,), truncated=field == "argv")
        command, facts = drawn(cut)
        assert ("[truncated]" in command) is (field in ("file", "argv"))
        assert [name for name, value in facts.items() if value.strip().endswith(" cut")] == [label][: bool(label)]
