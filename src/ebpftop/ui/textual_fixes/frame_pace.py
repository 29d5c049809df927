"""When a frame is drawn: with all that changes at one moment, and so that keys have time between two.

Widgets report one by one that they have changed, and Textual draws after the first. Unless somebody has just pressed a
key, a frame waits for one turn of the timer, so that one frame shows what all of them have.

A key needs several turns of the event loop until its action is done. Textual draws a frame whenever one is due; if a
frame takes longer than the time between two (on a huge terminal, or a busy machine), one is due in every turn, and a
key waits for many of them. Here there is time for keys between two frames.

What `one_frame` encloses is drawn at its end. Textual would send each widget an event and the screen a message for each
of them, and start a timer: a third of what a frame costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from textual.geometry import Region
from textual.screen import Screen
from textual.widget import Widget

from ebpftop.ui.textual_fixes.key_order import OrderedKeysApp

SLOW_S = 0.05
"""After a frame that took longer than this, no frame is drawn for as long as it took."""
KEYS_FIRST_S = 0.25
"""The next frame waits at most so long for keys typed already, or twice as long as the last frame took."""
PATIENCE_S = 5.0
"""No frame waits longer than that."""
ANSWERS_S = 1.0
"""So long after a key, frames may be what it asked for: they are drawn at once."""

_on_timer_update = Screen._on_timer_update
_refresh = Widget.refresh


class Pace:
    """When the next frame may be drawn. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._drawn_s = 0.0
        self._took_s = 0.0
        self._gathers = False

    def gathers(self, now_s: float, pressed_s: float) -> bool:
        """Return whether to wait for what else changes. It is asked for each frame; the second time is the last.

        *pressed_s*: when the last key was pressed.
        """
        self._gathers = not self._gathers and now_s - pressed_s > ANSWERS_S
        return self._gathers

    def is_due(self, now_s: float, *, keys_wait: bool) -> bool:
        """Return whether a frame may be drawn now."""
        rest_s = self._took_s if self._took_s > SLOW_S else 0.0
        if keys_wait:
            rest_s = max(KEYS_FIRST_S, 2 * self._took_s)
        return now_s - self._drawn_s >= min(rest_s, PATIENCE_S)

    def drawn(self, began_s: float, now_s: float) -> None:
        """A frame was drawn."""
        self._drawn_s, self._took_s = now_s, now_s - began_s


_pace = Pace()


def _is_due(screen: Screen[Any], now_s: float) -> bool:
    app = screen.app
    return _pace.is_due(now_s, keys_wait=isinstance(app, OrderedKeysApp) and app.keys_behind)


def on_timer_update(screen: Screen[Any]) -> None:
    """Draw what has changed, if it is time; the timer asks again."""
    app = screen.app
    began_s = time.monotonic()
    pressed_s = app.pressed_s if isinstance(app, OrderedKeysApp) else began_s
    if not _pace.gathers(began_s, pressed_s) and _is_due(screen, began_s):
        _on_timer_update(screen)
        _pace.drawn(began_s, time.monotonic())


_enclosed: list[Screen[Any]] = []
"""The screen whose changes are drawn at the end of `one_frame`, if there is one."""


@contextmanager
def one_frame(screen: Screen[Any]) -> Iterator[None]:
    """Draw together, at the end, whatever changes meanwhile on *screen*; later if it is too early for a frame."""
    _enclosed.append(screen)
    try:
        yield
    finally:
        _enclosed.pop()
        if screen._dirty_widgets and screen.is_running:
            began_s = time.monotonic()
            if screen.app._batch_count or not _is_due(screen, began_s):
                screen._update_timer.resume()
            else:
                _on_timer_update(screen)
                _pace.drawn(began_s, time.monotonic())


def refresh(
    widget: Widget, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
) -> Widget:
    """Note what must be drawn again."""
    if _enclosed and repaint and not (layout or recompose) and widget._is_mounted:
        screen = _enclosed[-1]
        if widget is not screen and widget in screen._compositor.visible_widgets:
            if not regions:
                widget._layout_cache.clear()
                widget.clear_cached_dimensions()
                widget._rich_style_cache.clear()
            widget._set_dirty(*regions)
            screen._dirty_widgets.add(widget)
            return widget
    return _refresh(widget, *regions, repaint=repaint, layout=layout, recompose=recompose)


def install() -> None:
    """Draw every screen at this pace."""
    Screen._on_timer_update = on_timer_update  # type: ignore[assignment, method-assign]  # ours in its place
    Widget.refresh = refresh  # type: ignore[assignment, method-assign]
