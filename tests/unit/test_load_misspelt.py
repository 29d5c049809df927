"""A name of an event that the kernel does not have is said first, with the names that are close."""

from __future__ import annotations

import pytest

from ebpftop.kernel.load import misspelt as module
from ebpftop.kernel.load.events import parse
from ebpftop.kernel.load.misspelt import misspelt

FUNCTIONS = frozenset(("vfs_read", "vfs_readv", "vfs_write", "bpf_lsm_bpf", "bpf_lsm_file_open", "__x64_sys_newcall"))
TRACEPOINTS = ("sched:sched_process_exec", "sched:sched_switch", "syscalls:sys_enter_openat")


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_functions", lambda: FUNCTIONS)
    monkeypatch.setattr(module, "_tracepoints", lambda: TRACEPOINTS)
    module.of_kernel.cache_clear()


@pytest.mark.parametrize(
    ("event", "message", "suggestion"),
    [
        ("syscall:exceve", "there is no system call exceve", "execve or execveat?"),
        ("syscall_exit:openta", "there is no system call openta", "openat"),
        ("kprobe:vfs_raed", "this kernel has no function vfs_raed", "vfs_read or vfs_readv"),
        ("fentry:vfs_raed", "this kernel has no function vfs_raed", "vfs_read or vfs_readv"),
        ("kretprobe:nothing_like_it", "this kernel has no function nothing_like_it", ""),
        ("lsm:bfp", "this kernel has no security hook bfp", "bpf?"),
        ("tracepoint:sched:sched_swich", "this kernel has no tracepoint sched:sched_swich", "sched:sched_switch?"),
        ("raw_tracepoint:sched_swich", "this kernel has no tracepoint sched_swich", "sched_switch?"),
        ("software:page-fault:1", "there is no software event page-fault", "page-faults?"),
        ("hardware:x:1", "there is no hardware event x", "one of "),
        ("uprobe:/no/such/file:main", "there is no file /no/such/file", "uprobe:/bin/bash:readline"),
    ],
)
def test_a_name_that_is_not_there_is_said_with_those_that_are_close(event: str, message: str, suggestion: str) -> None:
    found = misspelt(parse(event))
    assert found is not None
    assert found.message == message
    assert suggestion in found.suggestion


@pytest.mark.parametrize(
    "event",
    [
        *("syscall:execve", "kprobe:vfs_read", "kprobe:vfs_read+0x10", "lsm:bpf", "tracepoint:sched:sched_switch"),
        *("raw_tracepoint:sys_enter", "raw_tracepoint:sched_switch", "software:page-faults:1", "profile:hz:99"),
    ],
)
def test_a_name_that_is_there_is_right(event: str) -> None:
    assert misspelt(parse(event)) is None


def test_a_kernel_that_describes_nothing_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_functions", frozenset)
    monkeypatch.setattr(module, "_tracepoints", tuple)
    module.of_kernel.cache_clear()
    for event in ("kprobe:nothing", "lsm:nothing", "tracepoint:a:b", "raw_tracepoint:nothing"):
        assert misspelt(parse(event)) is None
