"""The workbench's edits: values of maps, keys, slots, and whether lines are counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from ebpftop.core.source import SourceError
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_values import typed
from ebpftop.models.load_writes import Write, why_not
from ebpftop.sources.capabilities import editor_of, line_counter_of
from ebpftop.ui.screens.bench_edits import asked_of_entry, asked_of_new
from ebpftop.ui.screens.bench_lists import CODE, MAPS, SECOND, SOURCE, BenchLists
from ebpftop.ui.widgets.cell_editor import Asked, CellEditor
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_view import RowView

_ESC_AFTER_S = 2.0
"""So long after a value was written, the first Esc closes nothing: many press it behind Enter."""


class EditBench(BenchLists):
    """Lists whose maps can be written while the program runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "A,insert", "add", "Add", show=False, tooltip="Add a key to the map; or a program to a slot", id="load.add"
        ),
        Binding("delete", "remove", "Remove", show=False, key_display="Del", tooltip="Remove a key", id="load.remove"),
        Binding("R", "count_lines", "Count runs", tooltip="Count how often each line runs, and stop", id="load.lines"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._counts_lines = False
        self._was_written = False
        self._also_shown: dict[str, str] = {}

    def refusal(self, table: MapTable, write: Write) -> str:
        """Return why that cannot be done to a map now; empty if it can be."""
        playback = self._main.playback
        if editor_of(self._main.source) is None:
            return "This is a recording: values can be set while the program runs"
        if playback.paused or playback.is_past:
            return "Time stands still. l goes back to live, where values can be set"
        return why_not(table, write)

    def keys_also_shown(self) -> dict[str, str]:
        """Return what the footer offers in the pane in focus: of a map what it can do, of the source what is wrong."""
        keys = super().keys_also_shown()
        if self.is_closed or self.editor.is_open:
            return keys
        latest = self.loaded_file.latest
        if latest is None or not latest.diagnostics:
            keys["error"] = ""
        if self.front not in (SOURCE, CODE) or line_counter_of(self._main.source) is None:
            keys["count_lines"] = ""
        if self.is_tabbed:
            keys |= {"pane(1)": "Pane", "error": keys.get("error", "Error"), "pause": ""}
            keys.setdefault("count_lines", "Runs")
        if self.front in (MAPS, SECOND):
            keys |= self._keys_of(self.map_in_front.shown)
        return keys

    def _keys_of(self, table: MapTable | None) -> dict[str, str]:
        """Return what can be done to a map now."""
        if table is None:
            return {"open": ""}
        can: dict[Write, bool] = {write: not self.refusal(table, write) for write in ("set", "add", "remove")}
        keys = {"open": ("Fill slot" if table.is_slots else "Set") if can["set"] else ""}
        if can["add"]:
            keys["add"] = "Fill another" if table.is_slots else "Add"
        if can["remove"] and isinstance(self.map_in_front.selected(), Entry):
            keys["remove"] = "Empty" if table.is_slots else "Remove"
        return keys

    def describe(self) -> None:
        """Bring titles and notes up to date, and the keys, which depend on the map."""
        super().describe()
        if (also := self.keys_also_shown()) != self._also_shown:
            self._also_shown = also
            self.query_one(KeyLine).update_keys()

    def _program_names(self) -> list[str]:
        return [one.name for one in self.loaded_file.programs]

    def edit(self, entry: Entry) -> None:
        """Ask for another value of an entry."""
        table, editor = self.map_in_front.shown, editor_of(self._main.source)
        if table is None:
            return
        if refusal := self.refusal(table, "set"):
            self.app.notify(refusal)
        elif editor is not None:
            self.editor.open(asked_of_entry(editor, table, entry, self._program_names()))

    def action_add(self) -> None:
        """Ask for a new entry of the map that is shown."""
        table, editor = self.map_in_front.shown, editor_of(self._main.source)
        if table is None:
            self.app.notify("There is no map to add to")
        elif refusal := self.refusal(table, "add"):
            self.app.notify(refusal)
        elif editor is not None:
            self.go_to_pane(self.front if self.front == SECOND else MAPS)
            self.editor.open(asked_of_new(editor, table, self._program_names()))

    def action_remove(self) -> None:
        """Remove the entry under the cursor."""
        table, editor = self.map_in_front.shown, editor_of(self._main.source)
        row = self.map_in_front.selected() if self.front in (MAPS, SECOND) else None
        if table is None or not isinstance(row, Entry):
            self.app.notify("Choose an entry of a map first")
        elif refusal := self.refusal(table, "remove"):
            self.app.notify(refusal)
        elif editor is not None:
            key = typed(row.row.key)
            if table.is_slots:
                answer = partial(self._answered, done=f"{table.name}[{key}] is empty now")
                self._ask(partial(editor.set_slot, table.name, key, None), answer)
            else:
                answer = partial(self._answered, done=f"{table.name}[{key}] is removed")
                self._ask(partial(editor.delete_key, table.name, key), answer)

    def action_count_lines(self) -> None:
        """Count how often each line runs, or stop that."""
        counter = line_counter_of(self._main.source)
        if counter is None:
            self.app.notify("Lines are counted by what runs the program, if it can; a recording shows what was counted")
            return
        self._counts_lines = not self._counts_lines
        begins = "Lines are counted: each run takes some nanoseconds more. R stops it"
        self.app.notify(begins if self._counts_lines else "Lines are not counted any more")
        self._ask(partial(counter.count_lines, self._counts_lines), self._answered)

    @on(RowView.OpenedEmpty)
    def _opened_empty(self, event: RowView.OpenedEmpty) -> None:
        event.stop()
        if self.front in (MAPS, SECOND):
            self.action_add()

    @on(CellEditor.Written)
    def _written(self, event: CellEditor.Written) -> None:
        event.stop()
        self._ask(partial(event.asked.write, event.text), partial(self._wrote, event.asked, event.text))

    def _wrote(self, written: Asked, text: str, refused: SourceError | None) -> None:
        asked = self.editor.asked
        done = f"{written.said or written.label} {text or '(none)'}   written"
        if asked is None or asked.label != written.label:
            self._answered(refused, done=done)  # another one is asked for meanwhile
        elif refused is not None:
            self.editor.note(str(refused), bad=True)
        else:
            self.editor.close()
            self._answered(None, done=done)
            self._was_written = True
            self.set_timer(_ESC_AFTER_S, self._forget_written)

    def _forget_written(self) -> None:
        self._was_written = False

    def action_back(self) -> None:
        """Drop the selection of a map or of the output; if there is none, close the workbench.

        An Esc that was meant for the line that Enter has just closed does not close it.
        """
        lines = self.pane.lines
        drops = self.front not in (SOURCE, CODE) and lines.selected() is not None
        if drops:
            lines.unselect()
        elif not self._was_written:
            super().action_back()
        self._was_written = False

    def _answered(self, refused: SourceError | None, done: str = "") -> None:
        if refused is None and done:
            self.app.notify(done, markup=False)
        elif refused is not None:
            self.app.notify(str(refused), severity="error", markup=False)

    def _ask(self, work: Callable[[], None], done: Callable[[SourceError | None], None]) -> None:
        """Do *work* in a thread, then *done* with why it was refused."""

        def run() -> None:
            refused: SourceError | None = None
            try:
                work()
            except SourceError as error:
                refused = error
            self._main.post(partial(done, refused))

        self._main.run_feeding(run)

    @on(CellEditor.Closed)
    def _editor_closed(self, event: CellEditor.Closed) -> None:
        event.stop()
        if not self.is_closed:
            self.set_focus(self.pane.lines)
