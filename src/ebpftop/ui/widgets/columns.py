"""Columns of a log or a table: what each shows of a row, and which fit into a width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from rich.cells import cell_len, set_cell_size

from ebpftop.core import format

Row = TypeVar("Row")
SortKey: TypeAlias = float | str | tuple[float, float]
Value: TypeAlias = str | int | float | bool | None


class Span(NamedTuple):
    """A piece of text and the name of its look (a component class ``lines--NAME``; empty for plain)."""

    text: str
    style: str = ""


Cell: TypeAlias = Sequence[Span]

GAP = 1

NO_MIDDLE = 12
"""Cells from which on a path loses its middle; in fewer it loses its end."""


@dataclass(frozen=True)
class Narrow(Generic[Row]):
    """How a column is on a screen of fewer than `below` cells: its width, and its title and cell if these differ."""

    below: int
    width: int
    title: str = ""
    cell: Callable[[Row, float], Cell] | None = None


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column. `cell` gets the row and the time now (Unix seconds).

    Columns of a higher `rank` are dropped first if the width is too small. Those with `shown_from` are not on screens
    of fewer cells, and those with `narrow` are smaller there, so that more is left for texts. One with `filled` is not
    there until that is true of a row in view; then it stays. A `flexible` one gets
    what the others leave, but at least `width` and at most `widest`, so that figures stand near the name that they are
    about; `fill` draws to that width, instead of `cell`; `whole` is the text if these may leave out some of it. `sort`
    makes a table sortable by it; numbers start with the largest. `value` is what an export writes if not the text of
    the cell, under the name `exported`, which says the unit, or else under `key`. One
    that is shown `always` cannot be hidden: it names the row.
    """

    key: str
    title: str
    width: int
    cell: Callable[[Row, float], Cell] = field(default=lambda _row, _now: ())
    right: bool = False
    rank: int = 0
    flexible: bool = False
    widest: int | None = None
    sort: Callable[[Row], SortKey] | None = None
    hidden: bool = False
    always: bool = False
    about: str = ""
    fill: Callable[[Row, int], Cell] | None = None
    whole: Callable[[Row, float], Cell] | None = None
    value: Callable[[Row, float], Value] | None = None
    exported: str = ""
    shown_from: int = 0
    narrow: Narrow[Row] | None = None
    filled: Callable[[Row], bool] | None = None


@dataclass(frozen=True)
class PlacedColumn(Generic[Row]):
    """A column that is shown: where it starts, and its width in cells."""

    column: Column[Row]
    x: int
    width: int


def value_of(column: Column[Row], row: Row, now: float) -> Value:
    """Return what an export writes for *row* and *column*: an exact number, else the text."""
    if column.value is not None:
        return column.value(row, now)
    if column.right and column.sort is not None:
        key = column.sort(row)
        return key[0] if isinstance(key, tuple) else key
    text = "".join(span.text for span in column.cell(row, now)).strip()
    if column.right and text.isascii() and text.isdigit():
        return int(text)
    return text if text != "·" else None


@dataclass(frozen=True)
class Shown(Generic[Row]):
    """Rows and columns as shown at one moment. The cells are computed when they are needed."""

    columns: tuple[Column[Row], ...]
    rows: list[Row]
    now: float
    folded: Sequence[bool] | None = None
    """Of each row whether the screen hides it behind another one; None in a list that folds nothing."""

    @property
    def counted(self) -> str:
        """How many rows there are, in words."""
        hidden = sum(self.folded or ())
        folded = f" ({hidden:,} folded on the screen)" if hidden else ""
        return f"{format.counted(len(self), 'row', whole=True)}{folded}"

    @property
    def headers(self) -> list[str]:
        """What an export calls the values of a row."""
        names = [column.exported or column.key for column in self.columns]
        return names if self.folded is None else [*names, "folded"]

    def with_all(self, rows: list[Row]) -> Shown[Row]:
        """Return *rows* instead: those of here, and all that the screen folds."""
        shown = {id(row) for row in self.rows}
        return replace(self, rows=rows, folded=[id(row) not in shown for row in rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[list[Value]]:
        """Yield the cells of each row. A hundred thousand rows take seconds: call it in a worker thread."""
        for at, row in enumerate(self.rows):
            values = [value_of(column, row, self.now) for column in self.columns]
            yield values if self.folded is None else [*values, self.folded[at]]


def on_screen(
    columns: Sequence[Column[Row]], screen: int, widths: Mapping[str, int], sorted_by: str = ""
) -> list[Column[Row]]:
    """Return *columns* as they are on a screen of so many cells, those that have a width of their own by that width."""
    shown = []
    for column in columns:
        narrow, width = column.narrow, widths.get(column.key)
        if column.shown_from > screen and column.key != sorted_by:
            continue
        if narrow is not None and (screen < narrow.below if width is None else width < column.width):
            title, cell = narrow.title or column.title, narrow.cell or column.cell
            column = replace(column, width=narrow.width, title=title, cell=cell)  # noqa: PLW2901
        shown.append(column)
    return shown


def fit(
    columns: Sequence[Column[Row]],
    width: int,
    hidden: frozenset[str] = frozenset(),
    widths: Mapping[str, int] | None = None,
    sorted_by: str = "",
) -> list[PlacedColumn[Row]]:
    """Return the columns that fit into *width* cells, in their order; at least the most important one.

    The column *sorted_by* comes next after those of rank 0: an order whose reason is out of sight looks like none.
    """
    wanted = {c.key: (widths or {}).get(c.key, c.width) for c in columns if c.always or c.key not in hidden}
    kept: set[str] = set()
    left, is_full = width, False
    by_rank = sorted((c for c in columns if c.key in wanted), key=lambda c: c.rank if c.key != sorted_by else 0.5)
    for column in by_rank:
        need = wanted[column.key] + (GAP if kept else 0)
        if column.rank and is_full:
            break
        if need <= left or not kept:
            kept.add(column.key)
            left -= need
        else:
            is_full = True
    shares = _shares([c for c in columns if c.key in kept and c.flexible], max(0, left), wanted)
    slots: list[PlacedColumn[Row]] = []
    x = 0
    for column in columns:
        if column.key not in kept:
            continue
        size = min(wanted[column.key] + shares.get(column.key, 0), max(1, width - x))
        slots.append(PlacedColumn(column, x, size))
        x += size + GAP
    return slots


def _shares(flexible: Sequence[Column[Row]], left: int, widths: Mapping[str, int]) -> dict[str, int]:
    """Return how many of the cells that are *left* each column gets, the narrowest limits first."""
    shares: dict[str, int] = {}
    limits = {c.key: left if c.widest is None else max(0, c.widest - widths[c.key]) for c in flexible}
    for at, key in enumerate(sorted(limits, key=lambda key: limits[key])):
        others = len(limits) - at
        shares[key] = min(limits[key], left // others)
        left -= shares[key]
    return shares


def cell_from(cell: Cell, start: int) -> Cell:
    """Return what of *cell* is behind its first *start* cells, with an ellipsis in front."""
    if start <= 0:
        return cell
    rest: list[Span] = [Span("…", "dim")]
    skip = start + 1
    for text, look in cell:
        length = cell_len(text)
        if length > skip:
            kept = text if not skip else _behind(text, skip)
            rest.append(Span(kept, look))
        skip = max(0, skip - length)
    return rest


def _behind(text: str, cells: int) -> str:
    """Return *text* without its first *cells* cells; half of a wide character is a blank."""
    if text.isascii():
        return text[cells:]
    at = 0
    for at, character in enumerate(text):  # noqa: B007
        if cells <= 0:
            break
        cells -= cell_len(character)
    return " " * -cells + text[at:]


def clip(text: str, width: int) -> str:
    """Return *text* in exactly *width* cells; if it was cut, it ends in an ellipsis."""
    length = len(text) if text.isascii() else cell_len(text)
    if length == width:
        return text
    if length < width:
        return text + " " * (width - length)
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def clip_front(text: str, width: int) -> str:
    """Return *text* in at most *width* cells; if its beginning was cut, it starts with an ellipsis."""
    if cell_len(text) <= width:
        return text
    # From the end: a recording may contain a text of megabytes.
    first, room = len(text), width - 1
    while first and (room := room - cell_len(text[first - 1])) >= 0:
        first -= 1
    return "…" + text[first:].lstrip() if width > 0 else ""


def without_middle(path: str, width: int) -> str:
    """Return *path* in at most *width* cells: its end tells more than its middle."""
    if cell_len(path) <= width or width < NO_MIDDLE:
        return path
    first = width // 3
    return clip(path, first) + clip_front(path, width - first).lstrip("…")


def layout_cell(cell: Cell, width: int, right: bool = False) -> list[Span]:
    """Return the spans of *cell* in exactly *width* cells."""
    laid: list[Span] = []
    left = width
    for i, (text, look) in enumerate(cell):
        length = len(text) if text.isascii() else cell_len(text)
        # Also an ellipsis if only later spans of the cell are cut off.
        if length > left or (length == left and any(later.text for later in cell[i + 1 :])):
            laid.append(Span(clip(text + "  ", left), look))
            left = 0
            break
        laid.append(Span(text, look))
        left -= length
    if left:
        pad = Span(" " * left)
        laid = [pad, *laid] if right else [*laid, pad]
    return laid
