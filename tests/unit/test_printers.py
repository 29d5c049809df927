"""Who printed a line: the name that a thread had at that time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ebpftop.probes.printers import _NAME, UNKNOWN, Printer, Printers

NOBODY = 1 << 22  # beyond any thread id
A, B = Printer(5, b"a"), Printer(6, b"b\n")


def test_a_name_holds_until_the_next() -> None:
    printers = Printers()
    printers.learn(NOBODY, 100, A)
    printers.learn(NOBODY, 200, B)
    assert [printers.at(NOBODY, time) for time in (100, 199, 200, 10**18)] == [A, A, B, B]


def test_a_line_whose_clock_goes_by_ticks_has_the_name_that_went_ahead_of_it() -> None:
    printers = Printers()
    tick_ns = 10**7
    printers.learn(NOBODY, 10**9, A)
    printers.learn(NOBODY, 10**9 + 5, B)
    assert printers.at(NOBODY, 10**9 - tick_ns) == A
    assert printers.at(NOBODY, 10**9 - 10 * tick_ns) == A, "there is nobody else of that number"
    assert printers.at(NOBODY, 0) == A
    assert printers.at(NOBODY, -1) == UNKNOWN
    printers.learn(os.getpid(), 10**9, A)
    assert printers.at(os.getpid(), 10**9 - 10 * tick_ns) not in (A, UNKNOWN), "who is there now goes before a guess"


def test_names_that_no_line_can_need_any_more_go() -> None:
    printers = Printers()
    second = 10**9
    for i in range(100):
        printers.learn(NOBODY, i * second, Printer(i, b""))
    assert len(printers._names[NOBODY]) <= 3 * _NAME.size
    assert printers.at(NOBODY, 99 * second).pid == 99
    assert printers.at(NOBODY, 99 * second - 1).pid == 98


def test_a_thread_may_have_very_many_names_within_a_moment() -> None:
    printers = Printers()
    for i in range(100_000):
        printers.learn(NOBODY, i, Printer(i, b"x%d" % i))
    assert printers.at(NOBODY, 77_777) == Printer(77_777, b"x77777")
    printers.learn(NOBODY, 10**10, A)
    assert len(printers._names[NOBODY]) == 2 * _NAME.size
    assert printers.at(NOBODY, 10**10 - 1) == Printer(99_999, b"x99999")


def test_the_kernel_hears_of_whom_is_forgotten() -> None:
    forgotten: list[int] = []
    printers = Printers(forgotten.append, limit=3)
    for tid in range(NOBODY, NOBODY + 3):
        printers.learn(tid, 1, A)
    printers.at(NOBODY, 1)
    printers.learn(NOBODY + 3, 1, B)
    assert forgotten == [NOBODY + 1]
    assert printers.at(NOBODY, 1) == A


def test_who_was_never_told_is_looked_up() -> None:
    def look() -> Printer:
        Path("/proc/thread-self/comm").write_bytes(b"x\n\nTgid:\t1")
        return Printers().at(threading.get_native_id(), 1)

    with ThreadPoolExecutor(1) as worker:
        assert worker.submit(look).result() == Printer(os.getpid(), b"x\n\nTgid:\t1")
    assert Printers().at(NOBODY, 1) == UNKNOWN
