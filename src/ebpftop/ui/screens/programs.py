"""All eBPF programs of the machine, whoever loaded them, and what they cost. Run statistics are on while it is open."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core.clock import time_text
from ebpftop.core.format import brief, count, fine_share, size
from ebpftop.core.source import Source
from ebpftop.models.bpf_fields import BPF_PROGRAMS
from ebpftop.models.programs import Program, ProgramsModel
from ebpftop.models.subject import Subject, subject_of_bpf
from ebpftop.models.subset import Kind
from ebpftop.ui.panes.bpf_columns import ID_WIDTH, OWN, bpf_columns, exported, sign
from ebpftop.ui.panes.bpf_details import bpf_sheet
from ebpftop.ui.screens.going import GoController
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.over_time import TIME_KEYS
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.screens.row_actions import RowController
from ebpftop.ui.widgets.columns import Shown, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_steps import beside
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.sheet_title import SheetTitle
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

_RECORDS_THEM = "ebpftop record FILE --probes execs,programs"
_BETWEEN = " · "

_MARGIN = 6
"""Cells beside a line that it leaves free."""


class Below(Protocol):
    """What this screen asks of the main one, which is below it."""

    source: Source
    programs: ProbeFeed
    playback: PlaybackController
    going: GoController
    rows: RowController

    def pick_columns(self, lines: RowView[Any], label: str) -> None:
        """Let the columns of *lines* be chosen."""

    async def save(self, kind: Kind, label: str, name: str, rows: Shown[Any]) -> None:
        """Ask where to save the history, or *rows*."""

    def action_pause(self) -> None:
        """Freeze, or go on."""

    def action_seek(self, seconds: float) -> None:
        """Show another moment."""

    def action_present(self) -> None:
        """Return to the present."""

    def action_mark(self, step: int) -> None:
        """Show the moment of the next mark, or of the one before."""


class ProgramsScreen(LiveScreen):
    """The table of all programs, and a line of their total."""

    label = "Programs"
    about = (
        "Every eBPF program of the machine, whoever loaded it, and what it costs: the busiest first. * marks ebpftop's "
        "own; + one that was loaded a moment ago, - one that is gone. The kernel counts runs and times only while it "
        "is asked to, which costs each run of each program a little; ebpftop asks for it while this is open, and "
        "while a recording or a stream has the probe programs. Enter shows all about a program, its maps too.\n"
        "The last line is the total. Its CPU has programs too that ended since the reading before."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *TIME_KEYS,
        Binding("P", "dismiss", "Close", show=False, id="programs.close"),
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="programs.columns"),
        Binding("y", "copy", "Copy", show=False, tooltip="Send its name to the clipboard", id="programs.copy"),
        Binding("ctrl+s", "save('recording')", "Save", show=False, tooltip="Save the history", id="programs.save"),
        Binding("E", "save('csv')", "Export", show=False, tooltip="These rows as CSV or JSON", id="programs.export"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._main: Below
        self._peak = 0.0

    def fill_with(self, main: Below) -> Self:
        """Show what *main* has of the moment that it shows, when this screen is pushed the next time."""
        self._main = main
        self.filled()
        return self

    @property
    def programs(self) -> ProgramsModel:
        """The programs at the moment that is shown."""
        model = self._main.programs.model
        assert isinstance(model, ProgramsModel)
        return model

    @property
    def now(self) -> float:
        """When what is shown was read."""
        latest = self.programs.latest
        return latest.time if latest is not None else 0.0

    @property
    def subject(self) -> Subject | None:
        program = self.table.selected()
        return subject_of_bpf(program.row, self.now) if program is not None else None

    @property
    def topic(self) -> tuple[Subject | None, str]:
        program = self.table.selected()
        return self.subject, self.label if program is None else self._details(program).title

    def contents(self) -> ComposeResult:
        self.table: TableView[Program] = TableView(
            bpf_columns(lambda: self._peak),
            key_of=lambda program: program.id,
            sort="cpu",
            mark=lambda program: sign(program, self.now),
            language=BPF_PROGRAMS,
        )
        self.total = PaneFooter()
        yield self.table
        yield self.total

    def begin(self) -> None:
        order = self.table.sort_key, self.table.reversed
        self.table.begin()
        self.table.sort_key, self.table.reversed = order
        self.set_focus(self.table)
        self._main.programs.open()

    def let_go(self) -> None:
        super().let_go()
        self._main.programs.close()

    def on_resize(self) -> None:
        if not self.is_closed:
            self.update_if_changed()

    def state(self) -> Hashable:
        feed, playback = self._main.programs, self._main.playback
        probe = feed.state(playback.overview)
        shown = id(feed.model), self.programs.readings, self.table.row_filter and self.table.row_filter.query
        return *shown, playback.paused, feed.doing, feed.trouble, probe, self.app.size

    def show(self) -> None:
        model = self.programs
        programs = model.programs
        self._peak = max((rates.cpu for one in programs for rates in one.usage.history), default=0.0)
        self.table.scales = {"trend": f"log≤{fine_share(self._peak)}"} if self._peak else {}
        self.table.now = self.now
        self.table.message = [] if programs else self._message()
        self._fit_ids(programs)
        self.table.show_rows(programs)
        self.total.set_text(_fitting(self._total(), self.app.size.width - _MARGIN))

    def _fit_ids(self, programs: Sequence[Program]) -> None:
        """Give the ids the cells that they need: they grow with each program that is loaded until the machine boots."""
        cells = len(str(max((program.id for program in programs), default=0)))
        if cells > self.table.widths.get("id", ID_WIDTH):
            self.table.widths["id"] = cells
            self.table.rearrange()

    # What is said about them.

    def show_title(self, line: SheetTitle) -> None:
        right = [Span(self._state_text(), "dim")]
        if self._main.playback.paused:
            right.append(Span(f"  PAUSED {time_text(self._main.playback.moment_or_shown)}", "bad"))
        elif self.now:
            right.append(Span(f"  {time_text(self.now)}", "dim"))
        room = self.app.size.width - sum(cell_len(span.text) for span in right) - _MARGIN
        parts = [[Span(part)] for part in self._parts()]
        head = [Span(self.label, "name"), Span("  ")]
        line.set_text([*head, *_fitting(parts, room - cell_len(self.label))], right)

    def _parts(self) -> list[str]:
        """Return what the title says, the most important first."""
        model = self.programs
        latest, shares = model.latest, model.shares
        if latest is None:
            return []
        row_filter = self.table.row_filter
        shown = f"{self.table.end} of " if row_filter is not None and row_filter.query is not None else ""
        parts = [f"{shown}{latest.machine.programs} loaded"]
        if shares is not None:
            parts += [f"{brief(shares.all.runs)} runs/s", f"{fine_share(shares.all.cpu)} of one CPU"]
        return [*parts, f"maps {size(latest.machine.map_bytes)}"]

    def _state_text(self) -> str:
        feed = self._main.programs
        state, latest = feed.state(self._main.playback.overview), self.programs.latest
        if feed.doing:
            return f"{feed.doing} …"
        if state is not None and state.state == "off":
            return "stats off"
        if latest is None:
            return ""
        return {None: "no run statistics", "sysctl": "stats on (sysctl)"}.get(latest.stats, "stats on")

    def _total(self) -> list[list[Span]]:
        """Return the parts of the last line, the most important first."""
        latest, shares = self.programs.latest, self.programs.shares
        if latest is None:
            return []
        whole = [Span(f"all {latest.machine.programs} "), Span("–", "dim")]
        if shares is None:
            return [whole, [Span("the kernel does not count runs", "warn")]] if latest.stats is None else [whole]
        misses = latest.machine.misses
        return [
            [whole[0], Span(fine_share(shares.all.cpu), "strong")],
            [Span(f"ours ({OWN}) "), Span(fine_share(shares.own.cpu), "strong")],
            [Span("the others "), Span(fine_share(shares.others.cpu), "strong")],
            [Span("misses "), Span(count(misses), "warn") if misses else Span("·", "dim")],
        ]

    def _message(self) -> list[Span]:
        """Return why there is no program."""
        feed, live = self._main.programs, self._main.source.live
        state = feed.state(self._main.playback.overview)
        if not feed.is_available:
            return [Span("The probe programs was not asked for with --probes", "warn")]
        if feed.trouble:
            return [Span(feed.trouble, "bad"), Span("! shows what happened; P again tries once more", "dim")]
        if state is not None and state.state == "failed":
            remedy = [Span(state.remedy, "strong")] if state.remedy else []
            return [Span("The probe programs could not start", "bad"), Span(state.reason or "", "warn"), *remedy]
        if self._main.playback.is_past:
            return [Span("No program was read at this moment", "dim"), Span("l: back to live", "dim")]
        if not live or self._main.playback.piped:
            none = "The recording has no eBPF programs so far. To record them:"
            return [Span(none, "dim"), Span(_RECORDS_THEM, "strong")]
        return [Span(f"{feed.doing or 'reading'} …", "dim")]

    # What can be done with them.

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        self._main.going.open(self._details(event.row), beside(self.table, self._details))

    def _details(self, program: Program) -> Details:
        row = program.row
        return Details(
            title=f"{row.name or '(no name)'} · program {row.id}",
            sheet=lambda: bpf_sheet(self.programs, program, self.now),
            copies=row.name,
            copies_what="Name",
            subject=subject_of_bpf(row, self.now),
        )

    def action_columns(self) -> None:
        self._main.pick_columns(self.table, self.label)

    def action_copy(self) -> None:
        program = self.table.selected()
        self._main.rows.copy_details(None if program is None else self._details(program))

    async def action_save(self, kind: Kind) -> None:
        await self._main.save(kind, self.label, self._main.programs.probe, exported(self.table))

    # Time, which is the main screen's.

    def action_pause(self) -> None:
        self._main.action_pause()
        self.update_if_changed()

    def action_seek(self, seconds: float) -> None:
        self._main.action_seek(seconds)

    def action_present(self) -> None:
        self._main.action_present()
        self.update_if_changed()

    def action_mark(self, step: int) -> None:
        self._main.action_mark(step)


def _fitting(parts: Sequence[Sequence[Span]], width: int) -> list[Span]:
    """Join those of *parts* that fit into *width* cells, from the first on; at least that one, if there is any."""
    spans: list[Span] = []
    for part in parts:
        joined = [*([Span(_BETWEEN, "dim")] if spans else []), *part]
        if spans and sum(cell_len(span.text) for span in (*spans, *joined)) > width:
            break
        spans += joined
    return spans
