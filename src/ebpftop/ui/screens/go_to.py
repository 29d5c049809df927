"""Where to go to from a row: to its process, its parent, and so on."""

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
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine

if TYPE_CHECKING:
    from typing_extensions import Self

Offer = tuple[str, str, str]
"""A place, its name, and what is there."""


class GoScreen(ReadyScreen[str]):
    """Closes with the place that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,o,q", "dismiss", "Back", key_display="Esc", id="go_to.back"),
        Binding("enter", "choose", "Go to", key_display="⏎", id="go_to.go", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="go_to.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="go_to.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.offers: Sequence[Offer] = ()
        self.title_text = ""

    def fill(self, offers: Sequence[Offer], title: str) -> Self:
        """Offer these places when this screen is pushed the next time."""
        self.offers, self.title_text = offers, title
        self.filled()
        return self

    def let_go(self) -> None:
        self.offers = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small") as self._box:
            self._options = OptionList(markup=False, compact=True)
            yield self._options
        yield KeyLine()

    def show_filled(self) -> None:
        self._box.border_title = Content(f"Go to, from {escape(self.title_text)}")
        self._options.set_options(
            Option(Content.assemble((f"{name:<14}", "bold"), (about, "$dim"))) for _, name, about in self.offers
        )
        self._options.highlighted = 0
        self.set_focus(self._options)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._box

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.dismiss(self.offers[self._options.highlighted or 0][0])

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()
