"""The trace log: "Hello World!" at every execve, and what any other program says by bpf_trace_printk (bpf/trace.c)."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import ClassVar

from ebpftop.kernel import maps, tracefs
from ebpftop.kernel.ladder import FREE, TAXES, Attach, Step
from ebpftop.kernel.loader import LoadError, Module
from ebpftop.probes.base import KernelProbe, ProbeError, unix_offset
from ebpftop.records import ProbeName, Record, Trace, Where
from ebpftop.text import escape

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
    _partial = b""
    _lost_lines = 0
    _asks = False

    def prepare(self, module: Module) -> None:
        place = self.context.tracefs
        if place is None:
            raise ProbeError(
                "tracefs is not mounted, and mounting it is refused", "mount -t tracefs nodev /sys/kernel/tracing"
            )
        tracefs.remove_leftovers(place)
        # Before the instance: programs run in the order in which they were attached, so the answer is there first.
        try:
            module.attach("raw_tracepoint", "bpf_trace_printk", "trace_said")
            self._asks = True
        except LoadError:
            self._asks = False
        self._partial = b""
        try:
            self._instance = tracefs.Instance(place)
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
        if self._instance is not None:
            self._instance.close()
        elif self._pipe_fd is not None:
            os.close(self._pipe_fd)
        self._instance = self._pipe_fd = None

    def lost_now(self) -> dict[Where, int]:
        return {**super().lost_now(), "pipe": self._lost_lines}

    def _wanted(self, tid: int) -> bool:
        """Tell whether the filter takes what thread *tid* printed last; whom nobody can ask about is left out."""
        if not self.context.filtering():
            return True
        if self._asks and self.module is not None:
            said = maps.lookup(self.module.table("speakers"), struct.pack("=I", tid), 1)
            return said is not None and said[0] == 1
        try:
            return self.context.admits(tid, os.stat(f"/proc/{tid}").st_uid, Path(f"/proc/{tid}/comm").read_bytes()[:-1])
        except OSError:
            return False

    def read(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._pipe_fd is None:
            return []
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
        offset = unix_offset()
        records: list[Record] = []
        dropping = False
        for line in lines:
            match = _LINE.match(line)
            if match:
                dropping = not self._wanted(int(match["pid"]))
            if match and not dropping:
                records.append(
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
            elif not match and line and not dropping and records and isinstance(records[-1], Trace):
                # A message with a newline in it goes on here.
                said = records[-1]
                records[-1] = Trace(
                    time=said.time,
                    cpu=said.cpu,
                    pid=said.pid,
                    task=said.task,
                    message=said.message + "\\x0a" + escape(line),
                )
        return records
