"""What is shown of why a process waits: the cells of its row, its chain and its sheet."""

from __future__ import annotations

from typing import Any

import pytest

from ebpftop.core.source import Batch
from ebpftop.core.state_records import BlockedCall, States, ThreadNow, Waker
from ebpftop.core.syscall_records import Awaited, InFlight
from ebpftop.models.waits import Waiter, WaitsModel, most_on
from ebpftop.ui.panes.chain_lines import chain, chain_of, kernel_stack
from ebpftop.ui.panes.wait_columns import mark, most_blocked, wait_columns
from ebpftop.ui.panes.wait_details import wait_sheet
from ebpftop.ui.widgets.columns import value_of
from tests.unit.state_samples import (
    DISK,
    PEER,
    READ_0,
    S,
    flight,
    only,
    read,
    reading,
    row,
    thread,
)


def test_the_chain_says_since_when_and_whether_that_is_a_lower_bound() -> None:
    def text(now: ThreadNow, *calls: InFlight) -> str:
        model = read(reading(20, row(0, 0, 20, now, wakers=(Waker(pid=9, comm="b", context=None, count=1),))))
        model.connect(calls)
        assert model.latest is not None
        return "".join(span.text for span in chain_of(only(model), model.machine, model.latest))

    assert text(thread("blocked", nr=0, call="read", since_s=16)) == "a 7 read  4.0s  woken by b 9, 1 time in 20.0s"
    assert "  >20.0s" in text(thread("blocked", since_s=0))
    assert "read fd 3 → tcp 10.0.0.7:5432  9.0s" in text(thread("blocked", nr=0, call="read", since_s=19), PEER)
    assert "at most SIGKILL ends it" in text(thread("uninterruptible", since_s=16))


def sheet_of(model: WaitsModel, waiter: Waiter | None = None) -> str:
    return wait_sheet(model, waiter or only(model)).content(80).plain


def test_the_sheet_says_of_what_time_each_figure_is() -> None:
    def at(second: int) -> States:
        wakers = (
            Waker(pid=9, comm="b", context=None, count=second),
            Waker(pid=None, comm=None, context="irq", count=2),
        )
        calls = (BlockedCall(abi=None, nr=None, syscall=None, ns=S, max_ns=S, count=4, threads=1),)
        more: dict[str, Any] = {"wakers": wakers, "blocked": calls, "threads": 3}
        more |= {"wakeups": 3 * second, "preempted": second}
        return reading(second, row(0.5 * second, 0, 0.5 * second, thread("uninterruptible", since_s=second), **more))

    text = sheet_of(read(*map(at, range(1, 31))))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "last 10 s 30.0s since the probe was attached",
        "running 50% 15.0s of one CPU, as in htop",
        "queued 0% · wanted a CPU, had none",
        "blocked 50% 15.0s of its threads' time",
        "woken 30 90 times",
        "preempted 30 times: it lost its CPU to another",
        "by second rrrrrrrrrr r running, q queued, b blocked, · unknown",
        "Blocked in (30.0s since the probe was attached)",
        "in no call 1.0s 4 1.0s 1 thread",
        "in no call: it waits for a page of its memory, was stopped, or is part of the kernel",
        "Woken by (30.0s since the probe was attached)",
        "30 b 9",
        "2 irq a timer or a device",
        "58 others",
        "and 2 more threads",
        "at most SIGKILL ends it (D in ps): a disk or a file server, mostly",
    ):
        assert line in lines, text


def test_the_sheet_of_who_did_nothing_and_of_who_has_ended() -> None:
    model = read(reading(5, row(0, 0, 5)))
    waiter = only(model)
    assert "Blocked in (5.00s since the probe was attached)\nnothing" in sheet_of(model)
    assert "Woken by (5.00s since the probe was attached)\nnobody" in sheet_of(model)
    model.feed(Batch("states", 1006, (reading(6),)))
    assert "it has ended" in sheet_of(model, waiter)


def cells(waiter: Waiter, model: WaitsModel) -> dict[str, list[tuple[str, str]]]:
    assert model.latest is not None
    columns = wait_columns(lambda: model.machine)
    found = {c.key: c.fill(waiter, 14) if c.fill else c.cell(waiter, model.latest.time) for c in columns}
    return {key: [(span.text.rstrip(), span.style) for span in cell] for key, cell in found.items()}


def test_the_cells_of_a_row_and_how_they_look() -> None:
    model = read(*(reading(at, row(0.8 * at, 0.1 * at, 0.001 * at, wakeups=at + 100)) for at in range(1, 31)))
    shown = cells(only(model), model)
    assert shown["running"] == [("80%", "good")]
    assert shown["queued"] == [("10%", "warn")]
    assert shown["blocked"] == [("·", "dim")]
    assert shown["on"] == [("on CPU", "good")]
    assert shown["woken"] == [("10", "")]
    assert shown["process"] == [("a", "strong"), (" 7", "dim")]
    assert shown["uid"] == [("0", "root")]
    assert {text for text, _ in shown["letters"]} == {"r"}
    assert {look for _, look in shown["letters"]} == {"good"}
    exported = {c.key: value_of(c, only(model), 1030) for c in wait_columns(lambda: model.machine)}
    assert exported | {"running": 0.8, "queued": 0.1, "letters": "r" * 10, "woken": 10} == exported
    wants = read(reading(10, row(0, 10, 0, thread("runnable"), uid=5), busy=20, queued=10))
    shown = cells(only(wants), wants)
    assert shown["on"] == [("CPU: 1.5 wanted per CPU", "warn")]
    assert shown["running"] == [("·", "dim")]
    assert shown["uid"] == [("5", "")]
    ended = read(reading(10, row(0, 0, 10, ended=True)))
    shown = cells(only(ended), ended)
    assert shown["on"] == [("ended", "dim")]
    assert shown["process"] == [("a", "dim"), (" 7", "dim")]
    waits = read(reading(10, row(0, 0, 10, READ_0)))
    assert cells(only(waits), waits)["on"] == [("read", "accent")]
    assert mark(only(waits)).text == " "
    assert mark(only(read(reading(1, row(0, 0, 1, READ_0, DISK))))).text == "!"


def test_each_column_sorts_by_its_figure_and_what_is_blocked_alike_by_how_much_it_says() -> None:
    model = read(
        reading(
            10,
            row(5, 1, 30.001, thread("running"), pid=1, threads=3, wakeups=4, comm="c"),
            row(1, 2, 10, READ_0, pid=2, threads=2, wakeups=9, comm="b"),
            row(0, 0, 10, pid=3, threads=1, comm="a", uid=3),
            row(0, 0, 10, DISK, pid=4, comm="d"),
        )
    )
    columns = {c.key: c.sort for c in wait_columns(lambda: model.machine)}

    def order(key: str) -> list[int]:
        sort = columns[key]
        assert sort is not None
        return [w.row.pid for w in sorted(model.waiters, key=sort, reverse=True)]

    assert order("running") == [1, 2, 3, 4]
    assert order("queued") == [2, 1, 3, 4]
    assert order("blocked") == [4, 3, 1, 2]
    assert order("threads")[:2] == [1, 2]
    assert order("woken")[:2] == [2, 1]
    assert order("uid")[0] == 3
    report = most_blocked(model)
    assert [w.row.pid for w in report.rows] == [4, 3, 1, 2]
    assert report.headers[:2] == ["comm", "pid"]


def test_the_chain_of_what_runs_wants_a_cpu_is_stopped_or_has_ended() -> None:
    def text(*now: ThreadNow, calls: tuple[InFlight, ...] = (), **more: Any) -> str:
        model = read(reading(20, row(10, 10, 0, *now, **more), busy=40, queued=20))
        model.connect(calls)
        assert model.latest is not None
        return "".join(span.text for span in chain_of(only(model), model.machine, model.latest))

    assert text(thread("running", since_s=18)) == "a 7 on a CPU  2.0s"
    assert text(thread("runnable", since_s=18)) == "a 7 CPU: 1.5 wanted per CPU  2.0s"
    assert text(thread("stopped", since_s=18)) == "a 7 stopped by a signal or a debugger  2.0s"
    assert text(thread("blocked", 8, since_s=18)) == "a 7 thread a 8 in no call that is known  2.0s"
    assert text() == "a 7 nothing is known of its threads"
    assert text(ended=True) == "a 7 ended"
    many = (Waker(pid=9, comm="b", context=None, count=1200),)
    assert text(thread("running", since_s=18), wakers=many).endswith("woken by b 9, 1200 times in 20.0s")


def test_the_chain_of_a_call_that_is_listed_alone() -> None:
    def text(call: InFlight) -> str:
        return "".join(span.text for span in chain(call))

    assert text(PEER).endswith("read fd 3 → tcp 10.0.0.7:5432  9.0s")
    assert text(flight(before=True, running=True)).endswith("read  >9.0s  on CPU")
    stack = flight(kernel_stack=("sk_wait_data", "tcp_recvmsg", "ksys_read"))
    assert "".join(span.text for span in kernel_stack(stack, 60)) == "in the kernel tcp_recvmsg < sk_wait_data"
    assert kernel_stack(flight(), 60) == []
    assert kernel_stack(None, 60) == []


def test_the_sheet_of_threads_that_want_a_cpu_are_stopped_or_wait_for_their_child() -> None:
    now = (
        thread("runnable", since_s=19),
        thread("stopped", 8, since_s=10),
        thread("uninterruptible", 9, 58, "vfork", since_s=10),
        thread("blocked", 10),
    )
    model = read(reading(20, row(0, 20, 60, *now, threads=4, ended=False), busy=40, queued=20))
    model.connect((flight(10, "read", 0, fd=3, peer="tcp 10.0.0.7:5432", before=True, kernel_stack=("tcp_recvmsg",)),))
    lines = [" ".join(line.split()) for line in sheet_of(model).splitlines()]
    for line in (
        "7 a queued 1.0s CPU: 1.5 wanted per CPU",
        "8 a stopped 10.0s in no call that is known",
        "9 a blocked! 10.0s vfork",
        "at most SIGKILL ends it (D in ps): its child must exec or end",
        "10 a blocked >9.0s read fd 3 → tcp 10.0.0.7:5432",
        "in the kernel tcp_recvmsg",
        "CPU: 1.5 wanted per CPU: the machine has too few for all that want one",
    ):
        assert line in lines, sheet_of(model)
    assert not any("more thread" in line or "in no call:" in line for line in lines)
    assert "it has ended" in sheet_of(read(reading(1, row(0, 0, 1, ended=True))))


def test_a_process_is_no_interrupt_though_it_is_called_so_and_a_named_call_needs_no_words() -> None:
    wakers = (Waker(pid=9, comm="irq", context=None, count=1),)
    reads = (BlockedCall(abi="x86_64", nr=0, syscall="read", ns=S, max_ns=S, count=1),)
    text = sheet_of(read(reading(1, row(0, 0, 1, wakers=wakers, wakeups=1, blocked=reads))))
    assert "in no call" not in text
    assert "irq 9\n" in f"{text}\n"
    assert "others" not in text


def waits_for(tid: int, holder: int, seconds: int = 60) -> InFlight:
    awaited = (Awaited(pid=holder, comm="a"),)
    return flight(tid, "futex", 202, ns=seconds * S, lock="0x10", awaited=awaited)


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ((waits_for(7, 8), waits_for(8, 9), waits_for(9, 8)), "deadlock: a 8, a 9"),
        ((waits_for(7, 7),), "deadlock: a 7"),
        ((waits_for(7, 8), waits_for(8, 9)), "lock 0x10 ← a 8"),
        ((waits_for(7, 8), waits_for(8, 9), waits_for(9, 8, 9)), "lock 0x10 ← a 8"),
        ((waits_for(7, 8), flight(8, "read", ns=60 * S, awaited=(Awaited(pid=7, comm="a"),))), "lock 0x10 ← a 8"),
    ],
    ids=["two, and one that waits for them", "itself", "a chain", "perhaps not of one moment", "no lock"],
)
def test_threads_that_wait_for_each_other(calls: tuple[InFlight, ...], words: str) -> None:
    now = [thread("blocked", call.tid, call.nr, call.name) for call in calls]
    model = read(reading(60, row(0, 0, 60, *now)))
    model.connect(calls)
    assert model.latest is not None
    first_line = "".join(span.text for span in chain_of(only(model), model.machine, model.latest))
    assert most_on(only(model), model.machine) == words
    is_circle = words.startswith("deadlock")
    assert (only(model).urgency == 3) is is_circle
    assert ("deadlock" in first_line) is is_circle
    assert (f"{words}: each waits for the next one" in sheet_of(model)) is is_circle
