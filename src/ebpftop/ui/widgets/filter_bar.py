"""The line below a pane for typing its filter."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class FilterBar(Horizontal):
    """A regular expression, applied while it is typed. Enter keeps it, Esc clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear filter", key_display="Esc", id="filter.clear"),
    ]

    class Changed(Message):
        """Something was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Done(Message):
        """Enter: back to the rows. `cleared` if Esc was pressed instead."""

        def __init__(self, cleared: bool) -> None:
            super().__init__()
            self.cleared = cleared

    def __init__(self) -> None:
        super().__init__()
        self._noted = ("", False)

    def compose(self) -> ComposeResult:
        yield Label("/", classes="filter-mark", markup=False)
        field = Input(placeholder="regular expression, ! inverts; uid:0 pid:1 comm:ssh* for the kernel", compact=True)
        field.cursor_blink = False
        yield field
        yield Label("", classes="filter-note", markup=False)

    def open(self) -> None:
        """Show the line and type into it."""
        self.display = True
        self.screen.set_focus(self.query_one(Input))

    @property
    def text(self) -> str:
        """The text in the line."""
        return self.query_one(Input).value

    @text.setter
    def text(self, text: str) -> None:
        self.query_one(Input).value = text

    def note(self, text: str, bad: bool = False) -> None:
        """Show a message at the right end."""
        if self._noted == (text, bad):
            # Another text means a new layout of the whole screen.
            return
        self._noted = text, bad
        label = self.query_one(".filter-note", Label)
        label.update(text)
        label.set_class(bad, "-bad")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done(cleared=False))

    def action_clear(self) -> None:
        self.query_one(Input).value = ""
        self.post_message(self.Done(cleared=True))
