"""The output: what the command of `ebpftop run` prints."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from ebpftop.core.format import counted
from ebpftop.core.source import Source
from ebpftop.models.output import Output, OutputLog
from ebpftop.models.subject import Subject
from ebpftop.ui.panes.common import clock, date_and_time, moment, narrow_time
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.panes.title import Count
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.sheet import Sheet
from ebpftop.ui.words import Mark

_MARK = 2
"""Cells before a line, for the sign of the cursor."""


def _ended_words(how: str) -> str:
    """Return how the command ended as words that stand for themselves; a signal's do so already."""
    return how if how.startswith("ended ") else f"ended, {how}"


def _text(row: Output) -> Cell:
    if row.part == "lost":
        return (Span(f"… {counted(row.line, 'line')} lost: faster than can be shown", "warn"),)
    if row.part == "end":
        return (Span(_ended_words(row.text), "dim" if row.text.startswith("exit 0 ") else "bad"),)
    return (Span(row.text),)


COLUMNS: tuple[Column[Output], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda o, now: clock(o.time, now),
        rank=1,
        hidden=True,
        value=lambda o, _: moment(o.time),
        narrow=narrow_time(lambda o: o.time),
        about="When it was read: time of day, and the date if that is not today.",
    ),
    Column(
        "line",
        "LINE",
        7,
        lambda o, _: (Span(str(o.line) if o.part in ("line", "open") else "", "dim"),),
        rank=2,
        right=True,
        hidden=True,
        value=lambda o, _: o.line,
        about="Number of the line, from 1.",
    ),
    Column("text", "TEXT", 40, lambda o, _: _text(o), flexible=True, about="The line, as the command printed it."),
)


class OutputPane(LogPane[Output]):
    """What a command prints, line by line."""

    probe = "output"
    label = "Output"
    empty_text = "The command has printed nothing"
    about = (
        "What the command of `ebpftop run` prints, on stdout and stderr, which are a terminal of its own. That can "
        "print lines and nothing else (TERM is dumb): colours are left out, a progress bar is one line that changes, "
        "other control characters are escaped. The command has nothing on its stdin, and no keyboard. If it prints "
        "faster than this can be shown, older lines are lost, and counted.\n"
        "It ends with a line that says how the command ended; then q leaves with its exit status. q before that asks "
        "what is to become of the command; Ctrl-C sends it SIGINT."
    )
    marks = (
        Mark("ended, exit 3", "how the command ended, and after which time", "bad"),
        Mark("… 12k lines lost", "so many lines came too fast, in this place", "warn"),
    )
    counted_as = "line"
    extra_probes = ()
    columns = COLUMNS
    model_type = OutputLog
    has_header = False
    model: OutputLog

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.sized: Callable[[int, int], None] = lambda columns, rows: None
        """Called with the columns and rows that lines have: the size of the command's terminal."""
        self._told_size = (0, 0)

    def on_resize(self) -> None:
        size = (max(1, self.content_size.width - _MARK), max(1, self.content_size.height))
        if size != self._told_size and self.display:
            self._told_size = size
            self.sized(*size)

    def identity(self, event: Output) -> Hashable:
        return event.part, event.line, event.time

    def subject(self, row: Output) -> Subject | None:
        return None

    def copies(self, event: Output) -> str:
        return event.text

    def title_of(self, event: Output) -> str:
        return f"Line {event.line:,}" if event.part in ("line", "open") else "Output"

    def sheet(self, event: Output) -> Sheet:
        sheet = Sheet()
        sheet.heading("What the command printed" if event.part in ("line", "open") else "Output")
        sheet.fact("time", date_and_time(event.time))
        if event.part in ("line", "open"):
            sheet.fact("line", f"{event.line:,}")
        sheet.heading("Text")
        sheet.line(("".join(span.text for span in _text(event)), ""))
        return sheet

    def tab_count(self) -> Span:
        if not self.model.ended:
            return super().tab_count()
        how = self.model.ended.partition(" after ")[0]
        return Span(how, "dim" if how == "exit 0" else "bad")

    def title_counts(self) -> Sequence[Count]:
        model = self.model
        ended = [Count(_ended_words(model.ended), -1)] if model.ended else []
        newest = self.newest_text(len(model.ring), model.ring.first)
        lines = [Count(f"{self.shown_of_all()}{newest}{counted(model.lines, 'line')}")] if model.lines else []
        return (*ended, *lines)
