"""The line in which a value of a map is typed: what it is of, the text, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

_WORD_AT_END = re.compile(r"[^\s=]*\Z")


@dataclass(frozen=True)
class Asked:
    """A value that is asked for: its *label*, the *text* at first, a *hint*; *choices* are what Tab completes to.

    *write* does what Enter asks for with the text; it raises `SourceError` if that is refused. It may be slow.
    """

    label: str
    text: str
    hint: str
    write: Callable[[str], None]
    choices: Sequence[str] = ()
    is_new: bool = field(default=False)
    said: str = ""
    """What stands before the text once it is written; empty: the label."""


class CellEditor(Horizontal):
    """One line. Enter writes, Esc leaves it as it was; Up and Down go through the fields of a value."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "write", "Write", key_display="⏎", priority=True, id="cell.write"),
        Binding("escape", "close", "Leave as it is", key_display="Esc", id="cell.close"),
        Binding("tab", "complete", "Complete", show=False, key_display="⇥", id="cell.complete"),
        Binding("up", "step(-1)", "Field before", show=False, id="cell.previous"),
        Binding("down", "step(1)", "Next field", id="cell.next"),
    ]

    class Written(Message):
        """Enter: *text* is to be written for *asked*."""

        def __init__(self, asked: Asked, text: str) -> None:
            super().__init__()
            self.asked = asked
            self.text = text

    class Closed(Message):
        """Nothing is typed any more."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._fields: Sequence[Asked] = ()
        self._at = 0

    def compose(self) -> ComposeResult:
        yield Label("", classes="cell-label", markup=False)
        entry = Input(compact=True, select_on_focus=True)
        entry.cursor_blink = False
        yield entry
        yield Label("", classes="cell-note", markup=False)

    @property
    def is_open(self) -> bool:
        return bool(self.display)

    @property
    def asked(self) -> Asked | None:
        """What is asked for now."""
        return self._fields[self._at] if self._fields else None

    def open(self, fields: Sequence[Asked]) -> None:
        """Ask for one of *fields*, the first one at first."""
        self._fields, self._at = fields, 0
        self.display = True
        self._ask()
        self.screen.set_focus(self.query_one(Input))

    def _ask(self) -> None:
        asked = self._fields[self._at]
        self.query_one(".cell-label", Label).update(asked.label)
        entry = self.query_one(Input)
        entry.value = asked.text
        entry.select_all()
        self._hint(asked)

    def _hint(self, asked: Asked) -> None:
        several = f"  ↓ next of {len(self._fields)} fields" if len(self._fields) > 1 else ""
        self.note(f"{asked.hint}{several}")

    def note(self, text: str, *, bad: bool = False) -> None:
        """Say something about what is typed: a hint, or in red why it was refused."""
        label = self.query_one(".cell-note", Label)
        label.update(text)
        label.set_class(bad, "-bad")

    def close(self) -> None:
        """Leave the line."""
        if self.display:
            self.display = False
            self._fields = ()
            self.post_message(self.Closed())

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.asked is not None and self.query_one(".cell-note", Label).has_class("-bad"):
            self._hint(self.asked)  # what was refused is no longer there

    def action_write(self) -> None:
        asked = self.asked
        if asked is not None:
            self.post_message(self.Written(asked, self.query_one(Input).value))

    def action_close(self) -> None:
        self.close()

    def action_step(self, step: int) -> None:
        if len(self._fields) > 1:
            self._at = (self._at + step) % len(self._fields)
            self._ask()

    def action_complete(self) -> None:
        """Complete the last word to the next choice that begins so."""
        asked, entry = self.asked, self.query_one(Input)
        if asked is None or not asked.choices:
            return
        word = _WORD_AT_END.search(entry.value)
        begun = word[0] if word else ""
        choices = asked.choices
        if begun in choices:
            at = (choices.index(begun) + 1) % len(choices)
        else:
            at = next((at for at, choice in enumerate(choices) if choice.startswith(begun)), -1)
        if at < 0:
            return
        entry.value = entry.value.removesuffix(begun) + choices[at]
        entry.cursor_position = len(entry.value)
