"""The details of a traced call with stacks."""

from __future__ import annotations

import msgspec

from ebpftop.core.syscall_records import Syscall
from ebpftop.ui.screens.traced_sheet import traced_details

CALL = Syscall(
    time=1.0, pid=7, tid=7, comm="app", abi="x86_64", nr=0, name="read", args=("3", '""', "10"), ret=0, ns=20_000_000
)


def test_a_stack_is_shown_with_the_file_of_each_function_and_copied_as_strace_writes_it() -> None:
    call = msgspec.structs.replace(
        CALL,
        stack=("read+0x4d (libc.so.6)", "operator() (int)+0x5 (app)", "[unknown]"),
        kernel_stack=("__schedule+0x618", "pipe_read+0x2c1"),
    )
    details = traced_details(call)
    lines = details.sheet().content().plain.splitlines()
    user, kernel = lines.index("Stack, innermost first"), lines.index("Where it slept in the kernel, innermost first")
    assert lines[user + 1 : kernel - 1] == ["read+0x4d  libc.so.6", "operator() (int)+0x5  app", "[unknown]"]
    assert lines[kernel + 1 :] == ["__schedule+0x618", "pipe_read+0x2c1"]
    assert details.copies.splitlines()[1:] == [
        " > read+0x4d (libc.so.6)",
        " > operator() (int)+0x5 (app)",
        " > [unknown]",
    ]


def test_without_stacks_nothing_is_said_of_them() -> None:
    details = traced_details(CALL)
    assert "innermost" not in details.sheet().content().plain
    assert "\n" not in details.copies
