"""What the kernel has of a pane, for its sheet: programs, maps with what is in them, code, and the source of both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from ebpftop.core import format
from ebpftop.core.clock import whole_text
from ebpftop.core.escape import escape
from ebpftop.core.own_programs import OwnFile, OwnMap, OwnProgram, OwnPrograms
from ebpftop.core.records import ProbeName
from ebpftop.ui.widgets.sheet import Sheet
from ebpftop.ui.words import TAIL_CALLED

AGAIN_S = 1.0
"""How old what is shown may be."""

_NOT_RECORDED = "it was not recorded: stream and record --own-programs do; P lists the programs of the machine"


class OwnReader:
    """Reads what a source has loaded of a probe, in a thread, while somebody asks for it."""

    def __init__(
        self, source: OwnPrograms | None, probe: ProbeName, recorded: Callable[[], OwnFile | None] = lambda: None
    ) -> None:
        """*source* is the kernel; None: what *recorded* returns is shown, that of the moment that is shown."""
        self._source = source
        self._probe = probe
        self._recorded = recorded
        self._file: OwnFile | None = None
        self._read_s = -AGAIN_S
        self._thread: threading.Thread | None = None
        self.trouble = "" if source is not None else _NOT_RECORDED

    def file(self) -> OwnFile | None:
        """Return what was read last; None: nothing yet, or nothing is loaded. It is read again if it is old."""
        if self._source is None:
            return self._recorded()
        is_reading = self._thread is not None and self._thread.is_alive()
        if not is_reading and monotonic() >= self._read_s + AGAIN_S:
            self._thread = threading.Thread(target=self._read, args=(self._source,), name="own-programs", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # a limit on threads
                self._thread = None
        return self._file

    @property
    def is_recorded(self) -> bool:
        """Whether it does not come from the kernel."""
        return self._source is None

    def _read(self, source: OwnPrograms) -> None:
        try:
            self._file = source.own_file(self._probe)
            self.trouble = "" if self._file is not None else "nothing is loaded: the probe is not attached"
        except OSError as error:
            self._file, self.trouble = None, f"it cannot be read: {error.strerror or error}"
        self._read_s = monotonic()


def add_file(sheet: Sheet, reader: OwnReader) -> None:
    """Add all that is loaded of a pane."""
    file = reader.file()
    if file is None:
        sheet.heading("Programs")
        sheet.line((reader.trouble or "reading ..", "$dim"))
        return
    sheet.heading(f"Programs of bpf/{file.file} ({len(file.programs)})")
    if reader.is_recorded:
        sheet.line((f"as they were at {whole_text(file.time)}", "$dim"))
    for program in file.programs:
        _program(sheet, program)
    _maps(sheet, file.maps)
    for program in file.programs:
        _code(sheet, program)
    sheet.heading(f"Source: bpf/{file.file}")
    for number, line in enumerate(file.source, 1):
        sheet.line((f"{number:>5}  ", "$dim"), (escape(line), ""))


def add_program(sheet: Sheet, reader: OwnReader, number: int) -> bool:
    """Add what is known of the program with an id beyond its row; return whether it is one of this pane."""
    file = reader.file()
    program = next((one for one in file.programs if one.id == number), None) if file is not None else None
    if file is None or program is None:
        return False
    sheet.heading(f"From bpf/{file.file}")
    _facts(sheet, program)
    _maps(sheet, file.maps)
    _code(sheet, program)
    return True


def _program(sheet: Sheet, program: OwnProgram) -> None:
    sheet.line((program.name, "bold"), (f"  id {program.id} · tag {program.tag} · {program.type}", "$dim"))
    _facts(sheet, program)


def _facts(sheet: Sheet, program: OwnProgram) -> None:
    sheet.fact("attached to", program.place or "nothing itself: another program calls it")
    if not program.runs and (not program.place or ", slot " in program.place):
        sheet.fact("runs", TAIL_CALLED)
    else:
        sheet.fact("runs", _runs(program))
    sheet.fact("machine code", format.size(program.jited_bytes) if program.jited_bytes else "none: it is interpreted")
    for line in program.verifier:
        sheet.fact("verifier", escape(line))


def _runs(program: OwnProgram) -> str:
    each = f", {format.nanoseconds(program.run_ns / program.runs)} a run" if program.runs else ""
    missed = f", {program.misses:,} left out" if program.misses else ""
    return f"{program.runs:,}{each}{missed}"


def _maps(sheet: Sheet, maps: tuple[OwnMap, ...]) -> None:
    sheet.heading(f"Maps ({len(maps)})")
    for one in maps:
        sheet.line(
            (one.name, "bold"),
            (f"  id {one.id} · {one.type} · {one.key_bytes} to {one.value_bytes} bytes · ", "$dim"),
            (f"room for {one.entries_max:,}", "$dim"),
        )
        widest = max((len(key) for key, _ in one.entries), default=0)
        for key, value in one.entries:
            sheet.line((f"  {escape(key):>{min(widest, 40)}}  ", "$primary"), (escape(value), ""))
        if one.more:
            sheet.line(("  .. and more", "$dim"))


def _code(sheet: Sheet, program: OwnProgram) -> None:
    if program.code:
        sheet.heading(f"Code of {program.name}, as the verifier left it")
        for line in program.code:
            sheet.line((escape(line), ""))
