"""The four lists of the workbench: what each shows of a loaded file, and what moves together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from ebpftop.models.load import LoadModel
from ebpftop.models.load_code import CodeRow, code_rows
from ebpftop.models.load_explained import about_map, explained
from ebpftop.models.load_source import SourceRow, function_lines, rows_of, whole_rows_of
from ebpftop.models.load_writes import can
from ebpftop.ui.panes.bench_pane import BenchPane
from ebpftop.ui.panes.lesson_panel import LessonPanel
from ebpftop.ui.panes.load_code import CodeLines
from ebpftop.ui.panes.load_maps import MapLines
from ebpftop.ui.panes.load_notes import BenchNotes, flowing
from ebpftop.ui.panes.load_output import PRINTED_NAME, OutputLines
from ebpftop.ui.panes.load_source import SourceLines
from ebpftop.ui.panes.load_source_pane import SourcePane
from ebpftop.ui.screens.bench_panes import BenchTabs
from ebpftop.ui.screens.bench_states import BenchStates
from ebpftop.ui.widgets.cell_editor import CellEditor
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.notice_line import NoticeLine
from ebpftop.ui.widgets.row_view import RowView

SOURCE, CODE, MAPS, SECOND, OUTPUT = range(5)
"""The panes, in their order."""

_NOTES = ((0, 0), (18, 1), (30, 2), (45, 3))
"""Lines of a terminal from which there is room for so many notes."""

_SECOND_FROM = 150
"""Cells of a terminal from which there is room for a second map."""

_EXERCISES = ((0, 0), (16, 2), (22, 3), (30, 5))
"""Lines of a terminal from which there is room for so many about the exercises of a lesson."""

_BESIDE_TEXT = 9
"""Cells of the source that are not its text: marks, numbers, the scroll bar."""


class BenchLists(BenchStates):
    """Source, bytecode, maps and output of the file that the main screen has."""

    def __init__(self) -> None:
        super().__init__()
        self.native = False
        """Whether the bytecode is shown as the processor's instructions."""
        self.map_name = self.log_name = ""
        self.line = 0
        """The line of the source under the cursor, there or by its bytecode."""
        self.code_shown: list[CodeRow] = []
        self.functions: dict[str, range] = {}
        self._source_shown: Hashable = None
        self._code_state: Hashable = None
        self._begun: Hashable = None

    @property
    def readings(self) -> Hashable:
        return self.loaded_file.readings, self.map_name, self.log_name, self.native

    @property
    def now(self) -> float:
        return self.loaded_file.time

    def contents(self) -> ComposeResult:
        self.source = SourceLines(self._rate_of, id="load-source")
        self.source_pane = SourcePane(self.source, id="bench-source")
        self.code = CodeLines(id="load-code")
        self.maps = self.table = MapLines(id="load-maps")
        self.second = MapLines(id="load-second")
        self.output = OutputLines(id="load-output")
        self.panes = (
            self.source_pane,
            BenchPane("Bytecode", self.code, id="bench-code"),
            BenchPane("Maps", self.maps, id="bench-maps"),
            BenchPane("Map", self.second, id="bench-second"),
            BenchPane("Output", self.output, id="bench-output"),
        )
        self.tabs = BenchTabs()
        self.notes = BenchNotes(id="bench-notes")
        self.exercises = LessonPanel(id="exercises")
        self.editor = CellEditor()
        self.rows = (
            Horizontal(*self.panes[:2], classes="bench-top"),
            Horizontal(*self.panes[2:], classes="bench-bottom"),
        )
        yield self.tabs
        yield from self.rows
        yield self.exercises
        yield self.notes
        yield NoticeLine(self.notes)
        yield self.editor

    def _rate_of(self, line: int) -> float | None:
        return self.loaded_file.lines.rates.get(line)

    def begin(self) -> None:
        for pane in self.panes:
            pane.lines.begin()
        self._source_shown = self._code_state = self._begun = None
        self.line = 0
        self.editor.close()
        self.begin_panes()
        self._fit()
        self.feed.open()

    def on_resize(self) -> None:
        if not self.is_closed:
            self.place_panes()
            self._fit()
            self.update_if_changed()

    def _fit(self) -> None:
        height = self.app.size.height
        self.notes.styles.height = next(lines for least, lines in reversed(_NOTES) if height >= least)

    def state(self) -> Hashable:
        feed, playback = self.feed, self.below.playback
        shown = id(feed.model), self.readings, playback.paused, playback.view_filter
        return *shown, feed.doing, feed.trouble, feed.state(playback.overview), self.app.size, self.source.size.width

    # What each shows.

    def show(self) -> None:
        model = self.loaded_file
        for lines in (self.source, self.code):
            lines.now = self.now
        self._show_source(model)
        self._show_code(model)
        self._show_map(model)
        self._show_output(model)
        self.set_class(model.failed, "-failed")
        self.describe()

    def describe(self) -> None:
        """Bring titles, tabs and notes up to date."""
        self.show_tabs()
        height = self.notes.styles.height
        lines = next(lines for least, lines in reversed(_EXERCISES) if self.app.size.height >= least)
        self.exercises.show(self.loaded_file.lesson, self.app.size.width - 2, lines, live=self._main.source.live)
        self.notes.set_lines(flowing(self.words(), self.app.size.width - 3, int(height.value) if height else 0))

    def _show_source(self, model: LoadModel) -> None:
        latest, width = model.latest, self.source.size.width - _BESIDE_TEXT
        shown = None if latest is None else (latest, width, self.source_pane.size.height, model.lines.time)
        self.source.message = [] if latest is not None else self.message()
        if shown is not None and shown == self._source_shown:
            return
        self._source_shown = shown
        rows = rows_of(latest, width, cell_len) if latest is not None else []
        self.source_pane.show_whole(whole_rows_of(latest, width, cell_len) if latest is not None else [])
        functions = [one.name for one in model.programs]
        self.functions = {**function_lines([] if latest is None else latest.source, functions)}
        self.source.show_rates(bool(model.lines.rates))
        self.source.show_rows(rows)
        begun = None if latest is None else (latest.path, latest.saved, latest.state)
        if rows and begun != self._begun:
            self._begun = begun
            self._begin_at(rows)

    def _begin_at(self, rows: Sequence[SourceRow]) -> None:
        """Put the cursor where something is wrong, or at the first line of the first program."""
        wrong = next((row.number for row in rows if row.is_bad), None)
        if wrong is not None:
            self.source.go_to_line(wrong)
        elif self.source.cursor is None and self.functions:
            self.source.go_to_line(next(iter(self.functions.values())).start)

    def _show_code(self, model: LoadModel) -> None:
        codes = [model.codes[one.name] for one in model.programs if one.name in model.codes]
        shown = tuple(id(code) for code in codes), self.native, id(model.latest)
        nothing = "no bytecode yet: no program could be loaded" if model.failed else "no bytecode yet"
        nothing = self.not_loaded_yet or nothing
        if self.native and any(code.xlated for code in codes):
            unnamed = next((code.unnamed for code in codes if code.unnamed), None)
            nothing = unnamed or "the kernel does not show the processor's instructions"
        self.code.message = [] if codes else [Span(nothing, "dim")]
        if shown == self._code_state:
            return
        self._code_state = shown
        self.code_shown = code_rows(codes, model.running, native=self.native)
        self.code.message = [] if self.code_shown else [Span(nothing, "dim")]
        self.code.show_rows(self.code_shown)
        self.code.go_to_line(self.line)

    def _show_map(self, model: LoadModel) -> None:
        names = list(model.maps)
        if self.map_name not in names:
            self.map_name = names[0] if names else ""
        following = names[(names.index(self.map_name) + 1) % len(names)] if names else ""
        for lines, name in ((self.maps, self.map_name), (self.second, following)):
            table = model.maps.get(name)
            lines.message = [] if table is not None and table.entries else [Span(self.no_entry(table), "dim")]
            lines.show_map(table, self.now)
        self.place_panes()

    def is_available(self, at: int) -> bool:
        is_wide = self.app.size.width >= _SECOND_FROM and not self.is_tabbed
        return at != SECOND or (is_wide and len(self.loaded_file.maps) > 1)

    @property
    def map_in_front(self) -> MapLines:
        """The map that a key is for."""
        return self.second if self.front == SECOND else self.maps

    def log_names(self) -> list[str]:
        """Return the buffers, and the lines that are printed if there are any, or nothing else."""
        model = self.loaded_file
        return [*model.events, *([PRINTED_NAME] if len(model.printed.ring) or not model.events else [])]

    def _show_output(self, model: LoadModel) -> None:
        names = self.log_names()
        if self.log_name not in names:
            self.log_name = names[0]
        log = model.events.get(self.log_name, model.printed)
        self.output.message = [] if len(log.ring) else self.no_output(model)
        self.output.show_log(self.log_name, log, model)
        self.output.advance(self.now)

    # What moves together, and is explained.

    @on(RowView.Arranged)
    def _arranged(self, event: RowView.Arranged) -> None:
        event.stop()
        if not self.is_closed:
            self._follow_cursor()
            self.describe()

    def _follow_cursor(self) -> None:
        """Bring the bytecode to the line under the cursor of the source, or the other way round."""
        if self.focused is self.code:
            row = self.code.selected()
            if row is not None and row.line is not None and row.line != self.line:
                self.line = row.line
                self.source.go_to_line(row.line)
        elif (line := self.source.line_at_cursor()) is not None and line != self.line:
            self.line = line
            self.code.go_to_line(line)
        self.code.link(self.line)

    def words(self) -> list[tuple[str, str]]:
        """Return what the last lines say: terms, each with a sentence."""
        model = self.loaded_file
        if model.latest is None:
            return []
        if self.front == CODE and (row := self.code.selected()) is not None:
            return explained(row.text, model)
        if self.front in (MAPS, SECOND) and (table := self.map_in_front.shown) is not None:
            keys = can(table) if self._main.source.live else ""
            by = "< > sorts by another member, whose total and trend are shown" if len(table.counters) > 1 else ""
            parts = [*filter(None, (about_map(table.info), keys, by))]
            # What is cut off at the end is what is known anyhow.
            return [(table.name, ". ".join(parts if self.notes.size.height > 1 else reversed(parts)))]
        source = model.latest.source
        return explained(source[self.line - 1] if 0 < self.line <= len(source) else "", model)
