"""A trace buffer of the kernel, read page by page from the binary pipe of each CPU.

Reading consumes: lines that are read here are lost to other readers of the same buffer.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

from ebpftop.kernel import clocks
from ebpftop.kernel.errors import FormatError
from ebpftop.kernel.trace_pages import Line, LineFormat, Page, line_format, page_format, read_page

__all__ = ("FormatError", "TraceBuffer")

_PRINTK = Path("events/bpf_trace/bpf_trace_printk/format")
_PRINT = Path("events/ftrace/print/format")
_READ_PAGES = 1024
"""Pages to read in one drain while more lines arrive, about 60,000 short lines; the rest waits for the next."""
_SETTLE_NS = 1_000_000
"""A line may have its time before it is in the buffer: it gets at most this much time to arrive."""
_LOSSES = ("overrun", "commit overrun", "dropped events")

_time_of = itemgetter(0)


def line_formats(tracefs: Path) -> Mapping[int, LineFormat]:
    """Return the formats of BPF programs' lines on this kernel, by event id; raises OSError, FormatError.

    Before 5.9 bpf_trace_printk is not an event, and writes an ftrace/print without a caller's address.
    """
    formats = dict([line_format((tracefs / _PRINT).read_text(), "buf")])
    if (tracefs / _PRINTK).exists():
        formats.update([line_format((tracefs / _PRINTK).read_text(), "bpf_string")])
    return formats


def statistics(cpu_folder: Path) -> dict[str, str]:
    """Return the kernel's own figures of one CPU's buffer, as it writes them; raises OSError."""
    lines = (cpu_folder / "stats").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(": ") for line in lines)}


class TraceBuffer:
    """The buffer in *folder*: an instance's, or the machine's own. Lines leave it with CLOCK_MONOTONIC times."""

    def __init__(self, folder: Path, formats: Mapping[int, LineFormat], *, own_clock: bool) -> None:
        """Open it; raises OSError, FormatError. With *own_clock* its clock is known to be CLOCK_MONOTONIC."""
        self._formats = formats
        self._layout = page_format((folder / "events/header_page").read_text())
        self._own_clock = own_clock
        self._pipes: dict[int, int] = {}
        self._folders: dict[int, Path] = {}
        self._pending: list[Line] = []
        # Lost events, as counted by the pages, and by the kernel's figures. The figures are read only if a page had no
        # count, and at the end.
        self._missed: dict[int, int] = {}
        self._counted: dict[int, int] = {}
        self._to_count: set[int] = set()
        self._damaged = 0
        try:
            for path in sorted((folder / "per_cpu").iterdir()):
                cpu = int(path.name.removeprefix("cpu"))
                self._folders[cpu] = path
                self._pipes[cpu] = os.open(path / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._counted_before = {cpu: _count(path) for cpu, path in self._folders.items()}
        except OSError:
            self.close()
            raise

    def discard(self) -> None:
        """Begin here: drop what is in the buffer now, and what was lost so far."""
        self.drain(everything=True)
        self._missed.clear()
        self._counted_before = {cpu: _count(path) for cpu, path in self._folders.items()}

    def close(self) -> None:
        """Close the pipes. Safe to call twice."""
        while self._pipes:
            os.close(self._pipes.popitem()[1])

    def drain(self, *, everything: bool = False) -> list[Line]:
        """Return lines, oldest first: a bounded number, or *everything* that was printed before the call.

        CPUs are read in turns. Lines younger than the beginning of the read wait for the next time, unless *everything*
        is set: another CPU may still have older ones.
        """
        begin_ns = clocks.monotonic_ns()
        offset_ns = 0 if self._own_clock else self._clock_offset_ns()
        reached = dict.fromkeys(self._pipes, 0)
        pages = 0
        while reached:
            for cpu in list(reached):
                page = self._read(cpu)
                if page is None:
                    del reached[cpu]
                    continue
                pages += 1
                lines = page.lines if not offset_ns else [_moved(line, offset_ns) for line in page.lines]
                self._pending += lines
                reached[cpu] = page.until_ns + offset_ns
                if reached[cpu] >= begin_ns:
                    del reached[cpu]
            if not everything and pages >= _READ_PAGES:
                break
        self._pending.sort(key=_time_of)
        horizon_ns = min([begin_ns, *reached.values()]) - _SETTLE_NS
        ready = len(self._pending) if everything else bisect_right(self._pending, horizon_ns, key=_time_of)
        lines, self._pending = self._pending[:ready], self._pending[ready:]
        if everything:
            self._to_count |= self._pipes.keys()
        return lines

    def lost(self) -> int:
        """Return how many events were overwritten, up to what has been read; after a complete drain it is exact."""
        for cpu in self._to_count:
            with suppress(OSError):  # if it may not be read any more, the counts of the pages are used
                self._counted[cpu] = _count(self._folders[cpu]) - self._counted_before[cpu]
        self._to_count.clear()
        counts = (max(self._missed.get(cpu, 0), self._counted.get(cpu, 0)) for cpu in self._pipes)
        return sum(counts) + self._damaged

    def _read(self, cpu: int) -> Page | None:
        """Return the next page of a CPU; None if there is none now."""
        try:
            raw = os.read(self._pipes[cpu], self._layout.page_size)
        except BlockingIOError:
            return None
        if not raw:
            return None
        page = read_page(raw, cpu, self._layout, self._formats)
        if page.missed_count is not None:
            self._missed[cpu] = self._missed.get(cpu, 0) + page.missed_count
        elif page.missed:
            self._to_count.add(cpu)
        self._damaged += page.damaged
        return page

    def _clock_offset_ns(self) -> int:
        """Return what to add to a time of the buffer to get CLOCK_MONOTONIC, if we cannot choose the buffer's clock.

        Some of the clocks are counters and not times: then all lines count as printed now.
        """
        now = statistics(next(iter(self._folders.values()))).get("now ts", "")
        seconds, point, micros = now.partition(".")
        now_ns = clocks.monotonic_ns()
        return now_ns - int(seconds) * 10**9 - int(micros) * 1000 if point else now_ns


def _count(cpu_folder: Path) -> int:
    figures = statistics(cpu_folder)
    return sum(int(figures.get(name, 0)) for name in _LOSSES)


def _moved(line: Line, offset_ns: int) -> Line:
    return line._replace(time_ns=line.time_ns + offset_ns)
