"""The rows of a pane as CSV and JSON: exactly those."""

from __future__ import annotations

import csv
import io
import json

import pytest

from ebpftop.export import Cell, to_csv, to_json

HEADERS = ("TIME", "PID", "COMMAND", "CODE")
ROWS: list[tuple[Cell, ...]] = [
    ("12:00:00", 1, 'sh -c "a, b"', 0),
    ("12:00:01", 22, "grüße 日本", None),
    ("12:00:02", 3, "-bash", -2),
]


def test_csv_reads_back_as_the_rows() -> None:
    read = list(csv.reader(io.StringIO(to_csv(HEADERS, ROWS), newline="")))
    assert read == [list(HEADERS), *(["" if cell is None else str(cell) for cell in row] for row in ROWS)]


def test_json_reads_back_as_the_rows_with_their_types() -> None:
    read = json.loads(to_json(HEADERS, ROWS))
    assert [tuple(row) for row in read] == [HEADERS] * 3
    assert [tuple(row.values()) for row in read] == ROWS


def test_json_has_one_row_a_line_and_text_as_it_is() -> None:
    lines = to_json(HEADERS, ROWS).splitlines()
    assert len(lines) == len(ROWS) + 2
    assert "grüße 日本" in lines[2]


def test_no_rows_are_no_error() -> None:
    assert to_csv(HEADERS, []) == "TIME,PID,COMMAND,CODE\r\n"
    assert json.loads(to_json(HEADERS, [])) == []


@pytest.mark.parametrize("text", ["=1+2", "@SUM(A1)", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0"])
def test_a_command_line_is_no_formula_in_a_spreadsheet(text: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(["ARGS"], [[text]]), newline=""))
    assert cell == f"'{text}"
    assert json.loads(to_json(["ARGS"], [[text]])) == [{"ARGS": text}]


def test_a_row_that_does_not_fit_its_headers_is_an_error() -> None:
    for function in (to_csv, to_json):
        with pytest.raises(ValueError, match="a row of 1 cells under 2 headers"):
            function(["A", "B"], [["x"]])


def test_two_columns_of_one_name_cannot_be_json() -> None:
    with pytest.raises(ValueError, match="two columns of one name"):
        to_json(["A", "A"], [])


def test_a_number_that_json_has_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(["A"], [[float("nan")]])
