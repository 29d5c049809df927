"""From a row to what belongs to it: its process, its parent, its children, its calls, its user. Esc leads back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from textual.app import App

from ebpftop.filters.stack import FilterLevel, user_level
from ebpftop.models import relatives
from ebpftop.models.callers import total_of
from ebpftop.models.relatives import NowhereError
from ebpftop.models.subject import Subject, subject_of_process
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.exec_details import process_details
from ebpftop.ui.panes.execs import ExecsPane
from ebpftop.ui.panes.syscall_notes import calls_text
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.panes.users import UsersPane
from ebpftop.ui.screens.filtering import FilterController
from ebpftop.ui.screens.ready import ready
from ebpftop.ui.screens.row_actions import RowController
from ebpftop.ui.widgets.action_line import Action
from ebpftop.ui.widgets.sheet import Beside, Details

if TYPE_CHECKING:
    from ebpftop.models.processes import ProcessInfo

DEEPEST = 12
"""Screens above each other; more could not be told apart, and each takes memory."""


class Place(NamedTuple):
    """Somewhere to go to from a row."""

    label: str
    about: str


PLACES: Mapping[str, Place] = {
    "process": Place("Process", "what is known of its process"),
    "parent": Place("Parent", "the process that started its process"),
    "children": Place("Children", "the processes that its process started, as a tree"),
    "calls": Place("Syscalls", "the system calls of its process"),
    "waits": Place("Why it waits", "what it is blocked in, on what, and who wakes it"),
    "traced": Place("Traced calls", "the traced calls of its process"),
    "user": Place("User", "what is known of its user"),
}


class GoController:
    """Goes to what belongs to a row of any screen. Each place opens above the screen that it was chosen on."""

    def __init__(
        self,
        app: Callable[[], App[Any]],
        panes: Sequence[Pane],
        filters: FilterController,
        rows: RowController,
        trace: Callable[[Subject | None], None],
        show_tree: Callable[[Subject | None], None],
        show_waits: Callable[[int | None], None],
    ) -> None:
        self._app = app
        self._execs = next(pane for pane in panes if isinstance(pane, ExecsPane))
        self._users = next(pane for pane in panes if isinstance(pane, UsersPane))
        self._syscalls = next(pane for pane in panes if isinstance(pane, SyscallsPane))
        self._filters = filters
        self._rows = rows
        self._execs.calls_of = self._calls_of
        self._trace = trace
        self._show_tree = show_tree
        self._show_waits = show_waits
        self._places: Mapping[str, Callable[[Subject], None]] = {
            "process": self._to_process,
            "parent": self._to_parent,
            "children": self._to_children,
            "calls": self._to_calls,
            "waits": lambda subject: self._show_waits(subject.pid),
            "traced": self._to_traced,
            "user": self._to_user,
        }

    @staticmethod
    def places(subject: Subject | None) -> tuple[str, ...]:
        """Return where one may go to from *subject*."""
        if subject is None or subject.pid is None:
            return ()
        return tuple(PLACES)

    def actions(self, details: Details) -> list[Action]:
        """Return what can be done with what a sheet is about."""
        actions = []
        subject = details.subject
        if details.narrows is not None:
            key = "u" if subject is None or subject.pid is None else ""
            actions.append(Action(details.narrows_what, partial(self._filter_to, details), key))
        if details.finds is not None:
            actions.append(Action(details.narrows_what, partial(self._find, *details.finds), "u"))
        for place in self.places(subject):
            if place != details.place:
                actions.append(Action(PLACES[place].label, partial(self.go, place, subject)))
        if subject is None:
            return actions
        if subject.pid is not None:
            actions.append(Action("Tree", partial(self.tree, subject), "t"))
        if subject.pid is not None:
            actions.append(Action("Trace", partial(self._trace, subject), "T"))
        actions.append(Action("Watch", partial(self._rows.watch_subject, subject), "a"))
        if subject.uid is not None and subject.kind != "user":
            level = user_level(subject.uid, subject.user)
            actions.append(Action("Only this user", partial(self._filter, level), "u"))
        actions.append(Action("Copy as", partial(self._copy_as, subject, details), "C"))
        return actions

    def _copy_as(self, subject: Subject, details: Details) -> None:
        seen = details.calls_seen() if details.calls_seen is not None else None
        self._rows.copy_subject(subject, details.title, seen=seen)

    def _find(self, execs: str, calls: str) -> None:
        self._close_all()
        self._rows.find(execs, calls)

    def go(self, place: str, subject: Subject | None) -> None:
        """Go to a place of `PLACES`, or say why not."""
        app = self._app()
        if subject is None:
            app.notify("Choose a row first: j and k move")
        elif len(app.screen_stack) > DEEPEST:
            app.notify("Go back first, with Esc: so many sheets are open")
        else:
            try:
                self._places[place](subject)
            except NowhereError as error:
                app.notify(str(error), severity="warning")

    def ask(self, subject: Subject | None) -> None:
        """Offer the places of the row that *subject* is about."""
        from ebpftop.ui.screens.go_to import GoScreen

        app, places = self._app(), self.places(subject)
        if subject is None:
            app.notify("Choose a row first: j and k move")
        elif not places:
            app.notify("This row is not about a process")
        else:
            offered = [(place, *PLACES[place]) for place in places]
            screen = ready(app, GoScreen).fill(offered, subject.name)
            app.push_screen(screen, lambda place: self.go(place, subject) if place else None)

    def open(self, details: Details, beside: Beside | None = None) -> None:
        """Show *details*: on the sheet on top, if there is one, which leads back to what it shows now.

        *beside* steps from the row that was opened to those beside it.
        """
        from ebpftop.ui.screens.details import SheetScreen, open_sheet

        app, actions = self._app(), self.actions(details)
        step = None if beside is None else partial(self._step, beside)
        top = app.screen
        if isinstance(top, SheetScreen):
            top.go_on(details, actions)
        else:
            open_sheet(app, details, actions, step)

    def _step(self, beside: Beside, by: int) -> tuple[Details, Sequence[Action]] | None:
        details = beside(by)
        return None if details is None else (details, self.actions(details))

    def tree(self, subject: Subject | None) -> None:
        """Close what is open above the panes, and show the process in the tree."""
        self._close_all()
        self._show_tree(subject)

    def _close_all(self) -> None:
        app = self._app()
        while len(app.screen_stack) > 1:
            app.pop_screen()

    def _filter_to(self, details: Details) -> None:
        # Computed now: the process may have ended since the sheet was opened, and its pid may be another's.
        level = details.narrows() if details.narrows else None
        if level is None:
            said = f"{details.title} has ended: nothing more comes from it"
            self._app().notify(said, severity="warning")
        else:
            self._filter(level)

    def _filter(self, level: FilterLevel) -> None:
        self._close_all()
        self._filters.push(level)

    def _calls_of(self, pid: int, start_ns: int) -> str:
        """Return how many system calls a process made, and how long they took."""
        model = self._syscalls.model
        return calls_text(total_of(model.latest, pid, start_ns, model.baseline), model.baseline)

    # The places.

    def _details_of(self, known: ProcessInfo) -> Details:
        execs = self._execs
        return process_details(execs.model, known, execs.lines.now, execs.calls_of)

    def _to_process(self, subject: Subject) -> None:
        self.open(self._details_of(relatives.process(self._execs.model.processes, subject)))

    def _to_parent(self, subject: Subject) -> None:
        self.open(self._details_of(relatives.parent(self._execs.model.processes, subject)))

    def _to_children(self, subject: Subject) -> None:
        from ebpftop.ui.screens.children import ChildrenScreen

        app, execs = self._app(), self._execs
        known = relatives.process(execs.model.processes, subject)
        screen = ready(app, ChildrenScreen)
        app.push_screen(screen.fill_with(execs.model.processes, known, lambda: execs.lines.now, self._details_of))

    def _to_calls(self, subject: Subject) -> None:
        from ebpftop.ui.screens.syscall_lists import ProcessScreen

        app, model = self._app(), self._syscalls.model
        process = relatives.caller(self._execs.model.processes, model.latest, subject)
        app.push_screen(ready(app, ProcessScreen).fill_with(model, process))

    def _to_traced(self, subject: Subject) -> None:
        from ebpftop.ui.screens.syscall_lists import TracedScreen

        app, model = self._app(), self._syscalls.model
        try:
            others = relatives.others_traced(self._execs.model.processes, model.traced.rows(), subject)
        except NowhereError as error:
            others = f"{error}; listed is what any process with this pid did"
        app.push_screen(ready(app, TracedScreen).fill_with(self._syscalls, f"pid:{subject.pid}"))
        if others:
            app.notify(others)

    def _to_user(self, subject: Subject) -> None:
        uid = subject.uid
        if uid is None:
            known = relatives.process(self._execs.model.processes, subject)
            uid = subject_of_process(known).uid
        user = self._users.model.users.get(uid) if uid is not None else None
        if user is None:
            raise NowhereError(f"Nothing was counted for uid {uid}: it has no row among the users")
        self.open(self._users.details(user))
