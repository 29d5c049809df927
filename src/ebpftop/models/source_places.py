"""Lines of a file that a message without a line is probably about."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LOOP = re.compile(r"(?:for|while)\s*\(|do\s*\{")
_STATIC = re.compile(r"^\s*static\b(?![^({]*\b(?:inline|__always_inline)\b)[^({;=]*?\b(\w+)\s*\([^;{]*(?:\{.*)?$")
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)|\b(?:__noinline|noinline)\b")


def only_loop(source: Sequence[str]) -> int | None:
    """Return the line of the loop in the file, if there is one only."""
    loops = [at for at, text in enumerate(source, 1) if _LOOP.match(text.strip())]
    return loops[0] if len(loops) == 1 else None


def called_function(source: Sequence[str]) -> int | None:
    """Return the first line that calls a function of the file that is static and not inline."""
    names = {match[1] for text in source if (match := _STATIC.match(_ATTRIBUTE.sub(" ", text)))}
    if not names:
        return None
    call = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\s*\(")
    for at, text in enumerate(source, 1):
        if call.search(text) and not _STATIC.match(_ATTRIBUTE.sub(" ", text)):
            return at
    return None
