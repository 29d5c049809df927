"""Reads lines from the pages of a trace buffer, as per_cpu/cpuN/trace_pipe_raw returns them: fields, not text.

trace_pipe is the same buffer made into text, in which a message or a thread's name can look like another line or like a
notice of loss. Here every event has its length in front of it, so what is inside cannot become anything else.

The layout is that of struct buffer_data_page and struct ring_buffer_event (kernel/trace/ring_buffer.c,
include/linux/ring_buffer.h); events/header_page, events/header_event and an event's `format` tell what differs
between kernels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ebpftop.kernel.errors import FormatError

_FIELD = re.compile(r"^\s*field:(?P<what>[^;]*);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);", re.MULTILINE)

# The commit word: how many bytes were written, and above that two marks. RB_MISSED_EVENTS: events before this page were
# overwritten. RB_MISSED_STORED: their number (a long) stands behind the last event.
_MISSED, _MISSED_STORED, _COMMITTED = 1 << 31, 1 << 30, (1 << 27) - 1

# enum ring_buffer_type. Smaller ones (1 to 28) are the length of the data in words; 0: the length comes next.
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_DELTA_BITS = 27
_STAMP_BITS = 59  # an absolute time leaves out the five highest bits

# 292 years since the boot, in ns; a later time is damage.
_TIME_MAX_NS = (1 << 63) - 1

_u16 = struct.Struct("=H").unpack_from
_u32 = struct.Struct("=I").unpack_from
_s32 = struct.Struct("=i").unpack_from
_u64 = struct.Struct("=Q").unpack_from


class PageFormat(NamedTuple):
    """The layout of a page, in bytes; from events/header_page."""

    commit_size: int  # that of a long of the kernel
    data_offset: int
    page_size: int


class LineFormat(NamedTuple):
    """The layout of an event that holds a line, in bytes; from its `format` file."""

    tid_offset: int
    text_offset: int
    located: bool  # at text_offset is not the text but where it lies: offset, and length in the upper 16 bits
    ip_offset: int | None = None  # ftrace/print: who wrote it; bpf_trace_printk says 0 or 1 there


class Line(NamedTuple):
    """What was printed: when (ns, by the buffer's clock), on which CPU, in which thread."""

    time_ns: int
    cpu: int
    tid: int
    message: bytes


class Page(NamedTuple):
    """What a page holds, up to `until_ns`, the time of its last event.

    `missed`: events before it were overwritten, `missed_count` of them (None: the page had no room for the number).
    `damaged`: from some byte on it is not valid.
    """

    lines: list[Line]
    until_ns: int
    missed: bool = False
    missed_count: int | None = None
    damaged: bool = False


def _fields(text: str) -> dict[str, tuple[str, int, int]]:
    """Return type, offset and size of each field of a `format` file by name."""
    found = {}
    for match in _FIELD.finditer(text):
        kind, _, name = match["what"].strip().rpartition(" ")
        found[name.partition("[")[0]] = (kind, int(match["offset"]), int(match["size"]))
    return found


def page_format(text: str) -> PageFormat:
    """Read events/header_page; raises FormatError."""
    fields = _fields(text)
    try:
        (_, time_offset, time_size), (_, commit_offset, commit_size) = fields["timestamp"], fields["commit"]
        _, data_offset, data_size = fields["data"]
    except KeyError as error:
        raise FormatError(f"events/header_page has no field {error}") from error
    if (time_offset, time_size, commit_offset) != (0, 8, 8) or commit_size not in (4, 8):
        raise FormatError("events/header_page has another layout")
    return PageFormat(commit_size, data_offset, data_offset + data_size)


def line_format(text: str, field: str) -> tuple[int, LineFormat]:
    """Read the `format` file of an event whose *field* is the line; return the event's id too. Raises FormatError."""
    fields = _fields(text)
    number = re.search(r"^ID:\s*(\d+)", text, re.MULTILINE)
    try:
        _, tid_offset, tid_size = fields["common_pid"]
        kind, text_offset, size = fields[field]
    except KeyError as error:
        raise FormatError(f"the event has no field {error}") from error
    located = kind.startswith("__data_loc")
    if number is None or tid_size != 4 or size != (4 if located else 0) or fields["common_type"][1:] != (0, 2):
        raise FormatError("the event has another layout")
    ip = fields.get("ip")
    return int(number[1]), LineFormat(tid_offset, text_offset, located, ip[1] if ip else None)


def read_page(page: bytes, cpu: int, layout: PageFormat, events: Mapping[int, LineFormat]) -> Page:
    """Return the lines of a page of *cpu*; events with other ids than those in *events* are skipped.

    Whatever the bytes are, nothing is raised, and no line has an impossible number.
    """
    lines: list[Line] = []
    at = layout.data_offset
    if len(page) < at:
        return Page(lines, 0, damaged=True)
    (time_ns,) = _u64(page, 0)
    (commit,) = _u32(page, 8)  # all that is used of it, on the little-endian machines that ebpftop runs on
    end = at + (commit & _COMMITTED)
    missed = bool(commit & _MISSED)
    missed_count = None
    if missed and commit & _MISSED_STORED and end + layout.commit_size <= len(page):
        missed_count = int.from_bytes(page[end : end + layout.commit_size], "little")
    damaged = end > len(page)
    end = min(end, len(page))
    while at < end:
        if end - at < 4:
            damaged = True
            break
        (word,) = _u32(page, at)
        kind, delta = word & 31, word >> 5
        if kind == _PADDING and not delta:  # nothing but padding from here on
            break
        if not 0 < kind < _PADDING:
            if end - at < 8:
                damaged = True
                break
            (more,) = _u32(page, at + 4)
        if kind >= _TIME_EXTEND:
            stamp = (more << _DELTA_BITS) + delta
            time_ns = time_ns + stamp if kind == _TIME_EXTEND else _whole_stamp(stamp, time_ns)
            at += 8
            continue
        if kind == _PADDING:  # an event that was taken back
            if more < 4:
                damaged = True
                break
            at += 4 + more
            continue
        begin, size = (at + 4, 4 * kind) if kind else (at + 8, more - 4)
        if size < 0 or begin + size > end:
            damaged = True
            break
        time_ns += delta
        if size >= 2 and (event := events.get(_u16(page, begin)[0])):
            line = _line(page, begin, size, event, time_ns, cpu)
            if line is None:
                damaged = True
                break
            if line is not _NOT_BPF:
                lines.append(line)
        at = begin + (size + 3 & ~3)
    return Page(lines, time_ns, missed, missed_count, damaged)


# A line that no BPF program wrote.
_NOT_BPF = Line(0, 0, 0, b"")


def _whole_stamp(stamp: int, before_ns: int) -> int:
    """Return an absolute time with the bits that it leaves out (rb_fix_abs_ts), from the time before it."""
    high = before_ns >> _STAMP_BITS << _STAMP_BITS
    if not high:  # then nothing was left out, and a clock may step back
        return stamp
    whole = stamp | high
    return whole if whole >= before_ns else whole + (1 << _STAMP_BITS)


def _line(page: bytes, begin: int, size: int, event: LineFormat, time_ns: int, cpu: int) -> Line | None:
    """Return the line of the event at *begin*; None if it has an impossible value."""
    if size < event.tid_offset + 4 or size < event.text_offset + 4 * event.located or time_ns > _TIME_MAX_NS:
        return None
    if event.ip_offset is not None:
        if size < event.ip_offset + 8:
            return None
        if _u64(page, begin + event.ip_offset)[0] > 1:
            return _NOT_BPF
    (tid,) = _s32(page, begin + event.tid_offset)
    if event.located:
        (place,) = _u32(page, begin + event.text_offset)
        offset, length = place & 0xFFFF, place >> 16
    else:
        offset, length = event.text_offset, size - event.text_offset
    if tid < 0 or offset + length > size:
        return None
    start = begin + offset
    stop = page.find(0, start, start + length)
    return Line(time_ns, cpu, tid, page[start : stop if stop >= 0 else start + length])
