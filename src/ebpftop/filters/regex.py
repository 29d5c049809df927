"""The filter that one types: a regular expression, inverted by a leading ``!``.

RE2 matches it: in a time that grows with the text and not beyond, whatever a program writes to be matched
(https://github.com/google/re2/wiki/Syntax). What is typed is Python's syntax, as far as RE2 can.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

import re2

# Where a text makes RE2's automaton grow beyond its memory, each character costs a step for each instruction of the
# pattern, 15 to 80 ns. So a pattern may have so many instructions, and a text is searched as far as it takes a tenth of
# a second. A pattern that people type has ten: it searches 150 kB, more than the exec log has of a command line.
INSTRUCTIONS_MAX = 300
STEPS_MAX = 1_500_000
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
# What Python's letters for classes mean beyond ASCII. Text that is shown has no other blank than the space, nothing
# unassigned and no control (`ebpftop.core.escape.escape`). A connector is the underscore or one of the others.
_CONNECTORS = r"\x{203f}\x{2040}\x{2054}\x{fe33}\x{fe34}\x{fe4d}-\x{fe4f}\x{ff3f}"
_REST = r"\pM\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\pS\pZ\pC" + _CONNECTORS
_WIDE = {r"\w": r"\pL\pN_", r"\W": _REST, r"\d": r"\p{Nd}", r"\D": rf"\pL\p{{Nl}}\p{{No}}_{_REST}"}
# Of an escape the letter says nothing about capitals, nor does the name of a group.
_NO_LETTERS = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\.|\(\?P?<\w+>", re.DOTALL)
_WORD = re.compile(r"[\w /:=@%,;<>~-]+", re.ASCII)

# RE2's words for what is wrong, up to the colon, and ours; ``%s`` is what it stands at.
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
    """What was typed is not a regular expression (yet), or one that RE2 cannot match."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled filter; `text` is what was typed."""

    text: str
    inverted: bool
    # Two programs: on a text of ASCII, as nearly all are, classes of letters need a twentieth of the instructions.
    _ascii: re2._Regexp = field(compare=False, repr=False)
    _wide: re2._Regexp = field(compare=False, repr=False)
    # And a plain word, as most patterns are, is found ten times as fast without any.
    _word: str = field(compare=False, repr=False)
    _case_sensitive: bool = field(compare=False, repr=False)

    def matches(self, text: str) -> bool:
        if self._word and text.isascii():
            return (self._word not in (text if self._case_sensitive else text.lower())) is self.inverted
        program = self._ascii if text.isascii() else self._wide
        return (program.search(text[: STEPS_MAX // program.programsize].encode()) is None) is self.inverted


def parse(text: str) -> Pattern | None:
    """Return the filter of what was typed; None for nothing. Small letters match capitals, capitals only themselves.

    Raises PatternError, in words for people, where it is not a regular expression that can be matched.
    """
    inverted = text.startswith("!")
    source = text[1:] if inverted else text
    if not source:
        return None
    narrow, wide = _translate(source)
    case_sensitive = any(c.isupper() for c in _NO_LETTERS.sub("", source))
    program = beyond = _compile(narrow, case_sensitive, INSTRUCTIONS_MAX)
    if wide != narrow:
        # Classes of letters have many ranges in UTF-8, of which a text takes one at a time.
        with contextlib.suppress(PatternError):
            beyond = _compile(wide, case_sensitive, 20 * INSTRUCTIONS_MAX)
    word = source if _WORD.fullmatch(source) else ""
    return Pattern(text, inverted, program, beyond, word, case_sensitive)


def _compile(source: str, case_sensitive: bool, instructions_max: int) -> re2._Regexp:
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.max_mem = _MEMORY_BYTES
    # Nobody asks for groups, and its own log would be written over the screen.
    options.never_capture = True
    options.log_errors = False
    try:
        program = re2.compile(source.encode(), options)
    except re2.error as error:
        raise PatternError(_say(error)) from None
    except UnicodeEncodeError:
        raise PatternError("not text") from None
    finally:
        # It remembers 128 patterns, of up to `_MEMORY_BYTES` each: one for every letter typed.
        re2.purge()
    if program.programsize > instructions_max:
        raise PatternError(_WORDS["pattern too large - compile failed"])
    return program


def _say(error: Exception) -> str:
    what, _, where = bytes(error.args[0]).decode(errors="replace").partition(": ")
    words = _WORDS.get(what, what)
    return words % where if "%s" in words else words


def _translate(source: str) -> tuple[str, str]:
    """Return Python's regular expression as RE2 has it, for a text of ASCII and for any.

    PatternError for what RE2 lacks.
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
                # A bracket right at the beginning of a class stands for itself.
                inside = True
            case "close":
                inside = False
            case "group":
                if not inside and piece in _LACKING:
                    raise PatternError(f"{_LACKING[piece]}, cannot be matched in bounded time")
            case "huge" if not inside:
                # RE2 takes what it cannot count for plain text.
                raise PatternError(_WORDS["invalid repetition size"] % piece)
            case "upto":
                piece = piece if inside else f"{{0,{token['most']}}}"
            case _:
                pass
        narrow.append(piece)
        wide.append(piece if beyond is None else beyond)
    return "".join(narrow), "".join(wide)
