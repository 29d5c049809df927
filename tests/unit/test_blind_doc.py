"""docs/limits.md says of each attach option what it cannot see, as the ladders themselves do."""

from __future__ import annotations

import re
from pathlib import Path

from ebpftop.kernel.attach import SKIPPED, AttachOption
from ebpftop.probes import exec_ladders, opens, states, syscall_options, trace, users

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
# A kernel of x86-64 with programs of 32 bits and x32 ones, of Linux 6.10 or later.
CALLS = ("EXECVE", "EXECVEAT")
NATIVE: dict[str, str | int] = {f"SYS_{call}": f"__x64_sys_{call.lower()}" for call in CALLS}
OTHERS: dict[str, str | int] = {f"SYS_COMPAT_{call}": f"__ia32_compat_sys_{call.lower()}" for call in CALLS}
X32: dict[str, str | int] = {f"SYS_X32_{call}": f"__x64_compat_sys_{call.lower()}" for call in CALLS}
DEFINES: dict[str, str | int] = {**NATIVE, **OTHERS, **X32, "HAVE_PREPARE_EXEC": 1}


def ladders(defines: dict[str, str | int]) -> dict[str, tuple[AttachOption, ...]]:
    return {
        "execs": exec_ladders.start_ladder(),
        "execs.failures": exec_ladders.failure_ladder(defines),
        "execs.exits": exec_ladders.exit_ladder(),
        "users": users.ladder(defines),
        "syscalls": syscall_options.ladder(defines),
        "trace": trace.ladder(defines),
        "opens": opens.ladder("x86_64", defines),
        "states": states.ladder(defines),
    }


def test_the_table_is_what_the_ladders_say() -> None:
    rows = re.findall(r"^\| ([a-z.]+) \| `(\S+)` \| (.+) \|$", PAGE, re.MULTILINE)
    expected = [
        (ladder, step.via, "; ".join(step.blind))
        for ladder, steps in ladders(DEFINES).items()
        for step in steps
        if step.blind
    ]
    assert rows == expected


def test_where_no_other_abi_can_call_nothing_is_attached_for_it() -> None:
    for steps in ladders(NATIVE).values():
        assert not any(attach.without == SKIPPED for step in steps for attach in step.attaches)
    for ladder in ("users", "execs.failures"):
        kinds = [step.attaches[0].kind for step in ladders(NATIVE)[ladder]]
        assert kinds[2:] == ["tracepoint", "raw_tracepoint"]


def test_every_function_of_every_abi_is_attached_to() -> None:
    functions = {str(name) for name in DEFINES.values()} - {"1"}
    for ladder in ("users", "execs.failures", "trace"):
        for step in ladders(DEFINES)[ladder]:
            for kind in {attach.kind for attach in step.attaches} & {"kprobe", "kretprobe", "fentry", "fexit"}:
                assert {attach.target for attach in step.attaches if attach.kind == kind} == functions


def test_before_linux_6_10_entries_are_seen_at_sys_enter() -> None:
    old: dict[str, str | int] = {**NATIVE, **OTHERS}
    for ladder, defines, place in (
        ("users", old, "sys_enter"),
        ("users", DEFINES, "sched_prepare_exec"),
        ("execs.failures", old, "sys_enter"),
        ("execs.failures", DEFINES, "sched_prepare_exec"),
    ):
        (raw,) = (step for step in ladders(defines)[ladder] if step.via == "raw_tracepoint:sys_exit")
        assert raw.attaches[-1].target == place  # what remembers comes last


def test_all_that_ends_an_attempt_is_attached_before_what_begins_one() -> None:
    ends = {"users_exit", "users_raw_exit", "users_skipped_exit", "users_last"}
    for defines in (DEFINES, NATIVE):
        for step in users.ladder(defines):
            assert {each.function for each in step.attaches if each.function in ends and not each.forgets} == set()
