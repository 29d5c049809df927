"""Where the panes stand: every place of the grid is taken once, and each pane has the room that its row says."""

from __future__ import annotations

from itertools import combinations

import pytest

from ebpftop.ui.registry import FORMS, Arrangement, Form, PaneRow, arrange, panes

OWN = ("execs", "users", "syscalls", "trace")
MORE = {
    "opens": PaneRow(pane="", log=True, heights=(7, 8, 3)),
    "table": PaneRow(pane="", log=False, heights=(5, 6, 3)),
    "log": PaneRow(pane="", log=True, heights=(1, 1, 1)),
}
ROWS = {**{probe: panes().rows[probe] for probe in OWN}, **MORE}
CHOICES = [choice for size in range(1, len(ROWS) + 1) for choice in combinations(ROWS, size)]


def placed(places: Arrangement) -> dict[tuple[int, int], str]:
    """Place the panes as Textual's grid does: each at the first free place that is not before the one before it."""
    cells: dict[tuple[int, int], str] = {}
    coordinates = ((row, column) for row in range(99) for column in range(len(places.columns)))
    at = next(coordinates)
    for probe, (columns, rows) in places.spans.items():
        while True:
            wanted = {(at[0] + row, at[1] + column) for row in range(rows) for column in range(columns)}
            if not wanted & cells.keys():
                break
            at = next(coordinates)
        cells.update(dict.fromkeys(wanted, probe))
    return cells


@pytest.mark.parametrize("form", [form for _, form in FORMS])
def test_every_place_is_taken_once_whatever_is_shown(form: Form) -> None:
    for choice in CHOICES:
        places = arrange({probe: ROWS[probe] for probe in choice}, form)
        cells = placed(places)
        assert set(cells) == {(row, col) for row in range(len(places.rows)) for col in range(len(places.columns))}
        assert set(cells.values()) == set(choice)
        assert places.beside == {probe for (_, column), probe in cells.items() if column} - {
            probe for (_, column), probe in cells.items() if not column
        }


def test_a_log_has_the_whole_width_where_the_terminal_is_not_wide() -> None:
    for choice in CHOICES:
        for _, form in FORMS[:2]:
            places = arrange({probe: ROWS[probe] for probe in choice}, form)
            assert all(places.spans[probe][0] == len(places.columns) for probe in choice if ROWS[probe].log)


def test_in_a_wide_terminal_each_side_is_shared_as_the_rows_say() -> None:
    for choice in CHOICES:
        places = arrange({probe: ROWS[probe] for probe in choice}, "wide")
        cells = placed(places)
        for probe in choice:
            mine = {row for (row, _), other in cells.items() if other == probe}
            column = next(column for (_, column), other in cells.items() if other == probe)
            beside = {other for (_, at), other in cells.items() if at == column}
            assert all(ROWS[other].log == ROWS[probe].log for other in beside) or len(places.columns) == 1
            share = sum(places.rows[row] for row in mine) / sum(places.rows)
            wanted = ROWS[probe].heights[2] / sum(ROWS[other].heights[2] for other in beside)
            assert share == pytest.approx(wanted)
