"""The command of `ebpftop run` beside the kernel: what it prints, and when it ends, as one more channel of a source."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ebpftop.core import format
from ebpftop.core.records import Header, Lost, Probe, ProbeName, Record
from ebpftop.core.source import Batch, Source, SourceError, WatchedList
from ebpftop.core.syscall_records import Abi, Handler
from ebpftop.filters.spec import Filter
from ebpftop.lifecycle.priority import stand_back
from ebpftop.lifecycle.process import hold_back_signals
from ebpftop.lifecycle.started import StartedCommand
from ebpftop.models.output import Output
from ebpftop.models.terminal_lines import TerminalLines

OUTPUT: ProbeName = "output"

KEPT_BYTES, KEPT_LINES = 4 << 20, 20_000
"""Of what was printed and not yet shown; beyond that the oldest is lost, and counted."""

LINES_A_SECOND, LINES_AT_ONCE = 5_000, 20_000
"""What a screen can use. A flood is shown at this pace; what a command prints in a moment comes at once."""

_POLL_LINES = 2_000
_READ_BYTES = 64 << 10
_BREATH_BYTES, _BREATH_S = 1 << 20, 0.02
"""Who prints without end waits a moment now and then, as at any terminal: it leaves the screen a processor."""
_LAST_S = 0.2
"""After the end of the command, what it had printed is read for so long; others may go on printing."""


class CommandOutput:
    """Reads what a command prints, as fast as that comes, in a thread; keeps a bounded part of it until `poll`."""

    def __init__(self, command: StartedCommand, on_end: Callable[[], None]) -> None:
        """*on_end* is called, in that thread, when the command has ended."""
        assert command.output_fd is not None
        self._command = command
        self._on_end = on_end
        self._fd = command.output_fd
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._changed = threading.Condition()
        self._chunks: deque[tuple[bytes, int]] = deque()
        """What was read, and how many lines end in it."""
        self._bytes = self._ends = 0
        self._lost = self._lost_told = 0
        self._ended = ""
        self._closed = False
        self._is_interrupted = False
        # Of the thread that polls.
        self._lines = TerminalLines()
        self._number = 0
        self._open = ""
        self._told_state = self._told_end = False
        self._allowance, self._allowed_s = float(LINES_AT_ONCE), time.monotonic()
        self._begun_s = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="command-output", daemon=True)

    def start(self) -> None:
        """Begin to read: the command begins now."""
        self._begun_s = time.monotonic()
        self._thread.start()

    # The thread that reads.

    def _read(self) -> None:
        stand_back()
        hold_back_signals()
        ready = select.poll()
        for fd in (self._fd, self._wake_fd, self._command.end_fd):
            ready.register(fd, select.POLLIN)
        since_breath = 0
        until_s: float | None = None
        while not self._closed:
            wait_ms = None if until_s is None else max(0, round(1e3 * (until_s - time.monotonic())))
            came = {fd for fd, _ in ready.poll(wait_ms)}
            if self._fd in came:
                data = self._read_some()
                if data is None:
                    ready.unregister(self._fd)
                    until_s = until_s and 0.0
                else:
                    since_breath += len(data)
                    self._keep(data)
            if self._command.end_fd in came:
                ready.unregister(self._command.end_fd)
                self._command.wait(0)
                self._ended_s = time.monotonic()
                until_s = self._ended_s + _LAST_S
            if until_s is not None and (self._fd not in came or time.monotonic() >= until_s):
                until_s = None
                self._end()
            if since_breath >= _BREATH_BYTES:
                since_breath = 0
                time.sleep(_BREATH_S)

    def _read_some(self) -> bytes | None:
        """Return what there is; None at the end: nobody has the terminal any more."""
        try:
            return os.read(self._fd, _READ_BYTES) or None
        except OSError:  # EIO
            return None

    def _keep(self, data: bytes) -> None:
        ends = data.count(b"\n")
        with self._changed:
            self._chunks.append((data, ends))
            self._bytes += len(data)
            self._ends += ends
            while self._bytes > KEPT_BYTES or self._ends > KEPT_LINES:
                oldest, lines = self._chunks.popleft()
                self._bytes -= len(oldest)
                self._ends -= lines
                self._lost += lines
            self._changed.notify()

    def _end(self) -> None:
        code = self._command.code
        assert code is not None
        with self._changed:
            self._ended = f"{ending(code)} after {format.duration(self._ended_s - self._begun_s)}"
            self._changed.notify()
        self._on_end()

    # The thread that polls.

    def poll(self, timeout_s: float) -> Batch | None:
        """Return what came, as soon as something did; None if nothing does in so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news, timeout_s)
            if self._closed or not self._has_news:
                return None
            ended = self._ended
            lost = self._lost
            data = self._take()
            is_all = not self._chunks
        now = time.time()
        records: list[Record] = []
        if not self._told_state:
            self._told_state = True
            records.append(Probe(time=now, probe=OUTPUT, state="on", via="a terminal of its own", reason=None))
        if lost > self._lost_told:
            self._lose(records, now, lost - self._lost_told)
            self._lost_told = lost
            # The rest of a line whose beginning is lost.
            data = data.partition(b"\n")[2]
        for text in self._lines.feed(data):
            self._add(records, now, text)
        if ended and is_all and not self._told_end:
            self._told_end = True
            for text in self._lines.end_line():
                self._add(records, now, text)
            records.append(Output(time=now, line=self._number, text=ended, part="end"))
        elif is_all and (text := self._lines.unfinished) and text != self._open:
            self._open = text
            records.append(Output(time=now, line=self._number + 1, text=text, part="open"))
        return Batch(OUTPUT, now, tuple(records)) if records else None

    @property
    def _has_news(self) -> bool:
        return (
            self._closed
            or self._is_interrupted
            or not self._told_state
            or (bool(self._ended) and not self._told_end)
            or (bool(self._chunks) and self._may_take() >= 1)
        )

    def _may_take(self) -> float:
        if self._ended:  # no more than that comes
            return math.inf
        now_s = time.monotonic()
        passed_s, self._allowed_s = now_s - self._allowed_s, now_s
        self._allowance = min(self._allowance + passed_s * LINES_A_SECOND, LINES_AT_ONCE)
        return self._allowance

    def _take(self) -> bytes:
        """Return the oldest of what was read, as much as a screen can use now."""
        taken: list[bytes] = []
        lines = 0
        while self._chunks and lines < min(_POLL_LINES, self._may_take()):
            data, ends = self._chunks.popleft()
            taken.append(data)
            self._bytes -= len(data)
            self._ends -= ends
            lines += ends
        if not self._ended:
            self._allowance -= lines
        return b"".join(taken)

    def _add(self, records: list[Record], now: float, text: str) -> None:
        self._number += 1
        self._open = ""
        records.append(Output(time=now, line=self._number, text=text))

    def _lose(self, records: list[Record], now: float, lines: int) -> None:
        for text in self._lines.end_line():
            self._add(records, now, text)
        records.append(Output(time=now, line=lines, text="", part="lost"))
        records.append(Lost(time=now, probe=OUTPUT, where="pipe", count=self._lost))

    def interrupt(self) -> None:
        with self._changed:
            self._is_interrupted = True
            self._changed.notify()

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        os.eventfd_write(self._wake_fd, 1)
        if self._thread.ident is not None:
            self._thread.join()


def ending(code: int) -> str:
    """Say how a command ended: ``exit 3``, ``ended by SIGTERM``. *code* is as waitstatus_to_exitcode has it."""
    from signal import Signals

    if code >= 0:
        return f"exit {code}"
    try:
        return f"ended by {Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"ended by signal {-code}"


class RunSource:
    """A live source, and the channel of what the command prints. See `ebpftop.core.source.Source`."""

    def __init__(self, source: Source, output: CommandOutput) -> None:
        self._source = source
        self._output = output

    @property
    def header(self) -> Header:
        return self._source.header

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def reads_all(self) -> bool:
        return self._source.reads_all

    @property
    def probes(self) -> tuple[ProbeName, ...]:
        return (*self._source.probes, OUTPUT)

    def poll(self, probe: ProbeName, timeout_s: float) -> Batch | None:
        return self._output.poll(timeout_s) if probe == OUTPUT else self._source.poll(probe, timeout_s)

    def interrupt(self) -> None:
        self._output.interrupt()
        self._source.interrupt()

    def is_on(self, probe: ProbeName) -> bool | None:
        return True if probe == OUTPUT else self._source.is_on(probe)

    def toggle(self, probe: ProbeName) -> None:
        if probe == OUTPUT:
            raise SourceError("what the command prints is read until it ends", "x hides the pane")
        self._source.toggle(probe)

    def set_interval(self, seconds: float) -> None:
        self._source.set_interval(seconds)

    def watch(self, lists: frozenset[WatchedList]) -> None:
        self._source.watch(lists)

    def watch_process(self, pid: int | None) -> None:
        self._source.watch_process(pid)

    def set_handlers(self, calls: Sequence[tuple[Abi, int]], handler: Handler, conditions: Sequence[str] = ()) -> None:
        self._source.set_handlers(calls, handler, conditions)

    def resolve(self, requested: Filter) -> tuple[Filter, tuple[str, ...]]:
        return self._source.resolve(requested)

    def set_filter(self, requested: Filter) -> float:
        return self._source.set_filter(requested)

    def close(self) -> None:
        self._output.close()
        self._source.close()
