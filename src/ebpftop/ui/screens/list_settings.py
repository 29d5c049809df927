"""What can be set of the lists in the panes: columns, widths, the order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ebpftop.settings.rows import (
    Columns,
)
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView


def lists_of(panes: Iterable[Pane]) -> dict[str, RowView[Any]]:
    """Return the lists of the panes by their names: the first of a pane has the name of its probe, others their id."""
    found: dict[str, RowView[Any]] = {}
    for pane in panes:
        for view in pane.all_lists:
            found[pane.probe if pane.probe not in found else (view.id or "").removeprefix("exec-")] = view
    return found


def own_columns(view: RowView[Any]) -> Columns:
    """Return how the columns of *view* differ from the usual."""
    usual = frozenset(column.key for column in view.columns if column.hidden)
    show = tuple(column.key for column in view.columns if column.key not in view.hidden)
    widths = {c.key: view.widths[c.key] for c in view.columns if view.widths.get(c.key, c.width) != c.width}
    return Columns(None if view.hidden == usual else show, widths or None)


def own_sort(view: RowView[Any]) -> str | None:
    """Return the sort order of *view* if it is not the usual one."""
    if not isinstance(view, TableView) or (view.sort_key, view.reversed) == (view.sort_at_first, False):
        return None
    return f"-{view.sort_key}" if view.reversed else str(view.sort_key)


def sortable(view: RowView[Any]) -> tuple[str, ...]:
    """Return the columns by which *view* can be sorted."""
    return tuple(c.key for c in view.columns if c.sort is not None) if isinstance(view, TableView) else ()
