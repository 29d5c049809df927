"""What the kernel side says of a process that ended, once and again after its memory is freed."""

from __future__ import annotations

import struct

from ebpftop.probes.exit_event import CpuTime, take_freed


def freed(pid: int, start_ns: int, runtime_ns: int) -> bytes:
    return struct.pack("=II5Q", 4, pid, 99, start_ns, 1, 2, runtime_ns)


def test_what_is_said_last_of_a_process_is_kept_and_it_is_no_event() -> None:
    start, exit_ = b"\1\0\0\0start", b"\3\0\0\0exit"
    events = [start, freed(7, 100, 50), exit_, freed(8, 100, 60), freed(7, 100, 55), freed(7, 200, 1)]
    others, times = take_freed(events)
    assert others == [start, exit_]
    assert times == {(7, 100): CpuTime(1, 2, 55), (8, 100): CpuTime(1, 2, 60), (7, 200): CpuTime(1, 2, 1)}
