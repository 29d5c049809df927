"""What clang, BCC and LLVM printed while they compiled a file, message by message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

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
_NO_SOURCE = re.compile(r"$|\S+:\d+:\d+: |In file included |\d+ (?:error|warning)s?\b")
_ERROR_AT = re.compile(r"Error at line (?P<line>\d+): (?P<text>.*?)(?: for DAG)?: 0x[0-9a-f]+")
_FLAG = re.compile(r" \[-W[\w,=+-]*\]$| is invalid in C99(?= \[-W)")
_INTERNAL = re.compile(r" to 0x[0-9a-f]+: i64 = Constant<\d+>|0x[0-9a-f]+: (?:\w+(?:,\w+)*) = |(?<=\w) 0x[0-9a-f]+,.*")
"""What clang adds for those who know its options, and LLVM for those who know its insides."""
_IN_FUNCTION = re.compile(r"In function: (\w+)")
_MACRO = re.compile(r"expanded from macro '(.*)'")
_MAIN = "/virtual/main.c"
"""How BCC names the text that it compiles: lines before which no `#line` stands are still this file's."""


@dataclass(frozen=True, slots=True)
class CompilerMessage:
    """`line` and `column` (in bytes) are in the file, None if the message is about none of its lines.

    `notes` belong to it, each with its place (``line 3``, ``x.h:3``), or none. `macro`: it is about what this macro
    became. If it is about a file that is included, `line` is that which includes it, and `included` the place there.
    """

    severity: Severity
    line: int | None
    column: int | None
    message: str
    notes: tuple[tuple[str, str], ...] = ()
    macro: str = ""
    function: str | None = None
    included: tuple[str, int] | None = None
    text: str | None = None
    """The line as the compiler had it, if it printed it: BCC writes some anew, and then the column is of that one."""


class _Place(NamedTuple):
    line: int | None = None
    column: int | None = None
    included: tuple[str, int] | None = None

    @property
    def words(self) -> str:
        if self.included is not None:
            return "{}:{}".format(*self.included)
        return "" if self.line is None else f"line {self.line}"


_NOWHERE = _Place()
_NONE: Mapping[str, int] = {}


def read(output: str, file: str, included: Mapping[str, int] = _NONE) -> tuple[CompilerMessage, ...]:
    """Return the messages in *output*, each once.

    *file* is the name of the source, without a folder. *included* are the lines of it that include other files, by the
    names of these below its folder.
    """
    found: list[CompilerMessage] = []
    lines = output.splitlines()
    for at, whole in enumerate(lines):
        text = whole[:_LINE_MAX]
        if match := _MESSAGE.match(text):
            level = match["level"]
            place = _place(match, file, included)
            if level == "note":
                if found:
                    found[-1] = _with_note(found[-1], place.words, match["text"])
                continue
            message = _plain(match["text"])
            if place.line is None:
                message = f"{match['file'].rpartition('/')[2]}:{match['line']}: {message}"
            # A quote that is not closed is only a warning of clang's, and what is wrong.
            is_error = level != "warning" or message.startswith("missing terminating")
            printed = lines[at + 1] if at + 1 < len(lines) else ""
            found.append(
                CompilerMessage(
                    "error" if is_error else "warning",
                    place.line,
                    place.column,
                    message,
                    included=place.included,
                    text=None if _NO_SOURCE.match(printed) else printed[:_LINE_MAX],
                )
            )
        elif match := _ERROR_AT.match(text):
            found.append(CompilerMessage("error", int(match["line"]), None, _plain(match["text"])))
        elif match := _BACK_END.match(text):
            place = _place(match, file, included)
            found.append(
                CompilerMessage(
                    "error",
                    place.line,
                    place.column,
                    _plain(match["text"]),
                    function=match["function"],
                    included=place.included,
                )
            )
        elif text.startswith("LLVM ERROR: Cannot select") and found and found[-1].column is None:
            pass  # of what was said already
        elif (match := _BARE.match(text)) and not text.startswith("error: <unknown>"):
            place_found = _PLACE.search(match["text"])
            place = _place(place_found, file, included) if place_found else _NOWHERE
            found.append(
                CompilerMessage("error", place.line, place.column, _plain(match["text"]), included=place.included)
            )
        elif (match := _IN_FUNCTION.match(text)) and found:
            found[-1] = replace(found[-1], function=match[1])
        if len(found) >= MESSAGES_MAX:
            break
    return tuple(dict.fromkeys(found))


def _place(match: re.Match[str], file: str, included: Mapping[str, int]) -> _Place:
    name, line, column = match["file"], int(match["line"]), int(match["column"])
    # Of sub/x.h and x.h, the longer one is meant by what ends in it.
    for other in sorted(included, key=len, reverse=True):
        if name.endswith(f"/{other}"):
            return _Place(included[other], None, (other, line))
    if name == _MAIN or name.rpartition("/")[2] == file:
        return _Place(line, column)
    return _NOWHERE


def _plain(message: str) -> str:
    """Return a message without what only who knows the compiler understands; the whole log has it."""
    return _INTERNAL.sub("", _FLAG.sub("", _FLAG.sub("", message)))


def _with_note(one: CompilerMessage, place: str, text: str) -> CompilerMessage:
    if macro := _MACRO.match(text):
        message = f"{one.message}, in the macro {macro[1]} ({place})" if place and not one.macro else one.message
        return replace(one, message=message, macro=one.macro or macro[1].strip("\\"))
    return replace(one, notes=(*one.notes, (place, text)))
