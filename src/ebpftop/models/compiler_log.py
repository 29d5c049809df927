"""What clang, BCC and LLVM printed while they compiled a file, message by message."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

MESSAGES_MAX = 100
"""Messages of a file that are read; clang itself stops at twenty errors."""

_LINE_MAX = 4096  # characters of a line that are read

Severity = Literal["error", "warning", "note"]

_MESSAGE = re.compile(
    r"(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?P<column>\d+): (?P<level>fatal error|error|warning|note): (?P<text>.*)"
)
# What LLVM's back end says: with the place first, or last, or without one.
_BACK_END = re.compile(
    r"(?:error: )?(?P<file>[^\s:]+):(?P<line>\d+):(?P<column>\d+): in function (?P<function>\w+) [^:]*: (?P<text>.*)"
)
_BARE = re.compile(r"(?:error|fatal error|LLVM ERROR): (?P<text>.*)")
_PLACE = re.compile(r"(?P<file>/[^\s:,]+):(?P<line>\d+):(?P<column>\d+)")
_IN_FUNCTION = re.compile(r"In function: (\w+)")
_MACRO = re.compile(r"expanded from macro '(.*)'")
_MAIN = "/virtual/main.c"
"""How BCC names the text that it compiles: lines before which no `#line` stands are still this file's."""


@dataclass(frozen=True, slots=True)
class CompilerMessage:
    """`line` and `column` (in bytes) are in the file, None if the message is about none of its lines.

    `notes` belong to it, each with its line in the file, or None. `macro`: it is about what this macro became.
    """

    severity: Severity
    line: int | None
    column: int | None
    message: str
    notes: tuple[tuple[int | None, str], ...] = ()
    macro: str = ""
    function: str | None = None


def read(output: str, file: str) -> tuple[CompilerMessage, ...]:
    """Return the messages in *output*, each once. *file* is the name of the source, without a folder."""
    found: list[CompilerMessage] = []
    for whole in output.splitlines():
        text = whole[:_LINE_MAX]
        if match := _MESSAGE.match(text):
            level = match["level"]
            place = _place(match, file)
            if level == "note":
                if found:
                    found[-1] = _with_note(found[-1], place[0], match["text"])
                continue
            message = match["text"]
            if place[0] is None:
                message = f"{match['file'].rpartition('/')[2]}:{match['line']}: {message}"
            found.append(CompilerMessage("warning" if level == "warning" else "error", *place, message))
        elif match := _BACK_END.match(text):
            found.append(CompilerMessage("error", *_place(match, file), match["text"], function=match["function"]))
        elif (match := _BARE.match(text)) and not text.startswith("error: <unknown>"):
            place_found = _PLACE.search(match["text"])
            place = _place(place_found, file) if place_found else (None, None)
            found.append(CompilerMessage("error", *place, match["text"]))
        elif (match := _IN_FUNCTION.match(text)) and found:
            found[-1] = replace(found[-1], function=match[1])
        if len(found) >= MESSAGES_MAX:
            break
    return tuple(dict.fromkeys(found))


def _place(match: re.Match[str], file: str) -> tuple[int | None, int | None]:
    name = match["file"]
    if name == _MAIN or name.rpartition("/")[2] == file:
        return int(match["line"]), int(match["column"])
    return None, None


def _with_note(one: CompilerMessage, line: int | None, text: str) -> CompilerMessage:
    if macro := _MACRO.match(text):
        return replace(one, macro=one.macro or macro[1].strip("\\"))
    return replace(one, notes=(*one.notes, (line, text)))
