"""The columns of a map's table: those of its key, of its value, and what they count; and those of a histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from rich.cells import cell_len

from ebpftop.core.format import brief, count, nanoseconds, size, sparkline
from ebpftop.core.load_records import Field
from ebpftop.models.load_fields import Leaf, number
from ebpftop.models.load_histograms import Bucket
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_values import worded
from ebpftop.ui.widgets.columns import Cell, Column, SortKey, Span

Row = TypeVar("Row")

KEY, VALUE = "key", "value"

_NUMBERS = frozenset(("int", "uint", "float", "bool", "pointer"))
_WORDS = frozenset(("program", "syscall", "errno", "signal"))
"""What numbers mean that are shown by their names alone."""

_LEAST, _WIDEST = 5, 30
_OTHERS = 50
"""Columns of rates that are not the chosen counter's are left out before all others."""
_NONE = (Span("·", "dim"),)
_EIGHTHS: tuple[str, ...] = ("", *"▏▎▍▌▋▊▉")

_MEANINGS: Mapping[str, str] = {
    "uid": "a user: number and name",
    "gid": "a group: number and name",
    "pid": "a process: its number and, if that is known, its name",
    "tid": "a thread: its number and, if that is known, its name",
    "ns": "a time in nanoseconds",
    "time": "a moment",
    "ip4": "an address of IPv4",
    "ip6": "an address of IPv6",
    "port": "a port",
    "cpu": "the number of a CPU",
    "errno": "an error, by name",
    "ret": "what a call returned; an error by name too",
    "syscall": "a system call, by name",
    "bytes": "a number of bytes",
    "stack": "a stack: its functions, if they are known",
    "program": "a BPF program",
    "slot": "the index of a bucket",
}


def is_number(field: Field) -> bool:
    """Return whether a field is shown at the right of its column."""
    return field.kind in _NUMBERS and field.meaning not in _WORDS


def title_of(leaf: Leaf, of: str, *, first: bool) -> str:
    """Return the heading of a column: ``KEY uid``, ``VALUE``; of a structure the name of the field."""
    name = leaf.name or leaf.field.meaning
    head = of.upper() if first and (of == KEY or not leaf.path) else ""
    return " ".join(part for part in (head, name) if part) or of.upper()


def about(leaf: Leaf, of: str) -> str:
    """Return what a column is, for the help and as a tooltip."""
    means = _MEANINGS.get(leaf.field.meaning, "")
    what = f"{leaf.name} of the {of}" if leaf.name else f"The {of}"
    return f"{what}, {leaf.field.type or 'of unknown type'}{f': {means}' if means else ''}."


def value_cell(leaf: Leaf, value: object, name: str = "", look: str = "") -> Cell:
    """Return the cell of a value: the number, and brighter what it stands for."""
    plain, stands_for = worded(leaf.field, leaf.read(value), name)
    if stands_for:
        return (Span(plain, "dim"), Span(f" {stands_for}", "root" if _is_root(leaf.field, plain) else "strong"))
    if plain in ("0", ""):
        return _NONE if plain else (Span("–", "dim"),)
    return (Span(plain, look),)


def _is_root(field: Field, plain: str) -> bool:
    return field.meaning == "uid" and plain == "0"


def order_of(leaf: Leaf, value: object, name: str = "") -> SortKey:
    """Return what a column is sorted by."""
    found = leaf.read(value)
    return number(found) if is_number(leaf.field) else name or str(worded(leaf.field, found))


def exported(leaf: Leaf, value: object) -> str | int | float | bool | None:
    """Return what an export writes: the number or the text as it was."""
    found = leaf.read(value)
    if found is None or isinstance(found, (str, int, float, bool)):
        return found
    return str(worded(leaf.field, found))


def _column(leaf: Leaf, of: str, rank: int, *, first: bool) -> Column[Entry]:
    def part(entry: Entry) -> object:
        return entry.row.key if of == KEY else entry.row.value

    def cell(entry: Entry, _: float) -> Cell:
        look = "strong" if of == KEY else ""
        found = value_cell(leaf, part(entry), entry.row.names.get(leaf.place(of), ""), look)
        # The key 0 is a key like others, and not nothing.
        return (Span("0", look),) if of == KEY and found is _NONE else found

    title = title_of(leaf, of, first=first)
    return Column(
        leaf.place(of),
        title,
        max(_LEAST, min(len(title) + 1, _WIDEST)),
        cell,
        right=is_number(leaf.field) and not (of == KEY and first),
        rank=rank,
        flexible=leaf.field.kind in ("string", "bytes", "array", "union", "unknown"),
        widest=60,
        sort=lambda entry: order_of(leaf, part(entry), entry.row.names.get(leaf.place(of), "")),
        value=lambda entry, _: exported(leaf, part(entry)),
        always=of == KEY and first,
        about=about(leaf, of),
    )


def entry_columns(table: MapTable, chosen: int, peak: Callable[[], float]) -> tuple[Column[Entry], ...]:
    """Return the columns of a map; the trend is of counter *chosen*, with *peak* a second at the top of its scale.

    Each counter has a rate behind it: the chosen one's is left out last, those of the others first.
    """
    columns = [_column(leaf, KEY, at, first=not at) for at, leaf in enumerate(table.key)]
    counters = {leaf.path: at for at, leaf in enumerate(table.counters)}
    for at, leaf in enumerate(table.value):
        counter = counters.get(leaf.path)
        is_chosen = counter is not None and counter == chosen
        columns.append(_column(leaf, VALUE, 1 if is_chosen else at + 1, first=not at))
        if counter is not None:
            columns.append(_rate_column(leaf, counter, 1 if is_chosen else _OTHERS + at))
        if is_chosen:
            columns.append(_trend_column(leaf, chosen, peak))
    return tuple(columns)


def rate_key(leaf: Leaf) -> str:
    """Return the key of the column of what a counter gains a second."""
    return f"rate.{leaf.name}" if leaf.name else "rate"


def _rate_column(leaf: Leaf, counter: int, rank: int) -> Column[Entry]:
    title = f"{leaf.name}/s"
    return Column(
        rate_key(leaf),
        title,
        max(5, len(title) + 1),
        lambda entry, _: rate_cell(entry.gain(counter).rate),
        right=True,
        rank=rank,
        sort=lambda entry: -1.0 if entry.gain(counter).rate is None else entry.gain(counter).rate or 0.0,
        value=lambda entry, _: entry.gain(counter).rate,
        about=f"How much {leaf.name or 'the value'} grew a second, over the last reading.",
        exported=f"{leaf.name}_per_s" if leaf.name else "per_s",
    )


def _trend_column(leaf: Leaf, chosen: int, peak: Callable[[], float]) -> Column[Entry]:
    return Column(
        "trend",
        "TREND",
        10,
        rank=3,
        flexible=True,
        widest=30,
        fill=lambda entry, width: (Span(sparkline(list(entry.gain(chosen).history), width, peak()), "bar"),),
        about=f"{leaf.name}/s of the readings so far, the newest at the right. The title says the top of its scale, "
        "which is logarithmic. Of a structure it is of the member that the rows are sorted by.",
    )


def rate_cell(rate: float | None) -> Cell:
    """Return the cell of what a counter gained a second."""
    if rate is None:
        return (Span("–", "dim"),)
    return (Span(brief(rate)),) if rate > 0 else _NONE


# Histograms.


def bucket_columns(table: MapTable) -> tuple[Column[Bucket], ...]:
    """Return the columns of a histogram; in front, if there are several, whose each is."""
    slot_less = table.key[:-1] if len(table.key) > 1 else table.key
    several = len(table.key) > 1 or any(isinstance(entry.value, (list, tuple)) for entry in table.entries.values())
    meaning = _meaning_of(table)
    of = [_of_column(leaf, first=not at) for at, leaf in enumerate(slot_less)] if several else []
    return (
        *of,
        Column(
            "range",
            f"RANGE {meaning}".rstrip(),
            15,
            lambda bucket, _: range_cell(bucket, meaning),
            right=True,
            value=lambda bucket, _: f"{bucket.low}..{bucket.high}",
            about="What was counted here: numbers from the first to the second.",
        ),
        Column(
            "count",
            "COUNT",
            7,
            lambda bucket, _: (Span(count(bucket.count)),) if bucket.count else _NONE,
            right=True,
            value=lambda bucket, _: bucket.count,
            about="How often.",
        ),
        Column(
            "bar",
            "",
            10,
            flexible=True,
            widest=60,
            fill=lambda bucket, width: (Span(eighths(bucket.part, width), "bar"),),
            about="COUNT as a bar: the largest of its histogram fills it.",
        ),
    )


def _meaning_of(table: MapTable) -> str:
    found = [leaf.field.meaning for leaf in (*table.key, *table.value)]
    return next((meaning for meaning in found if meaning in ("ns", "bytes")), "")


def _of_column(leaf: Leaf, *, first: bool) -> Column[Bucket]:
    return Column(
        leaf.place(KEY),
        title_of(leaf, KEY, first=first),
        max(10, min(16, len(leaf.name) + 5)),
        lambda bucket, _: value_cell(leaf, bucket.of, look="strong") if bucket.is_first else (),
        value=lambda bucket, _: exported(leaf, bucket.of),
        about=about(leaf, KEY),
    )


def range_cell(bucket: Bucket, meaning: str) -> Cell:
    """Return the numbers between which a bucket counts."""
    if bucket.low == bucket.high:
        return (Span(_figure(bucket.low, meaning)),)
    return (Span(f"{_figure(bucket.low, meaning):>6}"), Span(f" … {_figure(bucket.high, meaning):>6}", "dim"))


def eighths(part: float, cells: int) -> str:
    """Return *part* (0 to 1) of *cells* as a bar, to an eighth of a cell; anything above nothing shows."""
    whole = max(1 if part > 0 else 0, round(part * cells * 8))
    return "█" * (whole // 8) + _EIGHTHS[whole % 8]


def _figure(value: int, meaning: str) -> str:
    if meaning == "ns":
        return nanoseconds(value)
    if meaning == "bytes":
        return size(value)
    return str(value) if value < 100_000 else count(value)


# Widths.


def fitted(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> dict[str, int]:
    """Return how wide each column of figures must be for what is in it."""
    text = partial(_cells, now=0.0)
    return {
        column.key: min(_WIDEST, max((text(column, row) for row in rows), default=0))
        for column in columns
        if column.fill is None and not column.flexible and column.key != "time"
    }


def _cells(column: Column[Row], row: Row, now: float) -> int:
    return sum(cell_len(span.text) for span in column.cell(row, now))
