"""When a frame is drawn: with all that changes at one moment, and so that keys have time between two.

Widgets report one by one that they have changed, and Textual draws after the first. Unless somebody has just pressed a
key, a frame waits for one turn of the timer, so that one frame shows what all of them have.

A key needs several turns of the event loop until its action is done. Textual draws a frame whenever one is due; if a
frame takes longer than the time between two (on a huge terminal, or a busy machine), one is due in every turn, and a
key waits for many of them. Here there is time for keys between two frames.
"""

from __future__ import annotations

import time
from typing import Any

from textual.screen import Screen

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


def on_timer_update(screen: Screen[Any]) -> None:
    """Draw what has changed, if it is time; the timer asks again."""
    app = screen.app
    began_s = time.monotonic()
    keys_wait, pressed_s = (app.keys_behind, app.pressed_s) if isinstance(app, OrderedKeysApp) else (False, began_s)
    if not _pace.gathers(began_s, pressed_s) and _pace.is_due(began_s, keys_wait=keys_wait):
        _on_timer_update(screen)
        _pace.drawn(began_s, time.monotonic())


def install() -> None:
    """Draw every screen at this pace."""
    Screen._on_timer_update = on_timer_update  # type: ignore[assignment, method-assign]  # ours in its place
