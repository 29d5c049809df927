"""Themes: a colour for each role that text has on the screen. What is no role has no colour of its own.

Every text role has a contrast of at least 4.5 on all that it is drawn on, plots and edges of 3 (WCAG 2.2, 1.4.3 and
1.4.11); `tests/unit/test_themes.py` computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from textual.theme import Theme

from ebpftop.core.theme_names import AUTO, SIXTEEN


class Roles(NamedTuple):
    """What a colour says."""

    text: str
    dim: str
    """Headers, units, exit 0: what is looked at second."""
    accent: str
    """What has the focus, the sorted column, keys; the newest value and the peak of a plot."""
    bad: str
    warn: str
    good: str
    rest: str
    """A plot, but for its newest value and its peak."""
    edge: str


class Grounds(NamedTuple):
    """What text is drawn on."""

    background: str
    surface: str
    """Of sheets."""
    panel: str
    """Of titles, and of the lines around the panes."""
    cursor: str


HUES = frozenset(("accent", "bad", "warn", "good"))
"""Roles that keep their colour where a line is reversed; all others become that of the line."""

_DARK_HEAT = ("#2b4a66", "#3f709b", "#6ea8dc", "#a9cdee", "#e8f2fb")
_LIGHT_HEAT = ("#b7cde3", "#7ea9d3", "#4f86b8", "#245f96", "#12365a")


@dataclass(frozen=True)
class Scheme:
    """A theme: its colours, and what they become on a terminal with fewer."""

    name: str
    about: str
    roles: Roles
    grounds: Grounds
    ansi: Roles
    """The same in the 16 colours of a terminal, by number."""
    heat: tuple[str, str, str, str, str]
    """From few to many: each further from the background."""
    dark: bool = True
    reverses: bool = False
    """Whether titles and the line of the cursor are reversed, and not tinted."""
    own_colours: bool = False
    """Whether the terminal's 16 colours are used, whatever else it has."""

    @cached_property
    def theme(self) -> Theme:
        """The theme of Textual."""
        roles, grounds = self.roles, self.grounds
        colours = {
            **dict.fromkeys(("primary", "secondary", "accent"), roles.accent),
            **{"foreground": roles.text, "success": roles.good, "warning": roles.warn, "error": roles.bad},
            **{"background": grounds.background, "surface": grounds.surface, "panel": grounds.panel},
        }
        return Theme(
            name=self.name,
            primary=roles.accent,
            secondary=roles.accent,
            accent=roles.accent,
            foreground=roles.text,
            success=roles.good,
            warning=roles.warn,
            error=roles.bad,
            background=grounds.background,
            surface=grounds.surface,
            panel=grounds.panel,
            dark=self.dark,
            variables={
                **colours,  # as they are: Textual computes them, and one part of a colour in a few comes out as another
                "dim": roles.dim,
                "rest": roles.rest,
                "edge": roles.edge,
                "cursor": grounds.cursor,
                # Of Textual's own widgets: lists, inputs, notices.
                "text-disabled": roles.dim,
                "border": roles.accent,
                "border-blurred": roles.edge,
                "block-cursor-background": grounds.cursor,
                "block-cursor-foreground": roles.text,
                "block-cursor-text-style": "bold",
                "block-hover-background": grounds.panel,
                "input-selection-background": grounds.cursor,
                "input-selection-foreground": roles.text,
                "footer-foreground": roles.text,
                "footer-key-foreground": roles.accent,
                "footer-description-foreground": roles.dim,
                **{f"heat{level}": colour for level, colour in enumerate(self.heat, 1)},
            },
        )


_DARK_ROLES = Roles("#d4d9de", "#949ba3", "#6ea8dc", "#ef8289", "#dcb267", "#8fbf7f", "#44759f", "#5f6871")
_DARK_GROUNDS = Grounds("#12161b", "#181d23", "#1f262e", "#1f3347")
_DARK_ANSI = Roles("15", "7", "14", "9", "11", "10", "6", "7")
_LIGHT_ANSI = Roles("0", "0", "4", "1", "5", "0", "4", "0")

DARK = Scheme("dark", "For a dark background", _DARK_ROLES, _DARK_GROUNDS, _DARK_ANSI, _DARK_HEAT)
LIGHT = Scheme(
    "light",
    "For a light background",
    Roles("#22272e", "#596068", "#245f96", "#b02a35", "#7d5500", "#346f1f", "#4f86b8", "#868c93"),
    Grounds("#fafaf8", "#f1f1ee", "#e6e7e4", "#cfe0f1"),
    _LIGHT_ANSI,
    _LIGHT_HEAT,
    dark=False,
)
CONTRAST = Scheme(
    "contrast",
    "Bright on black, titles and the selected row reversed",
    Roles("#ffffff", "#d0d0d0", "#5fd7ff", "#ff8787", "#ffd75f", "#5fff87", "#5fd7ff", "#9a9a9a"),
    # Near black, so that what is drawn on one can be told from what is drawn on the other.
    Grounds("#000000", "#010101", "#020202", "#030303"),
    _DARK_ANSI,
    ("#2f6b80", "#4399b6", "#5fd7ff", "#b0ebff", "#ffffff"),
    reverses=True,
)
BLUE_ORANGE = Scheme(
    "blue-orange",
    "Dark, for eyes that confuse red and green: good is blue, bad is orange",
    _DARK_ROLES._replace(good="#7cc0ff", warn="#f0c04c", bad="#ff9a3c"),
    _DARK_GROUNDS,
    _DARK_ANSI._replace(good="14"),
    _DARK_HEAT,
)

# The colours that xterm shows for the 16 numbers: a terminal may show others, so these are never sent, but drawn in
# pictures of the screen. Each differs from all others in its scheme.
_OWN_DARK = Scheme(
    SIXTEEN,
    "The terminal's own 16 colours",
    Roles("#ffffff", "#e5e5e5", "#00ffff", "#ff5c5c", "#ffff00", "#00ff00", "#00cdcd", "#e4e4e4"),
    Grounds("#000000", "#010101", "#020202", "#030303"),
    _DARK_ANSI,
    ("#00cdcd", "#00cecd", "#00ffff", "#00fffe", "#fffffe"),
    reverses=True,
    own_colours=True,
)
_OWN_LIGHT = Scheme(
    SIXTEEN,
    "The terminal's own 16 colours",
    Roles("#000000", "#010101", "#0000ee", "#cd0000", "#cd00cd", "#020202", "#0000ef", "#030303"),
    Grounds("#ffffff", "#fffffe", "#fffffd", "#fffffc"),
    _LIGHT_ANSI,
    ("#0000f0", "#0000f1", "#0000f2", "#0000f3", "#000004"),
    dark=False,
    reverses=True,
    own_colours=True,
)

_SCHEMES = (DARK, LIGHT, CONTRAST, BLUE_ORANGE)


def schemes(*, light: bool) -> Mapping[str, Scheme]:
    """Return all themes by name, for a terminal whose own background is *light* or dark."""
    return {scheme.name: scheme for scheme in (*_SCHEMES, _OWN_LIGHT if light else _OWN_DARK)}


def fitting(choice: str, *, light: bool) -> str:
    """Return the name of the theme that *choice* means on a terminal whose own background is *light* or dark."""
    if choice == AUTO:
        return (LIGHT if light else DARK).name
    return choice


_LIGHT_NUMBERS = frozenset(("7", "15"))


def is_light(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal says in COLORFGBG that its background is light; if it says nothing, it is dark."""
    return environment.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT_NUMBERS


def luminance(colour: Iterable[float]) -> float:
    """Return the relative luminance (WCAG 2.2) of a colour, whose parts are from 0 to 1."""
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_MIDDLE = 0.18
"""The luminance on which black and white can be read equally well."""


def is_light_colour(colour: Iterable[float]) -> bool:
    """Return whether a background of this colour is light: dark text is read better on it than light text."""
    return luminance(colour) > _MIDDLE
