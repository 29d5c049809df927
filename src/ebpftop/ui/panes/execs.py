"""Pane 1, the exec log: every program that starts, or fails to, and what becomes of it; or the same as a tree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core import format
from ebpftop.core.records import ProbeName
from ebpftop.core.source import Source
from ebpftop.filters.stack import FilterLevel, container_level, user_level
from ebpftop.models.base import Model
from ebpftop.models.exec_row import ExecRow, hidden_attempts, repeats_shown, search_text
from ebpftop.models.exec_watch import watch_of
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.folded_view import FAILURES, Failures
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.program_fields import EXECS, PROCESSES
from ebpftop.models.ranking import NOTHING, Order, RankedView, Ranking, rank
from ebpftop.models.subject import Subject, subject_of_exec, subject_of_process
from ebpftop.models.tree import Branch, grow
from ebpftop.models.watch import Watch
from ebpftop.ui.panes.exec_columns import COLUMNS, exec_columns, exec_mark
from ebpftop.ui.panes.exec_details import CallsOf, exec_details, process_details
from ebpftop.ui.panes.exec_log_view import ExecLogView
from ebpftop.ui.panes.filtered import SCAN_ROWS, FilteredPane
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.tree_columns import TREE_COLUMNS
from ebpftop.ui.widgets.columns import Column, Shown, Span
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark

REGROW_S = 0.5
"""The tree is rebuilt at most this often."""


def _exec_stamp(row: ExecRow, now: float) -> Hashable:
    repeats, search = row.repeats, row.search
    folded = (
        (repeats_shown(row), repeats.same if repeats else 0),
        (hidden_attempts(row), search_text(row)) if search else None,
    )
    return int(now - row.exec.time) if row.running else row.ended, folded


RERANK_S = 2.0
"""Another order than that of time holds so long."""

_ORDER_WORDS: Mapping[Order, str] = {
    "time": "",
    "longest": "longest first",
    "failing": "most failing, newest of each program",
    "often": "most often, newest of each program",
}


class ExecsPane(FilteredPane):
    """The exec log, its filter, and its tree."""

    probe: ClassVar[ProbeName] = "execs"
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("users",)
    label = "Exec log"
    tab_label = "Execs"
    empty_text = "No program has started"
    hint = "Try: ls"
    about = (
        "Every program that starts, however short it lives, and every execve that fails: one row each, the newest at "
        "the bottom. A row is an exec, not a process: a process that runs another program gets another row. The log "
        "follows until you move; F follows again.\n"
        "What says the same again is folded into one row: the attempts of a search in PATH, and repeats of one program "
        "by one parent with one outcome (of a signal also one sender, with or without a core), at most three seconds "
        "apart, in ten seconds. Enter opens such a row, z folds it again. e shows failed execve calls folded, all, "
        "only or not at all; all and only fold nothing. A filter finds what is folded, and an export has each row.\n"
        "< and >, or a click on a heading, order the log: by time, the longest, the programs that fail most (do not "
        "start, or end with a signal or another exit code than 0), and those that start most often. The last two have "
        "one row for each program: × says how often, the rest is of the newest. A search in PATH counts once. "
        "r reverses; F or Esc goes back to the order of time.\n"
        "The title says how many execve calls there were a second, over the last reading of the users' counters, how "
        "many rows there are, and how many programs did not start: a search in PATH is one of them if it found "
        "nothing, and none if it did. The title of the users counts each execve call that failed.\n"
        "t shows the same processes as a tree.\n"
        "Enter on a program opens its details: WHY it did not start or ended badly, as far as records say; BY whom it "
        "was started, and then: how these ended; what it and its parent used; how often the same program was SEEN, and "
        "when it last ended with exit code 0. The line ACTIONS leads on: Tab chooses, Enter acts."
    )
    marks: ClassVar[tuple[Mark, ...]] = (
        Mark("●", "it has not ended", "good"),
        Mark("✗", "it did not start: execve returned this error", "bad"),
        Mark("!", "it ended with another exit code than 0", "bad"),
        Mark("†", "a signal ended it; core: and its memory was dumped", "bad"),
        Mark("by cron 611", "who sent that signal: name and process id", "bad"),
        Mark("×214", "so many rows in one: the arguments that all share, and the median duration (~)", "accent"),
        Mark("✗8 in PATH", "it was found after so many attempts; or not found: so many failed", "dim"),
        Mark("exit 0", "it ended, and said that all is well", "dim"),
        Mark("exec", "the same process runs another program now: a later row", "dim"),
        Mark("exited ?", "it ended, but how was not seen", "dim"),
        Mark("[truncated]", "its arguments, or its path, are longer than what is kept", "warn"),
        Mark("├─ └─", "tree: started by the process above", "dim"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "e",
            "failures",
            "Failures",
            tooltip="Failed execve calls: folded, all, only, none",
            id="execs.failures",
        ),
        Binding("z", "fold", "Fold", tooltip="Open a folded row, and fold it again", id="execs.fold"),
    ]

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: ExecLog = ExecLog()
        self._grown = 0.0
        self._ranked: RankedView | None = None
        """The rows in another order than that of time."""
        self._ranked_at = float("-inf")
        self._is_ranking = False
        self.calls_of: CallsOf | None = None
        """What another pane knows of the system calls of a process."""

    def compose(self) -> ComposeResult:
        self.log_lines = self.exec_lines = ExecLogView(
            self.model.view,
            exec_columns(lambda: any(slot.column.key == "pid" for slot in self.log_lines.slots), self._ranked_times),
            stamp=self._stamp,
            mark=exec_mark,
            when=lambda row: row.exec.time,
            same=lambda row: (row.exec.pid, row.exec.start_ns, row.exec.time),
            id="exec-log",
        )
        self.tree_lines = TableView(
            TREE_COLUMNS,
            key_of=lambda b: (b.process.pid, b.process.start_ns),
            sort="",
            language=PROCESSES,
            id="exec-tree",
        )
        self.tree_lines.display = False
        self.lines: RowView[ExecRow] | RowView[Branch] = self.log_lines
        self.filter_lines(EXECS)
        yield self.log_lines
        yield self.tree_lines

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        return ("Columns", COLUMNS), ("Columns of the tree", TREE_COLUMNS)

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        self._grown = float("-inf")
        assert isinstance(model, ExecLog)
        if model.view.failures != self.model.view.failures:
            model.view.set_failures(self.model.view.failures)
            model.view.scan(SCAN_ROWS)
        super().set_model(model, view_filter)
        if self._ranked is not None:
            self._ranked = RankedView(self.model.ring)
            self.log_lines.put_view(self._ranked)
            self._rank()

    def show(self) -> None:
        if not self.as_tree:
            super().show()
            if self._ranked is not None and not 0 <= self.lines.now - self._ranked_at < RERANK_S:
                self._rank()
        elif not 0 <= self.lines.now - self._grown < REGROW_S:
            self._grown = self.lines.now
            self.tree_lines.show_rows(grow(self.model.processes, self.lines.now, view_filter=self.model.view_filter))

    def subject(self, row: ExecRow | Branch) -> Subject | None:
        return subject_of_process(row.process) if isinstance(row, Branch) else subject_of_exec(row)

    def watch_of_filter(self) -> Watch | None:
        query = self.typed_query
        return None if query is None else watch_of(f"programs that match {self.filter_text}", query)

    def details(self, row: ExecRow | Branch) -> Details:
        if isinstance(row, Branch):
            return process_details(self.model, row.process, self.lines.now, self.calls_of)
        return exec_details(self.model, row, self.lines.now, self.calls_of)

    def title_counts(self) -> Sequence[Count]:
        model, view = self.model, self.model.view
        counts = []
        if self.state == "on" and not view.filtered and self.box is None:
            # Whether a row matches is known, but not of how many in a span.
            counts.append(Count(f"{format.per_second(rate)}/s" if (rate := model.rate(self.lines.now)) else "0/s"))
        if not model.ring.end:
            return counts
        newest = self.newest_text(len(model.ring), model.ring.first)
        shown, execs = f"{format.count(len(view))} shown", format.counted(model.ring.end, "exec")
        of = f" of {newest}{execs}" if newest or view.filtered else ""
        brief = f"{shown} of {format.count(model.ring.end)}" if of else ""
        counts.append(Count(f"{shown}{of}", 0 if view.filtered else 2 if of else 4, brief))
        if view.failed:
            counts.append(Count(f"{format.count(view.failed)} failed", 1))
        folded = []
        if view.repeats:
            folded.append(format.counted(view.repeats, "repeat"))
        if view.searches and view.attempts:
            folded.append(format.counted(view.searches, "PATH search", "PATH searches"))
        if folded:
            text = f"folded {', '.join(folded)}"
            counts.append(Count(text, 3, text.removesuffix(" searches").removesuffix(" search")))
        if view.failures != "folded":
            counts.append(Count(f"failures: {view.failures}", 2))
        return counts

    def tab_count(self) -> Span:
        failed = self.model.view.failed
        return Span(f"{format.count(failed)}✗", "bad") if failed else Span("")

    def subtitle(self) -> str:
        if self.as_tree:
            tree_filter = self.tree_lines.row_filter
            count = f"{tree_filter.count_text} match · " if tree_filter and tree_filter.query else ""
            return f"{count}tree, t: back to the log"
        filtered = f"{self.filter_text} picks what is shown" if self.filter_text else ""
        if self._ranked is not None:
            return " · ".join(filter(None, (filtered, _ORDER_WORDS[self.exec_lines.order], "F: by time")))
        return " · ".join(part for part in (filtered, "follows" if self.log_lines.follow else "F: follow") if part)

    def rows_shown(self) -> Shown[Any]:
        shown = super().rows_shown()
        # Folding is how rows are shown; an export has each of them.
        if self.as_tree or self._ranked is not None:
            return shown
        return shown.with_all(self.model.view.all_rows())

    # Folding.

    def open_row(self, row: Any) -> None:
        if isinstance(row, ExecRow) and self._ranked is None and self.model.view.folded(row):
            self._toggle_fold(row)
        else:
            super().open_row(row)

    def action_fold(self) -> None:
        """Open what is folded behind the row under the cursor, or fold it again."""
        row = self.log_lines.selected()
        if self.as_tree:
            return
        if self._ranked is not None:
            self.app.notify("Rows are folded in the order of time: F goes back to it")
        elif row is None:
            self.app.notify("Choose a row first: j and k move")
        elif not self._toggle_fold(row):
            self.app.notify("Nothing is folded here")

    def _toggle_fold(self, row: ExecRow) -> bool:
        view = self.model.view
        if not view.toggle(row):
            return False
        # The row that was opened stays in sight, and not the newest.
        self.log_lines.go_to(view.position(row.sequence))
        self.log_lines.stop_following()
        self.log_lines.redraw()
        self.describe()
        return True

    def action_failures(self) -> None:
        """Show failed execve calls in the next way."""
        if self.as_tree:
            self.toggle_tree()
        self.show_failures(FAILURES[(FAILURES.index(self.model.view.failures) + 1) % len(FAILURES)])

    def show_failures(self, failures: Failures) -> None:
        """Show failed execve calls in this way."""
        view = self.model.view
        view.set_failures(failures)
        view.scan(SCAN_ROWS)
        self.log_lines.rearrange()
        self.search()
        self.post_message(self.ViewFilterChanged())

    # Another order.

    @on(ExecLogView.OrderChosen)
    def _order_chosen(self, event: ExecLogView.OrderChosen) -> None:
        event.stop()
        self.set_order(event.order, ascending=event.ascending)

    def set_order(self, order: Order, *, ascending: bool = False) -> None:
        """Show the log in this order; that of time follows."""
        lines = self.exec_lines
        lines.order, lines.ascending = order, ascending
        if order == "time":
            self._ranked = None
            lines.cursor = None
            lines.put_view(self.model.view)
        else:
            self._ranked = RankedView(self.model.ring)
            lines.cursor = None
            lines.put_view(self._ranked)
            lines.scroll_to(y=0, animate=False, force=True)
            self._rank()
        lines.rearrange()
        self.describe()

    def _rank(self) -> None:
        self._ranked_at = self.lines.now
        if not self._is_ranking:
            self._is_ranking = True
            lines = self.exec_lines
            self._rank_rows(self.model.view.all_rows(), lines.order, lines.ascending, lines.now)

    @work(thread=True, group="rank", exit_on_error=False)
    def _rank_rows(self, rows: list[ExecRow], order: Order, ascending: bool, now: float) -> None:
        # A hundred thousand rows take a tenth of a second.
        try:
            ranking = rank(rows, order, now, ascending=ascending)
        except BaseException:
            self.call_later(self._ranked_rows, order, ascending, NOTHING)
            raise
        self.call_later(self._ranked_rows, order, ascending, ranking)

    def _ranked_rows(self, order: Order, ascending: bool, ranking: Ranking) -> None:
        self._is_ranking = False
        lines, ranked = self.exec_lines, self._ranked
        if ranked is None:
            return
        if (order, ascending) != (lines.order, lines.ascending):
            self._rank()  # another was chosen meanwhile
            return
        lines.refilter(lambda: ranked.show(ranking))
        self.describe()

    def _ranked_times(self, row: ExecRow) -> int:
        return self._ranked.times(row) if self._ranked is not None else 0

    def _stamp(self, row: ExecRow, now: float) -> Hashable:
        return self._ranked_times(row), _exec_stamp(row, now)

    # The filter.

    def search(self) -> None:
        super().search()
        if self._ranked is not None and not self.searching:
            self._rank()

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self._grown = float("-inf")
        super().apply_filter(view_filter)
        if self.as_tree:
            self.show()

    def message_if_empty(self) -> str:
        if self.log_filter.query is not None and self.model.ring.end:
            return self.log_filter.nothing_text
        if self.exec_lines.order == "failing":
            return "None of the programs shown failed."
        return "No program matches the filter. Esc clears it." if self.model.ring.end else self.none_yet()

    def user_level(self) -> FilterLevel | None:
        if self.as_tree:
            branch = self.tree_lines.selected()
            return user_level(branch.process.uid, branch.process.user) if branch else None
        row = self.log_lines.selected()
        return user_level(row.exec.uid, row.exec.user) if row else None

    def container_level(self) -> FilterLevel | None:
        row = None if self.as_tree else self.log_lines.selected()
        return container_level(row.exec.container) if row and row.exec.container else None

    # The tree.

    @property
    def as_tree(self) -> bool:
        return self.lines is self.tree_lines

    def select_process(self, process: ProcessInfo) -> bool:
        """Put the cursor of the tree on this process; return whether it is there."""
        found = next((at for at, branch in enumerate(self.tree_lines.rows()) if branch.process is process), None)
        if found is not None:
            self.tree_lines.go_to(found)
        return found is not None

    def toggle_tree(self) -> None:
        """Switch between the log and the tree of processes."""
        focused = self.lines.has_focus
        now = self.lines.now
        self.lines = self.log_lines if self.as_tree else self.tree_lines
        self.lines.now = now
        self.log_lines.display = not self.as_tree
        self.tree_lines.display = self.as_tree
        self._grown = float("-inf")
        self.show()
        if focused:
            self.screen.set_focus(self.lines)
        self.describe()
