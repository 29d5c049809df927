"""What the pane of the system calls asks of the kernel: which calls are ignored, and traced on which conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from textual import work

from ebpftop.core.source import Source, SourceError
from ebpftop.core.syscall_records import Handler
from ebpftop.models.asked import Asked, abis_of
from ebpftop.models.baseline import CallKey
from ebpftop.models.requests import LatestRequests
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.syscalls.tracing import CONDITIONS_MAX
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.textual_fixes.app_errors import SurvivingApp

UNDO_S = 6.0
"""Seconds for which undoing is offered."""

Told: TypeAlias = Callable[[str], None]
"""Is given why something was refused; empty: it is done."""

HANDLED: Mapping[Handler, str] = {
    "count": "counted, as usual",
    "ignore": "the kernel ignores it, and counts nothing. i counts it again",
    "trace": "traced again, as before. S lists its calls",
}
"""What a notice says when a call gets another handler."""


@dataclass(frozen=True)
class _Request:
    """What is to be asked of the kernel, what a notice says once it is, and who waits for it."""

    asked: Asked
    words: str
    offers_undo: bool
    told: Told | None = None


class HandlingPane(Pane):
    """A pane that asks the kernel to handle system calls in other ways. The last request wins, and can be undone."""

    model: SyscallsModel

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self._requests: LatestRequests[str, _Request] = LatestRequests()
        self._wanted: Asked | None = None
        """What was requested last; a past moment on the screen does not contain it."""
        self._done = Asked()
        """What the kernel has been asked: of this and `_wanted` one follows from the other by the thread's work."""
        self._before: Asked | None = None
        self.abis = abis_of(source.header.abi or "")

    @property
    def asked(self) -> Asked:
        """What is asked now, whatever moment is on the screen."""
        return self.model.asked if self._wanted is None else self._wanted

    def handle(self, call: Call, handler: Handler) -> None:
        """Ignore *call*, or do not any more; to trace it is asked for by `ask`."""
        ignored = call.key not in self.asked.ignored
        asked = self.asked.ignoring(call.key, on=ignored)
        self.ask(asked, f"{call.row.name}: {HANDLED[asked.of(call.key)[0]]}", offers_undo=False)

    def ask(self, asked: Asked, words: str, told: Told | None = None, *, offers_undo: bool = True) -> None:
        """Ask *asked* of the kernel, and say so by *words*. *told* is called once it is done, or refused."""
        if not self.source.live:
            try:
                self.source.set_handlers((), "count")
            except SourceError as error:
                self._notify_refused(str(error), told)
            return
        if self._wanted is None:
            self._done = self.model.asked
        self._before = self.asked
        self._wanted = asked
        if self.past:
            self.app.notify(f"{words}. It holds from now on; the screen shows the past")
        else:
            self._note(self._before, asked)
        if self._requests.put("asked", _Request(asked, words, offers_undo, told)):
            self.steer()

    def undo(self) -> None:
        """Ask what was asked before the last request."""
        if self._before is not None and self._wanted is not None:
            self.ask(self._before, "As before")

    def _note(self, before: Asked, asked: Asked) -> None:
        for calls, handler, conditions in before.changes(asked):
            for key in calls:
                self.model.ask(key, handler, conditions)
        self.refigure()

    def refigure(self) -> None:
        """Show what has changed without a reading."""
        self.show()
        self.describe()

    @work(thread=True, group="steer")
    def steer(self) -> None:
        """Ask the source for the last request; show its error if it refuses."""
        try:
            for _, request in self._requests:
                try:
                    self._apply(request.asked)
                except SourceError as error:
                    if not self._requests.is_superseded("asked"):
                        self.call_later(self._refused, str(error), request.told)
                else:
                    if not self._requests.is_superseded("asked"):
                        self.call_later(self._steered, request)
        except BaseException:
            self._requests.drop()
            raise

    def _apply(self, asked: Asked) -> None:
        """Have the kernel do what is *asked*; if it refuses a part of that, have it do what it did before."""
        before, changes = self._done, self._done.changes(asked)
        if len(before.conditions | asked.conditions) > CONDITIONS_MAX:
            # Both at a time are too many: those that go make room first.
            changes = [*(one._replace(handler="count", conditions=()) for one in changes), *changes]
        undone: set[CallKey] = set()
        try:
            for calls, handler, conditions in changes:
                self.source.set_handlers(calls, handler, conditions)
                undone.update(calls)
        except SourceError:
            for calls, handler, conditions in asked.changes(before):
                if undone.intersection(calls):
                    self.source.set_handlers(calls, handler, conditions)
            raise
        self._done = asked

    def _steered(self, request: _Request) -> None:
        if request.told is not None:
            request.told("")
        if self.past:
            return
        words = request.words
        if self.state != "on":
            words += f". The probe is {self.state}: this holds once it is attached"
        if request.offers_undo:
            assert isinstance(self.app, SurvivingApp)
            self.app.offer(f"{words}. ", "Undo", "app.undo_asked", "", UNDO_S)
        else:
            self.app.notify(words)

    def _refused(self, reason: str, told: Told | None) -> None:
        self.model.forget()
        self._wanted = self._before = self._done
        self._notify_refused(reason, told)
        self.refigure()

    def _notify_refused(self, reason: str, told: Told | None) -> None:
        if told is None:
            self.app.notify(reason, title="System calls are handled as before", severity="warning")
        else:
            told(reason)
