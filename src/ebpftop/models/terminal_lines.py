r"""What a program writes to a terminal, as lines of plain text: nothing of it controls a terminal any more.

A carriage return, a backspace and the sequences that erase or move within the line do what they do on a terminal, so
a progress bar is one line. Colours, titles and all that moves between lines are left out. Other controls are escaped.
"""

from __future__ import annotations

import re

from ebpftop.core.escape import escape, printable

LINE_BYTES = 4000
"""A longer line goes on in the next one, as on a terminal."""

_COLUMNS = 4000
"""No cursor goes farther than this."""

_TAB = 8

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_SEQUENCE = (
    r"\x1b(?:"
    r"\[(?P<arguments>[0-?]*)[ -/]*(?:(?P<final>[@-~])|$)"  # CSI of ECMA-48; `$`: the rest has not come yet
    r"|[\]PX^_](?:(?!\x1b\\|\x07)[\s\S])*(?:\x07|\x1b\\?|$)"  # OSC, DCS, SOS, PM, APC and their text
    r"|[ -/]+(?:[0-~]|$)"
    r"|[0-~]"
    r"|$)"
)
_TOKEN = re.compile(
    rf"{_SEQUENCE}|(?P<move>[\r\b\t])|(?P<silent>[\x00\x07\x0e\x0f\x7f])|(?P<text>[^\x00\x07-\x09\r\x0e\x0f\x1b\x7f]+|\x1b)"
)


class TerminalLines:
    """Cuts what comes into lines. `unfinished` is the line that has no end yet."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        """Take what came; return the lines that have ended."""
        *ended, rest = (self._pending + data).split(b"\n")
        lines: list[str] = []
        for line in ended:
            lines.append(_drawn(line if len(line) <= LINE_BYTES else self._bounded(line, lines)))
        self._pending = rest if len(rest) <= LINE_BYTES else self._bounded(rest, lines)
        return lines

    @property
    def unfinished(self) -> str:
        """The line that has no end yet, as it stands."""
        return _drawn(self._pending)

    def end_line(self) -> list[str]:
        """Return the unfinished line, if there is one: what follows begins another."""
        text, self._pending = self.unfinished, b""
        return [text] if text else []

    def _bounded(self, line: bytes, lines: list[str]) -> bytes:
        """Return the end of a line that is too long: what it overwrote is gone, what is before it is a line itself."""
        if line.endswith(b"\r\r"):
            line = line.rstrip(b"\r") + b"\r"
        start = line.rstrip(b"\r").rfind(b"\r")
        if start > 0:
            # It was drawn over and over: what still shows of that is kept below what came last.
            shown = _drawn(line[:start]).encode()[: LINE_BYTES // 2]
            line = shown + line[start:]
        while len(line) > LINE_BYTES:
            cut = _character_start(line, LINE_BYTES)
            lines.append(_drawn(line[:cut]))
            line = line[cut:]
        return line


def _character_start(line: bytes, at: int) -> int:
    """Return the place of the UTF-8 character that *at* is in."""
    return next((place for place in range(at, at - 4, -1) if line[place] & 0xC0 != 0x80), at)


def _drawn(line: bytes) -> str:
    """Return how a line looks once a terminal has drawn it."""
    line = line.rstrip(b"\r")
    if _CONTROLS.search(line) is None:
        return escape(line)
    cells: list[str] = []
    at = 0
    for token in _TOKEN.finditer(line.decode("utf-8", "surrogateescape")):
        if text := token["text"]:
            _pad(cells, at)
            cells[at : at + len(text)] = text
            at += len(text)
        elif move := token["move"]:
            at = 0 if move == "\r" else max(0, at - 1) if move == "\b" else at + _TAB - at % _TAB
        elif token["final"]:
            at = _control(cells, at, token["arguments"], token["final"])
    return printable("".join(cells).rstrip())


def _control(cells: list[str], at: int, arguments: str, final: str) -> int:
    """Do what a control sequence does within the line; return where the cursor is then. Most do nothing."""
    number = int(arguments) if arguments.isascii() and arguments.isdecimal() and len(arguments) < 6 else 0
    if final == "K":
        if number == 0:
            del cells[at:]
        else:
            end = len(cells) if number == 2 else min(at + 1, len(cells))
            cells[:end] = " " * end
    elif final == "G":
        at = min(max(number, 1), _COLUMNS) - 1
    elif final == "C":
        at = min(at + max(number, 1), _COLUMNS)
    elif final == "D":
        at = max(0, at - max(number, 1))
    return at


def _pad(cells: list[str], at: int) -> None:
    if len(cells) < at:
        cells.extend(" " * (at - len(cells)))
