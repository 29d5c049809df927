"""One system call: its latency as a histogram and over time, its errors, its callers, and its traced calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from ebpftop.core.format import at_least, count, nanoseconds, per_second, share
from ebpftop.core.records import Handler, Syscall
from ebpftop.filters import kinds
from ebpftop.filters.kinds import Number
from ebpftop.filters.query import Field, Language
from ebpftop.models.callers import Caller
from ebpftop.models.program_fields import ERRNO
from ebpftop.models.ring import View
from ebpftop.models.subject import Subject, subject_of_event
from ebpftop.models.syscall_fields import CALLERS
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.models.traced_paths import PATHS, PathCalls, TracedPaths, has_paths, traced_paths
from ebpftop.ui.panes.common import thread
from ebpftop.ui.panes.figure_columns import (
    bar_column,
    count_column,
    failed_share_column,
    share_column,
    time_column,
)
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.syscall_lists import ProcessScreen
from ebpftop.ui.screens.traced_lines import SCANNED, TracedLines
from ebpftop.ui.widgets.columns import Cell, Column, Span, without_middle
from ebpftop.ui.widgets.heatmap import TicksMap
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Bucket:
    """Calls that took 2**power <= ns < 2**(power + 1), those that failed, and their share of all that returned."""

    power: int
    calls: int
    failed: int
    part: float
    of_peak: float

    def bar(self, cells: int) -> Cell:
        """Return the bar, *cells* at the peak; its end are the calls that failed.

        One failure is a cell of a longer bar. A bar of one cell looks as most of the calls ended.
        """
        whole = math.ceil(self.of_peak * cells)
        failed = (2 * self.failed * whole + self.calls) // (2 * self.calls) if self.calls else 0
        if self.failed and whole > 1:
            failed = max(1, failed)
        return (Span(RETURNED * (whole - failed), "bar"), Span(FAILED * failed, "bad"))


@dataclass(frozen=True)
class Failure:
    """An error by name, its count, and its share of all calls."""

    name: str
    count: int
    part: float


SHORT = 20
"""Lines of a terminal below which there is no room for all parts."""

RETURNED, FAILED = "█▒"

PATHS_HINT = "T traces it and shows which paths"

Handle: TypeAlias = Callable[[Call, Handler], None]
"""Requests that the kernel handles a call so; if it does already, as at the start."""

FAILURES: Language[Failure] = Language(
    (
        Field("errno", ERRNO, lambda f, _: (None, f.name), "", ("ret",)),
        Field("times", Number(), lambda f, _: f.count, "", ("count",)),
        Field("rate", kinds.share(), lambda f, _: f.part, "share of all calls"),
    ),
    lambda f: f.name,
)


def histogram(call: Call) -> list[Bucket]:
    """Return the buckets from the first to the last that hold a call, the fastest first."""
    buckets = call.buckets(last=False)
    total = sum(buckets)
    if not total:
        return []
    failed = dict(enumerate(call.failed_buckets()))
    used = [i for i, n in enumerate(buckets) if n]
    peak = max(buckets)
    return [
        Bucket(i, buckets[i], failed.get(i, 0), buckets[i] / total, buckets[i] / peak)
        for i in range(used[0], used[-1] + 1)
    ]


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
        Binding("T", "handle('trace')", "Trace", tooltip="Trace this call with its arguments; and back", id="call.T"),
        Binding("i", "handle('ignore')", "Ignore", tooltip="Neither count nor time this call; and back", id="call.i"),
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
        self.callers: TableView[Caller] = TableView(
            (
                Column(
                    "comm",
                    "PROCESS",
                    15,
                    _comm,
                    sort=lambda c: c.comm,
                    about="A process that makes this call; others: those beyond the busiest, together.",
                ),
                Column("pid", "PID", 8, _pid, right=True, rank=2, about="Process id."),
                bar_column(
                    lambda c: c.count,
                    lambda: self._most,
                    width=4,
                    rank=3,
                    about="CALLS as a bar: the process that makes it most often fills it.",
                ),
                count_column(
                    "count", "CALLS", 7, lambda c: c.count, rank=1, about="How often the process made this call."
                ),
                time_column(
                    "time",
                    "TIME",
                    6,
                    lambda c: c.total_ns,
                    rank=0,
                    about="Time that its threads spent in this call, waiting included. –: unknown.",
                    exported="time_ns",
                ),
                time_column(
                    "max",
                    "MAX",
                    5,
                    lambda c: c.max_ns,
                    rank=3,
                    about="The longest of these. –: unknown, or one before those that are counted was longer.",
                    exported="max_ns",
                ),
                failed_share_column(
                    "errors",
                    lambda c: c.errors / c.count if c.count else 0.0,
                    rank=2,
                    about="Share of these that returned an error, in percent; red from 50%.",
                    exported="failed_share",
                ),
            ),
            key_of=lambda c: (c.pid, c.start),
            sort="time",
            language=CALLERS,
            id="callers",
        )
        self.paths: TableView[PathCalls] = TableView(
            (
                Column(
                    "path",
                    "TRACED PATH",
                    14,
                    lambda p, _: (Span(p.path, "strong"),),
                    flexible=True,
                    fill=lambda p, width: (Span(without_middle(p.path, width), "strong"),),
                    sort=lambda p: p.path,
                    about="The first path of the newest 1,000 traced calls; of others none is known.",
                ),
                count_column("calls", "CALLS", 6, lambda p: p.calls, about="How many of the traced calls have it."),
                count_column(
                    "failed", "FAILED", 6, lambda p: p.failed, rank=1, about="How many of these returned an error."
                ),
            ),
            key_of=lambda p: p.path,
            sort="calls",
            language=PATHS,
            id="paths",
        )
        self.buckets: TableView[Bucket] = TableView(
            (
                Column(
                    "from",
                    "LATENCY",
                    13,
                    _range,
                    right=True,
                    about="Calls that took from the first time up to the second; each line is twice the one above.",
                ),
                count_column(
                    "calls",
                    "CALLS",
                    6,
                    lambda b: b.calls,
                    rank=1,
                    sorts=False,
                    about="How many calls took so long.",
                ),
                share_column(
                    "part",
                    "",
                    5,
                    lambda b: b.part,
                    rank=2,
                    about="Their share of all calls that returned, in percent.",
                ),
                Column(
                    "bar",
                    f"{RETURNED} all {FAILED} failed",
                    14,
                    flexible=True,
                    fill=Bucket.bar,
                    about="CALLS as a bar: the most frequent latency fills it. Its end are the calls that failed.",
                ),
            ),
            key_of=lambda b: b.power,
            sort="",
            id="buckets",
        )
        self.heat = TicksMap(id="heat")
        self.failures: TableView[Failure] = TableView(
            (
                Column(
                    "name",
                    "ERROR",
                    9,
                    lambda f, _: (Span(f.name, "bad"),),
                    flexible=True,
                    widest=16,
                    sort=lambda f: f.name,
                    about="The error that the call returned, by name; errno(3) lists them.",
                ),
                count_column("count", "TIMES", 6, lambda f: f.count, about="How often it was returned."),
                share_column(
                    "part", "OF ALL", 6, lambda f: f.part, rank=1, about="Its share of all calls, in percent."
                ),
                Column(
                    "path",
                    "TRACED MOST",
                    11,
                    flexible=True,
                    rank=2,
                    fill=self._failing_path,
                    about="The path for which the newest 1,000 traced calls returned it most often.",
                ),
            ),
            key_of=lambda f: f.name,
            sort="count",
            language=FAILURES,
            id="failures",
        )
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
        calls = max(1, call.count(last=False))
        failed = [Failure(name, n, n / calls) for name, n in call.errnos().items()]
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
            self.app.push_screen(ready(self.app, ProcessScreen).fill_with(self.model, (caller.pid, caller.start)))


def _figures(call: Call, *, short: bool, quantiles: tuple[int, ...]) -> Content:
    """Build the line of figures."""
    fails, calls = call.errors(last=False), call.count(last=False)
    number = count if short else "{:,}".format
    parts: list[tuple[str, str]] = [(number(calls), "bold"), (" calls  ", "$dim")]
    parts += [(per_second(call.rate), "bold"), ("/s  ", "$dim")]
    if calls:
        parts += [(number(fails), "$error bold" if fails else "bold"), (" failed", "$dim")]
        parts += [(f" {share(fails / calls)}" if fails else "", "")]
    for name, value in (
        *((f"p{q}", call.quantile(q / 100, last=False)) for q in quantiles),
        ("max", call.longest(last=False)),
    ):
        parts += [(f"  {name} ", "$dim"), (nanoseconds(value), "bold")]
    return Content.assemble(*parts)


def _facts(call: Call, model: SyscallsModel, width: int, hint: str) -> Content:
    """Build the two lines on top, the first no wider than *width* if possible; *hint* says what a key would show."""
    for short, quantiles in ((False, (50, 90, 99)), (True, (50, 90, 99)), (True, (50, 99))):
        first = _figures(call, short=short, quantiles=quantiles)
        if first.cell_length <= width:
            break
    handler = model.handler(call)
    waits = sorted((w for w in model.in_flight if (w.abi, w.nr) == call.key), key=lambda w: -w.ns)
    second: list[tuple[str, str]] = [
        ("handler: ", "$dim"),
        (handler, "$warning" if handler == "trace" else ""),
        (f"  {hint}" if hint else "", "$dim"),
        (f"  counted {model.baseline.text}" if model.baseline else "", "$dim"),
    ]
    if waits:
        second += [(f"  {len(waits)} in it now: ", "$dim")]
        second += [(f"{thread(w)} {at_least(w.ns, lower_bound=w.before)} ", "$warning") for w in waits[:4]]
    return Content("\n").join([first, Content.assemble(*second)])


def _range(bucket: Bucket, _: float) -> Cell:
    return (
        Span(f"{nanoseconds(2**bucket.power):>5}", ""),
        Span(f" … {nanoseconds(2 ** (bucket.power + 1)):>5}", "dim"),
    )


def _pid(caller: Caller, _: float) -> Cell:
    return (Span(str(caller.pid) if caller.pid is not None else "", "dim"),)


def _comm(caller: Caller, _: float) -> Cell:
    return (Span(caller.comm, "strong" if caller.pid is not None else "dim"),)
