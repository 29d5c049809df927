"""The layout of the tail-call table, on every kind of machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.probes.syscall_slots import Slots
from ebpftop.syscalls import abi as abis

SOURCE = "".join(file.read_text() for file in (Path(__file__).parents[2] / "bpf").glob("syscalls*"))


def constant(name: str) -> int:
    """Return a #define or a constant of an enum of the C files."""
    found = re.search(rf"^(?:#define {name} |\s+{name} = )(0x[0-9a-f]+|\d+)\b", SOURCE, re.MULTILINE)
    assert found, name
    return int(found[1], 0)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_that_has_a_name_has_a_slot_of_its_own(machine: str) -> None:
    slots = Slots(machine)
    calls = [(abi, nr) for abi in slots.abis for nr in abis.numbers(abi).values() if nr < 0x10000]
    found = [slots.slot(call) for call in calls]
    assert None not in found
    assert len(set(found)) == len(calls)
    assert max(slot for slot in found if slot is not None) < constant("SLOTS")
    assert [slots.call(slot) for slot in found if slot is not None] == calls


def test_the_layout_is_that_of_the_c_file() -> None:
    slots = Slots("x86_64")
    last = constant("NATIVE_SLOTS") - 1
    assert slots.slot(("x86_64", last)) == last
    assert slots.slot(("x86_64", last + 1)) is None
    assert slots.slot(("i386", 0)) == constant("COMPAT_BASE")
    assert slots.slot(("i386", constant("COMPAT_SLOTS"))) is None
    assert slots.slot(("x32", 0)) == constant("X32_BASE")
    assert slots.slot(("x32", constant("X32_SLOTS"))) is None
    assert slots.slot(("x86_64", -1)) is None
    assert constant("X32_BASE") + constant("X32_SLOTS") == constant("SLOTS")


def test_the_kernel_is_told_what_it_needs_of_a_call() -> None:
    slots = Slots("x86_64")
    gone, makes_tasks, ignored, traced, before = (
        constant(name) for name in ("PATHS_GO_WITH_SUCCESS", "MAKES_TASKS", "IGNORED", "TRACED", "LOOKED_AT_BEFORE")
    )
    assert slots.facts(("x86_64", 59)) == 1 | gone | before, "an execve's path and arguments are read before it"
    assert slots.facts(("x86_64", 3), "trace") == traced | before, "what a close closes is looked at before it"
    assert slots.facts(("x86_64", 257), "trace") == 2 | traced
    assert slots.facts(("x86_64", 39), "ignore") == ignored
    assert slots.facts(("i386", 120)) == makes_tasks
    assert {call for call in slots.task_makers if call[0] == "x86_64"} == {("x86_64", nr) for nr in (56, 57, 58, 435)}
    assert ("i386", 2) in slots.task_makers
    assert ("x32", 57) in slots.task_makers


def test_programs_and_timers_have_handlers_from_the_start() -> None:
    slots = Slots("x86_64")
    assert slots.family_handler(("x86_64", 59)) == "exec"
    assert slots.family_handler(("x86_64", 222)) == "timer"
    assert slots.family_handler(("i386", 11)) == "exec"
    assert slots.family_handler(("x86_64", 0)) == "count"
    assert Slots("aarch64").family_handler(("arm64", 222)) == "count", "222 is mmap there"
