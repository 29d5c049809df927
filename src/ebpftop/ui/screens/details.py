"""Sheets above the main screen: details of a row, help, diagnostics. Esc goes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from ebpftop.filters.stack import FilterLevel
from ebpftop.ui.screens.ready import ReadyScreen, ready
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self

REFRESH_S = 1.0

_NOTHING = Details("", Sheet)


class SheetScreen(ReadyScreen[FilterLevel]):
    """One sheet: scrollable, and updated while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="Esc", id="sheet.back"),
        Binding("j", "scroll(1)", "Down", show=False, id="sheet.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="sheet.up"),
        Binding("g", "scroll(-1000000)", "Top", show=False, id="sheet.top"),
        Binding("G", "scroll(1000000)", "Bottom", show=False, id="sheet.bottom"),
        Binding("ctrl+d", "half_page(1)", "Half a page down", show=False, id="sheet.half_down"),
        Binding("ctrl+u", "half_page(-1)", "Half a page up", show=False, id="sheet.half_up"),
        Binding("t", "app.tree", "Tree", show=False, tooltip="Its process in the tree", id="sheet.tree"),
        Binding("y", "copy", "Copy", tooltip="Send it to the terminal's clipboard", id="sheet.copy"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.details = _NOTHING
        self._shown = Content("")
        self._rendered: tuple[Content, str, str] | None = None
        """What the widgets have rendered last: text, title, theme."""

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        with VerticalScroll(classes="sheet") as self._box:
            self._text = Static(self._shown, classes="sheet-text", markup=False)
            yield self._text
        yield KeyLine()

    def on_mount(self) -> None:
        self.set_focus(self._box)
        self._clock = self.set_interval(REFRESH_S, self.update_sheet, pause=True)

    def fill(self, details: Details) -> Self:
        """Show *details* from the top when this screen is pushed the next time."""
        self._shown = details.sheet().content()
        self.details = details
        self.filled()
        return self

    def show_filled(self) -> None:
        rendered = self._shown, self.details.title, self.app.theme
        if rendered != self._rendered:
            self._rendered = rendered
            self._text.update(self._shown, layout=False)
            self._title.set_name(self.details.title, self.details.when)
        self._box.scroll_to(y=0, animate=False, immediate=True)

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._text, self._box

    def let_go(self) -> None:
        self.details = _NOTHING
        self._shown = Content("")
        self._rendered = None
        self._text.update(self._shown, layout=False)

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        self._clock.resume()

    def on_screen_suspend(self) -> None:
        self._clock.pause()

    def update_sheet(self) -> None:
        """Rebuild the sheet, and show it if it has changed."""
        content = self.details.sheet().content()
        if content != self._shown:
            # Laying it out again costs as much as opening it.
            self._shown = content
            self._rendered = content, self.details.title, self.app.theme
            self._text.update(content)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.details.copies) if action == "copy" else True

    def action_scroll(self, lines: int) -> None:
        self._box.scroll_relative(y=lines, animate=False)

    def action_half_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self._box.size.height // 2))

    @property
    def pid(self) -> int | None:
        return self.details.pid

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.details.copies)
        # The terminal does not reply, so nobody knows whether it accepted the text.
        self.app.notify(f"{self.details.copies_what or 'It'} sent to the terminal's clipboard")


class FilteringSheetScreen(SheetScreen):
    """The sheet of a process or a user. Enter filters to it: the screen closes with that filter level."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "filter_to",
            "Filter to this",
            tooltip="Show only it and what it starts, in all panes",
            id="sheet.narrow",
        ),
    ]

    def action_filter_to(self) -> None:
        # Computed now: the process may have ended since the sheet was opened, and its pid may be another's.
        step = self.details.narrows() if self.details.narrows else None
        if step is None:
            self.app.notify(f"{self.details.title} has ended: nothing more comes from it", severity="warning")
        else:
            self.dismiss(step)


def open_sheet(app: App[Any], details: Details, filter_to: Callable[[FilterLevel], None] | None = None) -> None:
    """Show *details*; *narrow* is called with the filter level that Enter chose."""
    kind = SheetScreen if details.narrows is None else FilteringSheetScreen
    app.push_screen(ready(app, kind).fill(details), lambda step: filter_to(step) if step and filter_to else None)
