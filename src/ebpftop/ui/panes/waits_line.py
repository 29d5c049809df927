"""The line of calls in flight below the table of system calls: Enter, or a click, opens what it names."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from ebpftop.core.syscall_records import InFlight
from ebpftop.ui.panes.syscall_notes import waits
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.pane_footer import PaneFooter


class WaitsLine(PaneFooter, can_focus=True):
    """Reached from the last row of the table above, to which Up goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "In flight", tooltip="The list of calls in flight", id="waits.open"),
        Binding("up,k", "up", "Up", show=False, tooltip="Back to the table", id="lines.up"),
    ]

    class Opened(Message):
        """A request for the list of calls in flight, or for the process of *call*."""

        def __init__(self, call: InFlight | None = None) -> None:
            super().__init__()
            self.call = call

    def __init__(self, above: Widget, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._above = above
        self._head = 0
        """The cells of what stands before the names."""
        self._named: list[tuple[int, InFlight]] = []
        """Each call that the line names, with the cell in which the next one begins."""

    def show_calls(self, in_flight: tuple[InFlight, ...]) -> None:
        """Name the calls that matter most."""
        head, named = waits(in_flight)
        spans: list[Span] = [*head]
        self._named = []
        self._head = end = sum(cell_len(span.text) for span in head)
        for call, its in named:
            spans += its
            end += sum(cell_len(span.text) for span in its)
            self._named.append((end, call))
        self.set_text(spans)

    def on_click(self, event: events.Click) -> None:
        x = event.x - self.gutter.left
        named = (call for end, call in self._named if self._head <= x < end)
        self.post_message(self.Opened(next(named, None)))

    def action_open(self) -> None:
        self.post_message(self.Opened())

    def action_up(self) -> None:
        self.screen.set_focus(self._above)
