"""The screens that open above the panes: the eBPF programs, why processes wait, what changed, calls and their lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from textual.app import App

from ebpftop.models.callers import process_of
from ebpftop.models.subject import Subject
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.widgets.row_steps import RowSteps

if TYPE_CHECKING:
    from ebpftop.ui.screens import bench_states, changed, programs, waits

    class Main(changed.Below, programs.Below, waits.Below, bench_states.Below, Protocol):
        """The main screen, as those that open above it see it."""

        panes: tuple[Pane, ...]

        @property
        def app(self) -> App[Any]:
            """The app, which shows them."""


class OpenController:
    """Opens the screens, which are imported then."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._syscalls = next(pane for pane in main.panes if isinstance(pane, SyscallsPane))

    def programs(self) -> None:
        """Show all eBPF programs of the machine."""
        from ebpftop.ui.screens.programs import ProgramsScreen

        main = self._main
        main.app.push_screen(ready(main.app, ProgramsScreen).fill_with(main))

    def changed(self) -> None:
        """Show what changed between the two spans that are marked."""
        from ebpftop.ui.screens.changed import ChangedScreen

        main = self._main
        main.app.push_screen(ready(main.app, ChangedScreen).fill_with(main))

    def workbench(self) -> None:
        """Show the file that was loaded."""
        from ebpftop.ui.screens.workbench import WorkbenchScreen

        main = self._main
        main.app.push_screen(ready(main.app, WorkbenchScreen).fill_with(main))

    def call(self, subject: Subject) -> None:
        """Open the details of a system call."""
        from ebpftop.ui.screens.syscall_details import SyscallScreen

        main = self._main
        pane = self._syscalls
        call = next((call for key, call in pane.model.calls.items() if key == (subject.abi, subject.nr)), None)
        if call is None:
            main.app.notify(f"{subject.call} was not called up to the moment that is shown")
            return
        screen = ready(main.app, SyscallScreen)
        main.app.push_screen(screen.fill_with(pane.model, call, pane.handle, live=main.source.live))

    def waits(self, pid: int | None) -> None:
        """Show why processes wait, with the cursor on *pid*."""
        from ebpftop.ui.screens.waits import WaitsScreen

        main = self._main
        opened = next((screen for screen in main.app.screen_stack if isinstance(screen, WaitsScreen)), None)
        if opened is None:
            main.app.push_screen(ready(main.app, WaitsScreen).fill_with(main, pid))
            return
        while main.app.screen is not opened:
            main.app.pop_screen()
        opened.choose(pid)

    def view(self, event: SyscallsPane.Open) -> None:
        """Open a list of system calls, a process, or a call."""
        from ebpftop.ui.screens.syscall_details import SyscallScreen
        from ebpftop.ui.screens.syscall_lists import VIEWS, ProcessScreen, TracedScreen

        main = self._main
        pane = self._syscalls
        model = pane.model
        if event.pid is not None:
            process = process_of(model.latest, event.pid)
            main.app.push_screen(ready(main.app, ProcessScreen).fill_with(model, process))
        elif event.call is not None:
            call = ready(main.app, SyscallScreen).fill_with(model, event.call, pane.handle, live=main.source.live)
            main.app.push_screen(call.beside(RowSteps(pane.lines)))
        else:
            screen = ready(main.app, VIEWS[event.view])
            if isinstance(screen, TracedScreen):
                screen.fill_with(pane)
            else:
                screen.fill(model)
            main.app.push_screen(screen)
