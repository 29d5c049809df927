"""Save what is kept as a recording, or the rows of a pane as CSV or JSON: one line for the name."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from ebpftop.models.saving import Kind, kind_of, with_suffix
from ebpftop.recording.writer import expand_home, home, writable_folder
from ebpftop.screens.over import OverScreen
from ebpftop.source import SourceError
from ebpftop.text import escape
from ebpftop.widgets.keyline import KeyLine

log = logging.getLogger(__name__)

_NO_FOLDER = "The folder in which ebpftop was started is gone"


def working_folder() -> str | None:
    """Return the folder that relative paths begin at; None where it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


@dataclass(frozen=True)
class Saving:
    """One thing that can be saved: what it is, and what writes it (in a thread) and returns a line about it.

    `write` gets the path and whether an older file may be replaced; it raises SourceError.
    """

    kind: Kind
    about: str
    name: str
    write: Callable[[str, bool], str]


class SaveScreen(OverScreen[str]):
    """Closes with what was saved where."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", key_display="Esc", id="save.back"),
        Binding("down,ctrl+n,tab", "choose(1)", "What", key_display="↓", tooltip="Something else", id="save.next"),
        Binding("up,ctrl+p,shift+tab", "choose(-1)", "What", show=False, key_display="↑", id="save.previous"),
    ]

    def __init__(self, choices: list[Saving], chosen: Kind) -> None:
        super().__init__()
        self.choices = choices
        self.at = next((i for i, choice in enumerate(choices) if choice.kind == chosen), 0)
        self.replacing = ""
        self.busy = False
        self.folder = working_folder()
        """Where a relative path leads; None where that was deleted."""
        self.may_write = writable_folder() is not None

    @property
    def choice(self) -> Saving:
        return self.choices[self.at]

    @property
    def proposal(self) -> str:
        """The path that is offered for the choice."""
        return self.choice.name if self.may_write else os.path.join(home(), self.choice.name)

    def compose(self) -> ComposeResult:
        with Vertical(classes="sheet small save"):
            yield Static(classes="save-choices", markup=False)
            yield Input(self.proposal, select_on_focus=False, compact=True)
            yield Static(classes="save-note", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Vertical).border_title = Content("Save")
        self._show_choices()
        if self.folder is None:
            self._note(f"{_NO_FOLDER}; Enter saves it here")
        elif not self.may_write:
            self._note(f"You may not write in {self.folder}; Enter saves it here")
        else:
            self._note(f"Enter saves it in {self.folder}")
        self.set_focus(self.query_one(Input))

    def _show_choices(self) -> None:
        lines = [
            Content.assemble(
                ("● " if i == self.at else "○ ", "$success" if i == self.at else "$dim"),
                (f"{choice.kind:<10}", "bold" if i == self.at else "$dim"),
                (choice.about, "" if i == self.at else "$dim"),
            )
            for i, choice in enumerate(self.choices)
        ]
        self.query_one(".save-choices", Static).update(Content("\n").join(lines))

    def _note(self, text: str, *, bad: bool = False) -> None:
        self.query_one(".save-note", Static).update(Content.styled(escape(text), "$error" if bad else "$dim"))

    def action_choose(self, step: int) -> None:
        field = self.query_one(Input)
        typed = field.value != self.proposal
        self.at = (self.at + step) % len(self.choices)
        field.value = with_suffix(field.value, self.choice.kind) if typed and field.value else self.proposal
        self._show_choices()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.replacing = ""

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        path = expand_home(event.value.strip())
        if self.busy or not path:
            return
        if not os.path.isabs(path) and working_folder() is None:
            self._note(f"{_NO_FOLDER}: give an absolute path", bad=True)
            return
        kind = kind_of(path)
        self.at = next((i for i, choice in enumerate(self.choices) if choice.kind == kind), self.at)
        self._show_choices()
        if os.path.lexists(path) and self.replacing != path:
            self.replacing = path
            self._note(f"{path} exists: Enter once more replaces it", bad=True)
            return
        self.busy = True
        self._note("saving …")
        self._save(path, self.replacing == path)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, path: str, replace: bool) -> str:
        return self.choice.write(path, replace)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group != "save":
            return
        if event.state == WorkerState.SUCCESS:
            self.dismiss(str(event.worker.result))
        elif event.state == WorkerState.ERROR:
            self.busy = False
            self.replacing = ""
            error = event.worker.error
            if not isinstance(error, SourceError):
                log.error("saving failed", exc_info=error)
            self._note(error.cause if isinstance(error, SourceError) else str(error), bad=True)
