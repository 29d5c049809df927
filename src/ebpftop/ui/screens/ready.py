"""Screens that are made while the app is idle, and filled when they are opened.

Making one takes longer than all else between a key and its frame, so one of each kind is made and reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from ebpftop.core.source import WatchedList
from ebpftop.models.subject import Subject
from ebpftop.ui.screens.over import OverScreen
from ebpftop.ui.widgets.keyline import KeyLine

Result = TypeVar("Result")

_APART_S = 0.1
"""Seconds between two that are made in advance: a key waits for one of them at most."""

_LAYOUTS_MAX = 3
"""Layouts at most: a scroll bar that appears changes the width, which may change the height."""


class ReadyScreen(OverScreen[Result]):
    """Filled before each opening by `fill` of a subclass, which stores its arguments and calls `filled`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,h,f1", "app.help", "Help", key_display="?", id="help"),
        Binding("f2", "app.settings", "Settings", show=False, tooltip="Change settings, and keep them", id="settings"),
        Binding(
            *("exclamation_mark", "app.diagnostics", "Diagnostics"),
            show=False,
            key_display="!",
            tooltip="What each probe tried, what BCC printed",
            id="diagnostics",
        ),
        Binding("X", "app.losses", "Lost", show=False, tooltip="What was lost, and what helps", id="losses"),
        Binding("Y", "app.mouse", "Mouse", show=False, tooltip="Give the mouse to the terminal, and back", id="mouse"),
        Binding("q", "app.quit", "Quit", tooltip="Detach everything and leave", id="quit"),
    ]

    class Watches(Message):
        """What is looked at has changed: a screen was opened, or closed."""

    watches: ClassVar[frozenset[WatchedList]] = frozenset()
    """What it shows that is read less often while nobody looks at it."""

    _filled = False
    _is_laying_out = False
    _styled_for = ""

    @property
    def subject(self) -> Subject | None:
        """What it is about, or its row under the cursor: from there one may go on."""
        return None

    @property
    def topic(self) -> tuple[Subject | None, str]:
        """What `a` watches for and `C` copies, and what that is called."""
        subject = self.subject
        return subject, "" if subject is None else subject.name

    @property
    def traceable(self) -> Subject | None:
        """What `T` asks about."""
        return self.subject

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "app.quit":
            return not any(_is_displayed(field) for field in self.query(Input))  # q is a letter there
        return super().check_action(action, parameters)

    def filled(self) -> None:
        """The contents are known: when this screen is pushed the next time, it calls `show_filled`."""
        self._filled = True

    def show_filled(self) -> None:
        """Reset the widgets, and give them what `fill` got."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Release what was shown: it may be large, and this screen is kept."""

    @property
    def varying(self) -> tuple[Widget, ...]:
        """The widgets whose size depends on their contents, the innermost first."""
        return ()

    @property
    def is_closed(self) -> bool:
        """Is it kept for later? Not once the app has ended: then no screen is left to draw anything on."""
        stack = self.app.screen_stack
        return bool(stack) and self not in stack

    def on_mount(self) -> None:
        self._styled_for = self.app.theme
        if self.is_closed:
            # So the first opening is as fast as the others.
            self.call_later(self._lay_out_ahead)

    def _lay_out_ahead(self) -> None:
        if self.is_closed:
            self._refresh_layout(self.app.size)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        self._report_watched()
        if not self._filled:
            return
        # At once, and only once: Textual would first paint the old contents, then lay out the new, then paint those.
        self._filled = False
        event.prevent_default()
        event.refresh_styles, self._styled_for = self._styled_for != self.app.theme, self.app.theme
        self._on_screen_resume(event)
        try:
            self.show_filled()
        except BaseException:
            # Its contents are those of an earlier opening.
            self.call_later(self._give_up)
            raise
        self.query_one(KeyLine).update_keys()
        for widget in (*self.varying, self):
            widget.clear_cached_dimensions()
            widget._clear_arrangement_cache()
        self._draw_once()

    def _draw_once(self) -> None:
        """Lay out and draw the contents now, and drop the pending requests, which would draw them again.

        The screen below is shaded with the next frame: nobody waits for that.
        """
        if self.focused is not None and self.app.app_focus:
            self.focused.has_focus = True  # the same as the pending event will set
        self._is_laying_out = True
        try:
            for _ in range(_LAYOUTS_MAX):
                for widget in self._drawn:
                    widget._layout_required = widget._scroll_required = False
                self._refresh_layout(self.app.size)
                if not any(widget._layout_required for widget in self._drawn):
                    break
        finally:
            self._is_laying_out = False
        for widget in self._drawn:
            widget._repaint_required = False
        if not self.app._batch_count:
            self.draw_first()
        if self.app._batch_count or not self.is_opaque:
            self.refresh()

    @property
    def _drawn(self) -> set[Widget]:
        """All widgets, and the scroll bars, which are not among the children of any widget."""
        return {*self.walk_children(Widget, with_self=True), *self._compositor.full_map}

    def _compositor_refresh(self) -> None:
        if not self._is_laying_out:
            super()._compositor_refresh()

    def _give_up(self) -> None:
        self.dismiss()

    def _report_watched(self) -> None:
        if self.watches and self.app.screen_stack:
            self.app.screen_stack[0].post_message(self.Watches())

    def on_screen_suspend(self) -> None:
        self._report_watched()
        if self.is_closed and not self._filled:
            self.let_go()


def _is_displayed(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))


Kind = TypeVar("Kind", bound=ReadyScreen[Any])


def prepare(app: App[Any], kinds: Sequence[type[ReadyScreen[Any]]]) -> None:
    """Make one screen of each of *kinds*, one after the other."""
    for at, kind in enumerate(kinds if app.screen_stack else ()):
        if not app.is_screen_installed(kind.__name__):
            app.install_screen(kind(), kind.__name__)
            app._get_screen(kind.__name__)
            app.set_timer(_APART_S, partial(prepare, app, kinds[at + 1 :]))
            return


def ready(app: App[Any], kind: type[Kind]) -> Kind:
    """Return the screen of *kind* that was made in advance; a new one if that is open, or not made yet."""
    if app.is_screen_installed(kind.__name__):
        screen = app.get_screen(kind.__name__)
        if isinstance(screen, kind) and screen.is_mounted and screen not in app.screen_stack:
            return screen
    return kind()
