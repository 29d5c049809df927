"""The colours of a theme as a terminal can show them.

A colour is not replaced by the one that looks most like it, but by the one that says the same: of sixteen, red and the
blue of a focus would both have become grey. This is a filter of Textual's for lines, which is only there if it is
needed: with all colours, nothing is filtered.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.filter import LineFilter

from ebpftop.ui.themes import HUES, Roles, Scheme
from ebpftop.ui.themes.depth import Depth

_PLAIN, _PANEL, _CURSOR = "plain", "panel", "cursor"
_BOLD_WITHOUT_COLOURS = frozenset(("accent", "bad", "warn"))
_DEFAULT = Color.default()
_CACHED = 4096


class Meaning(NamedTuple):
    """What a colour of a theme says: a role, or a ground; a level of heat is both."""

    role: str = ""
    ground: str = ""


class ShownColours(LineFilter):
    """Replaces the colours of *scheme* by those that a terminal has."""

    def __init__(self, scheme: Scheme, depth: Depth, *, own_background: bool) -> None:
        """*own_background*: the terminal's background is as the theme's, dark or light, so it can stay."""
        super().__init__(enabled=depth < Depth.ALL or scheme.reverses)
        self._scheme = scheme
        self._depth = min(depth, Depth.SIXTEEN) if scheme.own_colours else depth
        self._own_background = own_background or scheme.own_colours
        self._meanings = _meanings(scheme)
        self._nearest: dict[ColorTriplet, Meaning] = {}
        self._styles: dict[Style, Style] = {}

    def apply(self, segments: list[Segment], background: TextualColor) -> list[Segment]:
        """Return *segments* in the colours of the terminal."""
        return [Segment(text, self.style(style) if style else style, control) for text, style, control in segments]

    def style(self, style: Style) -> Style:
        """Return *style* in the colours of the terminal."""
        shown = self._styles.get(style)
        if shown is None:
            if len(self._styles) >= _CACHED:
                self._styles.clear()
            shown = self._styles[style] = self._shown(style)
        return shown

    def _shown(self, style: Style) -> Style:
        if self._depth == Depth.ALL:
            return self._reversed_tints(style)
        if self._depth == Depth.MANY:
            return self._reversed_tints(style) if self._scheme.reverses else _of_256(style)
        fore = self._meaning(style.color, "text", want_ground=False)
        back = self._meaning(style.bgcolor, "", want_ground=True)
        reverse = bool(style.reverse)
        role = fore.role or "text"
        if fore.ground and not fore.role and back.role:  # a badge: the background, on a colour
            role, reverse = back.role, not reverse
        elif back.ground in (_PANEL, _CURSOR):
            reverse = not reverse
            role = role if role in HUES else "dim" if back.ground == _PANEL else "text"
        elif back.role and not back.ground:
            role, reverse = back.role, not reverse
        if self._depth == Depth.NONE:
            bold = bool(style.bold) or role in _BOLD_WITHOUT_COLOURS
            return Style(bold=bold, underline=style.underline, reverse=reverse, meta=style.meta or None)
        number = int(getattr(self._scheme.ansi, role if role in Roles._fields else "accent"))
        ground = _DEFAULT if self._own_background else Color.from_ansi(0 if self._scheme.dark else 15)
        attributes = Style(
            bold=style.bold,
            italic=style.italic,
            underline=style.underline,
            strike=style.strike,
            reverse=reverse,
            meta=style.meta or None,
        )
        return attributes + Style(color=_ansi(number), bgcolor=ground)

    def _reversed_tints(self, style: Style) -> Style:
        """Return *style* with what is tinted in other themes reversed: dark text on the colour of its role."""
        if not self._scheme.reverses:
            return style
        back = self._meaning(style.bgcolor, "", want_ground=True)
        if back.ground not in (_PANEL, _CURSOR):
            return style
        role = self._meaning(style.color, "text", want_ground=False).role
        if role not in HUES:
            role = "dim" if back.ground == _PANEL else "text"
        roles, grounds = self._scheme.roles, self._scheme.grounds
        shown = style + Style(color=grounds.background, bgcolor=getattr(roles, role))
        return shown if self._depth == Depth.ALL else _of_256(shown)

    def _meaning(self, colour: Color | None, role: str, *, want_ground: bool) -> Meaning:
        if colour is None or colour.triplet is None:
            return Meaning(role, "" if role else _PLAIN)
        known = self._meanings.get(colour.triplet) or self._nearest.get(colour.triplet)
        if known is None:
            if len(self._nearest) >= _CACHED:
                self._nearest.clear()
            nearest = min(self._meanings, key=lambda other: _distance(other, colour.triplet))  # type: ignore[arg-type]
            known = self._nearest[colour.triplet] = self._meanings[nearest]
        return known


def _meanings(scheme: Scheme) -> dict[ColorTriplet, Meaning]:
    grounds = scheme.grounds
    meanings = {
        _triplet(grounds.cursor): Meaning("", _CURSOR),
        _triplet(grounds.panel): Meaning("", _PANEL),
        _triplet(grounds.surface): Meaning("", _PLAIN),
        _triplet(grounds.background): Meaning("", _PLAIN),
    }
    for level, colour in enumerate(scheme.heat):
        meanings[_triplet(colour)] = Meaning("rest" if level < 2 else "accent" if level < 4 else "text")
    for role in reversed(Roles._fields):  # if two have one colour, it says the first
        meanings[_triplet(getattr(scheme.roles, role))] = Meaning(role)
    return meanings


def _triplet(colour: str) -> ColorTriplet:
    return ColorTriplet(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def _distance(one: ColorTriplet, other: ColorTriplet) -> float:
    """Return how different two colours look: the weighted distance of https://www.compuphase.com/cmetric.htm."""
    mean = (one.red + other.red) / 2
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    return (2 + mean / 256) * red * red + 4 * green * green + (2 + (255 - mean) / 256) * blue * blue


@cache
def _ansi(number: int) -> Color:
    return Color.from_ansi(number)


_STEPS = (0, 95, 135, 175, 215, 255)
_FIXED = (
    *((_STEPS[i // 36], _STEPS[i // 6 % 6], _STEPS[i % 6]) for i in range(216)),
    *((8 + 10 * i,) * 3 for i in range(24)),
)
"""The colours of 256 that are the same on all terminals, from number 16 on."""


def _of_256(style: Style) -> Style:
    return style + Style(
        color=_nearest_of_256(style.color.triplet) if style.color and style.color.triplet else None,
        bgcolor=_nearest_of_256(style.bgcolor.triplet) if style.bgcolor and style.bgcolor.triplet else None,
    )


@cache
def _nearest_of_256(triplet: ColorTriplet) -> Color:
    chosen = CHOSEN_OF_256.get(triplet.hex)
    if chosen is None:
        chosen = 16 + min(range(len(_FIXED)), key=lambda i: _distance(ColorTriplet(*_FIXED[i]), triplet))
    return Color.from_ansi(chosen)


CHOSEN_OF_256 = {
    # The dark themes: a line of the cursor that is not one more grey; a green that is green.
    **{"#1f3347": 17, "#8fbf7f": 107, "#2b4a66": 24, "#3f709b": 67},
    **{"#ff9a3c": 208, "#f0c04c": 221},
    # The light one: readable on the line of the cursor as well.
    **{"#596068": 240, "#b02a35": 124, "#7d5500": 58, "#346f1f": 22, "#12365a": 17},
}
"""Where the nearest one is not the best one: chosen by eye, of those with enough contrast."""
