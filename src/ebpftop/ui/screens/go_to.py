"""Where to go to from a row: to its process, its parent, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from ebpftop.core.escape import escape
from ebpftop.ui.screens.choice import ChoiceScreen

if TYPE_CHECKING:
    from typing_extensions import Self

Offer = tuple[str, str, str]
"""A place, its name, and what is there."""


class GoScreen(ChoiceScreen[str]):
    """Closes with the place that was chosen."""

    is_small = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,o", "dismiss", "Back", key_display="Esc", id="go_to.back"),
        Binding("enter", "choose", "Go to", key_display="⏎", id="go_to.go", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
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

    def show_filled(self) -> None:
        places = [Content.assemble((f"{name:<14}", "bold"), (about, "$dim")) for _, name, about in self.offers]
        self.show_choices(f"Go to, from {escape(self.title_text)}", places)

    def choice(self, index: int) -> str:
        return self.offers[index][0]
