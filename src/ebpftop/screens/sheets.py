"""Sheets above the main screen: details of a row, diagnostics. Esc goes back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from ebpftop.models.scope import Step
from ebpftop.widgets.sheet import Details

REFRESH_S = 1.0


class SheetScreen(ModalScreen[Step]):
    """One sheet, scrollable, brought up to date while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="Esc", id="sheet.back"),
        Binding("j", "scroll(1)", "Down", show=False, id="sheet.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="sheet.up"),
        Binding("g", "scroll(-1000000)", "Top", show=False, id="sheet.top"),
        Binding("G", "scroll(1000000)", "Bottom", show=False, id="sheet.bottom"),
        Binding("y", "copy", "Copy", tooltip="Send it to the terminal's clipboard", id="sheet.copy"),
    ]

    def __init__(self, details: Details, *, at_end: bool = False) -> None:
        super().__init__()
        self.details = details
        self.at_end = at_end

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="sheet"):
            self._shown = self.details.sheet().content()
            yield Static(self._shown, classes="sheet-text", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        box = self.query_one(VerticalScroll)
        box.border_title = Content(self.details.title)
        self.set_focus(box)
        if self.at_end:
            self.call_after_refresh(box.scroll_end, animate=False)
        self.set_interval(REFRESH_S, self.update_sheet)

    def update_sheet(self) -> None:
        """Show what is known now."""
        content = self.details.sheet().content()
        if content != self._shown:
            # Laying it out anew costs as much as opening it.
            self._shown = content
            self.query_one(".sheet-text", Static).update(content)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.details.copies) if action == "copy" else True

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.details.copies)
        # The terminal does not answer: whether it took it, nobody knows.
        self.app.notify(f"{self.details.copies_what or 'It'} sent to the terminal's clipboard")


class NarrowingSheetScreen(SheetScreen):
    """The sheet of a process or a user. Enter shows nothing else any more; it closes with the step that does so."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "narrow", "Only this", tooltip="Narrow everything to it, and what it starts", id="sheet.narrow"
        ),
    ]

    def action_narrow(self) -> None:
        # Asked for now: since the sheet was opened the process may have ended, and its pid be another's.
        step = self.details.narrows() if self.details.narrows else None
        if step is None:
            self.app.notify(f"{self.details.title} has ended: nothing more comes from it", severity="warning")
        else:
            self.dismiss(step)
