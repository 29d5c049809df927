"""A regular expression as one types it.

RE2 matches it: its time is linear in the length of the text, whatever text a program writes
(https://github.com/google/re2/wiki/Syntax). The syntax is Python's, as far as RE2 supports it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

import re2

# If a text makes RE2's automaton grow beyond its memory, each character costs one step for each instruction of the
# pattern, 15 to 80 ns. So the instructions of a pattern are bounded, and only the first part of a text is searched, for
# a tenth of a second. A pattern that people type has ten: it searches 150 kB, more than the exec log has of a command
# line.
INSTRUCTIONS_MAX = 300
STEPS_MAX = 1_500_000
TERMS_MAX = 16
"""Terms of a filter: expressions beside each other share the steps."""
_MEMORY_BYTES = 8 << 20

_TOKEN = re.compile(
    r"""
      (?P<unicode> \\u[0-9A-Fa-f]{4} | \\U[0-9A-Fa-f]{8} )
    | (?P<octal> \\[0-7]{3} )
    | (?P<escape> \\. )
    | (?P<posix> \[:\^?\w+:\] )
    | (?P<open> \[\^?\]? )
    | (?P<close> \] )
    | (?P<group> \(\?(?: P[=<>] | <?[=!] | [>(\#] ) )
    | (?P<huge> \{ (?:\d*,)? \d{5,} )
    | (?P<upto> \{,(?P<most>\d+)\} )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_LACKING = {
    "(?P=": "a back-reference, (?P=name)",
    "(?=": "a look-ahead, (?=",
    "(?!": "a look-ahead, (?!",
    "(?<=": "a look-behind, (?<=",
    "(?<!": "a look-behind, (?<!",
    "(?>": "an atomic group, (?>",
    "(?(": "a condition, (?(",
    "(?#": "a comment, (?#",
}
# What Python's class letters mean beyond ASCII. Shown text has no blank except the space, no unassigned and no control
# characters (`ebpftop.core.escape.escape`). A connector is the underscore or one of these.
_CONNECTORS = r"\x{203f}\x{2040}\x{2054}\x{fe33}\x{fe34}\x{fe4d}-\x{fe4f}\x{ff3f}"
_REST = r"\pM\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\pS\pZ\pC" + _CONNECTORS
_WIDE = {r"\w": r"\pL\pN_", r"\W": _REST, r"\d": r"\p{Nd}", r"\D": rf"\pL\p{{Nl}}\p{{No}}_{_REST}"}
# The letter of an escape, or the name of a group, does not decide whether capitals matter.
_NO_LETTERS = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\.|\(\?P?<\w+>", re.DOTALL)
_WORD = re.compile(r"[\w /:=@%,;<>~-]+", re.ASCII)

# RE2's message up to the colon, and ours; ``%s`` is the place in the pattern.
_WORDS = {
    "missing )": "a ( is not closed",
    "missing ]": "a [ is not closed",
    "unexpected )": "a ) has no ( before it",
    "no argument for repetition operator": "nothing before %s to repeat",
    "bad repetition operator": "%s repeats what is repeated already",
    "invalid repetition size": "%s is an unknown count: up to 1,000 in all, the least first",
    "trailing \\": "a \\ at the end: write \\\\ for a backslash",
    "invalid escape sequence": "%s means nothing: write \\\\ for a backslash",
    "invalid character class range": "%s is an unknown range or class",
    "invalid character class": "%s is an unknown class",
    "invalid perl operator": "%s is unknown",
    "invalid or unsupported Perl syntax": "%s is unknown",
    "invalid named capture group": "%s needs a name",
    "pattern too large - compile failed": "too large: it repeats too much",
}


class PatternError(ValueError):
    """The typed text is not a regular expression (yet), or RE2 cannot match it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled expression; `text` is what was typed."""

    text: str
    # Two programs: for ASCII text, which nearly all text is, classes of letters need a twentieth of the instructions.
    _ascii: re2._Regexp = field(compare=False, repr=False)
    _wide: re2._Regexp = field(compare=False, repr=False)
    # A plain word, as most patterns are, is found ten times as fast without a program.
    _word: str = field(compare=False, repr=False)
    _case_sensitive: bool = field(compare=False, repr=False)

    def matches(self, text: str, steps: int = STEPS_MAX) -> bool:
        """Return whether *text* contains what is searched; at most so many *steps* of it are searched."""
        if self._word and text.isascii():
            return self._word in (text if self._case_sensitive else text.lower())
        program = self._ascii if text.isascii() else self._wide
        return program.search(text[: steps // program.programsize].encode()) is not None


def parse(source: str) -> Pattern | None:
    """Return the expression for the typed text; None if it is empty. Small letters match capitals, capitals only them.

    Raises PatternError, with a readable message, if it is not a regular expression that can be matched.
    """
    if not source:
        return None
    narrow, wide = _translate(source)
    case_sensitive = any(c.isupper() for c in _NO_LETTERS.sub("", source))
    program = beyond = _compile(narrow, case_sensitive, INSTRUCTIONS_MAX)
    if wide != narrow:
        # Classes of letters have many ranges in UTF-8, but a text uses one at a time.
        with contextlib.suppress(PatternError):
            beyond = _compile(wide, case_sensitive, 20 * INSTRUCTIONS_MAX)
    word = source if _WORD.fullmatch(source) else ""
    return Pattern(source, program, beyond, word, case_sensitive)


def _compile(source: str, case_sensitive: bool, instructions_max: int) -> re2._Regexp:
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.max_mem = _MEMORY_BYTES
    # Groups are not used, and RE2's own log would be written over the screen.
    options.never_capture = True
    options.log_errors = False
    try:
        program = re2.compile(source.encode(), options)
    except re2.error as error:
        raise PatternError(_message(error)) from None
    except UnicodeEncodeError:
        raise PatternError("not text") from None
    finally:
        # It caches 128 patterns, of up to `_MEMORY_BYTES` each: one for every letter typed.
        re2.purge()
    if program.programsize > instructions_max:
        raise PatternError(_WORDS["pattern too large - compile failed"])
    return program


def _message(error: Exception) -> str:
    what, _, where = bytes(error.args[0]).decode(errors="replace").partition(": ")
    words = _WORDS.get(what, what)
    return words % where if "%s" in words else words


def _translate(source: str) -> tuple[str, str]:
    """Translate Python's regular expression for RE2: once for ASCII text, once for any text.

    Raises PatternError for what RE2 lacks.
    """
    narrow: list[str] = []
    wide: list[str] = []
    inside = False  # of a class in brackets
    for token in _TOKEN.finditer(source):
        piece = token[0]
        beyond: str | None = None
        match token.lastgroup if token.lastgroup != "most" else "upto":
            case "unicode":
                piece = f"\\x{{{piece[2:]}}}"
            case "escape":
                if not inside and piece[1] in "123456789":
                    raise PatternError(f"a back-reference, {piece}, cannot be matched in bounded time")
                if piece == "\\Z":
                    piece = "\\z"
                elif piece in _WIDE:
                    beyond = _WIDE[piece] if inside else f"[{_WIDE[piece]}]"
            case "open":
                # A bracket right at the start of a class is a plain character.
                inside = True
            case "close":
                inside = False
            case "group":
                if not inside and piece in _LACKING:
                    raise PatternError(f"{_LACKING[piece]}, cannot be matched in bounded time")
            case "huge" if not inside:
                # RE2 treats a count that it cannot represent as plain text.
                raise PatternError(_WORDS["invalid repetition size"] % piece)
            case "upto":
                piece = piece if inside else f"{{0,{token['most']}}}"
            case _:
                pass
        narrow.append(piece)
        wide.append(piece if beyond is None else beyond)
    return "".join(narrow), "".join(wide)
