"""Copy the row, or the filter, as a command line of a tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ebpftop.core.escape import escape
from ebpftop.models.copy_as import CommandLine
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine

if TYPE_CHECKING:
    from typing_extensions import Self

_SHOWN = 400
"""Characters of a line that are shown; all of it is copied."""


class CopyScreen(ReadyScreen[CommandLine]):
    """Closes with the line that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,C,q", "dismiss", "Back", key_display="Esc", id="copy_as.back"),
        Binding("enter,y", "choose", "Copy", key_display="⏎", id="copy_as.copy", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="copy_as.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="copy_as.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lines: Sequence[CommandLine] = ()
        self.title_text = ""

    def fill(self, lines: Sequence[CommandLine], title: str) -> Self:
        """Offer *lines* when this screen is pushed the next time."""
        self.lines, self.title_text = lines, title
        self.filled()
        return self

    def let_go(self) -> None:
        self.lines = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as self._box:
            self._options = OptionList(markup=False)
            yield self._options
        yield KeyLine()

    def show_filled(self) -> None:
        self._box.border_title = Content(f"Copy as: {escape(self.title_text)}")
        self._options.set_options(Option(self._words(line)) for line in self.lines)
        self._options.highlighted = 0
        self._options.scroll_to(y=0, animate=False, immediate=True)
        self.set_focus(self._options)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._box

    def _words(self, line: CommandLine) -> Content:
        text = escape(line.text)
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        return Content.assemble((f"{line.tool:<9}", "$primary bold"), (f"{line.about}\n", "$dim"), (shown, ""))

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.dismiss(self.lines[self._options.highlighted or 0])

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()
