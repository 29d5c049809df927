"""The two lines in which a filter is typed: what it shows, or what is wrong with it, and the fields that there are."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label

from ebpftop.ui.widgets.row_filter import AnyFilter

_COMPLETES = "  ⇥ completes"


class FilterBar(Vertical):
    """Types the filter of one list after the other. Enter keeps it, Esc clears it, Up and Down recall earlier ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep", key_display="⏎", priority=True, id="filter.keep"),
        Binding("escape", "clear", "Clear filter", key_display="Esc", id="filter.clear"),
        Binding("tab", "complete", "Complete", key_display="⇥", id="filter.complete"),
        Binding("up", "recall(-1)", "Earlier", id="filter.earlier"),
        Binding("down", "recall(1)", "Later", show=False, id="filter.later"),
    ]

    class Closed(Message):
        """Enter or Esc: back to the rows of *row_filter*."""

        def __init__(self, row_filter: AnyFilter) -> None:
            super().__init__()
            self.row_filter = row_filter

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self.row_filter: AnyFilter | None = None
        self._shown: tuple[str, bool, str, str] = ("", False, "", "")
        self._recalled: int | None = None
        self._typed = ""
        self._cycle: tuple[str, int, list[str], int] | None = None
        """The last completion: the text that it made, where it begins, what there is to choose from, the choice."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label("/", classes="filter-mark", markup=False)
            field = Input(placeholder="words, expressions, field:value; ! inverts", compact=True, select_on_focus=False)
            field.cursor_blink = False
            yield field
            yield Label("", classes="filter-note", markup=False)
            yield Label("", classes="filter-count", markup=False)
        yield Label("", classes="filter-fields", markup=False)

    def open(self, row_filter: AnyFilter) -> None:
        """Type the filter of a list."""
        if self.row_filter is not None and self.row_filter is not row_filter:
            self.row_filter.on_news = None
        self.row_filter = row_filter
        row_filter.on_news = self.describe
        self._recalled, self._cycle = None, None
        self.display = True
        self.text = row_filter.text
        self.query_one(Input).cursor_position = len(self.text)
        self.describe()
        self.screen.set_focus(self.query_one(Input))

    def close(self) -> None:
        """Leave the line; the filter stays as it is."""
        row_filter, self.row_filter = self.row_filter, None
        self.display = False
        if row_filter is not None:
            row_filter.on_news = None
            self.post_message(self.Closed(row_filter))

    @property
    def text(self) -> str:
        """The text in the line."""
        return self.query_one(Input).value

    @text.setter
    def text(self, text: str) -> None:
        with self.query_one(Input).prevent(Input.Changed):
            self.query_one(Input).value = text

    def describe(self) -> None:
        """Say what is wrong with what is typed, or what Enter does; how many rows match; which fields there are."""
        row_filter = self.row_filter
        if row_filter is None:
            return
        enter = row_filter.enter_text()
        wrong = row_filter.error or row_filter.doubt
        note = f"✗ {wrong}" if wrong else f"Enter: {enter}" if enter else ""
        shown = note, bool(wrong), row_filter.count_text, self._fields(row_filter.hint)
        if shown == self._shown:
            # Another text means a new layout of the whole screen.
            return
        self._shown = shown
        label = self.query_one(".filter-note", Label)
        label.update(note)
        label.set_class(bool(wrong), "-bad")
        self.query_one(".filter-count", Label).update(shown[2])
        self.query_one(".filter-fields", Label).update(shown[3])

    def _fields(self, names: str) -> str:
        """Return the names that fit into the line, and what Tab does."""
        room = (self.size.width or self.app.size.width) - len(_COMPLETES) - 4
        if len(names) > room:
            names = names[: room - 1].rpartition(" ")[0] + " …"
        return names + _COMPLETES

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.row_filter is not None and event.value != self.row_filter.text:
            self.row_filter.type(event.value)

    def type(self, text: str, at: int | None = None) -> None:
        """Have *text* in the line, with the cursor at *at* or the end, as if it had been typed."""
        field = self.query_one(Input)
        self.text = text
        field.cursor_position = len(text) if at is None else at
        if self.row_filter is not None:
            self.row_filter.type(text)

    def action_keep(self) -> None:
        if self.row_filter is not None:
            if self.text != self.row_filter.text:
                self.row_filter.type(self.text)  # its message is still on the way
            self.row_filter.keep()
        self.close()

    def action_clear(self) -> None:
        if self.row_filter is not None:
            self.row_filter.clear()
        self.text = ""
        self.close()

    def action_recall(self, step: int) -> None:
        """Put an earlier filter of this list into the line; behind the newest one is what was typed."""
        recent = self.row_filter.recent if self.row_filter is not None else []
        at = len(recent) if self._recalled is None else self._recalled
        if self._recalled is None:
            self._typed = self.text
        to = min(max(at + step, 0), len(recent))
        if to != at:
            self._recalled = to if to < len(recent) else None
            self.type(self._typed if self._recalled is None else recent[to])

    def action_complete(self) -> None:
        """Complete the word at the cursor: with the first field or value that begins so; again: with the next."""
        field, row_filter = self.query_one(Input), self.row_filter
        if row_filter is None:
            return
        if self._cycle is not None and self._cycle[0] == self.text:
            _, begin, choices, choice = self._cycle
            choice = (choice + 1) % len(choices)
            end = begin + len(choices[choice - 1])
        else:
            begin, choices = row_filter.language.completions(self.text, field.cursor_position)
            choice, end = 0, field.cursor_position
        if not choices:
            return
        text = self.text[:begin] + choices[choice] + self.text[end:]
        self.type(text, begin + len(choices[choice]))
        self._cycle = text, begin, choices, choice
