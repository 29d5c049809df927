"""The workbench: the source of a file of one's own, its bytecode, its maps, its output, side by side and alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from ebpftop.core.format import count, losses
from ebpftop.core.load_records import BpfEvent
from ebpftop.core.trace_records import Trace
from ebpftop.models.load_code import CodeRow
from ebpftop.models.load_explained import explained
from ebpftop.models.load_histograms import Bucket
from ebpftop.models.load_maps import Entry
from ebpftop.models.load_source import SourceRow
from ebpftop.models.load_writes import why_not
from ebpftop.models.subject import Subject
from ebpftop.sources.capabilities import damage_of
from ebpftop.ui.panes.bench_pane import BenchPane
from ebpftop.ui.panes.load_details import (
    entry_details,
    event_details,
    insn_details,
    line_details,
    line_printed,
    log_details,
)
from ebpftop.ui.panes.load_maps import MapLines, summary
from ebpftop.ui.panes.load_titles import errors_of, headline, of_code, of_output, of_source
from ebpftop.ui.panes.title import Count
from ebpftop.ui.screens.bench_lessons import LessonBench
from ebpftop.ui.screens.bench_lists import CODE, MAPS, OUTPUT, SECOND, SOURCE
from ebpftop.ui.screens.bench_states import Below
from ebpftop.ui.screens.feed_screen import MARGIN, fitting
from ebpftop.ui.widgets.columns import Column, Shown
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self


class WorkbenchScreen(LessonBench):
    """A loaded file: Source, Bytecode, Maps, Output."""

    label = "Workbench"
    rows_called = "program of your own"
    key = "B"
    about = (
        "A BPF program of your own, from ebpftop load FILE.c: its source, the bytecode that became of it, its maps and "
        "what it puts out. The file is compiled, verified and loaded again each time that it is saved; maps that kept "
        "their type keep their entries. What compiler or verifier say stands below the line that it is about, in red, "
        "with what it means and what to try; the last good program runs on.\n"
        "The line under the cursor and its instructions move together; the last lines say what it calls. v shows the "
        "next map, the next buffer, the instructions of the processor, or in the source the whole log of an error. "
        "Enter on an entry of a map sets its value: configuration from user space. A adds a key, Del removes one, and "
        "a slot of a prog array gets a program by its name.\n"
        "R counts how often each line runs, and lights up those that did. The file then runs with counters in it, "
        "which cost some nanoseconds a run.\n"
        "L lists the lessons: four files to begin with. Each has exercises, which are checked while it runs; x shows "
        "hints, and what ebpftop added to it."
    )
    headings: ClassVar[dict[str, str]] = {
        "load-source": "Source",
        "load-code": "Bytecode",
        "load-maps": "Maps",
        "load-second": "Another map",
        "load-output": "Output",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view(1)", "View", tooltip="The next map, buffer, kind of code; the whole log", id="view.next"),
        Binding("V", "view(-1)", "View before", show=False, tooltip="The one before that of v", id="view.previous"),
        Binding("e", "error", "Next error", tooltip="To the next line that something is wrong with", id="load.error"),
        Binding("B", "dismiss", "Close", show=False, id="workbench"),
    ]

    def fill_with(self, main: Below) -> Self:
        """Show what *main* has of the moment that it shows, when this screen is pushed the next time."""
        self._main = main
        return self.fill_above(main)

    @property
    def subject(self) -> Subject | None:
        row = self.pane.lines.selected()
        return self.details_of(row).subject if row is not None else None

    @property
    def topic(self) -> tuple[Subject | None, str]:
        latest = self.loaded_file.latest
        return self.subject, latest.file if latest is not None else self.label

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        # The columns of maps are those of the file.
        return tuple((title, columns) for title, columns in super().explained() if columns)

    # Titles.

    def describe(self) -> None:
        super().describe()
        model = self.loaded_file
        source, code, maps, second, output = self.panes
        source.entitle(of_source(model, self.line, self.functions), right=errors_of(model))
        code.entitle(of_code(model, native=self.native))
        maps.entitle(_counts(self.maps), tabs=list(model.maps), chosen=self.map_name)
        if (table := self.second.shown) is not None:
            second.entitle(_counts(self.second), chosen=table.name)
        lost = losses(model.lost.items())
        output.entitle(of_output(self.output, model.hidden), tabs=self.log_names(), chosen=self.log_name, lost=lost)

    def figure_of(self, pane: BenchPane) -> str:
        model, at = self.loaded_file, self.panes.index(pane)
        if at == SOURCE:
            return "✗" if model.failed else ""
        if at == OUTPUT:
            events = self.output.view.ring.end
            return count(events) if events else ""
        number = len(model.maps) if at in (MAPS, SECOND) else model.insns
        return count(number) if number else ""

    def show_title(self, line: SheetTitle) -> None:
        super().show_title(line)
        latest = self.loaded_file.latest
        if latest is not None:
            right = line.right
            width = self.app.size.width - MARGIN + 2 - sum(len(span.text) for span in right)
            damage = damage_of(self._main.source)
            missing = damage.in_brief if damage is not None else ""
            line.set_text(fitting(headline(self.loaded_file, latest, width, missing), width), right)

    def title_parts(self) -> list[str]:
        return []

    def state_text(self) -> str:
        feed = self.feed
        state = feed.state(self._main.playback.overview)
        if feed.doing:
            return f"{feed.doing} …"
        return "detached" if state is not None and state.state == "off" else ""

    # What can be done.

    def details_of(self, row: Any) -> Details:
        model = self.loaded_file
        if isinstance(row, SourceRow):
            begins = next((name for name, lines in self.functions.items() if lines.start == row.number), "")
            words = explained(row.text, model)
            return line_details(model, row.number, row.text, words, self.code_shown, begins)
        if isinstance(row, CodeRow):
            running = model.running
            line = running[row.line - 1] if row.line is not None and 0 < row.line <= len(running) else ""
            return insn_details(row, explained(row.text, model), line)
        if isinstance(row, BpfEvent):
            log = model.events.get(row.map)
            return event_details(row, log.leaves if log is not None else ())
        if isinstance(row, Trace):
            return line_printed(row)
        return entry_details(row, self.map_in_front.shown)

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        row = event.row
        if isinstance(row, Entry):
            event.stop()
            event.prevent_default()
            self.edit(row)
        elif isinstance(row, Bucket):
            event.stop()
            event.prevent_default()
            if (table := self.map_in_front.shown) is not None:
                self.app.notify(why_not(table, "set"))
        elif isinstance(row, SourceRow) and row.part and row.diagnostic is not None:
            event.stop()
            event.prevent_default()
            self.action_error()

    def action_view(self, step: int) -> None:
        """Show what comes next in the pane in focus."""
        if self.front == SOURCE:
            self._open_log()
            return
        if self.front == CODE:
            self.native = not self.native
        elif self.front in (MAPS, SECOND):
            self.map_name = _next(list(self.loaded_file.maps), self.map_name, step)
        else:
            self.log_name = _next(self.log_names(), self.log_name, step)
        self.update_if_changed()

    def _open_log(self) -> None:
        """Show all that was said about the error at the cursor, or the first one."""
        latest, row = self.loaded_file.latest, self.source.selected()
        found = latest.diagnostics if latest is not None else ()
        if not found:
            said = "Nothing is wrong: neither the compiler nor the verifier said anything"
            self.app.notify(self._still() or said)
            return
        at = row.diagnostic if row is not None and row.diagnostic is not None else 0
        self.below.going.open(log_details(found[min(at, len(found) - 1)]))

    def _still(self) -> str:
        """Return what is being done with the file, of which nothing is known before; empty if nothing is."""
        latest = self.loaded_file.latest
        is_busy = latest is not None and latest.state not in ("on", "failed")
        return f"Not known yet: still {latest.state} …" if latest is not None and is_busy else ""

    def action_error(self) -> None:
        """Go to the next line that something is wrong with."""
        wrong = [at for at, row in enumerate(self.source.rows()) if row.is_bad or row.is_doubtful]
        if not wrong:
            above = bool(self.loaded_file.latest and self.loaded_file.latest.diagnostics)
            nothing = self._still() or "Nothing is wrong with it"
            self.app.notify("It is about no line: it stands above them" if above else nothing)
            return
        here = self.source.cursor if self.source.cursor is not None else -1
        to = next((at for at in wrong if at > here), wrong[0])
        had_room = bool(self.panes[SOURCE].display)
        if self.front != SOURCE:
            self.go_to_pane(SOURCE)
        self.source.go_to_said(to)
        if not had_room:
            self.call_after_refresh(self.source.go_to_said, to)  # only now it is known how many rows there are

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import pick_columns

        pick_columns(self.app, self.pane.lines, self.pane.label)

    def action_copy(self) -> None:
        row = self.pane.lines.selected()
        self.below.rows.copy_details(None if row is None else self.details_of(row))

    def exported(self) -> Shown[Any]:
        lines = self.pane.lines
        shown = [c for c in lines.columns if (c.always or c.key not in lines.hidden) and c.key not in ("trend", "bar")]
        return Shown(tuple(shown), lines.rows(), lines.now)


def _counts(lines: MapLines) -> list[Count]:
    """Return what the title says of the map in *lines*."""
    table, row_filter = lines.shown, lines.row_filter
    counts = [Count(text, rank) for text, rank in summary(table, lines.counter)] if table is not None else []
    if row_filter is not None and row_filter.query is not None:
        counts.insert(0, Count(f"{lines.end} shown"))
    return counts


def _next(names: Sequence[str], name: str, step: int) -> str:
    if not names:
        return ""
    at = names.index(name) if name in names else -step
    return names[(at + step) % len(names)]
