"""Copy the row, or the filter, as a command line of a tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from ebpftop.core.escape import escape
from ebpftop.models.copy_as import CommandLine
from ebpftop.ui.screens.choice import ChoiceScreen

if TYPE_CHECKING:
    from typing_extensions import Self

_SHOWN = 400
"""Characters of a line that are shown; all of it is copied."""


class CopyScreen(ChoiceScreen[CommandLine]):
    """Closes with the line that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,C", "dismiss", "Back", key_display="Esc", id="copy_as.back"),
        Binding("enter,y", "choose", "Copy", key_display="⏎", id="copy_as.copy", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
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

    def show_filled(self) -> None:
        self.show_choices(f"Copy as: {escape(self.title_text)}", list(map(self._words, self.lines)))

    def choice(self, index: int) -> CommandLine:
        return self.lines[index]

    def _words(self, line: CommandLine) -> Content:
        text = escape(line.shown or line.text)
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        return Content.assemble((f"{line.tool:<9}", "$primary bold"), (f"{line.about}\n", "$dim"), (shown, ""))
