"""The source of a loaded file as rows: its lines, what they name, and what compiler and verifier say beside them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from msgspec.structs import replace

from ebpftop.core.c_text import CText, Function
from ebpftop.core.load_records import Diagnostic, Loaded

Look: TypeAlias = Literal[
    "", "comment", "directive", "string", "helper", "map", "bad", "warn", "label", "strong", "note"
]
Piece: TypeAlias = tuple[str, Look]

TAB = 8
"""Cells of a tab in the records."""

LABEL = 9
"""Cells of MEANING, TRY, STATE and PATH."""

_NARROWEST = 24
_CARETS_MAX = 24
_REGISTERS = 6

_TOKEN = re.compile(
    r"(?P<comment>//.*|/\*.*?(?:\*/|$))"
    r'|(?P<string>"(?:[^"\\]|\\.)*"?|\'(?:[^\'\\]|\\.)*\'?)'
    r"|(?P<method>(?<=\.)(?:lookup_or_try_init|lookup_or_init|lookup|update|insert|delete|increment|atomic_increment"
    r"|push|pop|peek|call|perf_submit|perf_submit_skb|perf_read|ringbuf_output|ringbuf_reserve|ringbuf_submit"
    r"|ringbuf_discard|ringbuf_query|get_stackid|get_stack|redirect_map)\b)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<other>\s+|[^\w\s\"'/.]+|\d\w*|.)"
)
HELPER = re.compile(r"bpf_\w+|PT_REGS_\w+|TP_DATA_LOC_\w+|BPF_\w+")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row: a line of the source (part 0), or a line of what is said about it (part 1 and on).

    `number` is 0 for what is about no line: that stands above the source. `diagnostic`: which of them it belongs to,
    counted from 0.
    """

    number: int
    part: int
    pieces: tuple[Piece, ...]
    diagnostic: int | None = None
    is_bad: bool = False
    """Whether it is a line of the source that has an error."""
    is_doubtful: bool = False
    """Whether it is one that has a warning only."""

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)


def rows_of(loaded: Loaded, width: int, cells: Callable[[str], int] = len) -> list[SourceRow]:
    """Return the rows of the source that was tried last, with what is said of its lines, in *width* cells.

    *cells* returns how many of them a text takes.
    """
    return list(_rows(loaded, _Page(max(_NARROWEST, width), cells)))


def whole_rows_of(loaded: Loaded, width: int, cells: Callable[[str], int] = len) -> list[SourceRow]:
    """Return the rows of what is about no line of it."""
    page, count = _Page(max(_NARROWEST, width), cells), len(loaded.source)
    said = [(at, one) for at, one in enumerate(loaded.diagnostics) if not _line_of(one, count)]
    return [row for at, one in said for row in _said(one, at, 0, "", page, 1)]


def _line_of(one: Diagnostic, count: int) -> int:
    """Return the line that a message is about, of so many; 0 if it is about none."""
    return one.line if one.line is not None and 1 <= one.line <= count else 0


class _Page(NamedTuple):
    """How many cells there are, and how many a text takes."""

    width: int
    cells: Callable[[str], int]

    def wrap(self, text: str, width: int) -> list[str]:
        """Return *text* in lines of at most *width* cells, or nearly: where a line has many wide characters, more."""
        taken = self.cells(text)
        characters = width if taken <= len(text) else max(1, width * len(text) // taken)
        return textwrap.wrap(text, max(_NARROWEST // 2, characters), break_on_hyphens=False)


def _rows(loaded: Loaded, page: _Page) -> Iterator[SourceRow]:
    lines = list(loaded.source)
    if halved := _has_tabs(lines):
        lines = [_halved(line) for line in lines]
    while lines and not lines[-1].strip():
        lines.pop()
    beside: dict[int, list[tuple[int, Diagnostic]]] = {}
    for at, one in enumerate(loaded.diagnostics):
        # A line that is empty, at the end, is not shown.
        number = min(_line_of(one, len(loaded.source)), len(lines))
        beside.setdefault(number, []).append((at, one))
    names = frozenset(one.name for one in loaded.maps)
    in_comment = False
    for number, line in enumerate(lines, 1):
        pieces, in_comment = tokens(line, names, in_comment)
        about = beside.get(number, ())
        wrong = any(one.severity == "error" for _, one in about)
        yield SourceRow(number, 0, pieces, about[0][0] if about else None, wrong, bool(about) and not wrong)
        part = 1
        for at, one in about:
            moved = _moved(one, loaded.source[number - 1], line) if halved else one
            for row in _said(moved, at, number, line, page, part):
                yield row
                part += 1


def _has_tabs(lines: Sequence[str]) -> bool:
    """Return whether all lines that begin with blanks begin with tabs: blanks up to a column of eight."""
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip() and not line.lstrip().startswith("*")]
    return any(indents) and all(indent == 0 or indent >= TAB for indent in indents)


def _halved(line: str) -> str:
    """Return a line with tabs of four cells: eight leave too little of a pane that is half a screen."""
    indent = len(line) - len(line.lstrip())
    return " " * (indent // TAB * (TAB // 2) + indent % TAB) + line.lstrip()


def _moved(one: Diagnostic, line: str, shown: str) -> Diagnostic:
    """Return a diagnostic of *line* with the column that it has in *shown*."""
    if one.column is None:
        return one
    return replace(one, column=max(1, one.column - (len(line) - len(shown))))


def _said(one: Diagnostic, at: int, number: int, line: str, page: _Page, part: int) -> Iterator[SourceRow]:
    """Yield what is said about a line: the message below the place, and what it means."""

    def row(*pieces: Piece) -> SourceRow:
        nonlocal part
        part += 1
        return SourceRow(number, part - 1, pieces, at)

    indent, carets = _carets(one, line, page.cells)
    message, width = one.message, page.width
    look: Look = "bad" if one.severity == "error" else "warn"
    wrapped = page.wrap(message, max(_NARROWEST, width - indent - carets - 1)) or [""]
    if indent + carets + 1 + max(map(page.cells, wrapped)) > width:
        yield row((" " * indent + "^" * carets, look))
        indent = carets = 0
        wrapped = page.wrap(message, width) or [""]
    yield row((" " * indent + "^" * carets + (" " if carets else "") + wrapped[0], look))
    for text in wrapped[1:]:
        yield row((" " * (indent + carets + bool(carets)) + text, look))
    registers = [f"{register.name} {register.text}" for register in one.registers[:_REGISTERS]]
    labelled: list[tuple[str, Sequence[str], Look]] = [
        ("MEANING", [one.meaning], ""),
        ("TRY", [one.suggestion], "strong"),
        ("STATE", registers, "label"),
        ("PATH", [" → ".join(str(line) for line, _ in groupby(one.path))], "label"),
    ]
    for label, texts, text_look in labelled:
        text = "  ".join(each for each in texts if each)
        for place, piece in enumerate(page.wrap(text, max(_NARROWEST, width - LABEL))):
            yield row((f"{label if not place else '':<{LABEL}}", "label"), (piece, text_look))


def _carets(one: Diagnostic, line: str, cells: Callable[[str], int]) -> tuple[int, int]:
    """Return the cells in front of the place that a message is about, and of the place itself."""
    if not line.strip():
        return 0, 0
    if one.column is None or one.column < 1:
        indent = len(line) - len(line.lstrip())
        return indent, min(_CARETS_MAX, max(1, cells(line.strip())))
    word = re.match(r"\w+|\S", line[one.column - 1 :])
    return cells(line[: one.column - 1]), min(_CARETS_MAX, cells(word[0]) if word else 1)


def tokens(line: str, maps: frozenset[str], in_comment: bool = False) -> tuple[tuple[Piece, ...], bool]:
    """Return a line of C in pieces, and whether a comment goes on in the next one."""
    found = _tokens(line, maps, in_comment)
    return found


@lru_cache(4096)
def _tokens(line: str, maps: frozenset[str], in_comment: bool) -> tuple[tuple[Piece, ...], bool]:
    pieces: list[Piece] = []
    if in_comment:
        end = line.find("*/")
        if end < 0:
            return ((line, "comment"),), True
        pieces.append((line[: end + 2], "comment"))
        line = line[end + 2 :]
    elif line.lstrip().startswith("#"):
        return ((line, "directive"),), False
    open_comment = False
    for token in _TOKEN.finditer(line):
        text, kind = token[0], token.lastgroup
        look: Look = ""
        if kind == "comment":
            look = "comment"
            open_comment = text.startswith("/*") and not (len(text) > 3 and text.endswith("*/"))
        elif kind == "string":
            look = "string"
        elif kind == "method" or (kind == "name" and HELPER.fullmatch(text) and not _is_type(line[: token.start()])):
            look = "helper"
        elif kind == "name" and text in maps:
            look = "map"
        if pieces and pieces[-1][1] == look:
            pieces[-1] = (pieces[-1][0] + text, look)
        else:
            pieces.append((text, look))
    return tuple(pieces), open_comment


def _is_type(before: str) -> bool:
    """Return whether what stands behind *before* is the name of a type: ``struct bpf_raw_tracepoint_args``."""
    return before.rstrip().endswith(("struct", "union", "enum"))


@lru_cache(1024)
def named_in(line: str) -> tuple[str, ...]:
    """Return the helpers and the operations of maps that a line of C calls, in their order, each once."""
    names: dict[str, None] = {}
    for token in _TOKEN.finditer(line):
        is_helper = token.lastgroup == "name" and HELPER.fullmatch(token[0]) and not _is_type(line[: token.start()])
        if token.lastgroup == "method" or is_helper:
            names[token[0]] = None
    return tuple(names)


def function_lines(lines: Sequence[str], functions: Sequence[str]) -> Mapping[str, range]:
    """Return the lines, counted from 1, that each of *functions* has."""
    found: dict[str, range] = {}
    for one in CText("\n".join(lines)).functions:
        for name in functions:
            if name not in found and _is_named(one, name):
                found[name] = range(one.line, one.end_line + 1)
    return found


_MACRO = re.compile(r"(?:RAW_)?(?:TRACEPOINT|K(?:RET)?FUNC|LSM|SEC)\w*|MODULE_K(?:RET)?FUNC_PROBE")
_ATTACHED = (
    "kprobe__",
    "kretprobe__",
    "tracepoint__",
    "raw_tracepoint__",
    "kfunc__",
    "kretfunc__",
    "lsm__",
    "syscall__",
)


def _is_named(function: Function, name: str) -> bool:
    """Return whether a function is the program *name*; macros of BCC make the names of some."""
    if function.name == name:
        return True
    if not _MACRO.fullmatch(function.name) or not name.startswith(_ATTACHED) or not function.arguments:
        return False
    return name.endswith("__".join(function.arguments[:2])) or name.endswith(function.arguments[0])
