"""Cells of a CSV file, which somebody may open with a spreadsheet program."""

from __future__ import annotations

import re
from typing import TypeAlias

Cell: TypeAlias = str | int | float | bool | None

# What a spreadsheet would run (OWASP, "CSV Injection"); a command line may contain it. A cell begins where the text
# begins; also after another separator than the comma, or a line end, if the spreadsheet splits cells there.
# Blanks and quotes before the first character are skipped. The last four are full-width forms of the others.
_SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(rf"""^(?=[\t\r\n]|["'\s]*{_SIGN})|(?<=[;\t\r\n])(?=(?:["']|[^\S\t\r\n])*{_SIGN})""")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def csv_value(cell: Cell) -> Cell:
    """Return *cell* as CSV has it: truth values as JSON has them."""
    return ("true" if cell else "false") if isinstance(cell, bool) else cell


def guard(cell: Cell) -> Cell:
    """Return *cell*, with an apostrophe in front if a spreadsheet would run it as a formula. Numbers stay numbers."""
    if not isinstance(cell, str) or _NUMBER.fullmatch(cell):
        return cell
    return _FORMULA.sub("'", cell)
