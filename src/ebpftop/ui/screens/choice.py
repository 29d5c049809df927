"""A list of which one is chosen: what the screens for that have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ebpftop.ui.screens.ready import ReadyScreen, Result
from ebpftop.ui.widgets.keyline import KeyLine


class ChoiceScreen(ReadyScreen[Result]):
    """Closes with what was chosen. Its subclasses bind `choose`, and `cursor(1)` and `cursor(-1)`."""

    is_small: ClassVar[bool] = False
    """Whether each choice has one line, and the box no more room than they need."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small" if self.is_small else "dialog") as self._box:
            self._options = OptionList(markup=False, compact=self.is_small)
            yield self._options
        yield KeyLine()

    def show_choices(self, title: str, choices: list[Content]) -> None:
        """Show *choices*, the first one under the cursor."""
        self._box.border_title = Content(title)
        self._options.set_options(map(Option, choices))
        self._options.highlighted = 0
        self._options.scroll_to(y=0, animate=False, immediate=True)
        self.set_focus(self._options)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._box

    @abstractmethod
    def choice(self, index: int) -> Result:
        """Return what the screen closes with if the choice at *index* was made."""

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.dismiss(self.choice(self._options.highlighted or 0))

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()
