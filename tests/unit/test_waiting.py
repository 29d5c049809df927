"""What calls in flight wait for: what /proc has, in the words of screens, asked seldom and never waited for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ebpftop.core.syscall_records import Awaited, InFlight
from ebpftop.kernel import sockets, waiting, waiting_locks, waiting_task
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.waiting import Question, WaitReader
from ebpftop.kernel.waiting_task import Wait
from ebpftop.models.wait_text import brief_target, target_text
from ebpftop.probes import waiting_calls
from ebpftop.probes.waiting_calls import EACH_TIME, FIRST, Listed, WaitingCalls, question_of
from ebpftop.ui.panes.syscall_notes import NAMED

SLEEP = Awaited(pid=18710, comm="sleep")


def call(tid: int = 1, name: str = "read", **fields: Any) -> InFlight:
    values: dict[str, Any] = {"pid": 1, "tid": tid, "comm": "a", "abi": "x86_64", "nr": 0, "name": name, "ns": 10**9}
    return InFlight(**(values | fields))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"fd": 7, "path": "socket:[9]", "peer": "tcp 10.0.0.7:5432"}, "fd 7 → tcp 10.0.0.7:5432"),
        ({"fd": 0, "path": "pipe:[123]", "awaited": (SLEEP,)}, "fd 0 → pipe:[123] ← sleep 18710"),
        ({"fd": 5, "path": "socket:[9]", "more": 3}, "fd 5 → socket:[9] +3 more"),
        ({"path": "/tmp/fifo"}, "/tmp/fifo"),
        ({"awaited": (SLEEP,)}, "child sleep 18710"),
        ({"awaited": (SLEEP, Awaited(pid=2, comm="cat")), "more": 1}, "children sleep 18710, cat 2 +1"),
        ({"lock": "0x7f2c10", "awaited": (SLEEP,)}, "lock 0x7f2c10 ← sleep 18710"),
        ({"lock": "0x7f2c10"}, "futex 0x7f2c10"),
    ],
)
def test_what_a_call_waits_for_in_words(fields: dict[str, Any], text: str) -> None:
    assert target_text(call(**fields)) == text
    assert brief_target(call(**fields)) == text.partition("→ ")[2] or text.partition("→ ")[0]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("recvfrom", ("file", 0)),
        ("sendfile", ("file", 0)),
        ("fsync", ("file", 0)),
        ("open", ("path", 0)),
        ("openat", ("path", 1)),
        ("connect", ("connect", 0)),
        ("epoll_pwait", ("epoll", 0)),
        ("waitid", ("waitid", 0)),
        ("flock", ("lock", 0)),
        ("pause", ("none", 0)),
        ("no_such_call", ("none", 0)),
    ],
)
def test_how_a_call_says_what_it_waits_for(name: str, asked: tuple[str, int]) -> None:
    assert question_of("x86_64", name) == asked


class Root:
    """Answers each question with its thread's number as the path."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.enter_ns: list[set[int]] = []
        self.spent_s = 0.0
        self.busy = False

    def waits(self, asked: Sequence[Question]) -> tuple[list[Wait | None], float] | None:
        self.asked.append([one.tid for one in asked])
        self.enter_ns.append({one.enter_ns for one in asked})
        return None if self.busy else ([Wait(path=b"%d" % one.tid) for one in asked], self.spent_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(waiting_calls, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting_calls, "in_first_pid_namespace", lambda: True)
    return now


def complete(calls: WaitingCalls, *rows: InFlight, enter_ns: int = 5, lasts: bool = True) -> list[str | None]:
    return [row.path for row in calls.complete([Listed(row, enter_ns, lambda: lasts) for row in rows])]


def test_each_call_is_asked_about_once_and_the_first_ones_first(clock: list[float]) -> None:
    root = Root()
    calls = WaitingCalls(cast(RootWork, root))
    rows = [call(tid, "fsync") for tid in range(1, EACH_TIME + 3)]
    rows[1] = call(2, "fsync", running=True)
    first = complete(calls, *rows)
    assert first[0] == "1"
    assert first[1] is None, "one that runs waits for nothing"
    assert first[-1] is None, "its turn comes with the next reading"
    assert complete(calls, *rows)[-1] == str(EACH_TIME + 2)
    complete(calls, *rows)
    assert [len(asked) for asked in root.asked] == [EACH_TIME, 1]
    complete(calls, *rows, enter_ns=6)
    assert len(root.asked) == 3, "the next call of the same thread is another"
    assert root.enter_ns == [{5}, {5}, {6}], "so that a late answer is not taken for one about that"


def test_an_answer_that_may_be_about_a_later_call_is_dropped(clock: list[float]) -> None:
    calls = WaitingCalls(cast(RootWork, Root()))
    assert complete(calls, call(), lasts=False) == [None]
    assert complete(calls, call()) == ["1"]


def test_who_holds_a_lock_is_asked_again_later(clock: list[float]) -> None:
    root = Root()
    calls = WaitingCalls(cast(RootWork, root))
    complete(calls, call(name="flock"), call(2, "fsync"))
    clock[0] += 1
    complete(calls, call(name="flock"), call(2, "fsync"))
    clock[0] += 3
    complete(calls, call(name="flock"), call(2, "fsync"))
    assert root.asked == [[1, 2], [1]]


def test_it_takes_little_of_the_time(clock: list[float]) -> None:
    root = Root()
    calls = WaitingCalls(cast(RootWork, root))
    root.spent_s = 1.0
    complete(calls, call())
    complete(calls, call(), call(2))
    assert root.asked == [[1]]
    clock[0] += 200
    assert complete(calls, call(), call(2))[1] == "2"


def test_while_nobody_looks_only_the_calls_are_asked_about_that_pane_3_names(clock: list[float]) -> None:
    root = Root()
    calls = WaitingCalls(cast(RootWork, root), of_all=False)
    rows = [call(tid, "fsync") for tid in range(1, 20)]
    complete(calls, *rows)
    assert root.asked == [[1, 2, 3, 4, 5, 6]]
    assert len(root.asked[0]) == FIRST == NAMED
    assert calls.watch(True), "the next reading is due at once"
    assert not calls.watch(True)
    assert complete(calls, *rows)[-1] == "19"
    assert root.asked[1:] == [list(range(7, 20))]
    assert not calls.watch(False)
    complete(calls, *rows, enter_ns=6)
    assert len(root.asked[-1]) == FIRST


def test_nobody_waits_for_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def stuck(asked: Question, _: object) -> Wait:
        goes_on.wait(60)
        return Wait(fd=asked.tid)

    monkeypatch.setattr(waiting, "wait_of", stuck)
    reader = WaitReader()
    asked = [Question(1, 2, 0, "file", 0, 5)]
    assert reader.ask(asked, 0.01) is None
    assert reader.ask(asked, 0.01) is None
    goes_on.set()
    while (found := reader.ask(asked, 10)) is None:
        pass
    assert found == [Wait(fd=2)]


def test_a_machine_on_which_every_answer_takes_too_long_has_answers_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(asked: Question, _: object) -> Wait:
        time.sleep(0.05)
        return Wait(fd=asked.tid)

    monkeypatch.setattr(waiting, "wait_of", slow)
    reader = WaitReader()
    before, still = Question(1, 2, 0, "file", 0, enter_ns=5), Question(1, 3, 0, "file", 0, enter_ns=5)
    later = before._replace(enter_ns=6)
    assert reader.ask([before, still], 0) is None
    time.sleep(0.5)
    assert reader.ask([still, later], 0) == [Wait(fd=3), None], "the other answer was about another call"
    assert reader.ask([later], 0) is None, "each is handed out once"
    time.sleep(0.5)
    assert reader.ask([still], 60) == [Wait(fd=3)], "what nobody asks for any more holds up nothing"


@pytest.mark.parametrize("nr", ["poll", "select"])
def test_arguments_that_the_kernel_cuts_to_32_bits_stop_nothing(nr: str, tmp_path: Path) -> None:
    """A program may sleep in poll(2) of nothing with an address that no number of ours holds."""
    registers = [2**64 - 4096, 2**32] if nr == "poll" else [2**32, 2**64 - 4096, 2**64 - 4096]
    process = waiting_task.WaitingTask(1, 1, str(tmp_path), (), sockets.SocketTables())
    (tmp_path / "mem").write_bytes(b"")
    assert waiting._READ[nr](process, registers, 0) == Wait()


def test_a_call_that_cannot_be_read_does_not_end_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: str, most: int) -> bytes:
        return b"0 " + b"0xffffffffffffffff " * 8 if path.endswith("/syscall") else b""

    monkeypatch.setattr(waiting, "read", unreadable)
    reader = WaitReader()
    kinds = [kind for kind in waiting.KINDS if kind != "file"]
    asked = [Question(os.getpid(), os.getpid(), 0, kind, 0, 5) for kind in kinds]
    for _ in range(2):
        found = reader.ask(asked, 60)
        assert found is not None
        assert len(found) == len(kinds)


def test_locks_of_files_name_their_holders_unless_that_is_ambiguous() -> None:
    locks = b"""1: FLOCK  ADVISORY  WRITE 812 fe:00:5335176 0 EOF
1: -> FLOCK  ADVISORY  WRITE 815 fe:00:5335176 0 EOF
1: -> FLOCK  ADVISORY  WRITE 816 fe:00:5335176 0 EOF
2: OFDLCK ADVISORY  WRITE -1 fe:00:7 0 EOF
2: -> OFDLCK ADVISORY  WRITE -1 fe:00:7 0 EOF
3: POSIX  ADVISORY  WRITE 900 fe:00:8 0 EOF
3: -> POSIX  ADVISORY  WRITE 816 fe:00:8 0 EOF
"""
    assert waiting_locks.holders_of(locks, 815) == [812]
    assert waiting_locks.holders_of(locks, 816) == [812, 900]
    assert waiting_locks.holders_of(locks, 900) == []
