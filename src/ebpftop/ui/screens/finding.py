"""Shows in the panes what a screen above them, or a row, is about: a process in the tree, programs in the log."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.models import relatives
from ebpftop.models.box import Box
from ebpftop.models.subject import Subject
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.over_time import TimeScreen


class FindController:
    """Finds in the panes of the main screen. *type_filter* types into the list in focus."""

    def __init__(self, main: TimeScreen, type_filter: Callable[[str], None]) -> None:
        self._main = main
        self._type_filter = type_filter

    def process(self, subject: Subject | None) -> None:
        """Show the tree of processes, with the cursor on what *subject* is about; if it is not there, say why."""
        main, execs = self._main, self._main.execs
        self._go_to_execs()
        if not execs.as_tree:
            execs.toggle_tree()
        main.set_focus(execs.lines)
        if subject is None or subject.pid is None:
            return
        try:
            process = relatives.process(execs.model.processes, subject)
        except relatives.NowhereError as error:
            main.app.notify(str(error), severity="warning")
            return
        if not execs.select_process(process):
            ended = process.ended is not None
            gone = "has ended, and is not in the tree any more" if ended else "is hidden from the tree by a filter"
            main.app.notify(f"{process.comm} ({process.pid}) {gone}")

    def programs(self, query: str, box: Box) -> None:
        """Show the programs in *box* that match, with nothing above them."""
        main, execs = self._main, self._main.execs
        while len(main.app.screen_stack) > 1:
            main.app.pop_screen()
        main.playback.show_box(box)
        self._go_to_execs()
        if execs.as_tree:
            execs.toggle_tree()
        main.set_focus(execs.lines)
        self._type_filter(query)

    def both(self, execs: str, calls: str) -> None:
        """Show only what matches: in the exec log, and in the list of system calls, each its own text."""
        main = self._main
        syscalls = next(pane for pane in main.panes if isinstance(pane, SyscallsPane))
        for pane, text in ((main.execs, execs), (syscalls, calls)):
            if (row_filter := pane.lines.row_filter) is not None:
                row_filter.type(text)
        main.describe()
        main.app.notify(f"Exec log: {execs}. Syscalls: {calls}. Esc clears one after the other")

    def _go_to_execs(self) -> None:
        main, execs = self._main, self._main.execs
        if execs not in main.choice_of_panes:
            main.show_pane(execs, shown=True)
        main.go_to_pane(execs)
