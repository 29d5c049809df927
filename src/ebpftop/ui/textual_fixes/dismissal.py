"""Screens that go when they are dismissed, wherever in the stack they are and however often that is asked for.

Textual's `Screen.dismiss` takes away whatever is on top: a save dialog that is done while the palette is open above it
takes the palette, stays, and cannot be left any more; and what is dismissed twice takes the screen below with it.
A screen that is dismissed before it is composed is composed all the same, and fails on what it no longer finds.
"""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete
from textual.screen import Screen

from ebpftop.ui.textual_fixes.app_errors import SurvivingApp

_dismiss_top = Screen.dismiss


def dismiss(screen: Screen[Any], result: Any = None) -> AwaitComplete:
    """Dismiss *screen* with *result*, and what is above it; do nothing if it has gone, or is the main screen."""
    app = screen.app
    stack = app.screen_stack
    if screen not in stack[1:]:
        return AwaitComplete()
    leaving = stack[stack.index(screen) :]
    if isinstance(app, SurvivingApp):
        app.unopened.update(gone for gone in leaving if not gone.is_mounted)
    for above in reversed(leaving[1:]):
        _dismiss_top(above)
    return _dismiss_top(screen, result)


def install() -> None:
    """Let every screen go so, Textual's own too."""
    Screen.dismiss = dismiss  # type: ignore[assignment, method-assign]  # ours in its place
