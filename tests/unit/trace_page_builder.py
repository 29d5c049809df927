"""Pages of a trace buffer made by hand, as kernel/trace/ring_buffer.c lays them out."""

from __future__ import annotations

import struct

HEADER_PAGE = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;
"""
PRINTK = """\
name: bpf_trace_printk
ID: 550
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:__data_loc char[] bpf_string;\toffset:8;\tsize:4;\tsigned:{signed};

print fmt: "%s", __get_str(bpf_string)
"""
PRINT = """\
name: print
ID: 5
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;
\tfield:char buf[];\toffset:16;\tsize:0;\tsigned:0;

print fmt: "%ps: %s", (void *)REC->ip, REC->buf
"""
PAGE_SIZE = 4096
MISSED, STORED = 1 << 31, 1 << 30
PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31


def word(kind: int, delta: int) -> bytes:
    """The first word of an event: 5 bits of kind, 27 of time."""
    return struct.pack("<I", delta << 5 | kind)


def event(data: bytes, delta: int = 0, *, long: bool = False) -> bytes:
    """An event with *data*; `long` as on machines that align to 8 bytes: its length always in a word of its own."""
    data += bytes(-len(data) % 4)
    if len(data) <= 112 and not long:
        return word(len(data) // 4, delta) + data
    return word(0, delta) + struct.pack("<I", len(data) + 4) + data


def time_extend(delta: int) -> bytes:
    """A step in time that does not fit into an event."""
    return word(TIME_EXTEND, delta & (1 << 27) - 1) + struct.pack("<I", delta >> 27)


def time_stamp(time: int) -> bytes:
    """An absolute time, the five highest bits left out."""
    return word(TIME_STAMP, time & (1 << 27) - 1) + struct.pack("<I", time >> 27 & (1 << 32) - 1)


def taken_back(size: int, delta: int = 1) -> bytes:
    """An event that its writer discarded."""
    return word(PADDING, delta) + struct.pack("<I", size) + b"\xee" * (size - 4)


def printk(message: bytes, tid: int = 1, number: int = 550) -> bytes:
    """Data of a bpf_trace_printk event."""
    text = message + b"\0"
    return struct.pack("<HBBiI", number, 0, 0, tid, len(text) << 16 | 12) + text


def ftrace_print(message: bytes, tid: int = 1, ip: int = 0) -> bytes:
    """Data of an ftrace/print event."""
    return struct.pack("<HBBiQ", 5, 0, 0, tid, ip) + message + b"\0"


def page(*events: bytes, time: int = 1000, flags: int = 0, missed: int | None = None, size: int = PAGE_SIZE) -> bytes:
    """A whole page; *missed* is written behind the events."""
    data = b"".join(events)
    if missed is not None:
        flags |= MISSED | STORED
    stored = data + (struct.pack("<Q", missed) if missed is not None else b"")
    return (struct.pack("<QQ", time, len(data) | flags) + stored).ljust(size, b"\0")
