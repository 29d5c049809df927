"""What changed between two spans of the history: a table, and both of a row on one scale. It stands still."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ebpftop.core.escape import escape
from ebpftop.core.format import brief, counted
from ebpftop.models.box import Box
from ebpftop.models.changed_fields import CHANGED
from ebpftop.models.changed_rows import Changed, Row
from ebpftop.models.changed_text import line_of
from ebpftop.models.span_marks import Compared
from ebpftop.models.subject import Subject, subject_of_call
from ebpftop.models.subset import Kind
from ebpftop.ui.panes.changed_columns import COLUMNS, plot, sign
from ebpftop.ui.screens.changing import ChangesController, compare_in, span_text
from ebpftop.ui.screens.finding import FindController
from ebpftop.ui.screens.going import GoController
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.playback import PlaybackController
from ebpftop.ui.screens.saving import SaveController
from ebpftop.ui.widgets.columns import Shown, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet_title import SheetTitle
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

_MARGIN = 4
_NOTES_MAX = 3
_NOTES_FROM = 20
"""In a terminal of fewer lines one note has room."""


class CallOpener(Protocol):
    """Opens the details of system calls."""

    def call(self, subject: Subject) -> None:
        """Open those of the call that *subject* is."""


class Below(Protocol):
    """What this screen asks of the main one, which is below it."""

    changes: ChangesController
    playback: PlaybackController
    finding: FindController
    going: GoController
    saving: SaveController

    @property
    def opening(self) -> CallOpener:
        """Opens other screens."""


class ChangedScreen(LiveScreen):
    """The table, what makes the spans hard to compare, and the plot of the row under the cursor."""

    label = "Changed"
    about = (
        "What changed between two spans of the history. M marks the moment that is shown; D compares what came after "
        "it with as long before. M twice: what came after the first mark with what came after the second. A drag over "
        "the timeline, or a box of the heat map, is a span: M marks it, D compares it with as long before.\n"
        "+ appeared, - vanished, ↑ more, ↓ less. Only what moved by more than chance is listed, in the order of the "
        "factor that is sure; dim, below it: what was in one span only, too rarely to be sure. z shows the others, "
        "too. The last line has both spans of the row under the cursor on one scale: latencies, or the course. Enter "
        "goes to what the row names: the call, the user, or the programs in span B (in A, of what vanished).\n"
        "Lines with ! say what makes the two hard to compare. docs/changed.md says what counts as chance."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("D", "dismiss", "Close", show=False, id="changed"),
        Binding("z", "same", "Others", tooltip="Also what stayed within 20 %, or is too rare", id="changed.same"),
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="pane.columns"),
        Binding("y", "copy", "Copy", show=False, tooltip="Send the row to the clipboard", id="copy"),
        Binding("ctrl+s", "save('recording')", "Save", show=False, tooltip="Save the history", id="save"),
        Binding("E", "save('csv')", "Export", show=False, tooltip="These rows as CSV or JSON", id="export"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._main: Below
        self.compared: Compared | None = None
        self.changed: Changed | None = None
        self._trouble = ""
        self._all = False

    def fill_with(self, main: Below) -> Self:
        """Compare what is marked when this screen is pushed the next time."""
        self._main = main
        self.filled()
        return self

    @property
    def subject(self) -> Subject | None:
        row = self.table.selected()
        return None if row is None else subject_of(row)

    @property
    def topic(self) -> tuple[Subject | None, str]:
        row = self.table.selected()
        return self.subject, "" if row is None else row.name

    def contents(self) -> ComposeResult:
        self.notes = Static(classes="changed-notes", markup=False)
        self.table: TableView[Row] = TableView(
            COLUMNS, key_of=lambda row: (row.what, row.name), sort="times", mark=sign, language=CHANGED
        )
        self.totals = PaneFooter()
        self.plot = PaneFooter()
        yield self.notes
        yield self.table
        yield self.totals
        yield self.plot

    @property
    def varying(self) -> tuple[Widget, ...]:
        return (self.notes,)

    # What is compared.

    def begin(self) -> None:
        order = self.table.sort_key, self.table.reversed
        self.table.begin()
        self.table.sort_key, self.table.reversed = order
        self.set_focus(self.table)
        self._trouble = ""
        try:
            compared = self._main.changes.compared()
        except ValueError as error:
            compared, self._trouble = None, str(error)
        if compared != self.compared or self.changed is None:
            self.compared, self.changed = compared, None
            if compared is not None:
                self.run_worker(partial(self._compare, compared), thread=True, group="changed", exit_on_error=False)

    def _compare(self, compared: Compared) -> None:
        timeline = self._main.playback.timeline
        assert timeline is not None
        try:
            changed = compare_in(timeline, compared, lambda: compared == self.compared and self.app.is_running)
        except Exception as error:  # whatever a recording has in it
            self.app.call_from_thread(self._failed, compared, error)
            raise
        if changed is not None:
            self.app.call_from_thread(self._done, compared, changed)

    def _done(self, compared: Compared, changed: Changed) -> None:
        if compared == self.compared:
            self.changed = changed
            self.update_if_changed()
            a, b = map(span_text, compared)
            self._main.changes.listed = {f"Changed, A {a} against B {b}": self.exported()}

    def _failed(self, compared: Compared, error: Exception) -> None:
        if compared == self.compared:
            self._trouble = f"They could not be compared: {error}"
            self.update_if_changed()

    def let_go(self) -> None:
        super().let_go()
        if self.changed is None:
            # What is still added up is not waited for.
            self.compared = None

    # What is shown.

    def on_resize(self) -> None:
        if not self.is_closed:
            self.update_if_changed()

    def state(self) -> Hashable:
        return id(self.changed), self.compared, self._trouble, self._all, self.app.size

    def show(self) -> None:
        changed = self.changed
        rows = [] if changed is None else [*changed.rows, *changed.few, *(changed.same if self._all else ())]
        self.table.message = [] if rows else self._message()
        self.table.show_rows(rows)
        if rows and self.table.cursor is None:
            self.table.go_to(0)
        self._show_notes()
        self.totals.set_text(self._totals())
        self._show_plot()

    def _show_notes(self) -> None:
        notes = [] if self.changed is None else self.changed.notes
        most = _NOTES_MAX if self.app.size.height >= _NOTES_FROM else 1
        lines = [f"! {note}" for note in notes[:most]]
        if len(notes) > most:
            lines[-1] += f"  (+{len(notes) - most})"
        self.notes.display = bool(lines)
        self.notes.update(Content("\n".join(map(escape, lines))))

    def show_title(self, line: SheetTitle) -> None:
        if self.compared is None:
            line.set_name(self.label)
            return
        a, b = map(span_text, self.compared)
        between = "  against  B "
        if len(self.label + a + between + b) + _MARGIN > self.app.size.width:
            # Without the lengths.
            a, b, between = a.partition(" ")[0], b.partition(" ")[0], "  B "
        spans = [Span(self.label, "name"), Span("  A ", "dim"), Span(a), Span(between, "dim"), Span(b)]
        line.set_text(spans, [Span("per second", "dim")])

    def _totals(self) -> list[Span]:
        changed = self.changed
        if changed is None:
            return []
        others = len(changed.same)
        shown = "z hides them" if self._all else "z shows"
        parts = [f"= {counted(others, 'other', whole=True)} within 20 %, or too few ({shown})"] if others else []
        for what, before, after in (
            ("programs", changed.a.programs, changed.b.programs),
            ("calls", changed.a.calls, changed.b.calls),
            ("failed", changed.a.failed_calls, changed.b.failed_calls),
        ):
            if before is not None and after is not None:
                parts.append(f"{what} {brief(before)} → {brief(after)}/s")
        return [Span(" · ".join(parts), "dim")]

    def _show_plot(self) -> None:
        row = self.table.selected()
        self.plot.set_text([] if row is None else plot(row, self.app.size.width - _MARGIN))

    @on(RowView.Arranged)
    def _cursor_moved(self, event: RowView.Arranged) -> None:
        event.stop()
        self._show_plot()

    def _message(self) -> list[Span]:
        """Return why there is no row."""
        if self._trouble:
            return [Span(self._trouble, "warn")]
        if self._main.playback.timeline is None:
            return [Span("There is no history to compare", "warn")]
        if self.compared is None:
            return [
                Span("Nothing is marked yet", "strong"),
                Span("M marks a moment: D compares what comes after it with as long before", "dim"),
                Span("M twice: what came after the first with what came after the second", "dim"),
                Span("A drag over the timeline is a span: M marks it", "dim"),
            ]
        if self.changed is None:
            return [Span("adding up A and B …", "dim")]
        return [Span("Nothing moved by more than chance", "strong"), Span("z shows what is within it", "dim")]

    # What can be done with it.

    def action_same(self) -> None:
        self._all = not self._all
        self.update_if_changed()

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        row: Row = event.row
        subject = subject_of(row)
        if row.what == "user":
            self._main.going.go("user", subject)
        elif row.call is None and row.program is None and row.unit is None:
            self.app.notify("B opens the workbench, which has the maps and events of your program")
        elif row.call is None and self.compared is not None:
            span = self.compared.a if row.mark == "-" else self.compared.b
            self._main.finding.programs(query_of(row), Box(*span))
        elif subject is not None:
            self._main.opening.call(subject)

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import pick_columns

        pick_columns(self.app, self.table, self.label)

    def action_copy(self) -> None:
        row = self.table.selected()
        if row is None:
            self.app.notify("Choose a row first: j and k move")
            return
        self.app.copy_to_clipboard(line_of(row))
        self.app.notify("Row sent to the terminal's clipboard")

    async def action_save(self, kind: Kind) -> None:
        await self._main.saving.ask(kind, self.label, "changed", self.exported())

    def exported(self) -> Shown[Row]:
        """Return what is shown, for an export and the report."""
        shown = tuple(c for c in self.table.columns if c.always or c.key not in self.table.hidden)
        return Shown(shown, self.table.rows(), self.compared.b[1] if self.compared is not None else 0.0)


def subject_of(row: Row) -> Subject | None:
    """Return what a row is about."""
    if row.call is not None:
        if row.abi is None or row.nr is None:
            return None
        return subject_of_call(row.call, row.abi, row.nr)  # type: ignore[arg-type]  # as it was recorded
    if row.what == "user":
        return Subject("user", uid=row.uid, user=row.user)
    return Subject("exec", row.program or "", error=row.error) if row.program else None


def query_of(row: Row) -> str:
    """Return the filter of the exec log that shows the programs of a row."""
    name, of = ("comm", row.program) if row.unit is None else ("unit", row.unit)
    query = f"{name}:{_quoted(of or '')}"
    if row.what == "failed" and row.error:
        return f"{query} ret:{row.error}"
    if row.what == "exit":
        how = row.name.removeprefix(row.program or "").strip()
        return f"{query} exit:{how.removeprefix('exit ')}" if how.startswith("exit ") else f"{query} signal:{how}"
    return query


def _quoted(text: str) -> str:
    return text if text.replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{text}"'
