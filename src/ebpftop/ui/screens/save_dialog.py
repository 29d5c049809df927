"""Save the history as a recording, or the rows of a pane as CSV or JSON: one line for the name."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from ebpftop.core.escape import escape
from ebpftop.core.source import SourceError
from ebpftop.models.subset import Kind, kind_of, with_suffix
from ebpftop.recording.writer import expand_home, fallback_folder, writable_folder
from ebpftop.ui.answers import Unanswered, answer_to
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

_NO_FOLDER = "The folder in which ebpftop was started no longer exists"


def working_folder() -> str | None:
    """Return the folder in which relative paths begin; None if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


@dataclass(frozen=True)
class Place:
    """Where files can be saved."""

    folder: str | None = None
    """The folder of relative paths; None if it was deleted."""
    fallback: str = ""
    """The folder that is proposed instead; empty if we may write in `folder`."""
    unknown: str = ""
    """Why it is unknown; empty if it is known."""


async def place_to_save() -> Place:
    """Find out where files can be saved, in at most half a second."""

    def ask() -> Place:
        return Place(working_folder(), "" if writable_folder() is not None else fallback_folder())

    try:
        return await answer_to(ask)
    except Unanswered as error:
        return Place(unknown=str(error))


@dataclass(frozen=True)
class _Destination:
    """What is known about a path before something is saved there."""

    path: str
    exists: bool = False
    leads_nowhere: bool = False


def _destination(typed: str) -> _Destination:
    path = expand_home(typed)
    if not os.path.isabs(path) and working_folder() is None:
        return _Destination(path, leads_nowhere=True)
    return _Destination(path, exists=os.path.lexists(path))


@dataclass(frozen=True)
class Saving:
    """One thing that can be saved: what it is, and what writes it (in a thread) and returns a line about it.

    `write` gets the path and whether an older file may be replaced; it raises SourceError.
    """

    kind: Kind
    about: str
    name: str
    write: Callable[[str, bool], str]


class SaveScreen(ReadyScreen[str]):
    """Closes with a line about what was saved, and where."""

    watches = frozenset(("callers", "waits"))

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", key_display="Esc", id="save.back"),
        Binding("enter", "save", "Save", key_display="⏎", id="save.save", priority=True),
        Binding("down,ctrl+n,tab", "choose(1)", "What", key_display="↓", tooltip="Something else", id="save.next"),
        Binding("up,ctrl+p,shift+tab", "choose(-1)", "What", show=False, key_display="↑", id="save.previous"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.choices: list[Saving] = []
        self.at = 0
        self.replacing = ""
        self.place = Place()
        self._saving: Worker[str] | None = None

    def fill(self, choices: list[Saving], chosen: Kind, place: Place) -> Self:
        """Offer *choices* in *place*, with *chosen* selected, when this screen is pushed the next time."""
        self.choices = choices
        self.at = next((i for i, choice in enumerate(choices) if choice.kind == chosen), 0)
        self.replacing = ""
        self._saving = None
        self.place = place
        self.filled()
        return self

    def let_go(self) -> None:
        self.choices = []
        self._saving = None

    @property
    def choice(self) -> Saving:
        return self.choices[self.at]

    @property
    def proposal(self) -> str:
        """The path that is proposed for the choice."""
        return os.path.join(self.place.fallback, self.choice.name)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small save") as self._box:
            self._box.border_title = Content("Save")
            self._choices = Static(classes="save-choices", markup=False)
            self._input = Input(select_on_focus=False, compact=True)
            self._input.cursor_blink = False
            self._message = Static(classes="save-note", markup=False)
            yield from (self._choices, self._input, self._message)
        yield KeyLine()

    def show_filled(self) -> None:
        with self.prevent(Input.Changed):
            self._input.value = self.proposal
        self._input.cursor_position = len(self.proposal)
        self._show_choices()
        if self.place.unknown:
            self._note(f"{self.place.unknown}; an absolute path may lead elsewhere", bad=True)
        elif self.place.folder is None:
            self._note(f"{_NO_FOLDER}; Enter saves it here")
        elif self.place.fallback:
            self._note(f"You may not write in {self.place.folder}; Enter saves it here")
        else:
            self._note(f"Enter saves it in {self.place.folder}")
        self.set_focus(self._input)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._choices, self._input, self._message, self._box

    def _show_choices(self) -> None:
        lines = [
            Content.assemble(
                ("● " if i == self.at else "○ ", "$success" if i == self.at else "$dim"),
                (f"{choice.kind:<10}", "bold" if i == self.at else "$dim"),
                (choice.about, "" if i == self.at else "$dim"),
            )
            for i, choice in enumerate(self.choices)
        ]
        self._choices.update(Content("\n").join(lines))

    def _note(self, text: str, *, bad: bool = False) -> None:
        self._message.update(Content.styled(escape(text), "$error" if bad else "$dim"))

    async def action_save(self) -> None:
        await self._input.action_submit()

    def action_choose(self, step: int) -> None:
        field = self._input
        typed = field.value != self.proposal
        self.at = (self.at + step) % len(self.choices)
        field.value = with_suffix(field.value, self.choice.kind) if typed and field.value else self.proposal
        self._show_choices()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.replacing = ""

    @on(Input.Submitted)
    async def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if self._saving is not None or not typed:
            return
        # The next key waits until this handler is done (key_order), so the path is still the one that was typed.
        try:
            found = await answer_to(lambda: _destination(typed))
        except Unanswered as error:
            self._note(f"{error}: nothing is saved; Enter tries again", bad=True)
            return
        path = found.path
        if found.leads_nowhere:
            self._note(f"{_NO_FOLDER}: give an absolute path", bad=True)
            return
        kind = kind_of(path)
        if kind == "json" and self.choice.kind == "seccomp":
            kind = "seccomp"  # a profile may have any name
        self.at = next((i for i, choice in enumerate(self.choices) if choice.kind == kind), self.at)
        self._show_choices()
        if found.exists and self.replacing != path:
            self.replacing = path
            self._note(f"{path} exists: Enter once more replaces it", bad=True)
            return
        self._note("saving …")
        self._saving = self._save(self.choice, path, self.replacing == path)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, choice: Saving, path: str, replace: bool) -> str:
        return choice.write(path, replace)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group != "save" or event.state not in (WorkerState.SUCCESS, WorkerState.ERROR):
            return
        error = event.worker.error
        if error is not None and not isinstance(error, SourceError):
            log.error("saving failed", exc_info=error)
        if event.worker is not self._saving:
            # The user has left, and this screen may show something else by now.
            text = str(event.worker.result if error is None else error)
            self.app.notify(text, severity="information" if error is None else "error")
        elif error is None:
            self.dismiss(str(event.worker.result))
        else:
            self._saving = None
            self.replacing = ""
            self._note(str(error), bad=True)
