"""How many colours the terminal has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Depth(IntEnum):
    """The colours of a terminal, from none to all."""

    NONE = 0
    """Or none that are wanted."""
    SIXTEEN = 16
    MANY = 256
    ALL = 1 << 24


# By the first part of TERM, for terminals that terminfo does not know everywhere, or of which it knows too little.
_FAMILIES = {
    **dict.fromkeys(("alacritty", "contour", "foot", "ghostty", "kitty", "rio", "wezterm"), Depth.ALL),
    **dict.fromkeys(("konsole", "mintty", "st", "vte"), Depth.MANY),
    **dict.fromkeys(("cygwin", "linux", "rxvt", "screen", "tmux", "xterm"), Depth.SIXTEEN),
}
_SUFFIXES = {
    "256color": Depth.MANY,
    "direct": Depth.ALL,
    "truecolor": Depth.ALL,
    "16color": Depth.SIXTEEN,
    "88color": Depth.SIXTEEN,
    "8color": Depth.SIXTEEN,
    "mono": Depth.NONE,
    "m": Depth.NONE,
}
_ALWAYS = frozenset(("16color", "8color", "88color", "mono", "m"))
"""What says clearly that there are few: COLORTERM may be left of another terminal, in which this one was started."""


def depth_of(environment: Mapping[str, str]) -> Depth:
    """Return how many colours may be used: by NO_COLOR, COLORTERM and TERM, and at last by terminfo."""
    if environment.get("NO_COLOR"):
        return Depth.NONE
    term = environment.get("TERM", "").lower()
    family, _, rest = term.partition("-")
    suffix = rest.rpartition("-")[2]
    if suffix in _ALWAYS:
        return _SUFFIXES[suffix]
    if family == "linux":  # it accepts all, and shows sixteen
        return Depth.SIXTEEN
    known = _SUFFIXES.get(suffix) or _FAMILIES.get(rest if family == "xterm" else family)
    known = known or _FAMILIES.get(family) or _by_terminfo(term)
    if known and environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Depth.ALL
    return known


def _by_terminfo(term: str) -> Depth:
    import _curses  # only for a rare terminal: loading it takes longer than all else here
    import os

    try:
        fd = os.open(os.devnull, os.O_WRONLY)
        try:
            _curses.setupterm(term, fd)
        finally:
            os.close(fd)
    except (OSError, _curses.error):  # it is not known: nearly all have sixteen
        return Depth.SIXTEEN
    colours = _curses.tigetnum("colors")
    return next(
        (depth for depth in reversed(Depth) if colours >= min(depth, 8 if depth is Depth.SIXTEEN else depth)),
        Depth.NONE,
    )
