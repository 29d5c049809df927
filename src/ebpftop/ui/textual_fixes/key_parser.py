"""Separate what a terminal sends into keys, pastes and replies. Only a complete sequence is ever a key.

Textual's own parser handles a sequence that it does not know, or that is cut short, as if its characters had been
typed, which triggers actions. Some invalid sequences stop it for good, and so does a paste without an end. So sequences
are separated here, in the way terminals separate what programs send (ECMA-48, and DEC's state machine as in xterm, VTE
and kitty). Textual's parser gets only whole ones, to name them.
"""

from __future__ import annotations

import logging
import re
import time

from textual import constants, events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.message import Message

from ebpftop.core.escape import escape
from ebpftop.lifecycle.terminal import background_in

log = logging.getLogger(__name__)

PASTE_MAX = 1 << 16
"""Characters kept of a paste: more than any input accepts."""
PAUSE_S = 1.0
"""A paste, a string or a sequence that has not continued for this long has ended, whatever the terminal sends."""

REST_S = 0.1
"""How long after Escape its sequence may continue, although Escape was reported meanwhile (constants.ESCAPE_DELAY)."""

_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_CTRL_C = "\x03"

# A whole control sequence (CSI), those of the Linux console and of X10's mouse included; SS3; Escape and one character.
_SEQUENCE = re.compile(
    r"\x1b(?:\[(?:\[[A-E]|M[^\x1b]{3}|[0-?]+[ -/]*[@-~]|[ -/]*[@-LN-Z\\-~])|O[0-?]*[@-~]|[^\x1b\[O\]P_^X])"
)
# The beginning of one, or of a string.
_BEGUN = re.compile(r"\x1b(?:\[(?:\[|M[^\x1b]{0,2}|[0-?]*[ -/]*)?|O[0-?]*|[\]P_^X])?\Z")
# An invalid one: all that is before the character that does not belong to it.
_BROKEN = re.compile(r"\x1b(?:\[(?:M[^\x1b]{0,2}|[0-?]*[ -/]*)|O[0-?]*)?")
_STRING = re.compile(r"\x1b[\]P_^X]")
# BEL, CAN, SUB, ST as one character. Escape ends a string too: with a backslash it is ST, else it begins what follows.
_STRING_ENDS = re.compile("[\x07\x18\x1a\x1b\x9c]")
_REST_OF_LONG = re.compile(r"[0-?]*[ -/]*([@-~]?)")

# No key and no reply is longer; Textual would handle a longer one as typed.
_SEQUENCE_MAX = 32
_BACKGROUND = "\x1b]11;"
_ANSWER_MAX = 64
_SCHEME = re.compile(r"\x1b\[\?997;[12]n")
_INTRODUCERS = frozenset("[O]P_^X")
_LOGGED_CHARACTERS = 80
_LOG_EVERY_S = 10.0


class BackgroundReported(Message):
    """The terminal has answered how its background is: red, green and blue, from 0 to 1."""

    def __init__(self, colour: tuple[float, float, float]) -> None:
        super().__init__()
        self.colour = colour


class SchemeChanged(Message):
    """The terminal's colours are others now: dark ones, or light ones."""


class KeyParser:
    """Turns characters into messages as they arrive; ignores sequences that are unknown or cut short."""

    def __init__(self) -> None:
        self._parser = XTermParser(constants.DEBUG)
        self._paste: str | None = None
        self._in_string = False
        self._string = ""
        """The beginning of the string, as long as an answer may be."""
        self._in_long = False
        self._held = ""
        """The end of the input so far, if more may belong to it."""
        self._came_s = 0.0
        self._escape_reported = False
        """Whether the last input was Escape alone, and was reported."""
        self._logged_s = -_LOG_EVERY_S
        self._deaf = False

    def feed(self, text: str) -> list[Message]:
        """Return the messages of *text*, together with what was held back."""
        messages: list[Message] = []
        now_s = time.monotonic()
        if self._escape_reported and text[:1] in _INTRODUCERS and now_s - self._came_s < REST_S:
            # Escape was reported too soon, which cannot be avoided; but the rest of its sequence is not typed text.
            self._held = "\x1b"
        self._escape_reported = False
        if self._held and _is_ctrl_c(text):  # somebody waits
            self._held = ""
        text, self._held, self._came_s = self._held + text, "", now_s
        while text:
            if self._paste is not None:
                text = self._feed_paste(text, messages)
            elif self._in_string:
                text = self._feed_string(text, messages)
            elif self._in_long:
                text = self._feed_long(text)
            else:
                text = self._feed_keys(text, messages)
        return messages

    def pass_over(self, text: str) -> None:
        """Follow *text* without reporting it: if a sequence begins in it, the rest of that sequence is not a key."""
        self._deaf = True
        try:
            self.feed(text)
        finally:
            self._deaf = False

    @property
    def wait_s(self) -> float | None:
        """Seconds until `tick` may have something to report; None if nothing is held back."""
        if not self._held:
            return None
        return max(0.0, self._came_s + self._patience_s - time.monotonic())

    @property
    def _patience_s(self) -> float:
        """Seconds for which what is held back may still be an incomplete key."""
        if self._held == "\x1b":
            return float(constants.ESCAPE_DELAY)
        return max(REST_S, constants.ESCAPE_DELAY)

    def tick(self) -> list[Message]:
        """Return the messages of a sequence that has not continued."""
        since_s = time.monotonic() - self._came_s
        held = self._held
        if since_s >= PAUSE_S:
            if self._paste is not None:
                pasted, self._paste = self._paste[:PASTE_MAX], None
                return [events.Paste(pasted.replace("\0", ""))]
            if self._in_string:  # and perhaps in the middle of what ends it
                self._held = held = ""
            self._in_string = self._in_long = False
        elif since_s < self._patience_s or not (len(held) <= 2 or held in ANSI_SEQUENCES_KEYS):
            return []
        if not held or self._in_string:
            return []
        self._held = ""
        self._escape_reported = held == "\x1b"
        return self._cut_short(held)

    # Each of these reads what is at the beginning of the text, and returns the rest.

    def _feed_keys(self, text: str, messages: list[Message]) -> str:
        begin = text.find("\x1b")
        if begin < 0:
            begin = len(text)
        if begin:
            messages += self._named(text[:begin])
            return text[begin:]
        if text.startswith(_PASTE_BEGINS):
            self._paste = ""
            return text[len(_PASTE_BEGINS) :]
        if whole := _SEQUENCE.match(text):
            messages += self._sequence(whole[0])
            return text[whole.end() :]
        if begun := _BEGUN.match(text):
            if len(text) <= _SEQUENCE_MAX:
                self._held = text
            else:
                self._in_long = True
                self._log(begun[0])
            return ""
        if (string := _STRING.match(text)) and not _is_alone(text):
            self._in_string, self._string = True, string[0]
            if not text.startswith(_BACKGROUND):
                self._log(text)
            return text[string.end() :]
        broken = string or _BROKEN.match(text)
        assert broken is not None
        messages += self._cut_short(broken[0])
        return text[broken.end() :]

    def _feed_string(self, text: str, messages: list[Message]) -> str:
        end = _STRING_ENDS.search(text)
        self._string = (self._string + text[: None if end is None else end.start()])[:_ANSWER_MAX]
        if end is None:
            self._in_string = not _is_ctrl_c(text)
            return "" if self._in_string else text
        if text[end.start() :] == "\x1b":
            self._held = "\x1b"
            return ""
        self._in_string = False
        colour = background_in(f"{self._string}\a".encode())
        if colour is not None and not self._deaf:
            messages.append(BackgroundReported(colour))
        if end[0] != "\x1b":
            return text[end.end() :]
        rest = text[end.start() :]
        if rest.startswith("\x1b\\"):
            return rest[2:]
        return rest[1:] if rest.startswith("\x1b\x1b") else rest

    def _feed_long(self, text: str) -> str:
        rest = _REST_OF_LONG.match(text)
        assert rest is not None
        self._in_long = rest.end() == len(text) and not rest[1]
        return text[rest.end() :]

    def _feed_paste(self, text: str, messages: list[Message]) -> str:
        assert self._paste is not None
        if _is_ctrl_c(text):
            self._paste = None
            return text
        # The end may come in two parts.
        seen = max(0, len(self._paste) - len(_PASTE_ENDS) + 1)
        pasted = self._paste + text
        end = pasted.find(_PASTE_ENDS, seen)
        if end < 0:
            tail = pasted[1 - len(_PASTE_ENDS) :]
            self._paste = pasted if len(pasted) <= PASTE_MAX else pasted[:PASTE_MAX] + tail
            return ""
        self._paste = None
        if not self._deaf:
            messages.append(events.Paste(pasted[: min(end, PASTE_MAX)].replace("\0", "")))
        return pasted[end + len(_PASTE_ENDS) :]

    # The meaning of a sequence.

    def _sequence(self, sequence: str) -> list[Message]:
        """Return the messages of a whole sequence."""
        if _SCHEME.fullmatch(sequence):
            return [] if self._deaf else [SchemeChanged()]
        if len(sequence) <= _SEQUENCE_MAX:
            messages = self._named(sequence)
            if self._parser._awaiting.timeout is None:
                return messages
            # It waits for more: it does not know this one.
            self._begin_anew()
        if len(sequence) == 2:
            return self._with_alt(sequence[1])
        self._log(sequence)
        return []

    def _cut_short(self, sequence: str) -> list[Message]:
        """Return the messages of a sequence that nothing follows which could belong to it."""
        if sequence == "\x1b":
            return [] if self._deaf else [events.Key("escape", "\x1b")]
        if sequence in ANSI_SEQUENCES_KEYS:
            return self._sequence(sequence)
        if len(sequence) == 2:
            return self._with_alt(sequence[1])
        self._log(sequence)
        return []

    def _with_alt(self, character: str) -> list[Message]:
        """Return the key of *character* after Alt or Escape."""
        if self._deaf or character == "\\":  # the end of a string that had ended already
            return []
        keys = list(self._parser._sequence_to_key_events(character, alt=True))
        if character in _INTRODUCERS:
            # Perhaps not a key but a reply that was cut short: it must not act as the key without Alt.
            for key in keys:
                key.key = key.key if key.key.startswith("alt+") else f"alt+{key.key}"
        return [*keys]

    def _named(self, text: str) -> list[Message]:
        """Return the messages that Textual makes of *text*."""
        if self._deaf:
            return []
        try:
            return list(self._parser.feed(text))
        except Exception as error:  # noqa: BLE001  # whatever it is: without keys there is no way out
            self._log(text, error)
            self._begin_anew()
            return []

    def _log(self, sequence: str, error: Exception | None = None) -> None:
        """Log what is ignored, at a limited rate: a terminal may send it all the time."""
        if self._came_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = self._came_s
            reason = f" ({escape(repr(error))})" if error else ""
            log.warning("the terminal sent what cannot be: %s%s", escape(sequence[:_LOGGED_CHARACTERS]), reason)

    def _begin_anew(self) -> None:
        """Restart Textual's parser; keep what it knows about the terminal's size."""
        parser = self._parser
        parser._tokens.clear()
        parser._gen = parser.parse(parser._tokens.append)
        parser._awaiting = next(parser._gen)
        parser._timeout_time = None


def _is_ctrl_c(text: str) -> bool:
    """Return whether *text* is Ctrl-C alone: typed by somebody who waits."""
    return text != "" and not text.strip(_CTRL_C)


def _is_alone(text: str) -> bool:
    """Return whether the beginning of a string is really Alt and a key."""
    return len(text) > 3 and text[2] == "\x1b" and text[3] != "\\"
