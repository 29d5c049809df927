"""Calls from before the probe was attached: what is reported of them, and when they are over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("bcc")

from ebpftop.kernel import maps
from ebpftop.kernel.root_work import NOT_READABLE, RootWork
from ebpftop.probes import entered_before
from ebpftop.probes.entered_before import EnteredBefore
from ebpftop.probes.syscall_slots import Slots

READ, WRITE, FUTEX, NONE = (b"%d 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffd5e7b8 0x7f08" % nr for nr in (0, 1, 202, 9999))
SLOTS = Slots("x86_64")


class Machine(RootWork):
    """Threads of process 1: what /proc says of them, and the kernel's map."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lines: dict[int, bytes]) -> None:
        super().__init__(Path("/nonexistent"))
        self.lines = lines
        self.awake: set[int] = set()
        self.table: set[bytes] = set()
        self.taken: Callable[[int, bytes], bool] = lambda _pid, _comm: True
        self.asked = 0
        self.now_s = 1000.0
        monkeypatch.setattr(entered_before, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(maps, "update", lambda _table, key, _value: self.table.add(key))
        monkeypatch.setattr(maps, "delete", lambda _table, key: self.table.discard(key))
        monkeypatch.setattr(maps, "lookup", lambda _table, key, _size: key if key in self.table else None)
        monkeypatch.setattr(entered_before, "_threads", lambda: ((1, tid) for tid in lines))
        monkeypatch.setattr(
            entered_before, "_sleeper", lambda _pid, tid: None if tid in self.awake else b"thread-%d" % tid
        )
        self.before = EnteredBefore(self, cast(maps.Map, None), SLOTS, 0, self.takes)
        self.before.begin()
        assert self.before.wait(30)

    def takes(self, pid: int, comm: bytes) -> bool:
        return self.taken(pid, comm)

    def calls(self, threads: Sequence[tuple[int, int]]) -> list[bytes]:
        self.asked += len(threads)
        return [self.lines.get(tid, b"") for _, tid in threads]

    def returns(self, tid: int) -> None:
        """As a program in the kernel sees it."""
        self.table.discard(tid.to_bytes(4, "little"))

    def told(self, *entered: int) -> list[tuple[int, int, bytes]]:
        return [(call.tid, call.call[1], comm) for call, comm in self.before.calls(set(entered))]


def test_who_is_in_a_call_is_told_and_those_whose_business_is_to_wait_come_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = {4: FUTEX, 5: READ, 6: b"running", 7: b"-1 0x7f08 0x7f09", 8: NOT_READABLE, 9: b"", 10: NONE, 11: WRITE}
    machine = Machine(monkeypatch, lines)
    assert machine.told() == [(5, 0, b"thread-5"), (11, 1, b"thread-11"), (4, 202, b"thread-4")]
    assert machine.table == {tid.to_bytes(4, "little") for tid in (4, 5, 11)}


@pytest.mark.parametrize(
    "over", ["was seen to return", "entered another", "is in another", "is awake", "ended", "cannot be asked"]
)
def test_a_call_that_is_over_is_never_told_again(monkeypatch: pytest.MonkeyPatch, over: str) -> None:
    machine = Machine(monkeypatch, {4: FUTEX, 5: READ})
    entered: tuple[int, ...] = ()
    match over:
        case "was seen to return":  # and is in one like it, that was not seen to be entered
            machine.returns(5)
        case "entered another":
            entered = (5,)
        case "is in another":
            machine.lines[5] = WRITE
        case "is awake":  # or stopped by a signal: it has left its call
            machine.awake.add(5)
        case "ended":
            del machine.lines[5]
        case _:
            machine.lines[5] = NOT_READABLE
    assert machine.told(*entered) == [(4, 202, b"thread-4")]
    machine.lines[5] = READ
    machine.awake.clear()
    assert machine.told() == [(4, 202, b"thread-4")]
    assert machine.table == {(4).to_bytes(4, "little")}


def test_what_the_filter_leaves_out_or_is_ignored_is_told_when_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {4: FUTEX, 5: READ})
    machine.taken = lambda _pid, comm: comm == b"thread-4"
    assert [tid for tid, *_ in machine.told()] == [4]
    machine.taken = lambda _pid, _comm: True
    assert [tid for tid, *_ in machine.told()] == [4], "it is asked now and then"
    machine.before.filter_changed()
    assert [tid for tid, *_ in machine.told()] == [5, 4]
    machine.taken = lambda _pid, _comm: False
    machine.now_s += 5
    assert machine.told() == []
    machine.taken = lambda _pid, _comm: True
    assert any(machine.told() for _ in range(20)), "without a change of the filter too: a thread changes its name"
    machine.before.ignored = {("x86_64", 202)}
    assert [tid for tid, *_ in machine.told()] == [5]
    machine.before.ignored = set()
    assert [tid for tid, *_ in machine.told()] == [5, 4]


def test_proc_is_read_now_and_then_and_the_kernel_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {4: FUTEX, 5: READ})
    machine.asked = 0
    for _ in range(5):
        assert [tid for tid, *_ in machine.told()] == [5, 4]
        machine.now_s += 0.9
    assert machine.asked == 2
    machine.returns(5)
    assert [tid for tid, *_ in machine.told()] == [4], "at once"
    del machine.lines[4]
    machine.now_s += 5
    assert machine.told() == []


def test_the_map_is_for_those_that_hang_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(_table: object, key: bytes, _value: bytes) -> None:
        if len(machine_table) == 2:
            raise OSError(7, "full")
        machine_table.add(key)

    machine_table: set[bytes] = set()
    machine = Machine(monkeypatch, {})
    machine.lines.update({4: FUTEX, 5: READ, 6: READ, 7: READ})
    monkeypatch.setattr(maps, "update", update)
    machine.before._scan()
    assert machine_table == {tid.to_bytes(4, "little") for tid in (5, 6)}


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (READ, ("x86_64", 0)),
        (b"3 0x3 0x7f 0x1 0x0 0x0 0x0 0xffd5e7b8 0xf7f08", ("i386", 3)),
        (b"1073741825 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffd5e7b8 0x7f08", ("x32", 1)),
        (b"0" + 8 * b" 0x0", None),  # a thread of the kernel's own
        (b"-1 0x7ffd5e7b8 0x7f08", None),
        (b"running", None),
        (b"", None),
        (NOT_READABLE, None),
    ],
)
def test_a_line_of_proc_is_a_call_of_its_abi(line: bytes, call: tuple[str, int] | None) -> None:
    assert entered_before.call_of(line, SLOTS) == call
