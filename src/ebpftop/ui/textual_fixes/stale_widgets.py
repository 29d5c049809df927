"""The mouse on a widget that has gone since the last frame."""

from __future__ import annotations

from typing import Any

from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget

_get_widget_and_offset_at = Screen.get_widget_and_offset_at


def get_widget_and_offset_at(screen: Screen[Any], x: int, y: int) -> tuple[Widget | None, Offset | None]:
    """Return what lies at a place, for selecting text: not a widget without a parent, whose place Textual asks for."""
    widget, offset = _get_widget_and_offset_at(screen, x, y)
    if widget is not None and widget is not screen and widget.parent is None:
        return None, None
    return widget, offset


def install() -> None:
    """Let every screen look so."""
    Screen.get_widget_and_offset_at = get_widget_and_offset_at  # type: ignore[assignment, method-assign]  # ours in its place
