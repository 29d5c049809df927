"""What the sheets and lists above the panes are made of."""

from __future__ import annotations

from ebpftop.records import Probe, Rung
from ebpftop.screens.calls import Slot, program
from ebpftop.screens.diagnostics import diagnostics
from ebpftop.syscalls import abi

LADDERS = (
    Rung(via="raw_tracepoint:a", cost="nothing", reason=None),
    Rung(via="tracepoint:a", cost="nothing", reason="not needed: raw_tracepoint:a works"),
    Rung(via="failures: fexit:b", cost="nothing", reason="load refused: EPERM"),
    Rung(via="failures: tracepoint:b", cost="75 ns", reason=None),
    Rung(via="exits: raw_tracepoint:c", cost="nothing", reason=None),
)


def marks(probe: Probe) -> list[str]:
    """Return the first character of each rung's line."""
    lines = diagnostics({"execs": probe}, None, ()).sheet().content().plain.splitlines()
    return [line[2] for line in lines if line[2:3] in ("●", "✗", "○")]


def test_diagnostics_mark_the_rung_in_use_of_every_ladder() -> None:
    on = Probe(time=1.0, probe="execs", state="on", via="raw_tracepoint:a", reason=None, rungs=LADDERS)
    assert marks(on) == ["●", "✗", "✗", "●", "●"]
    off = Probe(time=1.0, probe="execs", state="off", via=None, reason=None, rungs=LADDERS)
    assert marks(off) == ["○", "✗", "✗", "○", "○"]


def test_the_table_names_each_program_of_timers() -> None:
    names = ("timer_create", "timer_delete", "timer_settime", "alarm", "timerfd_create")
    numbers = [abi.number("x86_64", name) or 0 for name in names]
    slots = [Slot(nr, ("x86_64", nr), name, "timer", 1) for nr, name in zip(numbers, names, strict=True)]
    assert [program(slot) for slot in slots] == [
        *("handle_timer_create", "handle_timer_delete", "handle_timer_other", "handle_timer_other"),
        "handle_timer_create",
    ]
    assert program(Slot(0, ("x86_64", 0), "read", "count", 1)) == "(empty: counted)"
    assert program(Slot(59, ("x86_64", 59), "execve", "exec", 1)) == "handle_exec"
