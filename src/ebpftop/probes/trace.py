"""The trace log: "Hello World!" at every execve, and what other programs print by bpf_trace_printk (bpf/trace.c).

Lines are read from a trace instance of our own, from the binary pipes behind its trace_pipe. In the text of trace_pipe
a message or a thread's name could look like another line. While a filter is set the instance is silent, and the kernel
hands over the lines that the filter matches through a buffer, so that no other line ever leaves the kernel.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import ClassVar

from ebpftop.core.escape import comm_text, escape
from ebpftop.core.printed import PRINTED_BY, is_greeting
from ebpftop.core.records import NOT_ASKED_FOR, NOT_NEEDED, Attempt, Record, Where
from ebpftop.core.trace_records import Trace
from ebpftop.kernel import bpf_programs, bpf_syscall, clocks, maps, tracefs
from ebpftop.kernel.attach import DENIED, FREE, NOT_STARTED, SKIPPED, TAXES, Attach, AttachOption, names
from ebpftop.kernel.errors import FormatError, LoadError
from ebpftop.kernel.event_buffer import Events
from ebpftop.kernel.fields import Defines
from ebpftop.kernel.loader import Module
from ebpftop.kernel.trace_buffer import TraceBuffer, line_formats
from ebpftop.kernel.trace_pages import Line
from ebpftop.probes.base import KernelProbe, ProbeError
from ebpftop.probes.exec_calls import BESIDE_ENTRY, at_functions, has_other_abis
from ebpftop.probes.printers import Printer, Printers
from ebpftop.probes.printing_programs import PrintingPrograms

# struct printed of bpf/trace.c, without its message: time, tid, tgid, cpu, kind, greeter, task, frames
_PRINTED = struct.Struct("=QIIIHH16s8Q")
_PRINTED_LINE = 1
_GREETERS = ("kprobe", "fentry", "raw", "tracepoint", "skipped")
"""`enum greeter` there, from 1 on: what the names of the programs end with."""
_SPAN = struct.Struct("=QQ")  # struct span

_PROGRAM = "bpf_trace_printk"  # the tracepoint, and the event: kernel 5.9
# Where lines come from, in order of preference: what `--attach trace.lines=` names, and the cost.
_LINES = (
    ("instance", FREE),
    (f"raw_tracepoint:{_PROGRAM}", FREE),
    ("trace_pipe", "other readers of trace_pipe lose the lines that ebpftop reads"),
)


def ladder(defines: Defines) -> tuple[AttachOption, ...]:
    """Return the attach options where hello is printed."""
    completed = has_other_abis(defines)
    skipped = Attach("raw_tracepoint", "sys_enter", "ebpftop_hello_skipped", without=SKIPPED)
    return (
        AttachOption(FREE, at_functions(defines, "kprobe", lambda _: "ebpftop_hello_kprobe"), (DENIED,)),
        AttachOption(FREE, at_functions(defines, "fentry", lambda _: "ebpftop_hello_fentry"), (DENIED,)),
        AttachOption(FREE, (Attach("raw_tracepoint", "sched_process_exec", "ebpftop_hello_raw"),), (NOT_STARTED,)),
        AttachOption(
            BESIDE_ENTRY if completed else TAXES,
            (
                Attach("tracepoint", "syscalls:sys_enter_execve", "ebpftop_hello_tracepoint"),
                Attach("tracepoint", "syscalls:sys_enter_execveat", "ebpftop_hello_tracepoint"),
                *((skipped,) if completed else ()),
            ),
            (DENIED,),
        ),
    )


PROGRAM = "which BPF program printed a line"


class TraceProbe(KernelProbe):
    """Trace records, one for each line that a BPF program prints."""

    file: ClassVar[str] = "trace.c"
    ring_bytes: int = 4 << 20

    _instance: tracefs.Instance | None = None
    _buffer: TraceBuffer | None = None
    _events: Events | None = None
    _printers: Printers
    _programs: PrintingPrograms
    _greeters: Mapping[int, int]  # the id of each of our own programs that print, by its `enum greeter`
    _has_program = False  # whether the program at the tracepoint is attached
    _lines_via: tuple[Attempt, ...] = ()
    _lost_lines = 0  # in buffers that are closed
    _misses = _misses_harmless = 0

    def defines(self) -> Defines:
        flags: dict[str, int | str] = {}
        if self.context.printers is not None:
            return flags
        kprobe, fentry, raw, tracepoint = ladder(self.context.defines)
        if self.may_need(kprobe):
            flags["WITH_KPROBES"] = 1
        if self.may_need(fentry):
            flags["WITH_FENTRY"] = 1
        if self.may_need(tracepoint, raw):
            flags["WITH_TRACEPOINTS"] = 1
        return flags

    def prepare(self, module: Module) -> None:
        # Before the instance: programs run in the order in which they were attached, so a name comes before its line.
        self._events = Events(module, self.context.buffer, 0)
        refusal = None
        try:
            module.attach("raw_tracepoint", _PROGRAM, "on_trace_printk")
        except LoadError as error:
            refusal = str(error)
        self._has_program = refusal is None
        printers = module.table("printers")
        self._printers = Printers(lambda tid: maps.delete(printers, struct.pack("=I", tid)))
        self._misses = 0
        self._programs = PrintingPrograms(self.context.root.programs)
        self._note_own_programs(module)
        self._lines_via = tuple(self._find_lines(module, refusal))
        if not any(attempt.reason is None for attempt in self._lines_via):
            reasons = "; ".join(f"{attempt.via}: {attempt.reason}" for attempt in self._lines_via)
            raise ProbeError(
                f"what is printed cannot be read: {reasons}",
                tracefs.refusal()[1] if self.context.tracefs is None else "",
                self._lines_via,
            )
        self.set_passthrough(all_lines=not self.context.filtering())

    def _note_own_programs(self, module: Module) -> None:
        ids = {name: bpf_programs.program_id(fd) for name, fd in module.programs.items()}
        self._programs.own = frozenset(ids.values())
        greeters = enumerate(_GREETERS, 1)
        self._greeters = {number: ids[name] for number, kind in greeters if (name := f"{PRINTED_BY}_{kind}") in ids}
        self._programs.begin()
        self._programs.refresh()

    def _find_lines(self, module: Module, refusal: str | None) -> Iterable[Attempt]:
        """Open the first place where lines can be read; yield every one. *refusal*: why no program hands lines over."""
        requested = self.context.attach.get("trace.lines")
        taken = ""
        for via, cost in _LINES:
            reason: str | None
            if requested is not None and requested not in (via, via.partition(":")[0]):
                reason = f"{NOT_ASKED_FOR}{requested}"
            elif via.startswith("raw_tracepoint") and refusal is not None:
                reason = f"{refusal} (so threads are named by /proc)"
            elif taken:
                reason = f"{NOT_NEEDED}{taken} works"
            elif via.startswith("raw_tracepoint"):
                reason = None
                maps.update(module.table("hand_over_all"), bytes(4), struct.pack("=I", 1))
            else:
                reason = self._open_buffer(private=via == "instance")
            if reason is None:
                taken = via
            unknown = reason is None and not (self._has_program and self._programs.knows_own)
            yield Attempt(via=f"lines: {via}", cost=cost, reason=reason, blind=(PROGRAM,) if unknown else ())

    def _open_buffer(self, *, private: bool) -> str | None:
        """Open the buffer of a trace instance, or the machine's own; return why that is impossible."""
        place = self.context.tracefs
        if place is None:
            return tracefs.refusal()[0]
        try:
            formats = line_formats(place)
            if private:
                if not (place / "events/bpf_trace" / _PROGRAM).exists():
                    return f"{_PROGRAM} is an event only since Linux 5.9"
                self._instance = tracefs.Instance(self.context.root)
            self._buffer = TraceBuffer(
                self._instance.path if self._instance else place, formats, own_clock=self._instance is not None
            )
            if not private:
                self._buffer.discard()
        except (OSError, FormatError) as error:
            self._close_instance()
            return str(error)
        return None

    def ladders(self) -> Mapping[str, tuple[str, ...]]:
        return {"": names(ladder(self.context.defines)), "lines": tuple(via for via, _ in _LINES)}

    def attach(self, module: Module) -> str:
        if self.context.printers is not None:  # nothing of ours prints
            self.attempts = self._lines_via
            return next(attempt.via for attempt in self._lines_via if attempt.reason is None)
        via = self.attach_first_or_fail(module, ladder(self.context.defines), "execve")
        self._note_own_programs(module)
        self.attempts += self._lines_via
        return via

    def detach(self) -> None:
        # First stop new lines; after that the names of the threads that print are not needed any more.
        if self._instance is not None:
            with suppress(OSError):  # the process that may write there has ended; lines in it can still be read
                self._instance.enable(False)
        super().detach()

    def save_totals(self, module: Module) -> None:
        self._note_misses()
        self._lost_lines += self._buffer.lost() if self._buffer else 0

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        if self._buffer is not None:
            self._buffer.close()
        self._close_instance()
        self._buffer = self._events = None

    def _close_instance(self) -> None:
        if self._instance is not None:
            self._instance.close()
        self._instance = None

    def before_filter(self, now: float, *, clears: bool) -> list[Record]:
        # First read the lines that are left in the pipe: this change overwrites what is known about them.
        records = self.read_events(now, everything=True)
        if clears:
            self.set_passthrough(all_lines=True)
        return records

    def after_filter(self) -> None:
        self.set_passthrough(all_lines=not self.context.filtering())

    def set_passthrough(self, *, all_lines: bool) -> None:
        """Let every line of the machine come through the instance, or none: then matching lines are handed over.

        If a filter is about to be set or cleared, call it while no filter is in force: lines that come both ways are
        reported once.
        """
        self._note_misses()
        if self._instance is not None:
            self._instance.enable(all_lines or not self._has_program)

    # Losses.

    def _note_misses(self) -> None:
        """Count how often the kernel skipped the program that hands over lines while that program was not needed."""
        fd = self.module.programs.get("on_trace_printk") if self.module else None
        misses = bpf_syscall.runs(fd).recursion_misses if fd is not None else 0
        if self._buffer is not None and not self.context.filtering():
            self._misses_harmless += misses - self._misses
        self._misses = misses

    def lost_now(self) -> dict[Where, int]:
        self._note_misses()
        lost = super().lost_now()
        lost["recursion"] = lost.get("recursion", 0) - self._misses_harmless
        return {**lost, "pipe": self._lost_lines + (self._buffer.lost() if self._buffer else 0)}

    # Lines.

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._events is None:
            return []
        offset = clocks.unix_offset()
        # Lines first: the names of those who printed them are then in the other buffer.
        piped = self._buffer.drain(everything=everything) if self._buffer else []
        lines: list[tuple[Line, Printer]] = []
        self._programs.begin()
        for raw in self._events.drain(everything=everything):
            time_ns, tid, tgid, cpu, kind, greeter, task, *frames = _PRINTED.unpack_from(raw)
            program_id = self._greeters.get(greeter) or self._programs.find(frames, time_ns)
            printer = Printer(tgid, task, program_id)
            if kind == _PRINTED_LINE:
                message = raw[_PRINTED.size :].partition(b"\0")[0]
                lines.append((Line(time_ns, cpu, tid, message), printer))
            else:
                self._printers.learn(tid, time_ns, printer)
        if piped:
            spans = self._handed_spans()
            for line in piped:
                if not _was_handed_over(line, spans):
                    printer = self._printers.at(line.tid, line.time_ns)
                    if self._matches(line.tid, printer):
                        lines.append((line, printer))
        lines.sort(key=lambda one: one[0].time_ns)
        records = (self._record(line, printer, offset) for line, printer in lines)
        if self.context.printers is not None:
            of_these = self.context.printers()
            return [record for record in records if self._is_by(record, of_these) and not self._is_self(record)]
        return [record for record in records if not self._is_of_another_ebpftop(record)]

    def _is_by(self, line: Trace, programs: frozenset[int]) -> bool:
        """Return whether one of *programs* printed a line, or may have, if the kernel does not say which one did."""
        return line.program.id in programs if line.program is not None else not self._has_program

    def _is_self(self, line: Trace) -> bool:
        """Return whether a line was printed while ebpftop itself, or what compiles for it, ran the program."""
        return self.context.is_self(line.pid, line.task.encode())

    def _record(self, line: Line, printer: Printer, offset: float) -> Trace:
        return Trace(
            time=line.time_ns / 1e9 + offset,
            cpu=line.cpu,
            pid=line.tid if printer.pid in (None, line.tid) else printer.pid,
            tid=line.tid,
            task=comm_text(printer.task),
            message=escape(line.message.removesuffix(b"\n")),
            program=self._programs.program(printer.program_id),
        )

    def _is_of_another_ebpftop(self, line: Trace) -> bool:
        """Return whether it is a greeting that is not ours: two that run at once do not show each other's."""
        return line.program is not None and line.program.id not in self._programs.own and is_greeting(line)

    def _handed_spans(self) -> list[tuple[int, int]]:
        """Return for each CPU the times (ns) from which and until which (0: still) its lines were handed over."""
        if not self._has_program or self.module is None:
            return []
        raw = maps.lookup(self.module.table("handed_over"), bytes(4), _SPAN.size * maps.CPUS) or b""
        return list(_SPAN.iter_unpack(raw))

    def _matches(self, tid: int, printer: Printer) -> bool:
        """Return whether the filter matches a line. If no program in the kernel could check it, /proc is used."""
        if self._has_program or not self.context.filtering():
            return True
        try:
            return self.context.matches(tid, os.stat(f"/proc/{tid}").st_uid, printer.task)
        except OSError:
            return False


def _was_handed_over(line: Line, spans: list[tuple[int, int]]) -> bool:
    if line.cpu >= len(spans):
        return False
    from_ns, until_ns = spans[line.cpu]
    return 0 < from_ns <= line.time_ns and not 0 < until_ns <= line.time_ns
