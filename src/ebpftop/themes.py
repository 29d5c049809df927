"""Colours: one calm theme for dark terminals and one for light ones."""

from __future__ import annotations

from collections.abc import Mapping

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

_LIGHT_COLOURS = frozenset(("7", "15"))


def fitting_theme(environment: Mapping[str, str]) -> str:
    """Return the theme for a terminal that says in COLORFGBG what its background is; dark where it says nothing."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in _LIGHT_COLOURS else DARK.name
