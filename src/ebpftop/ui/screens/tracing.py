"""Tracing from the screen: `T` asks about a row; what is answered is asked of the kernel, and can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.app import App

from ebpftop.core.source import Source, SourceError
from ebpftop.filters.stack import FilterStack
from ebpftop.models.asked import Asked
from ebpftop.models.subject import Subject
from ebpftop.ui.panes.handling import Told
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.ready import ready


class TraceController:
    """Asks what to trace, whatever screen it was asked on."""

    def __init__(
        self,
        app: Callable[[], App[Any]],
        pane: Callable[[], SyscallsPane],
        source: Source,
        stack: Callable[[], FilterStack],
    ) -> None:
        self._app = app
        self._pane = pane
        self._source = source
        self._stack = stack

    def ask(self, subject: Subject | None) -> None:
        """Ask which calls to trace, and when: of what *subject* is about."""
        from ebpftop.models.trace_question import question
        from ebpftop.ui.screens.trace_question import TraceScreen

        app, pane = self._app(), self._pane()
        if (refused := self._refused()) or pane.probe not in self._source.probes:
            app.notify(refused or "The syscalls probe was not asked for with --probes", severity="warning")
            return
        call = None
        if subject is not None and subject.abi is not None and subject.nr is not None:
            call = pane.model.calls.get((subject.abi, subject.nr))
        asked = question(self._with_filtered_pid(subject), call, pane.asked, pane.abis)
        app.push_screen(ready(app, TraceScreen).fill(asked, pane.asked, pane.abis, self._answer), self._answered)

    def _with_filtered_pid(self, subject: Subject | None) -> Subject | None:
        """Return *subject*, with the one process that the panes are filtered to if it names none."""
        pids = self._stack().filter.pids
        if subject is not None and subject.kind == "call" and subject.pid is None and len(pids) == 1:
            return replace(subject, kind="call", pid=pids[0])
        return subject

    def _refused(self) -> str:
        """Why nothing can be traced here."""
        if self._source.live:
            return ""
        try:
            self._source.set_handlers((), "count")
        except SourceError as error:
            return str(error)
        return ""

    def _answer(self, text: str, asked: Asked, told: Told) -> None:
        """Ask *asked* of the kernel; *text*: what is traced from now on, empty if something is stopped."""
        pane = self._pane()
        words = f"Traced: {text}. S lists the calls" if text else _stopped(pane.asked, asked, pane)
        pane.ask(asked, words, told)

    def _answered(self, text: str | None) -> None:
        """Show what is traced of a process."""
        if text is None or "pid=" not in text:
            return
        from ebpftop.ui.screens.syscall_lists import TracedScreen

        app, pane = self._app(), self._pane()
        if isinstance(app.screen, TracedScreen):
            return
        others = [item.text for item in pane.asked.items(pane.abis) if item.text not in text.split(",")]
        pids = {part[4:] for item in text.split(",") for part in item.split(":") if part.startswith("pid=")}
        filter_text = f"under:{pids.pop()}" if others and len(pids) == 1 else ""
        app.push_screen(ready(app, TracedScreen).fill_with(pane, filter_text))

    @property
    def text(self) -> str:
        """What is traced, as `--trace` has it."""
        pane = self._pane()
        return pane.asked.text(pane.abis)

    def stop_all(self) -> None:
        """Trace no call any more."""
        app, pane = self._app(), self._pane()
        if refused := self._refused():
            app.notify(refused, severity="warning")
        elif not pane.asked.traced:
            app.notify("No call is traced")
        else:
            pane.ask(Asked({}, pane.asked.ignored), "No call is traced any more")

    def undo(self) -> None:
        self._pane().undo()


def _stopped(before: Asked, after: Asked, pane: SyscallsPane) -> str:
    left = {item.text for item in after.items(pane.abis)}
    gone = [item.text for item in before.items(pane.abis) if item.text not in left]
    return f"Not traced any more: {','.join(gone)}"
