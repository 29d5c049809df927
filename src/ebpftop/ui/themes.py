"""Colours: one calm theme for dark terminals and one for light ones."""

from __future__ import annotations

from collections.abc import Mapping

from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="ebpftop-dark",
    primary="#6ea8dc",
    secondary="#8fc7c0",
    accent="#c99bdb",
    foreground="#d4d9de",
    background="#12161b",
    surface="#181d23",
    panel="#1f262e",
    success="#8fbf7f",
    warning="#dcb267",
    error="#e5737a",
    dark=True,
)

LIGHT = Theme(
    name="ebpftop-light",
    primary="#2f6ea8",
    secondary="#1f7a72",
    accent="#8a4aa3",
    foreground="#22272e",
    background="#fafaf8",
    surface="#f1f1ee",
    panel="#e6e7e4",
    success="#3f7d2d",
    warning="#96690b",
    error="#b8323b",
    dark=False,
)

THEMES = (DARK, LIGHT)

_SHADES = {"dim": 0.62, "faint": 0.4, "edge": 0.22}
"""Names of weaker foregrounds, as shares of the foreground on the background."""


_ANSI_HEAT = (
    "ansi_default",
    "ansi_blue",
    "ansi_blue",
    "ansi_bright_blue",
    "ansi_cyan",
    "ansi_bright_cyan",
    "ansi_yellow",
    "ansi_bright_yellow",
)


def shades(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the colours that every theme needs besides Textual's, derived from its own.

    Component styles of lines are drawn without blending, so these are opaque.
    """
    foreground, background = Color.parse(variables["foreground"]), Color.parse(variables["background"])
    primary = Color.parse(variables["primary"])
    if foreground.ansi is not None or background.ansi is not None or primary.ansi is not None:
        # The terminal's own colours cannot be blended.
        named = {**dict.fromkeys(_SHADES, "ansi_bright_black"), "cursor": "ansi_blue", "spark": "ansi_blue"}
        return {**named, **{f"heat{i}": colour for i, colour in enumerate(_ANSI_HEAT)}}
    mixed = {name: background.blend(foreground, share).hex for name, share in _SHADES.items()}
    mixed |= {"cursor": background.blend(primary, 0.35).hex, "spark": background.blend(primary, 0.6).hex}
    warning = Color.parse(variables["warning"])
    # From the background through the theme's blue to its yellow: more is always further from the background.
    heat = [background, *(background.blend(primary, share) for share in (0.25, 0.45, 0.7, 1.0))]
    heat += [primary.blend(warning, share) for share in (0.4, 0.7, 1.0)]
    return {**mixed, **{f"heat{i}": colour.hex for i, colour in enumerate(heat)}}


_LIGHT_COLOURS = frozenset(("7", "15"))


def fitting_theme(environment: Mapping[str, str]) -> str:
    """Return the theme for the background that the terminal reports in COLORFGBG; dark if it reports none."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in _LIGHT_COLOURS else DARK.name
