"""Text that came from other programs, made safe before it becomes a record.

A command name, an argument or a printk line may hold anything but NUL: escape sequences that would repaint the
terminal, bytes that are not UTF-8, right-to-left marks, invisible characters. The result has only characters that
`str.isprintable` accepts and that can be seen. Two texts that look the same are the same, except for letters that look
like letters of another script.
"""

from __future__ import annotations

import io
import re
import unicodedata
from functools import lru_cache
from itertools import chain

MARKS_MAX = 3
"""Combining marks that one character may carry: Hebrew needs three, Vietnamese two."""

# Characters that draw nothing; `str.isprintable` accepts some of them. First Unicode's Default_Ignorable_Code_Point
# (DerivedCoreProperties.txt; tests/unit/test_escape.py compares it with the copy in the package `regex`). The variation
# selectors of emoji are among them: terminals disagree about the width of an emoji that has one.
_TAGS = range(0xE0000, 0xE1000)
_IGNORABLE = (
    *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
)
# Then characters that leave a blank cell: the empty Braille pattern, the placeholder of an object, the null notehead,
# blank hieroglyphs. And joiners that draw nothing themselves.
_BLANK = (0x2800, 0xFFFC, 0x1D159, 0x13441, 0x13442, 0x16FE4, 0x2D7F, 0x1107F)
_UNSEEN = frozenset(chain(_BLANK, *(range(first, last + 1) for first, last in _IGNORABLE)))

# Cached characters, at most: more than the scripts of one machine have, fewer than Unicode has.
_REMEMBERED = 8192
# Cached short texts, at most. The same names, arguments and paths come again, and the screen keeps 100,000 rows.
_SHORT = 80
_SHORT_REMEMBERED = 8192


def escape(raw: bytes | str) -> str:
    r"""Return *raw* with every character that cannot be seen as ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.

    These are: unprintable characters, characters that draw nothing, combining marks without a character to carry them,
    more than `MARKS_MAX` marks, and what Unicode calls equivalent to something else (an ``e`` with a combining acute
    accent; U+212B, which is a Swedish letter). Bytes that are not UTF-8 become ``\xNN``. A backslash stays as it is.
    Equal short texts are one object.
    """
    return _escape_short(raw) if len(raw) <= _SHORT else _escape(raw)


def _escape(raw: bytes | str) -> str:
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if text.isascii():
        return text if text.isprintable() else text.translate(_SHOWN)
    if _PLAIN.issuperset(text):
        return text
    characters = set(text)
    plain = {c for c in characters if is_shown(c) and not _is_mark(c)}
    if len(_PLAIN) < _REMEMBERED:
        _PLAIN.update(plain)
    if len(plain) == len(characters):
        return text
    if marks := "".join(filter(_is_mark, characters)):
        text = _bound_marks(text, marks)
    return text.translate(_SHOWN)


_escape_short = lru_cache(_SHORT_REMEMBERED)(_escape)


def is_shown(character: str) -> bool:
    """Return whether a character can be seen, and is not only another encoding of one that looks the same."""
    point = ord(character)
    return (
        character.isprintable()
        and point not in _UNSEEN
        and point not in _TAGS
        and unicodedata.is_normalized("NFC", character)
    )


def c_string(raw: bytes) -> str:
    """Escape the bytes of a C char array up to its first NUL."""
    return escape(raw.partition(b"\0")[0])


comm_text = lru_cache(4096)(c_string)
"""The same for the 16 bytes of a comm: the same few come again and again."""


_PLAIN: set[str] = set()
"""Characters that need no escape in any position."""


# A result is built without a list of its pieces: 4 MiB of control characters then take 16 MiB, not hundreds.


class _Codes(dict[int, str]):
    """The code of every character."""

    def __missing__(self, point: int) -> str:
        code = f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
        if len(self) < _REMEMBERED:
            self[point] = code
        return code


class _Shown(dict[int, str]):
    """Visible characters as they are, and the codes of the others."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        shown = character if is_shown(character) else _CODES[point]
        if len(self) < _REMEMBERED:
            self[point] = shown
        return shown


_CODES = _Codes()
_SHOWN = _Shown()


def _is_mark(character: str) -> bool:
    """Return whether a character is drawn onto the one before: a combining mark, or part of a Korean syllable."""
    return (
        unicodedata.category(character)[0] == "M"
        or "\u1161" <= character <= "\u1175"
        or "\u11a8" <= character <= "\u11c2"
    )


def _bound_marks(text: str, marks: str) -> str:
    """Return *text*, whose marks are *marks*, with codes instead of the marks that its characters cannot carry."""
    bounded = io.StringIO()
    done = 0
    for found in re.finditer(f"[{marks}]+", text):
        start, end = found.span()
        kept = start + _carried(text[max(0, start - 1) : start], text[start : min(end, start + MARKS_MAX)])
        bounded.write(text[done:kept])
        bounded.write(text[kept:end].translate(_CODES))
        done = end
    bounded.write(text[done:])
    return bounded.getvalue()


@lru_cache(_REMEMBERED)
def _carried(carrier: str, marks: str) -> int:
    """Return how many of *marks* a character can carry; 0 if there is no character."""
    if not carrier.strip() or not is_shown(carrier) or not unicodedata.is_normalized("NFC", carrier + marks):
        return 0
    for at, mark in enumerate(marks):
        # The same mark twice looks like one mark.
        if mark in marks[:at] or not is_shown(mark):
            return at
    return len(marks)


def printable(text: str) -> str:
    """Return *text* as one line that is safe to show. It may hold a file name in Python's form.

    Bytes of the name that are not UTF-8 become ``\\xNN``.
    """
    try:
        return escape(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return escape(text)
