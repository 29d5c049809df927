"""Screens of lines above the main screen, brought up to date with every reading."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from ebpftop.models.syscalls import SyscallsModel
from ebpftop.screens.over import OverScreen
from ebpftop.widgets.keyline import KeyLine

LOOK_S = 0.25


class LiveScreen(OverScreen[None]):
    """A frame around what a subclass composes in `contents`; `show` is called when the model has something new."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back", key_display="Esc", id="live.back"),
    ]

    def __init__(self, model: SyscallsModel) -> None:
        super().__init__()
        self.model = model
        self._shown: Hashable = None

    def contents(self) -> ComposeResult:
        """Yield the widgets in the frame; the first that can has the focus."""
        raise NotImplementedError

    def show(self) -> None:
        """Show what the model holds now."""
        raise NotImplementedError

    def title_text(self) -> str:
        """What stands in the frame."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Vertical(classes="sheet live"):
            yield from self.contents()
        yield KeyLine()

    def on_mount(self) -> None:
        self.call_after_refresh(self.look)
        self.set_interval(LOOK_S, self.look)

    def look(self) -> None:
        """Show what is new, if anything is."""
        state = self.model.readings, self.model.traced.end, self.model.since
        if state != self._shown:
            self._shown = state
            self.query_one(Vertical).border_title = Content(self.title_text())
            self.show()
