"""What a loaded file puts out: the events of one of its buffers, or the lines that its programs print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpftop.core.comm import COMMAND_NAMES
from ebpftop.core.load_records import BpfEvent
from ebpftop.core.trace_records import Trace
from ebpftop.models.load import LoadModel
from ebpftop.models.load_fields import Leaf
from ebpftop.models.load_languages import PRINTED, events_language
from ebpftop.models.load_logs import EventsLog, Log
from ebpftop.models.load_values import worded
from ebpftop.ui.panes.common import clock, clock_second, moment
from ebpftop.ui.panes.load_map_columns import about, exported, fitted, is_number, value_cell
from ebpftop.ui.widgets.columns import Cell, Column, Narrow, Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_filter import RowFilter

PRINTED_NAME = "trace_pipe"
"""What the log of printed lines is called."""

SCANNED = 4000
"""Rows that a new filter searches at a time."""

_TEXTS = frozenset(("string", "bytes", "array", "struct", "union", "unknown"))
_LEAST, _WIDEST = 4, 24
_NARROW = 150
"""Cells of a screen below which half of it has no room for milliseconds."""

_MEASURED = 200
"""Rows that widths of columns are measured by."""

_TIME: Column[Any] = Column(
    "time",
    "TIME",
    12,
    lambda row, now: clock(row.time, now),
    rank=1,
    value=lambda row, _: moment(row.time),
    narrow=Narrow(_NARROW, 8, cell=lambda row, now: clock_second(row.time, now)),
    about="When it came: time of day, and the date if that is not today.",
)


def event_columns(leaves: tuple[Leaf, ...]) -> tuple[Column[BpfEvent], ...]:
    """Return the columns of the events of a buffer: those of its structure."""
    texts = [leaf for leaf in leaves if leaf.field.kind in _TEXTS]
    longest = texts[-1] if texts else None
    named = any(leaf.field.kind == "string" and leaf.name in COMMAND_NAMES for leaf in leaves)
    columns = [_field(leaf, at, is_longest=leaf is longest, is_named=named) for at, leaf in enumerate(leaves)]
    cpu: Column[BpfEvent] = Column(
        "cpu",
        "CPU",
        3,
        lambda event, _: () if event.cpu is None else (Span(str(event.cpu), "dim"),),
        right=True,
        rank=len(leaves) + 2,
        hidden=True,
        value=lambda event, _: event.cpu,
        about="The CPU on which the program ran.",
    )
    return (_TIME, *columns, cpu)


def _field(leaf: Leaf, at: int, *, is_longest: bool, is_named: bool) -> Column[BpfEvent]:
    """Return the column of a member. *is_named*: another one has the command of the process."""
    is_bare = is_named and leaf.field.meaning in ("pid", "tid")

    def cell(event: BpfEvent, _: float) -> Cell:
        name = "" if is_bare else event.names.get(leaf.place(""), "")
        return value_cell(leaf, event.fields, name, "strong" if is_longest else "")

    title = leaf.name or "DATA"
    named = leaf.field.meaning in ("uid", "gid", "pid", "tid", "stack")
    return Column(
        leaf.place("data"),
        title,
        max(_LEAST, min(len(title), _WIDEST)),
        cell,
        right=is_number(leaf.field) and not named,
        rank=at + 2 if not is_longest else 0,
        flexible=is_longest,
        value=lambda event, _: exported(leaf, event.fields),
        about=about(leaf, "event"),
    )


PRINTED_COLUMNS: tuple[Column[Trace], ...] = (
    _TIME,
    Column(
        "program",
        "BY",
        12,
        lambda line, _: () if line.program is None else (Span(line.program.name, "accent"),),
        rank=3,
        value=lambda line, _: None if line.program is None else str(line.program),
        about="The program that printed it.",
    ),
    Column(
        "task",
        "TASK",
        15,
        lambda line, _: (Span(line.task, "dim"),),
        rank=2,
        about="Name of the thread in which that program ran; it need not have to do with the line.",
    ),
    Column(
        "pid",
        "PID",
        7,
        lambda line, _: (Span(str(line.pid), "dim"),),
        right=True,
        rank=4,
        about="Id of that thread's process.",
    ),
    Column(
        "message",
        "MESSAGE",
        28,
        lambda line, _: (Span(line.message, "strong"),),
        flexible=True,
        about="The line, as the program printed it.",
    ),
)


class _OutputFilter(RowFilter[Any]):
    lines: OutputLines

    def apply(self) -> None:
        self.lines.refilter(self.lines.filter_again)

    @property
    def counts(self) -> tuple[int, int, bool]:
        return len(self.lines.view), len(self.lines.view.ring), self.lines.searching


class OutputLines(LogView[Any]):
    """The newest events of one log, or lines."""

    def __init__(self, *, id: str) -> None:
        self._log: Log[Any] = Log()
        self._model = LoadModel()
        super().__init__(self._log.view(), PRINTED_COLUMNS, when=lambda row: row.time, same=repr, id=id)
        self.output_filter = self.row_filter = _OutputFilter(self, PRINTED)
        self.searching = False
        self._described: object = None
        self._texts: dict[str, str] = {}
        """What was typed to filter each log."""
        self.name_shown = ""
        self._measured = 0
        """The end of the rows that widths were measured by."""

    def show_log(self, name: str, log: Log[Any], model: LoadModel) -> None:
        """Show what the filter of *model* matches of its *log*; of the same name: that of another moment."""
        leaves = log.leaves if isinstance(log, EventsLog) else None
        is_refiltered = model.view_filter != self._model.view_filter
        self._model = model
        if log is self._log and self._described == (name, leaves):
            self._view_filter_changed(is_refiltered)
            return
        is_other = self._described is None or self._described != (name, leaves)
        if self.name_shown:
            self._texts[self.name_shown] = self.output_filter.text
        self._log, self._described, self.name_shown = log, (name, leaves), name
        if not is_other:
            self.put_view(self._filtered(log))
            return
        self.columns = PRINTED_COLUMNS if leaves is None else event_columns(leaves)
        self.output_filter.forget()
        self.output_filter.last = None  # it is about other fields
        self.output_filter.language = PRINTED if leaves is None else events_language(leaves)
        if text := self._texts.get(name, ""):
            self.output_filter.text = text
            self.output_filter.query = self.output_filter.language.parse(text)
        self.empty = frozenset()
        self._measured = 0
        self.begin(self._filtered(log))
        self.rearrange()

    def _filtered(self, log: Log[Any]) -> Any:
        view = log.view()
        view.set_filter(self._passes())
        self.searching = view.scan(SCANNED)
        return view

    def _passes(self) -> Callable[[Any], bool | None] | None:
        """Return what decides whether a row is shown; None: all are."""
        query, model = self.output_filter.query, self._model
        if query is None:
            return model.matches if model.view_filter else None
        return lambda row: query.matches(row, self.now) and model.matches(row)

    def filter_again(self) -> None:
        """Show what matches what is typed, and the filter of all panes."""
        self.view.set_filter(self._passes())
        self.searching = self.view.scan(SCANNED)

    def _view_filter_changed(self, changed: bool) -> None:
        if changed:
            self.refilter(self.filter_again)

    def advance(self, now: float) -> None:
        """Show what came."""
        self.now = now
        self.view.advance()
        if self.searching:
            self.searching = self.view.scan(SCANNED)
        self._measure()
        self.sync()
        self.output_filter.news()

    def _measure(self) -> None:
        """Give columns the cells that their newest values need."""
        ring = self.view.ring
        if self.columns is PRINTED_COLUMNS or ring.end == self._measured:
            return
        rows = ring.slice(max(self._measured, ring.end - _MEASURED), ring.end)
        self._measured = ring.end
        wider = {
            key: cells
            for key, cells in fitted(self.columns, rows).items()
            if cells > self.widths.get(key, next(column.width for column in self.columns if column.key == key))
        }
        if wider:
            self.widths |= wider
            self.rearrange()


def event_text(event: BpfEvent, leaves: tuple[Leaf, ...]) -> str:
    """Return an event in one line, for the clipboard."""
    return " ".join(
        f"{leaf.name or 'data'}={worded(leaf.field, leaf.read(event.fields), event.names.get(leaf.place(''), ''))}"
        for leaf in leaves
    )
