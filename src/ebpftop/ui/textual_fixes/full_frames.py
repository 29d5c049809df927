"""Whole frames in which no place is left out.

Textual draws a dialog above a picture of the screen below. That picture has no lines yet if the screen was opened a
moment ago, or if the terminal has just changed its size. Drawing a whole frame then fails on the missing lines.
"""

from __future__ import annotations

from textual._compositor import Compositor, LayoutUpdate
from textual.strip import Strip

_render_full_update = Compositor.render_full_update


def render_full_update(compositor: Compositor, simplify: bool = False) -> LayoutUpdate:
    """Draw everything, with blanks for missing lines."""
    update = _render_full_update(compositor, simplify)
    for y, line in enumerate(update.strips):
        strips = list(line)
        if any(strip is None for strip in strips):
            cuts = compositor.cuts[y]
            update.strips[y] = [
                Strip.blank(end - begin) if strip is None else strip
                for strip, begin, end in zip(strips, cuts, cuts[1:], strict=False)
            ]
    return update


def install() -> None:
    """Draw every whole frame in this way."""
    Compositor.render_full_update = render_full_update  # type: ignore[assignment, method-assign]  # ours in its place
