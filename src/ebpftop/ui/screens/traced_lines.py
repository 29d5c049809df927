"""The log of traced calls, as strace writes them."""

from __future__ import annotations

from ebpftop.core.format import nanoseconds
from ebpftop.core.syscall_records import Syscall
from ebpftop.models.baseline import CallKey
from ebpftop.models.syscall_fields import traced_language
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.panes.common import clock, narrow_time
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_filter import RowFilter

SCANNED = 5000
"""Traced calls that are searched in one go."""

_RESULT = 12
"""Cells of the column of results."""

RETURN_ADDRESSES = frozenset(("brk", "mmap", "mmap2", "mremap", "shmat"))


def _who(call: Syscall, _: float) -> Cell:
    return (Span(call.comm, "accent"), Span(f"[{call.pid}]", "dim"))


def _thread(call: Syscall, _: float) -> Cell:
    return (Span(str(call.tid), "dim"),) if call.tid not in (0, call.pid) else ()


def is_plain(arg: str) -> bool:
    """Return whether an argument says little: no pointer, or one to something that was not read."""
    return arg == "NULL" or arg.startswith("0x")


def _call(call: Syscall, _: float) -> Cell:
    spans = [Span(call.name, "strong"), Span("(")]
    for at, arg in enumerate(call.args):
        spans.append(Span(f", {arg}" if at else arg, "dim" if is_plain(arg) else ""))
    if _is_long(call):
        return (*spans, Span(")"), Span(" = ", "dim"), Span(call.result or ""))
    return (*spans, Span(")"))


def _is_long(call: Syscall) -> bool:
    """Return whether a column of results has no room for this one in words."""
    return call.result is not None and len(call.result) > _RESULT - len("= ")


def result_of(call: Syscall, _: float) -> Cell:
    """Return what a call returned, as strace writes it."""
    if call.ret is None:
        return (Span("= ?", "dim"), Span(" no return", "dim"))
    if call.error:
        return (Span("= -1 " if call.ret > -512 else "= ? ", "dim"), Span(call.error, "bad"))
    if call.result is not None:
        return (Span("= ", "dim"), Span(call.result))
    return _number(call)


def _number(call: Syscall) -> Cell:
    assert call.ret is not None
    plain = -4096 < call.ret < 1 << 32 and call.name not in RETURN_ADDRESSES
    return (Span("= ", "dim"), Span(str(call.ret) if plain else hex(call.ret & (1 << 64) - 1)))


_COLUMNS: tuple[Column[Syscall], ...] = (
    Column(
        "time",
        "TIME",
        12,
        lambda s, now: clock(s.time, now),
        rank=2,
        about="When it returned: time of day, and the date if that is not today.",
        narrow=narrow_time(lambda s: s.time),
    ),
    Column("who", "PROCESS", 20, _who, rank=1, about="Name and pid of the process."),
    Column(
        "tid",
        "TID",
        8,
        _thread,
        right=True,
        rank=3,
        about="Id of the thread, if it is not the process's first one.",
    ),
    Column("call", "CALL", 30, _call, flexible=True, about="The call with its arguments, as strace writes them."),
    Column(
        "ret",
        "RESULT",
        _RESULT,
        lambda s, now: _number(s) if _is_long(s) else result_of(s, now),
        rank=0,
        about="What it returned: a number, or the error (red). = ?: no value reached the program.",
    ),
    Column(
        "ns",
        "LATENCY",
        7,
        lambda s, _: (Span(nanoseconds(s.ns), "dim"),),
        right=True,
        rank=1,
        about="How long it took: ns, µs, ms or s.",
    ),
)


class _TracedFilter(RowFilter[Syscall]):
    lines: TracedLines

    def apply(self) -> None:
        self.lines.refilter(self.lines.filter_again)

    @property
    def counts(self) -> tuple[int, int, bool]:
        return len(self.lines.view), len(self.lines.view.ring), self.lines.searching


class TracedLines(LogView[Syscall]):
    """The traced calls of a model that match its filter, or those of one call alone."""

    def __init__(self, *, id: str | None = None) -> None:
        self._model = SyscallsModel()
        self._key: CallKey | None = None
        super().__init__(self._model.traced_view(), _COLUMNS, id=id)
        self.traced_filter = self.row_filter = _TracedFilter(self, traced_language(lambda: self._model.processes))
        self.searching = False
        """There are older calls which have not been searched yet."""

    def show_calls(self, model: SyscallsModel, key: CallKey | None = None) -> None:
        """Show the calls of *model*, the newest first, older ones in steps: there may be a hundred thousand others."""
        self._model, self._key = model, key
        self.traced_filter.forget()
        self.begin(model.traced_view(key))
        self.searching = self.view.scan(SCANNED)

    def filter_again(self) -> None:
        """Show what matches what is typed."""
        self._model.filter_traced(self.view, self._key, self.traced_filter.query)
        self.searching = self.view.scan(SCANNED)

    def search(self) -> bool:
        """Search older calls if there are any; return whether there were."""
        if not self.searching:
            return False
        self.searching = self.view.scan(SCANNED)
        return True

    def advance(self, nothing: str) -> None:
        """Show the new calls, or *nothing* if there are none."""
        self.view.advance()
        typed = self.traced_filter.nothing_text
        self.message = [] if len(self.view) else [Span(typed or nothing, "dim")]
        self.sync()
        self.traced_filter.news()
