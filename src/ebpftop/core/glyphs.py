"""The signs that a terminal can show: all, those of the Linux console's fonts, or ASCII. The only place that maps them.

Each is replaced by as many cells, so that nothing beside it moves. Where a word says more than a sign, as for keys,
`key_name` has one: it is used where text is laid out, not where it is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial


class Glyphs(Enum):
    """What a terminal can show."""

    ALL = "all"
    CONSOLE = "console"
    """The Linux console: its fonts have 256 or 512 signs, none of them eighths of a block."""
    ASCII = "ascii"


_MARKS = {
    **dict(zip("●○◌✗✘✓†‡▸▶›‹▼▾▲◆◇", "o-oxxv++>>><vv^**", strict=True)),  # noqa: RUF001
    **dict(zip("·–—−…×÷≤≥←→↑↓↯µ", ".---~x/<><>^v!u", strict=True)),  # noqa: RUF001
    **dict(zip("⋮⏎␣⇥⇧⚠“”‘’", ":<_>^!\"\"''", strict=True)),  # noqa: RUF001
}
_LINES = {
    **dict.fromkeys("─━═╌╍╸╺╴╶▔▁", "-"),
    **dict.fromkeys("│┃║┊▏▎▍▌▐▕", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛╔╗╚╝╠╣╦╩╬", "+"),
}
_ASCII = {
    **_MARKS,
    **_LINES,
    **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*##", strict=True)),
    **dict(zip("░▒▓▀▋▊▉", ':=#"###', strict=True)),
    "🔎": "/ ",  # Textual's palette has it
}

# Of these, fonts of the Linux console have what code page 437 has (drivers/tty/vt/cp437.uni), and Latin-1.
_CONSOLE = {
    **dict(zip("●◌✗✘✓†‡▸›‹▾◇–—−…↯⋮⏎␣⇥⇧⚠“”‘’", "•○xx√++►><▼♦---~!:<_>↑!\"\"''", strict=True)),  # noqa: RUF001
    **dict.fromkeys("━╌╍╸╺╴╶▔", "─"),
    **dict.fromkeys("┃┊▏▎▍▕", "│"),
    "🔎": "/ ",
    **dict(zip("╭╮╯╰┏┓┗┛", "┌┐┘└┌┐└┘", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█▋▊▉", "░░▒▒▓▓██▌██", strict=True)),
}

_OWN_SIGNS = str.maketrans(_ASCII)

_HEAT, _HEAT_IN_ASCII = " ·░▒▓█", " .:=#@"

_KEYS_IN_ASCII = {"⏎": "Ret", "␣": "Spc", "⇥": "Tab", "⇧": "S-", "←": "<-", "→": "->", "↑": "Up", "↓": "Dn"}
_KEYS_ON_CONSOLE = {sign: _KEYS_IN_ASCII[sign] for sign in "⏎␣⇥⇧"}
_ASCII_END = 128
_LATIN_END = 0x250
_REMEMBERED = 10_000


class _Table(dict[int, str]):
    """What `str.translate` puts in the place of each character: as many cells."""

    def __init__(self, signs: Mapping[str, str], kept: Callable[[str], bool]) -> None:
        super().__init__()
        self._signs = signs
        self._kept = kept

    def __missing__(self, code: int) -> str:
        character = chr(code)
        shown = self._signs.get(character)
        if shown is None:
            from rich.cells import cell_len  # not for a command that writes nothing but ASCII

            shown = character if self._kept(character) else "?" * cell_len(character)
        if len(self) < _REMEMBERED:  # a program may print any
            self[code] = shown
        return shown


_TABLES = {
    Glyphs.ASCII: _Table(_ASCII, str.isascii),
    # What it does not have, it shows as a square: that is as true as a question mark.
    Glyphs.CONSOLE: _Table(_CONSOLE, lambda _: True),
}


def fit(text: str, glyphs: Glyphs) -> str:
    """Return *text* with signs that a terminal with *glyphs* can show, in as many cells."""
    return text if glyphs is Glyphs.ALL or text.isascii() else text.translate(_TABLES[glyphs])


def in_ascii(text: str) -> str:
    """Return *text* with our own signs in ASCII, and all else as it is."""
    return text.translate(_OWN_SIGNS)


def fitting(glyphs: Glyphs) -> Callable[[str], str] | None:
    """Return what changes text for a terminal with *glyphs*; None: nothing has to."""
    return None if glyphs is Glyphs.ALL else partial(fit, glyphs=glyphs)


def key_name(key: str, glyphs: Glyphs) -> str:
    """Return how a key is called where there are these glyphs."""
    words = {Glyphs.ASCII: _KEYS_IN_ASCII, Glyphs.CONSOLE: _KEYS_ON_CONSOLE}.get(glyphs, {})
    return "".join(words.get(sign, sign) for sign in key)


def heat_signs(glyphs: Glyphs) -> str:
    """Return the strengths of a cell of a heat map, from none: in ASCII, a full cell of a plot is not the strongest."""
    return _HEAT_IN_ASCII if glyphs is Glyphs.ASCII else _HEAT


def glyphs_of(environment: Mapping[str, str]) -> Glyphs:
    """Return what the terminal can show: by the locale, and by TERM.

    If no locale is set at all, it has all: that is so in containers and after some logins, on terminals that have them.
    """
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, names), "")
    codeset = locale.partition("@")[0].partition(".")[2]
    if locale and codeset.lower().replace("-", "") != "utf8":
        return Glyphs.ASCII
    return Glyphs.CONSOLE if environment.get("TERM", "").partition("-")[0] == "linux" else Glyphs.ALL


def environment_at_start() -> Mapping[str, str]:
    """Return the environment as the process got it: for the locale C, Python sets LC_CTYPE to C.UTF-8 (PEP 538)."""
    with suppress(OSError), open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    return os.environ
