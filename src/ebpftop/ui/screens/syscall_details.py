"""One system call: its latency as a histogram and over time, its errors, its callers, and its traced calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from ebpftop.core.escape import escape
from ebpftop.core.format import at_least, count, nanoseconds, per_second, share
from ebpftop.core.syscall_records import Handler, Syscall
from ebpftop.models.baseline import failed_share
from ebpftop.models.callers import Caller
from ebpftop.models.ring import View
from ebpftop.models.subject import Subject, subject_of_call, subject_of_event
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.models.traced_paths import TracedPaths, has_paths, traced_paths
from ebpftop.ui.panes.common import thread
from ebpftop.ui.screens.call_tables import (
    RETURNED,
    Failure,
    buckets_table,
    callers_table,
    failures_table,
    histogram,
    paths_table,
)
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.syscall_lists import ProcessScreen
from ebpftop.ui.screens.traced_lines import SCANNED, TracedLines
from ebpftop.ui.widgets.columns import Cell, Span, without_middle
from ebpftop.ui.widgets.heatmap import TicksMap
from ebpftop.ui.widgets.row_steps import RowSteps
from ebpftop.ui.widgets.row_view import RowView

if TYPE_CHECKING:
    from typing_extensions import Self


SHORT = 20
"""Lines of a terminal below which there is no room for all parts."""

PATHS_HINT = "T traces it and shows which paths"

Handle: TypeAlias = Callable[[Call, Handler], None]
"""Requests that the kernel handles a call so; if it does already, as at the start."""


class SyscallScreen(LiveScreen):
    """Everything known about one call, live. Enter on a process lists its calls."""

    watches = frozenset(("callers",))
    label = "One system call"
    about = (
        "Its latency as a histogram and as a heat map (time to the right, latency upwards, brighter: more calls), its "
        "errors, the processes that make it, and each call of it if it is traced: then also the paths of the newest "
        "1,000 traced calls. Of calls that were not traced no path is known."
    )
    headings: ClassVar[Mapping[str, str]] = {
        "buckets": "Latency",
        "callers": "Processes",
        "failures": "Errors",
        "paths": "Traced paths",
        "traced": "Traced calls",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "app.trace", "Trace", tooltip="Trace this call: asks when, and stops it", id="T"),
        Binding("i", "handle('ignore')", "Ignore", tooltip="Neither count nor time this call; and back", id="i"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.call: Call
        self._handle: Handle
        self._live = False
        self._most = 0
        self._path_view: View[Syscall]
        self._paths = TracedPaths()

    def fill_with(self, model: SyscallsModel, call: Call, handle: Handle, *, live: bool) -> Self:
        """Show *call* when this screen is pushed the next time; *handle* requests another handler, if it is *live*."""
        self.call, self._handle, self._live = call, handle, live
        return self.fill(model)

    def show_row(self, row: Call) -> None:
        self.call = row

    def action_handle(self, handler: Handler) -> None:
        """Set the handler of the call; if it is set already, restore the handler of the start."""
        self._handle(self.call, handler)
        self._shown = None
        self.update_if_changed()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """Leave out the map over time if there is no room for it beside tables of a few rows."""
        self.set_class(self.app.size.height < SHORT, "-short")

    @property
    def subject(self) -> Subject | None:
        if self.traced.has_focus:
            call = self.traced.selected()
            return subject_of_event("syscall", call) if call is not None else None
        caller = self.callers.selected()
        if caller is None:
            return None
        return Subject("process", caller.comm, caller.pid, start_ns=caller.start)

    @property
    def topic(self) -> tuple[Subject | None, str]:
        return self._subject_of_call, self.call.row.name

    @property
    def _subject_of_call(self) -> Subject:
        return subject_of_call(self.call.row.name, *self.call.key, self.model.conditions(self.call.key))

    @property
    def traceable(self) -> Subject | None:
        """The call; with the error, the path, or the process under the cursor of the list with the focus."""
        subject = self._subject_of_call
        if self.failures.has_focus and (failure := self.failures.selected()) is not None:
            return replace(subject, kind="error", error=failure.name)
        if self.paths.has_focus and (path := self.paths.selected()) is not None:
            return replace(subject, kind="path", text=path.path)
        if self.callers.has_focus and (caller := self.callers.selected()) is not None and caller.pid is not None:
            return replace(subject, comm=caller.comm, pid=caller.pid)
        return subject

    def begin(self) -> None:
        self._fit()
        for table in (self.callers, self.paths, self.buckets, self.failures):
            table.begin()
        self._path_view = self.model.traced_view(self.call.key)
        self.traced.show_calls(self.model, self.call.key)
        self.heat.show(())
        self.set_focus(self.callers)

    def let_go(self) -> None:
        super().let_go()
        self.traced.show_calls(self.model)

    def update_if_changed(self) -> None:
        if self.traced.search() or self._path_view.scan(SCANNED):
            self._shown = None
        super().update_if_changed()

    def contents(self) -> ComposeResult:
        self.facts = Static("", classes="call-facts", markup=False)
        self.callers = callers_table(lambda: self._most)
        self.paths = paths_table()
        self.buckets = buckets_table()
        self.heat = TicksMap(id="heat")
        self.failures = failures_table(self._failing_path)
        self.traced = TracedLines(id="traced")
        yield self.facts
        with Horizontal(classes="call-latency"):
            yield self.buckets
            yield self.failures
        yield self.heat
        with Horizontal(classes="call-callers"):
            yield self.callers
            yield self.paths
        yield self.traced

    def title_text(self) -> str:
        row = self.call.row
        return f"{row.name} · {row.abi} {row.nr}"

    def _failing_path(self, failure: Failure, width: int) -> Cell:
        path = self._paths.of_error.get(failure.name)
        return (Span("–", "dim") if path is None else Span(without_middle(path, width)),)

    def _show_paths(self) -> bool:
        """Show the paths of the traced calls if there are any, or may be; return whether tracing would show some."""
        with_paths, is_traced = has_paths(self.call.row.abi, self.call.row.name), self._is_traced
        self._path_view.advance()
        self._paths = traced_paths(self._path_view) if with_paths else TracedPaths()
        shows = with_paths and (is_traced or bool(self._paths.calls))
        if self.paths.display is not shows:
            self.paths.display = shows
        # It was reset when the screen was opened.
        hidden = self.failures.hidden - {"path"} if shows else self.failures.hidden | {"path"}
        if hidden != self.failures.hidden:
            self.failures.hidden = hidden
            self.failures.rearrange()
        self.paths.message = [] if self._paths.paths else [Span("no traced call yet", "dim")]
        self.paths.show_rows(self._paths.paths)
        return with_paths and not is_traced and self._live

    @property
    def _is_traced(self) -> bool:
        return self.model.handler(self.call) == "trace"

    def show(self) -> None:
        call, model = self.call, self.model
        hint = PATHS_HINT if self._show_paths() else ""
        self.facts.update(_facts(call, model, self.facts.content_size.width, hint))
        rows = model.callers(call.key)
        self._most = max((caller.count for caller in rows), default=0)
        self.callers.message = [] if rows else [Span("no process is known", "dim")]
        self.callers.show_rows(rows)
        buckets = histogram(call)
        # Older recordings do not say how long those that failed took.
        apart = call.row.failed_histogram_ns or not call.errors(last=False)
        self.buckets.scales = {} if apart else {"bar": f"{RETURNED} all"}
        self.buckets.message = [] if buckets else [Span("none has returned", "dim")]
        self.buckets.show_rows(buckets)
        self.heat.show(model.ticks(call))
        calls = call.count(last=False)
        failed = [Failure(name, n, failed_share(n, calls)) for name, n in call.errnos().items()]
        self.failures.message = [] if failed else [Span("none has failed", "dim")]
        self.failures.show_rows(failed)
        self.traced.advance("no call yet")
        has_some = len(self.traced.view) > 0 or self.traced.traced_filter.query is not None
        self.traced.display = self._is_traced or has_some

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        if event.lines is not self.callers:
            return
        caller: Caller = event.row
        if caller.pid is None:
            self.app.notify("Only the busiest processes are listed individually")
        else:
            screen = ready(self.app, ProcessScreen).fill_with(self.model, (caller.pid, caller.start))
            self.app.push_screen(screen.beside(RowSteps(self.callers)))


def _figures(call: Call, *, short: bool, quantiles: tuple[int, ...]) -> Content:
    """Build the line of figures."""
    fails, calls = call.errors(last=False), call.count(last=False)
    number = count if short else "{:,}".format
    parts: list[tuple[str, str]] = [(number(calls), "bold"), (" calls  ", "$dim")]
    parts += [(per_second(call.rate), "bold"), ("/s  ", "$dim")]
    if calls:
        parts += [(number(fails), "$error bold" if fails else "bold"), (" failed", "$dim")]
        parts += [(f" {share(call.failure_rate(last=False))}" if fails else "", "")]
    for name, value in (
        *((f"p{q}", call.quantile(q / 100, last=False)) for q in quantiles),
        ("max", call.longest(last=False)),
    ):
        parts += [(f"  {name} ", "$dim"), (nanoseconds(value), "bold")]
    return Content.assemble(*parts)


def _handled(handler: Handler, conditions: tuple[str, ...]) -> list[tuple[str, str]]:
    """Say what the kernel does with the call, and on which condition it is traced."""
    if handler != "trace":
        return [("handler: ", "$dim"), (handler, "")]
    return [("traced: ", "$warning"), (escape(", ".join(conditions)) or "all", "$warning bold")]


def _facts(call: Call, model: SyscallsModel, width: int, hint: str) -> Content:
    """Build the two lines on top, the first no wider than *width* if possible; *hint* says what a key would show."""
    for short, quantiles in ((False, (50, 90, 99)), (True, (50, 90, 99)), (True, (50, 99))):
        first = _figures(call, short=short, quantiles=quantiles)
        if first.cell_length <= width:
            break
    handler = model.handler(call)
    waits = sorted((w for w in model.in_flight if (w.abi, w.nr) == call.key), key=lambda w: -w.ns)
    second: list[tuple[str, str]] = [
        *_handled(handler, model.conditions(call.key)),
        (f"  {hint}" if hint else "", "$dim"),
        (f"  counted {model.baseline.text}" if model.baseline else "", "$dim"),
    ]
    if waits:
        second += [(f"  {len(waits)} in it now: ", "$dim")]
        second += [(f"{thread(w)} {at_least(w.ns, lower_bound=w.before)} ", "$warning") for w in waits[:4]]
    return Content("\n").join([first, Content.assemble(*second)])
