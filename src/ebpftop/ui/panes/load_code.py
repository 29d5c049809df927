"""The bytecode of a loaded file, or the instructions of the processor, below the lines that they were made of."""

from __future__ import annotations

import re

from ebpftop.models.load_code import CodeRow
from ebpftop.models.load_languages import CODE
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.row_drawing import POINT
from ebpftop.ui.widgets.table_view import TableView

_CALL = re.compile(r"\bcall\s+\w+")
_MAP = re.compile(r"map\[[^\]]*\]")


class CodeLines(TableView[CodeRow]):
    """The instructions. `linked` is the line of the source under the cursor there."""

    def __init__(self, *, id: str) -> None:
        self.linked: int | None = None
        super().__init__(
            (
                Column(
                    "at",
                    "AT",
                    5,
                    lambda row, _: (Span(f"{row.offset}:", "dim"),) if row.kind == "insn" else (),
                    right=True,
                    value=lambda row, _: row.offset,
                    about="The number of the instruction; of the processor's, the byte that it begins at.",
                ),
                Column(
                    "text",
                    "INSTRUCTION",
                    24,
                    _text,
                    flexible=True,
                    value=lambda row, _: row.text,
                    about="The instruction, below the line of the source that it was made of.",
                ),
            ),
            key_of=lambda row: row.ident,
            sort="",
            mark=self._mark,
            language=CODE,
            id=id,
        )
        self.header_height = 0

    @property
    def is_striped(self) -> bool:
        return False

    def _mark(self, row: CodeRow) -> Span:
        is_linked = row.kind == "insn" and row.line is not None and row.line == self.linked
        return Span(POINT, "accent") if is_linked else Span(" ")

    def link(self, line: int) -> None:
        """Mark the instructions that *line* of the source became."""
        if line != self.linked:
            self.linked = line
            self.redraw()

    def go_to_line(self, number: int) -> bool:
        """Put the cursor on the first instruction of a line of the source; False if there is none."""
        for position, row in enumerate(self.rows()):
            if row.line == number:
                self.go_to(position)
                return True
        return False


def _text(row: CodeRow, _: float) -> Cell:
    if row.kind == "program":
        return (Span(row.text, "strong"),)
    if row.kind == "line":
        return (Span(f"; {row.text}", "dim"),)
    spans: list[Span] = []
    end = 0
    for found in sorted((*_CALL.finditer(row.text), *_MAP.finditer(row.text)), key=lambda match: match.start()):
        if found.start() < end:
            continue
        look = "strong" if found[0].startswith("call") else "accent"
        spans += [Span(row.text[end : found.start()]), Span(found[0], look)]
        end = found.end()
    return (*spans, Span(row.text[end:]))
