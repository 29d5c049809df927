"""The trace log: "Hello World!" at every execve, and what any other program says by bpf_trace_printk (bpf/trace.c).

Everything is read from the pipe of a trace instance. While a filter is set the instance is silent, and the kernel hands
over the lines that the filter takes through a buffer, so that no other line ever leaves it.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import ClassVar

import msgspec

from ebpftop.kernel import maps, tracefs
from ebpftop.kernel.ladder import FREE, TAXES, Attach, Step
from ebpftop.kernel.loader import LoadError, Module
from ebpftop.kernel.offsets import Defines
from ebpftop.probes.base import KernelProbe, ProbeError, unix_offset
from ebpftop.probes.buffers import Events
from ebpftop.records import ProbeName, Record, Trace, Where
from ebpftop.text import c_string, escape

# "            bash-1234    [001] ...11  5432.123456: bpf_trace_printk: Hello World!"; the flags are five or six,
# and a "(tgid) " column is there if somebody set the option. Documentation/trace/ftrace.rst.
_LINE = re.compile(
    rb"\s*(?P<task>.+)-(?P<pid>\d+)\s+(?:\([\s\d-]+\)\s+)?\[(?P<cpu>\d+)\]\s+\S+\s+(?P<seconds>\d+\.\d+): "
    rb"(?:bpf_trace_printk|0x[0-9a-f]+): ?(?P<message>.*)",
    re.DOTALL,
)
_LOST = re.compile(rb"CPU:\d+ \[LOST (\d+) EVENTS\]")
_READ_BYTES = 1 << 16
_READS_MAX = 16
_PARTIAL_MAX = 1 << 16
_RING_PAGES = 256  # 1 MiB of 4 KiB pages

_SAID = struct.Struct("=QII16s")  # struct line of bpf/trace.c, without its message
_SPAN = struct.Struct("=QQ")  # struct span
_ROUNDED_NS = 500  # trace_pipe tells microseconds, rounded


def ladder(prefix: str) -> tuple[Step, ...]:
    """Where hello is said; *prefix* is what the kernel puts before "sys_execve"."""
    execve, execveat = f"{prefix}sys_execve", f"{prefix}sys_execveat"
    return (
        Step(FREE, (Attach("kprobe", execve, "trace_kprobe"), Attach("kprobe", execveat, "trace_kprobe"))),
        Step(FREE, (Attach("fentry", execve, execve), Attach("fentry", execveat, execveat))),
        Step(FREE, (Attach("raw_tracepoint", "sched_process_exec", "trace_raw"),)),
        Step(
            TAXES,
            (
                Attach("tracepoint", "syscalls:sys_enter_execve", "trace_tracepoint"),
                Attach("tracepoint", "syscalls:sys_enter_execveat", "trace_tracepoint"),
            ),
        ),
    )


class TraceProbe(KernelProbe):
    """Trace records, one for each line of a private trace_pipe."""

    name: ClassVar[ProbeName] = "trace"
    file: ClassVar[str] = "trace.c"

    _instance: tracefs.Instance | None = None
    _pipe_fd: int | None = None
    _events: Events | None = None
    _partial = b""
    _dropping = False
    _lost_lines = 0

    def defines(self) -> Defines:
        flags = {"EVENT_PAGES": _RING_PAGES}
        if self.context.buffer == "ring":
            flags["USE_RING"] = 1
        kprobe, fentry, raw, tracepoint = ladder(self.context.syscall_prefix)
        if self.may_need(kprobe):
            flags["WITH_KPROBES"] = 1
        if self.may_need(fentry):
            flags["WITH_FENTRY"] = 1
        if self.may_need(tracepoint, raw):
            flags["WITH_TRACEPOINTS"] = 1
        return flags

    def prepare(self, module: Module) -> None:
        place = self.context.tracefs
        if place is None:
            raise ProbeError(*tracefs.refusal())
        # Before the instance: programs run in the order in which they were attached, so a line's way is decided first.
        self._events = Events(module, self.context.buffer, 0)
        try:
            module.attach("raw_tracepoint", "bpf_trace_printk", "trace_said")
        except LoadError:
            self._events.close()
            self._events = None
        self._partial = b""
        try:
            self._instance = tracefs.Instance(self.context.root)
            self.hear(all_lines=not self.context.filtering())
            self._pipe_fd = self._instance.pipe_fd
            self.pipe = "a private instance"
        except OSError as error:
            # Before 5.9 bpf_trace_printk is no event and goes to the global buffer only.
            self.pipe = f"the global trace_pipe, so other readers lose lines (no instance: {error.strerror})"
            try:
                self._pipe_fd = os.open(place / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as second:
                raise ProbeError(
                    f"trace_pipe cannot be read: {second.strerror}", "see who holds it: fuser -v trace_pipe"
                ) from second

    def attach(self, module: Module) -> str:
        return self.climb_or_fail(module, ladder(self.context.syscall_prefix), "execve")

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        if self._instance is not None:
            self._instance.close()
        elif self._pipe_fd is not None:
            os.close(self._pipe_fd)
        self._instance = self._pipe_fd = self._events = None

    def hear(self, *, all_lines: bool) -> None:
        """Let every line of the machine come through the pipe, or none: then come those that the filter takes.

        Where a filter is about to be set or lifted, call it while none is in force: what comes both ways is told once.
        """
        if self._instance is not None and (all_lines or self._events is not None):
            self._instance.enable(all_lines)

    def lost_now(self) -> dict[Where, int]:
        return {**super().lost_now(), "pipe": self._lost_lines}

    def read(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._pipe_fd is None:
            return []
        offset = unix_offset()
        piped = self._from_pipe(offset)
        raw = self._events.drain(everything=everything) if self._events else []
        handed = [self._handed(one, offset) for one in raw]
        return [*sorted([*piped, *handed], key=lambda line: line.time)] if piped and handed else [*piped, *handed]

    # What the kernel handed over while a filter was set.

    @staticmethod
    def _handed(raw: bytes, offset: float) -> Trace:
        time_ns, tid, cpu, task = _SAID.unpack_from(raw)
        first, *more = raw[_SAID.size :].partition(b"\0")[0].split(b"\n")
        return Trace(
            time=time_ns / 1e9 + offset,
            cpu=cpu,
            pid=tid,
            task=c_string(task),
            message="\\x0a".join(map(escape, [first, *filter(None, more)])),
        )

    def _handed_spans(self) -> list[tuple[int, int]]:
        """Return for each CPU from when until when (ns, 0: still) its lines were handed over."""
        if self._events is None or self.module is None:
            return []
        raw = maps.lookup(self.module.table("handed_over"), bytes(4), _SPAN.size * maps.CPUS) or b""
        return list(_SPAN.iter_unpack(raw))

    # What the pipe says.

    def _wanted(self, match: re.Match[bytes], spans: list[tuple[int, int]]) -> bool:
        """Tell whether a line of the pipe is to be shown."""
        if self._events is not None:
            from_ns, until_ns = spans[int(match["cpu"])]
            at_ns = round(float(match["seconds"]) * 1e6) * 1000 + _ROUNDED_NS
            return not from_ns or at_ns < from_ns or 0 < until_ns <= at_ns
        if not self.context.filtering():
            return True
        # Nobody in the kernel can be asked: as far as /proc still knows the thread.
        tid = int(match["pid"])
        try:
            return self.context.admits(tid, os.stat(f"/proc/{tid}").st_uid, Path(f"/proc/{tid}/comm").read_bytes()[:-1])
        except OSError:
            return False

    def _from_pipe(self, offset: float) -> list[Trace]:
        assert self._pipe_fd is not None
        data = self._partial
        for _ in range(_READS_MAX):
            try:
                piece = os.read(self._pipe_fd, _READ_BYTES)
            except BlockingIOError:
                break
            if not piece:
                break
            data += piece
        *lines, self._partial = data.split(b"\n")
        self._partial = self._partial[:_PARTIAL_MAX]
        spans = self._handed_spans() if lines else []
        said: list[Trace] = []
        for line in lines:
            match = _LINE.match(line)
            if match:
                self._dropping = not self._wanted(match, spans)
            if match and not self._dropping:
                said.append(
                    Trace(
                        time=float(match["seconds"]) + offset,
                        cpu=int(match["cpu"]),
                        pid=int(match["pid"]),
                        task=escape(match["task"]),
                        message=escape(match["message"]),
                    )
                )
            elif not match and (lost := _LOST.match(line)):
                self._lost_lines += int(lost[1])
            elif not match and line and not self._dropping and said:
                # A message with a newline in it goes on here.
                said[-1] = msgspec.structs.replace(said[-1], message=f"{said[-1].message}\\x0a{escape(line)}")
        return said
