"""A trace buffer as files: order across CPUs, what waits for the next reading, losses."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ebpftop.kernel import trace_buffer
from ebpftop.kernel.trace_buffer import TraceBuffer, line_formats
from tests.unit.trace_page_builder import HEADER_PAGE, MISSED, PRINT, PRINTK, event, page, printk, time_extend

FIGURES = "entries: 0\noverrun: {}\ncommit overrun: 2\nbytes: 0\nnow ts:  {}\ndropped events: 1\nread events: 0\n"


class Kernel:
    """What a trace buffer looks like from outside, with pipes in the place of its pipes."""

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.folder = folder
        files = {"events/header_page": HEADER_PAGE, "events/ftrace/print/format": PRINT,
                 "events/bpf_trace/bpf_trace_printk/format": PRINTK}  # fmt: skip
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self._writers: dict[int, int] = {}
        for cpu in range(cpus):
            pipe = folder / f"per_cpu/cpu{cpu}/trace_pipe_raw"
            pipe.parent.mkdir(parents=True)
            os.mkfifo(pipe)
            self._writers[cpu] = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
            self.count(cpu, 0)

    def count(self, cpu: int, overrun: int, now: str = "0.000000") -> None:
        (self.folder / f"per_cpu/cpu{cpu}/stats").write_text(FIGURES.format(overrun, now))

    def print(self, cpu: int, times: Mapping[str, int], flags: int = 0, missed: int | None = None) -> None:
        """Let a page come with a line at each of *times*."""
        begin = min(times.values())
        events, before = [], begin
        for message, at in times.items():
            events += [time_extend(at - before), event(printk(message.encode()))]
            before = at
        os.write(self._writers[cpu], page(*events, time=begin, flags=flags, missed=missed))

    def close(self) -> None:
        for fd in self._writers.values():
            os.close(fd)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.close()


def opened(kernel: Kernel, *, own_clock: bool = True) -> TraceBuffer:
    return TraceBuffer(kernel.folder, line_formats(kernel.folder), own_clock=own_clock)


def told(buffer: TraceBuffer, *, everything: bool = False) -> list[str]:
    return [line.message.decode() for line in buffer.drain(everything=everything)]


def test_lines_of_all_cpus_come_by_their_times(kernel: Kernel) -> None:
    buffer = opened(kernel)
    kernel.print(0, {"a": 100, "d": 400})
    kernel.print(0, {"e": 500})
    kernel.print(1, {"b": 200, "c": 300, "f": 600})
    assert told(buffer) == ["a", "b", "c", "d", "e", "f"]
    assert told(buffer) == []
    buffer.close()


def test_a_line_younger_than_the_reading_waits_for_older_ones_of_other_cpus(kernel: Kernel) -> None:
    buffer = opened(kernel)
    soon = time.monotonic_ns() + 60_000_000_000
    kernel.print(0, {"now": 100, "soon": soon})
    assert told(buffer) == ["now"]
    kernel.print(1, {"sooner": soon - 1})
    assert told(buffer) == []
    assert told(buffer, everything=True) == ["sooner", "soon"]
    buffer.close()


def test_what_a_short_reading_leaves_comes_with_the_next_in_order(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = opened(kernel)
    for i in range(10):
        kernel.print(0, {f"0-{i}": 1_000_000_000 * i})
    kernel.print(1, {"1-0": 5_500_000_000})
    monkeypatch.setattr(trace_buffer, "_READ_PAGES", 1)
    # A page of each CPU at a time.
    came = [told(buffer) for _ in range(12)]
    assert came[:3] == [[], ["0-0"], ["0-1"]]
    told_so_far = [message for messages in came for message in messages]
    assert told_so_far == [*(f"0-{i}" for i in range(6)), "1-0", *(f"0-{i}" for i in range(6, 10))]
    buffer.close()


def test_losses_are_what_the_pages_say_and_at_the_end_what_the_kernel_counted(kernel: Kernel) -> None:
    kernel.count(0, 1000)
    buffer = opened(kernel)
    kernel.print(0, {"a": 1}, missed=7)
    told(buffer)
    assert buffer.lost() == 7
    # More was overwritten behind what has been read: it is told when it is come to.
    kernel.count(0, 1012)
    kernel.print(0, {"b": 2}, missed=2)
    told(buffer)
    assert buffer.lost() == 9
    told(buffer, everything=True)
    assert buffer.lost() == 12
    buffer.close()


def test_a_page_that_has_no_room_to_tell_makes_the_kernel_be_asked(kernel: Kernel) -> None:
    buffer = opened(kernel)
    kernel.count(1, 30)
    kernel.print(1, {"a": 1}, flags=MISSED)
    told(buffer)
    assert buffer.lost() == 30
    buffer.close()


def test_where_the_kernels_figures_cannot_be_read_any_more_the_pages_are_believed(kernel: Kernel) -> None:
    buffer = opened(kernel)
    kernel.print(0, {"a": 1}, missed=7)
    (kernel.folder / "per_cpu/cpu0/stats").unlink()
    told(buffer, everything=True)
    assert buffer.lost() == 7
    buffer.close()


def test_a_damaged_page_is_a_loss(kernel: Kernel) -> None:
    buffer = opened(kernel)
    kernel.print(1, {"a": 1}, flags=1 << 20)
    told(buffer)
    assert buffer.lost() == 1
    buffer.close()


def test_what_was_printed_before_is_neither_told_nor_lost(kernel: Kernel) -> None:
    buffer = opened(kernel)
    kernel.count(0, 20)
    kernel.print(0, {"before": 1}, missed=20)
    buffer.discard()
    kernel.print(0, {"after": 2})
    assert told(buffer, everything=True) == ["after"]
    assert buffer.lost() == 0
    buffer.close()


def test_times_of_a_clock_that_is_not_ours_become_ours(kernel: Kernel) -> None:
    kernel.count(0, 0, now=" 5000.250000")
    buffer = opened(kernel, own_clock=False)
    kernel.print(0, {"a": 5_000_000_000_000})
    before_ns = time.monotonic_ns()
    (line,) = buffer.drain(everything=True)
    assert before_ns <= line.time_ns + 250_000_000 <= time.monotonic_ns()
    buffer.close()


def test_a_clock_that_counts_tells_no_time(kernel: Kernel) -> None:
    kernel.count(0, 0, now=" 4711")
    buffer = opened(kernel, own_clock=False)
    kernel.print(0, {"a": 4700})
    before_ns = time.monotonic_ns()
    (line,) = buffer.drain(everything=True)
    assert before_ns <= line.time_ns <= time.monotonic_ns() + 4700
    buffer.close()
