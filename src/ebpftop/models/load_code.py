"""The bytecode of a loaded file as rows, below the lines of the source that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ebpftop.core.load_records import Code

Kind = Literal["program", "line", "insn"]


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A row: the name of a program, a line of the source, or an instruction made of it."""

    kind: Kind
    program: str
    line: int | None
    at: int
    """The place among the rows of the program."""
    offset: int
    text: str

    @property
    def ident(self) -> object:
        """What tells it from all other rows."""
        return self.program, self.at


def code_rows(codes: Sequence[Code], lines: Sequence[str], *, native: bool) -> list[CodeRow]:
    """Return the rows of all programs: their instructions for BPF, or those of the processor if *native*.

    *lines* are those of the source.
    """
    rows: list[CodeRow] = []
    for code in codes:
        at, line = 0, None
        if len(codes) > 1:
            rows.append(CodeRow("program", code.program, None, at, 0, code.program))
        for one in code.native if native else code.xlated:
            if one.function is not None and one.at:
                at += 1
                rows.append(CodeRow("program", code.program, None, at, one.at, one.function))
            if one.line is not None and one.line != line:
                line = one.line
                at += 1
                text = lines[line - 1].strip() if 0 < line <= len(lines) else f"line {line}"
                rows.append(CodeRow("line", code.program, line, at, one.at, text))
            at += 1
            rows.append(CodeRow("insn", code.program, line, at, one.at, one.text))
    return rows
