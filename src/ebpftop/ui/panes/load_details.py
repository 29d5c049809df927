"""The sheets of the workbench: a line of the source, an instruction, an event, all that compiler or verifier said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from ebpftop.core.c_text import CText
from ebpftop.core.format import MARKS, brief, counted, nanoseconds, size
from ebpftop.core.load_records import BpfEvent, Diagnostic, LoadedProgram
from ebpftop.core.trace_records import Trace
from ebpftop.models.load import LoadModel
from ebpftop.models.load_code import CodeRow
from ebpftop.models.load_fields import Leaf
from ebpftop.models.load_histograms import Bucket
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_values import typed, worded
from ebpftop.models.programs import Rates
from ebpftop.models.subject import Subject, subject_of_event
from ebpftop.ui.panes.common import date_and_time
from ebpftop.ui.panes.load_output import event_text
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.words import TAIL_CALLED

_MOST = 200
"""Instructions that are listed."""


def line_details(
    model: LoadModel,
    number: int,
    text: str,
    words: Sequence[tuple[str, str]],
    code: Sequence[CodeRow],
    program: str = "",
) -> Details:
    """Return what is known of a line of the source: what it calls, how often it ran, what became of it.

    *program* is the name of the one that begins there.
    """

    def sheet() -> Sheet:
        page = Sheet()
        page.line((text.strip(), "bold"))
        for begun in model.programs:
            if begun.name == program:
                _program(page, begun, model.rates_of(program))
        rate, total = model.lines.rates.get(number), model.lines.totals.get(number)
        if total is not None:
            page.fact("ran", f"{total:,} times", "bold", f"{brief(rate)}/s" if rate else "")
        if words:
            page.heading("What it calls")
            for name, about in words:
                page.fact(name, about)
        for one in model.latest.diagnostics if model.latest is not None else ():
            if one.line == number:
                _add_diagnostic(page, one)
        page.heading("Bytecode")
        mine = [row for row in code if row.line == number and row.kind == "insn"]
        for row in mine[:_MOST]:
            page.line((f"{row.offset:>6}: ", "$dim"), (row.text, ""))
        if not mine:
            page.line((without_code(model.running, number, code), "$dim"))
        return page

    return Details(f"Line {number}", sheet, copies=text.strip(), copies_what="Line")


def without_code(source: Sequence[str], number: int, code: Sequence[CodeRow]) -> str:
    """Return why no instruction is of a line: what it calls was inlined, or nothing is known."""
    c = CText("\n".join(source))
    text = c.code.splitlines()[number - 1] if 0 < number <= len(source) else ""
    have = {row.line for row in code if row.kind == "insn"}
    for one in c.functions:
        lines = range(one.line, one.end_line + 1)
        if number not in lines and re.search(rf"\b{one.name}\s*\(", text) and have.intersection(lines):
            return (
                f"none of its own: {one.name} is inlined, its instructions are those of lines {lines[0]} to {lines[-1]}"
            )
    return "none of its own: the compiler needed none, or made them part of another line"


def _program(page: Sheet, program: LoadedProgram, rates: Rates | None) -> None:
    """Say what became of a program: where it is attached, and why not elsewhere."""
    page.heading(f"Program {program.name}")
    page.fact("type", program.type, note="" if program.id is None else f"id {program.id}, tag {program.tag}")
    page.fact("asked for", program.event or "a tail call only")
    page.fact("attached to", ", ".join(program.attached), "bold", program.via or "")
    page.fact("not attached" if program.id is not None else "not loaded", program.reason, "$error")
    page.fact("helps", program.remedy)
    if rates is not None and program.event is None:
        page.fact("runs", TAIL_CALLED)
    elif rates is not None:
        each = "" if rates.ns_per_run is None else f"{nanoseconds(rates.ns_per_run)} each"
        page.fact("runs", f"{brief(rates.runs)}/s" if rates.runs > 0 else "0/s", "bold", each)
    walked = "" if program.verified_insns is None else f"the verifier walked {program.verified_insns:,}"
    page.fact("instructions", program.insns or None, note=walked)
    page.fact("native code", size(program.jited_bytes) if program.jited_bytes else None)
    page.fact("loaded in", nanoseconds(program.load_s * 1e9) if program.load_s else None)
    if program.attempts:
        page.heading("Attach options")
    for attempt in program.attempts:
        look = {"on": "$success", "failed": "$error"}.get(attempt.state, "$dim")
        page.line((f"{MARKS[attempt.state]} ", look), (attempt.via, "bold"))
        page.line((f"  {attempt.explanation}", "$dim"))


def insn_details(row: CodeRow, words: Sequence[tuple[str, str]], line: str) -> Details:
    """Return what is known of an instruction."""

    def sheet() -> Sheet:
        page = Sheet()
        page.heading(f"Instruction {row.offset} of {row.program}")
        page.line((row.text, "bold"))
        for name, about in words:
            page.fact(name, about)
        if row.line is not None:
            page.heading(f"Line {row.line}")
            page.line((line.strip(), ""))
        return page

    return Details(f"Instruction {row.offset}", sheet, copies=row.text, copies_what="Instruction")


def event_details(event: BpfEvent, leaves: tuple[Leaf, ...]) -> Details:
    """Return all fields of an event."""

    def sheet() -> Sheet:
        page = Sheet()
        page.heading(f"Event of {event.map}")
        page.fact("time", date_and_time(event.time))
        page.fact("program", event.program)
        page.fact("cpu", event.cpu)
        page.fact("bytes", event.size, note="fewer than the structure has" if event.cut else "")
        page.heading("Fields")
        for leaf in leaves:
            value = leaf.read(event.fields)
            text = worded(leaf.field, value, event.names.get(leaf.place(""), ""))
            raw = f"{value}" if isinstance(value, (int, float)) and text.plain != f"{value}" else ""
            page.fact(leaf.name or "data", str(text) or "–", "bold", f"{leaf.field.type} {raw}".strip())
        return page

    return Details(
        f"{event.map} · {event.comm or 'event'}",
        sheet,
        copies=event_text(event, leaves),
        copies_what="Event",
        subject=_subject(event),
    )


def _subject(event: BpfEvent) -> Subject | None:
    if event.pid is None:
        return None
    return Subject("process", event.comm or "", event.pid, uid=event.uid, time=event.time)


def line_printed(line: Trace) -> Details:
    """Return all that is known of a line that a program printed."""

    def sheet() -> Sheet:
        page = Sheet()
        page.heading("Line of the trace pipe")
        page.fact("time", date_and_time(line.time))
        page.fact("by", line.program.name if line.program is not None else None, "bold")
        page.fact("task", line.task, "", f"pid {line.pid}")
        page.fact("cpu", line.cpu)
        page.heading("Message")
        page.line((line.message, ""))
        return page

    return Details(
        f"{line.task} ({line.pid})",
        sheet,
        copies=line.message,
        copies_what="Line",
        subject=subject_of_event("trace", line),
    )


def log_details(one: Diagnostic) -> Details:
    """Return all that the compiler or the verifier said."""

    def sheet() -> Sheet:
        page = Sheet()
        _add_diagnostic(page, one)
        page.heading(f"All that {one.stage} said: {counted(len(one.log), 'line')}")
        for text in one.log:
            page.line((text, ""))
        return page

    where = f"line {one.line}" if one.line is not None else one.program or "the file"
    return Details(f"{one.stage} · {where}", sheet, copies="\n".join(one.log) or one.message, copies_what="Log")


def _add_diagnostic(page: Sheet, one: Diagnostic) -> None:
    page.heading(one.message)
    page.fact("program", one.program)
    page.fact("meaning", one.meaning)
    page.fact("try", one.suggestion, "bold")
    for register in one.registers:
        page.fact(register.name, register.text)
    page.fact("path", " → ".join(str(line) for line, _ in groupby(one.path)))


def entry_details(row: object, table: MapTable | None) -> Details:
    """Return what is known of an entry of a map, or of a bucket of a histogram."""
    if not isinstance(row, Entry) or table is None:
        text = f"{row.low} {row.high} {row.count}" if isinstance(row, Bucket) else ""
        return Details("Bucket", Sheet, copies=text, copies_what="Bucket")
    pid = next((leaf.read(row.row.key) for leaf in table.key if leaf.field.meaning == "pid"), None)
    subject = None
    if isinstance(pid, int):
        subject = Subject("process", row.row.names.get("key", ""), pid, time=table.time)
    text = f"{typed(row.row.key)} = {typed(row.row.value)}"
    return Details(table.name, Sheet, copies=text, copies_what="Entry", subject=subject)
