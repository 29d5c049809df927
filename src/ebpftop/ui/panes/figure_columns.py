"""Columns of figures that the pane of the system calls and the screens about them share: bars, counts, shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ebpftop.core.format import bar, count, nanoseconds, share, whole_share
from ebpftop.ui.widgets.columns import Cell, Column, SortKey, Span

Row = TypeVar("Row")

BAR_WIDEST = 32


def bar_column(
    value: Callable[[Row], float],
    peak: Callable[[], float],
    *,
    width: int,
    about: str,
    rank: int = 0,
) -> Column[Row]:
    """*value* as a bar; *peak* fills it. It is not so long that figures stand far from their name."""

    def fill(row: Row, cells: int) -> Cell:
        top = peak()
        return (Span(bar(value(row) / top, cells), "bar"),) if top else ()

    return Column("bar", "", width, rank=rank, flexible=True, widest=BAR_WIDEST, fill=fill, about=about)


def count_column(
    key: str, title: str, width: int, number: Callable[[Row], int], *, about: str, rank: int = 0, sorts: bool = True
) -> Column[Row]:
    """How often something happened; *sorts*: the table can be sorted by it."""
    return Column(
        key,
        title,
        width,
        lambda row, _: (Span(count(number(row))),),
        right=True,
        rank=rank,
        sort=number if sorts else None,
        about=about,
    )


def errors_column(number: Callable[[Row], int], *, about: str, rank: int) -> Column[Row]:
    """How many calls returned an error; a dot if none."""

    def cell(row: Row, _: float) -> Cell:
        errors = number(row)
        return (Span(count(errors), "bad") if errors else Span("·", "dim"),)

    return Column("errors", "ERRORS", 7, cell, right=True, rank=rank, sort=number, about=about)


def failed_share_column(key: str, part: Callable[[Row], float], *, about: str, rank: int, exported: str) -> Column[Row]:
    """Which share of calls returned an error; a dot if none."""

    def cell(row: Row, _: float) -> Cell:
        failed = part(row)
        return (Span(whole_share(failed), "bad" if failed >= 0.5 else "") if failed > 0 else Span("·", "dim"),)

    return Column(key, "ERR%", 4, cell, right=True, rank=rank, sort=part, about=about, exported=exported)


def time_column(
    key: str, title: str, width: int, ns: Callable[[Row], float | None], *, about: str, rank: int, exported: str
) -> Column[Row]:
    """A time in ns; a dot for none, a dash if it is unknown, as in older recordings."""

    def cell(row: Row, _: float) -> Cell:
        value = ns(row)
        if value is None:
            return (Span("–", "dim"),)
        return (Span(nanoseconds(value)) if value else Span("·", "dim"),)

    def order(row: Row) -> float:
        value = ns(row)
        return -1 if value is None else value

    return Column(
        key,
        title,
        width,
        cell,
        right=True,
        rank=rank,
        sort=order,
        value=lambda row, _: ns(row),
        about=about,
        exported=exported,
    )


def share_column(
    key: str,
    title: str,
    width: int,
    part: Callable[[Row], float],
    *,
    about: str,
    rank: int,
    text: Callable[[float], str] = share,
    look: Callable[[Row], str] = lambda _: "dim",
    sort: Callable[[Row], SortKey] | None = None,
    exported: str = "",
    shown_from: int = 0,
) -> Column[Row]:
    """A share of all, in percent; exported as a number if the table can be sorted by it."""

    def cell(row: Row, _: float) -> Cell:
        return (Span(text(part(row)), look(row)),)

    return Column(
        key,
        title,
        width,
        cell,
        right=True,
        rank=rank,
        sort=sort,
        value=None if sort is None else lambda row, _: round(part(row), 6),
        about=about,
        exported=exported,
        shown_from=shown_from,
    )
