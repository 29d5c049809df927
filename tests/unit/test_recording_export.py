"""The rows of a pane as CSV and JSON: exactly those."""

from __future__ import annotations

import csv
import io
import json

import pytest

from ebpftop.core.spreadsheet import Cell
from ebpftop.ui.export import to_csv, to_json

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
HEADERS = ("TIME", "PID", "COMMAND", "CODE")
ROWS: list[tuple[Cell, ...]] = [
    ("12:00:00", 1, 'sh -c "a, b"', 0),
    ("12:00:01", 22, "grüße 日本", None),
    ("12:00:02", 3, "bash", -2),
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


@pytest.mark.parametrize("blank", ["", " ", "\t", "\r", "\n", "\u3000", "  \t"])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("rest", ["1+2", "SUM(A1)", "1+cmd|' /C calc'!A0", "bash"])
def test_a_command_line_is_not_a_formula_in_a_spreadsheet(blank: str, sign: str, rest: str) -> None:
    text = f"{blank}{sign}{rest}"
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(["ARGS"], [[text]]), newline=""))
    assert cell.startswith("'")
    assert cell.replace("'", "") == text.replace("'", "")
    assert json.loads(to_json(["ARGS"], [[text]])) == [{"ARGS": text}]


@pytest.mark.parametrize("start", ["\tx", "\rx", "\nx"])
def test_a_cell_that_begins_with_a_tab_or_a_line_end_is_guarded(start: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(["ARGS"], [[start]]), newline=""))
    assert cell == f"'{start}"


@pytest.mark.parametrize("separator", [";", "\t", "\r", "\n"])
@pytest.mark.parametrize("between", ["", " ", '"', "'"])
@pytest.mark.parametrize("sign", SIGNS)
def test_no_formula_begins_where_another_program_sees_a_separator(separator: str, between: str, sign: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(["A"], [[f"x{separator}{between}{sign}1+1"]]), newline=""))
    for part in cell.split(separator):
        assert not part.lstrip('" ').startswith(sign)


@pytest.mark.parametrize("number", [0, -2, 17, -3.5, 1e300, "-2", "+7", "3.25", "-1e5"])
def test_numbers_stay_numbers(number: Cell) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(["N"], [[number]]), newline=""))
    assert cell == str(number)
    assert float(cell) == float(number or 0)


def test_a_header_is_guarded_too() -> None:
    assert to_csv(["=A"], []) == "'=A\r\n"


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
