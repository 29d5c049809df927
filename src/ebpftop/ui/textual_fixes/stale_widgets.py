"""The mouse on a widget that was removed after the last frame."""

from __future__ import annotations

from typing import Any

from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget

_get_widget_and_offset_at = Screen.get_widget_and_offset_at


def get_widget_and_offset_at(screen: Screen[Any], x: int, y: int) -> tuple[Widget | None, Offset | None]:
    """Return the widget at a position, for selecting text; never one without a parent: Textual asks where it is."""
    widget, offset = _get_widget_and_offset_at(screen, x, y)
    if widget is not None and widget is not screen and widget.parent is None:
        return None, None
    return widget, offset


def install() -> None:
    """Let every screen find widgets in this way."""
    Screen.get_widget_and_offset_at = get_widget_and_offset_at  # type: ignore[assignment, method-assign]  # ours in its place
