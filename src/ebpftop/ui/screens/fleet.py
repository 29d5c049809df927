"""The fleet: a row a host, what is wrong first, and below it the programs of all hosts in one log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core.clock import whole_text
from ebpftop.core.format import brief, count, counted
from ebpftop.fleet.fields import hosts_language
from ebpftop.fleet.model import FleetModel, Logged
from ebpftop.fleet.rows import SEVERITY, HostRow
from ebpftop.ui.panes.fleet_columns import host_columns, host_mark, note_text
from ebpftop.ui.screens.feed_screen import MARGIN, fitting
from ebpftop.ui.screens.fleet_log import FleetLog
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet_title import SheetTitle
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

OF_A_HOST = frozenset(("tree", "go_to", "copy_as", "watch", "trace", "losses", "diagnostics"))
"""Actions of the app that are about a row of the panes of a host, and mean nothing here."""


class Hosts(Protocol):
    """What the screen asks of the app."""

    def open_host(self, name: str, process: Logged | None = None) -> None:
        """Show the panes of a host, and in them a process."""

    def retry(self, name: str) -> None:
        """Connect to a host now."""


class FleetScreen(LiveScreen):
    """The table of hosts, a line about the one under the cursor, and the merged log."""

    label = "Fleet"
    headings = {"hosts": "Hosts", "fleet-log": "Merged log"}  # noqa: RUF012  # as in the screens beside
    about = (
        "All hosts of `ebpftop fleet`, what is wrong first: those that do not answer (✗), then those whose stream "
        "cannot start or has stopped, whose clock differs, whose probes failed (!); then those where most execs fail. "
        "The order changes every five seconds at most. A host that falls silent stays: stale after five seconds, gone "
        "after a minute; by ssh it is connected anew, after one second at first, at most every minute; R does it at "
        "once. The line below the table says what is wrong with the host under the cursor, and what helps.\n"
        "Enter shows the four panes of that host, with the last seconds that were kept of it; Esc leads back. The "
        "lower list has the programs of all hosts; Enter there shows that process on its host. Of a flood it has a "
        "part: what is left out is counted in its title, and in the figures above. / filters the list in focus: "
        "host:web* state:gone.\n"
        "With --prometheus URL the hosts are those that Prometheus knows by `ebpftop serve`, under the names that it "
        "scrapes: there are figures and no log, rates are of two minutes, and Enter shows the busiest calls, users and "
        "errors of a host. It is asked every fifteen seconds for what is on the screen, and for nothing else."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            *("tab,shift+tab", "other_list", "Other list"),
            key_display="⇥",
            tooltip="Hosts, merged log",
            id="fleet.list",
        ),
        Binding("R", "retry", "Reconnect", tooltip="Connect to this host now", id="fleet.retry"),
        Binding("m", "maximise", "Max", tooltip="This list alone, and back", id="pane.maximise"),
        Binding("c", "columns", "Columns", show=False, tooltip="Choose and widen columns", id="pane.columns"),
        Binding("y", "copy", "Copy", show=False, tooltip="Send its name to the clipboard", id="copy"),
    ]

    def __init__(self, *, has_log: bool = True) -> None:
        """*has_log*: programs of the hosts are known, not only figures."""
        super().__init__()
        self.has_log = has_log
        self.fleet = FleetModel()
        self._hosts: Hosts | None = None
        self._is_new = True
        self._wall: Callable[[], float] = time.time

    def fill_with(self, fleet: FleetModel, hosts: Hosts, wall: Callable[[], float] = time.time) -> Self:
        """Show *fleet* when this screen is pushed, or shown again, the next time."""
        self.fleet, self._hosts, self._wall = fleet, hosts, wall
        self.filled()
        return self

    def contents(self) -> ComposeResult:
        self.table: TableView[HostRow] = TableView(
            host_columns(self.fleet),
            key_of=lambda row: row.name,
            sort="state",
            mark=host_mark(self.fleet),
            language=hosts_language(self.fleet),
            id="hosts",
        )
        self.note = PaneFooter()
        self.log_title = SheetTitle(id="fleet-log-title")
        self.log_lines = FleetLog(self.fleet)
        yield self.table
        yield self.note
        self.log_title.display = self.log_lines.display = self.has_log
        yield self.log_title
        yield self.log_lines

    def begin(self) -> None:
        if self._is_new:  # whoever comes back from a host finds it as it was
            self._is_new = False
            self.set_focus(self.table)

    def let_go(self) -> None:
        model = self.fleet
        super().let_go()
        self.fleet = model

    def state(self) -> Hashable:
        return self.fleet.version, self.app.size

    def on_resize(self) -> None:
        if not self.is_closed and self.is_mounted:
            self.update_if_changed()

    def show(self) -> None:
        fleet, now = self.fleet, self._wall()
        self.table.now = self.log_lines.now = now
        rows = fleet.rows()
        self.table.message = [] if rows else [Span(self._nothing(), "dim")]
        self.table.show_rows(rows)
        self.log_lines.advance()
        self._show_note()
        self._show_log_title()

    def _nothing(self) -> str:
        if self.fleet.trouble or not self.has_log:
            return self.fleet.trouble or "asking Prometheus …"
        if self.fleet.input_ended:
            return "The pipe has ended, and no line was of a host: host: {json}"
        if self.fleet.stray:
            return "Lines come, but none is of a host: host: {json}"
        return "No line has come so far"

    @on(RowView.Arranged)
    def _arranged(self) -> None:
        if not self.is_closed:
            self._show_note()
            self._show_log_title()

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self._show_log_title()

    def _show_note(self) -> None:
        """Say of the host under the cursor, or of the first one, what is wrong and what helps."""
        row = self.table.selected() or next(iter(self.table.rows()), None)
        if row is None:
            self.note.set_text([])
            return
        said = note_text(self.fleet, row)
        if row.remedy and len(row.name) + len(said) > self.size.width - 2 * MARGIN:
            said = row.remedy  # the list itself says how it is, and begins with why
        bad = SEVERITY[row.state] > 1
        what = said or (f"Linux {row.kernel}, ebpftop {row.version}" if row.version else row.state)
        self.note.set_text([Span(f"{row.name} ", "strong"), Span(what, "warn" if bad else "dim")])

    def _show_log_title(self) -> None:
        log, fleet = self.log_lines, self.fleet
        shown = log.row_filter.count_text if log.row_filter is not None else ""
        rows = shown or counted(len(log.view), "program")
        spans = [Span("Merged log", "name" if log.has_focus else ""), Span(f"  {rows}", "dim")]
        if fleet.left_out:
            spans.append(Span(f" · {count(fleet.left_out)} left out", "dim"))
        self.log_title.set_text(spans, [Span("follows" if log.follow else "F: follow", "dim")])

    # What is said above.

    def show_title(self, line: SheetTitle) -> None:
        fleet = self.fleet
        now = self._wall()
        right = [Span(whole_text(now, date=False), "dim")] if now else []
        states = fleet.states()
        parts = [[Span(counted(len(fleet.hosts), "host"))]]
        parts += [
            [Span(f"{number} {state}", "good" if state == "up" else "bad" if SEVERITY[state] > 1 else "dim")]  # type: ignore[index]  # they are its keys
            for state, number in states.items()
        ]
        if fleet.trouble:
            parts.insert(0, [Span(fleet.trouble, "bad")])
        elif fleet.failed:
            parts.insert(0, [Span(f"reading has ended: {fleet.failed}", "bad")])
        elif fleet.input_ended:
            parts.insert(0, [Span("the pipe has ended", "bad")])
        parts.append([Span(f"{brief(fleet.execs) if fleet.execs else 0} execs/s")])
        if fleet.stray:
            parts.append([Span(f"{counted(fleet.stray, 'line')} of no host", "bad")])
        row_filter = self.table.row_filter
        if row_filter is not None and row_filter.query is not None:
            parts.insert(0, [Span(f"{row_filter.count_text}: {row_filter.query.text}", "good")])
        room = self.app.size.width - sum(len(span.text) for span in right) - MARGIN - len(self.label)
        line.set_text([Span(self.label, "name"), Span("  "), *fitting(parts, room)], right)

    # What can be done.

    def keys_also_shown(self) -> dict[str, str]:
        shown = {f"app.{action}": "" for action in OF_A_HOST} | {"open": "Open"}
        return shown if self.has_log else shown | {"other_list": "", "maximise": "", "retry": "Ask now"}

    @on(RowView.Opened)
    def _opened(self, event: RowView.Opened) -> None:
        event.stop()
        assert self._hosts is not None
        row = event.row
        if isinstance(row, Logged):
            self._hosts.open_host(row.started.host, row)
        else:
            self._hosts.open_host(row.name)

    def action_back(self) -> None:
        """Clear a filter, or show both lists; there is nothing below the fleet."""
        filters = (self.filter_in_focus, self.table.row_filter, self.log_lines.row_filter)
        if any(row_filter is not None and row_filter.clear() for row_filter in filters):
            return
        if self.has_class("-alone"):
            self.action_maximise()
        elif not self.log_lines.follow:
            self.log_lines.action_follow()

    def action_other_list(self) -> None:
        if self.has_log and not self.has_class("-alone"):
            self.set_focus(self.table if self.log_lines.has_focus else self.log_lines)

    def action_maximise(self) -> None:
        if not self.has_log:
            return
        alone = not self.has_class("-alone")
        self.set_class(alone, "-alone")
        shows_log = self.log_lines.has_focus
        self.table.display = self.note.display = not (alone and shows_log)
        self.log_lines.display = self.log_title.display = not (alone and not shows_log)

    def action_retry(self) -> None:
        row = self.table.selected()
        if row is None:
            self.app.notify("Choose a host first")
        elif row.state == "up" and self.has_log:
            self.app.notify(f"{row.name} is connected")
        else:
            assert self._hosts is not None
            self._hosts.retry(row.name)

    def action_columns(self) -> None:
        from ebpftop.ui.screens.column_picker import pick_columns

        lines: RowView[Any] = self.log_lines if self.log_lines.has_focus else self.table
        pick_columns(self.app, lines, self.headings[str(lines.id)])

    def action_copy(self) -> None:
        row = self.log_lines.selected() if self.log_lines.has_focus else self.table.selected()
        if row is None:
            self.app.notify("Choose a row first")
            return
        text = row.started.command if isinstance(row, Logged) else row.name
        self.app.copy_to_clipboard(text)
        self.app.notify("Sent to the terminal's clipboard")
