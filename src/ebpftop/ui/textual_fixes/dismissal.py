"""Dismiss the right screen, wherever in the stack it is and however often it is dismissed.

Textual's `Screen.dismiss` removes the top screen: if a save dialog ends while the palette is open above it, the palette
goes and the dialog stays, with no way to leave it. A screen that is dismissed twice removes the screen below as well.
A screen that is dismissed before it is composed is still composed, and fails on what it no longer finds.
"""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete
from textual.screen import Screen

from ebpftop.ui.textual_fixes.app_errors import SurvivingApp

_dismiss_top = Screen.dismiss


def dismiss(screen: Screen[Any], result: Any = None) -> AwaitComplete:
    """Dismiss *screen* with *result*, and all screens above it; do nothing if it is closed, or the main one."""
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
    """Dismiss every screen in this way, Textual's own too."""
    Screen.dismiss = dismiss  # type: ignore[assignment, method-assign]  # ours in its place
