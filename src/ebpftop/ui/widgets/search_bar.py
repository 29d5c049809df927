"""The line below a text for typing what is searched in it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class SearchBar(Horizontal):
    """Searched while it is typed. Enter keeps it, Esc clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear search", key_display="Esc", id="search.clear"),
    ]

    class Changed(Message):
        """Something was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Done(Message):
        """Enter: back to the text. `cleared` if Esc was pressed instead."""

        def __init__(self, cleared: bool) -> None:
            super().__init__()
            self.cleared = cleared

    def __init__(self) -> None:
        super().__init__()
        self._field = Input(compact=True)
        self._field.cursor_blink = False
        self._note = Label("", classes="search-note", markup=False)

    def compose(self) -> ComposeResult:
        yield Label("/", classes="search-mark", markup=False)
        yield self._field
        yield self._note

    def open(self) -> None:
        """Show the line and type into it."""
        self.display = True
        self.screen.set_focus(self._field)

    def close(self, *, keep: bool = False) -> None:
        """Hide the line; *keep* it in view, with what was found, if there is something."""
        if not keep:
            self._field.value = ""
        self.display = bool(self._field.value)

    def note(self, text: str, bad: bool = False) -> None:
        """Show a message at the right end."""
        self._note.update(text)
        self._note.set_class(bad, "-bad")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done(cleared=False))

    def action_clear(self) -> None:
        self.post_message(self.Done(cleared=True))
