"""Write the rows that a pane shows as CSV or JSON: exactly those rows and columns, in that order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from ebpftop.core.spreadsheet import Cell, csv_value, guard


def to_csv(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return *rows* under *headers* as CSV (RFC 4180, lines end with CR LF); null is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front (not in JSON). Numbers stay
    numbers, also negative ones and numbers in text. Raises ValueError for a row of another width.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(guard(header) for header in headers)
    for row in rows:
        _check(headers, row)
        writer.writerow(guard(csv_value(cell)) for cell in row)
    return out.getvalue()


def to_json(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return *rows* as a JSON array of objects with *headers* as names, one object a line.

    Raises ValueError for a row of another width, two equal headers, or a number that JSON lacks (nan, inf).
    """
    if len(set(headers)) != len(headers):
        raise ValueError(f"two columns of one name in {list(headers)}")
    lines = []
    for row in rows:
        _check(headers, row)
        lines.append(json.dumps(dict(zip(headers, row, strict=True)), ensure_ascii=False, allow_nan=False))
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def _check(headers: Sequence[str], row: Sequence[Cell]) -> None:
    if len(row) != len(headers):
        raise ValueError(f"a row of {len(row)} cells under {len(headers)} headers")
