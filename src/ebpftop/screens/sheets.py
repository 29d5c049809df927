"""Sheets above the main screen: details of a row, help, diagnostics. Esc goes back.

One screen of each kind is made when the app has nothing else to do, and filled when it is opened: making one takes
longer than all else between a key and its frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ebpftop.models.scope import Step
from ebpftop.screens.over import OverScreen
from ebpftop.widgets.keyline import KeyLine
from ebpftop.widgets.sheet import Details, Sheet

REFRESH_S = 1.0

_NOTHING = Details("", Sheet)


class SheetScreen(OverScreen[Step]):
    """One sheet, scrollable, brought up to date while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="Esc", id="sheet.back"),
        Binding("j", "scroll(1)", "Down", show=False, id="sheet.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="sheet.up"),
        Binding("g", "scroll(-1000000)", "Top", show=False, id="sheet.top"),
        Binding("G", "scroll(1000000)", "Bottom", show=False, id="sheet.bottom"),
        Binding("y", "copy", "Copy", tooltip="Send it to the terminal's clipboard", id="sheet.copy"),
    ]

    _filled = False
    _styled_for = ""

    def __init__(self, details: Details) -> None:
        super().__init__()
        self.details = details

    def compose(self) -> ComposeResult:
        self._shown = self.details.sheet().content()
        with VerticalScroll(classes="sheet") as self._box:
            self._box.border_title = Content(self.details.title)
            self._text = Static(self._shown, classes="sheet-text", markup=False)
            yield self._text
        self._key_line = KeyLine()
        yield self._key_line

    def on_mount(self) -> None:
        self.set_focus(self._box)
        self._clock = self.set_interval(REFRESH_S, self.update_sheet, pause=True)
        if self not in self.app.screen_stack:
            # Of those that are made in advance the first one opens as fast as the next ones.
            self.call_later(self._refresh_layout, self.app.size)

    def fill(self, details: Details) -> None:
        """Show *details* from the top when this screen is pushed the next time."""
        content = details.sheet().content()
        self.details = details
        self._shown = content
        self._text.update(content, layout=False)
        self._box.border_title = Content(details.title)
        self._box.scroll_to(y=0, animate=False, immediate=True)
        self._filled = True

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        self._clock.resume()
        if not self._filled:
            return
        # At once, and only once: Textual would paint what was shown before, then lay the new out, then paint that.
        self._filled = False
        event.prevent_default()
        event.refresh_styles, self._styled_for = self._styled_for != self.app.theme, self.app.theme
        self._on_screen_resume(event)
        self._key_line.look()
        for widget in (self._text, self._box, self):
            widget.clear_cached_dimensions()
            widget._clear_arrangement_cache()
        self.refresh()
        self._dirty_widgets.add(self)
        self._refresh_layout(self.app.size)
        self._dirty_widgets.clear()
        self._repaint_required = False

    def on_screen_suspend(self) -> None:
        self._clock.pause()
        if self not in self.app.screen_stack and not self._filled:
            # What was shown may be large, and the screen stays.
            self.details = _NOTHING
            self._shown = Content("")
            self._text.update(self._shown, layout=False)

    def update_sheet(self) -> None:
        """Show what is known now."""
        content = self.details.sheet().content()
        if content != self._shown:
            # Laying it out anew costs as much as opening it.
            self._shown = content
            self._text.update(content)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.details.copies) if action == "copy" else True

    def action_scroll(self, lines: int) -> None:
        self._box.scroll_relative(y=lines, animate=False)

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


def prepare_sheets(app: App[Any]) -> None:
    """Make the screens that `open_sheet` fills."""
    for kind in (SheetScreen, NarrowingSheetScreen):
        if not app.is_screen_installed(kind.__name__):
            app.install_screen(kind(_NOTHING), kind.__name__)
            app._get_screen(kind.__name__)


def open_sheet(app: App[Any], details: Details, narrow: Callable[[Step], None] | None = None) -> None:
    """Show *details*; *narrow* gets the step that they are closed with, if they are."""
    kind = SheetScreen if details.narrows is None else NarrowingSheetScreen
    ready = app.get_screen(kind.__name__) if app.is_screen_installed(kind.__name__) else None
    if isinstance(ready, kind) and ready.is_mounted and ready not in app.screen_stack:
        ready.fill(details)
    else:
        ready = kind(details)
    app.push_screen(ready, lambda step: narrow(step) if step and narrow else None)
