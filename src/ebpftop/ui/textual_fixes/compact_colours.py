"""Lines that say what changes from one piece of text to the next, not all of its style.

Textual writes both colours and the attributes of each piece, and resets them behind it: nine tenths of what a screen
sends. Over ssh that is what a screen costs. Here a line is reset once, at its end. What stays on the terminal is the
same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip


class Pen(NamedTuple):
    """What a terminal draws with: SGR parameters of ECMA-48. Equal ones look equal."""

    attributes: str = ""
    foreground: str = "39"
    background: str = "49"
    inks_blanks: bool = False
    """Whether attributes can be seen on a blank: a line through or below it, colours that are exchanged."""


_PLAIN = Pen()
_WEIGHTS = ("", "1", "2", "1;2")
"""Bold and faint: SGR 22 ends both."""
_CACHED_PENS = 4096


@lru_cache(maxsize=_CACHED_PENS)
def pen_of(style: Style, system: ColorSystem) -> Pen:
    """Return what a terminal with the colours of *system* draws *style* with."""
    return Pen(
        Strip.render_ansi(style.without_color, system),
        ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color else "39",
        ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor else "49",
        bool(
            style.underline or style.underline2 or style.reverse or style.strike or style.overline or style.frame
            or style.encircle or style.blink or style.blink2
        ),
    )  # fmt: skip


def render(segments: Iterable[Segment], system: ColorSystem) -> str:
    """Return *segments* as text for a terminal whose pen is plain; it is plain again at the end."""
    sequences: list[str] = []
    pen = _PLAIN
    for text, style, _ in segments:
        wanted = pen_of(style, system) if style else _PLAIN
        if style and style.link:
            sequences += ("" if pen is _PLAIN else "\x1b[0m", Strip.render_style(style, text, system))
            pen = _PLAIN
            continue
        if wanted != pen:
            if not (pen.inks_blanks or wanted.inks_blanks or text.strip(" ")):
                wanted = pen._replace(background=wanted.background)
            if change := _change(pen, wanted):
                sequences.append(change)
            pen = wanted
        sequences.append(text)
    if pen != _PLAIN:
        sequences.append("\x1b[0m")
    return "".join(sequences)


@lru_cache(maxsize=_CACHED_PENS)
def _change(old: Pen, new: Pen) -> str:
    if old == new:
        return ""
    codes = []
    if old.attributes in _WEIGHTS and new.attributes in _WEIGHTS:
        codes = ["22" if old.attributes else "", new.attributes] if old.attributes != new.attributes else []
    elif old.attributes != new.attributes:
        codes = ["0" if old.attributes else "", new.attributes]
        old = _PLAIN if old.attributes else old
    codes += [
        new.foreground if old.foreground != new.foreground else "",
        new.background if old.background != new.background else "",
    ]
    return f"\x1b[{';'.join(code for code in codes if code)}m"


def _render(strip: Strip, console: Console) -> str:
    if strip._render_cache is None:
        strip._render_cache = render(strip._segments, console._color_system or ColorSystem.TRUECOLOR)
    return strip._render_cache


def install() -> None:
    """Write all lines in this way."""
    Strip.render = _render  # type: ignore[assignment, method-assign]  # ours in its place
