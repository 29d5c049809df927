"""All eBPF programs of the machine, whoever loaded them, and what they cost. Run statistics are on while it is open."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core.format import brief, count, fine_share, size
from ebpftop.models.bpf_fields import BPF_PROGRAMS
from ebpftop.models.programs import Program, ProgramsModel
from ebpftop.models.subject import Subject, subject_of_bpf
from ebpftop.sources.capabilities import own_programs_of
from ebpftop.ui.panes.bpf_columns import ID_WIDTH, OWN, bpf_columns, exported, sign
from ebpftop.ui.panes.bpf_details import bpf_sheet
from ebpftop.ui.panes.own_programs import OwnReader, add_program
from ebpftop.ui.screens import feed_screen
from ebpftop.ui.screens.feed_screen import MARGIN, FeedScreen, fitting
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.widgets.columns import Shown, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self


class Below(feed_screen.Below, Protocol):
    """What this screen asks of the main one, which is below it."""

    programs: ProbeFeed


class ProgramsScreen(FeedScreen):
    """The table of all programs, and a line of their total."""

    label = "Programs"
    rows_called = "eBPF program"
    key = "P"
    about = (
        "Every eBPF program of the machine, whoever loaded it, and what it costs: the busiest first. * marks ebpftop's "
        "own; + one that was loaded a moment ago, - one that is gone. The kernel counts runs and times only while it "
        "is asked to, which costs each run of each program a little; ebpftop asks for it while this is open, and "
        "while a recording or a stream has the probe programs. Enter shows all about a program, its maps too; of "
        "ebpftop's own also its code, what is in its maps, and what the verifier said of it.\n"
        "The last line is the total. Its CPU has programs too that ended since the reading before."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "dismiss", "Close", show=False, id="programs"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._main: Below
        self._peak = 0.0

    def fill_with(self, main: Below) -> Self:
        """Show what *main* has of the moment that it shows, when this screen is pushed the next time."""
        self._main = main
        return self.fill_above(main)

    @property
    def feed(self) -> ProbeFeed:
        return self._main.programs

    @property
    def readings(self) -> Hashable:
        return self.programs.readings

    @property
    def programs(self) -> ProgramsModel:
        """The programs at the moment that is shown."""
        model = self._main.programs.model
        assert isinstance(model, ProgramsModel)
        return model

    @property
    def now(self) -> float:
        latest = self.programs.latest
        return latest.time if latest is not None else 0.0

    @property
    def subject(self) -> Subject | None:
        program = self.table.selected()
        return subject_of_bpf(program.row, self.now) if program is not None else None

    @property
    def topic(self) -> tuple[Subject | None, str]:
        program = self.table.selected()
        return self.subject, self.label if program is None else self.details_of(program).title

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

    def show(self) -> None:
        model = self.programs
        programs = model.programs
        self._peak = max((rates.cpu for one in programs for rates in one.usage.history), default=0.0)
        self.table.scales = {"trend": f"log≤{fine_share(self._peak)}"} if self._peak else {}
        self.table.now = self.now
        self.table.message = [] if programs else self.message()
        self._fit_ids(programs)
        self.table.show_rows(programs)
        self.total.set_text(fitting(self._total(), self.app.size.width - MARGIN))

    def _fit_ids(self, programs: Sequence[Program]) -> None:
        """Give the ids the cells that they need: they grow with each program that is loaded until the machine boots."""
        cells = len(str(max((program.id for program in programs), default=0)))
        if cells > self.table.widths.get("id", ID_WIDTH):
            self.table.widths["id"] = cells
            self.table.rearrange()

    # What is said about them.

    def title_parts(self) -> list[str]:
        model = self.programs
        latest, shares = model.latest, model.shares
        if latest is None:
            return []
        parts = [f"{self.of_filtered()}{latest.machine.programs} loaded"]
        if shares is not None:
            parts += [f"{brief(shares.all.runs)} runs/s", f"{fine_share(shares.all.cpu)} of one CPU"]
        return [*parts, f"maps {size(latest.machine.map_bytes)}"]

    def state_text(self) -> str:
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

    def details_of(self, row: Any) -> Details:
        program: Program = row
        row = program.row
        source, recorded = own_programs_of(self._main.source), self._main.playback.overview.own
        readers = [
            OwnReader(source, probe, partial(recorded.get, probe)) for probe in self._main.source.probes if row.own
        ]

        def sheet() -> Sheet:
            made = bpf_sheet(self.programs, program, self.now)
            any(add_program(made, reader, program.id) for reader in readers)
            return made

        return Details(
            title=f"{row.name or '(no name)'} · program {row.id}",
            sheet=sheet,
            copies=row.name,
            copies_what="Name",
            subject=subject_of_bpf(row, self.now),
        )

    def exported(self) -> Shown[Any]:
        return exported(self.table)
