"""Where the panes stand: every place of the grid is taken once, and each pane has the room that its row says."""

from __future__ import annotations

from itertools import combinations

import pytest

from ebpftop.ui.registry import (
    FORMS,
    LARGEST,
    PRESETS,
    SMALLEST,
    Arrangement,
    Form,
    PaneLayout,
    PaneRow,
    arrange,
    panes,
)

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


def heights(places: Arrangement) -> dict[str, float]:
    """The share of the height that each pane has."""
    cells = placed(places)
    whole = sum(places.rows)
    return {
        probe: sum(places.rows[row] for row in {row for (row, _), other in cells.items() if other == probe}) / whole
        for probe in places.spans
    }


@pytest.mark.parametrize("form", [form for _, form in FORMS])
def test_a_pane_grows_and_shrinks_in_every_form(form: Form) -> None:
    rows = {probe: ROWS[probe] for probe in OWN}
    before = heights(arrange(rows, form))
    for probe in OWN:
        higher = heights(arrange(rows, form, PaneLayout().grown(probe, 1)))
        lower = heights(arrange(rows, form, PaneLayout().grown(probe, -1)))
        assert higher[probe] > before[probe] > lower[probe]
        back = heights(arrange(rows, form, PaneLayout().grown(probe, 1).grown(probe, -1)))
        assert back == pytest.approx(before, abs=0.01)


def test_a_pane_has_a_smallest_and_a_largest_height() -> None:
    assert PaneLayout().grown("users", 99).weights == {"users": LARGEST}
    assert PaneLayout().grown("users", -99).weights == {"users": SMALLEST}
    stored = PaneLayout(weights={"users": 1e9, "execs": -1.0})
    assert (stored.weight("users"), stored.weight("execs"), stored.weight("trace")) == (LARGEST, SMALLEST, 1.0)


def test_presets_choose_panes_and_the_key_goes_through_all() -> None:
    def shown(layout: PaneLayout) -> list[str]:
        return [probe for probe, row in ROWS.items() if layout.shows(probe, row)]

    layout = PaneLayout(hidden=frozenset({"trace"}))
    assert shown(layout) == ["execs", "users", "syscalls", "opens", "table", "log"]
    seen = []
    for _ in PRESETS:
        layout = layout.next_preset()
        seen.append((layout.preset, shown(layout)))
    assert seen == [
        ("logs", ["execs", "trace", "opens", "log"]),
        ("calls", ["execs", "syscalls"]),
        ("users", ["execs", "users"]),
        ("all", list(ROWS)),
    ]
    assert PaneLayout("unknown").next_preset().preset == "all"
    assert shown(PaneLayout("unknown")) == list(ROWS), "a file may name what a newer version has"


@pytest.mark.parametrize(("preset", "table"), [("calls", "syscalls"), ("users", "users")])
def test_what_a_preset_is_about_has_more_room_than_the_exec_log(preset: str, table: str) -> None:
    layout = PaneLayout(preset)
    rows = {probe: ROWS[probe] for probe in OWN if layout.shows(probe, ROWS[probe])}
    for _, form in FORMS[:2]:
        shares = heights(arrange(rows, form, layout))
        assert shares[table] > shares["execs"]
