"""C text, as far as it can be read without a compiler: comments, directives, functions, structs.

Macros are not expanded. What is found is where it stands in the file: offsets and line numbers, from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

_PARTS = re.compile(
    r"""
      (?P<comment> //(?:[^\\\n]|\\\n|\\.)*  |  /\*.*?(?:\*/|\Z) )
    | (?P<literal> "(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\Z)  |  '(?:[^'\\\n]|\\.)*(?:'|(?=\n)|\Z) )
    """,
    re.DOTALL | re.VERBOSE,
)
_DIRECTIVE = re.compile(r"^[ \t]*\#(?:[^\\\n]|\\\n|\\.)*", re.MULTILINE)
_BLANKED = re.compile(r"[^\n]")
_CONDITION = re.compile(r"[ \t]*\#[ \t]*(if|ifdef|ifndef|else|elif|elifdef|elifndef|endif)\b")
_INCLUDE = re.compile(r'[ \t]*\#[ \t]*(?:include|include_next|import)\b[ \t]*("[^"\n]*"|<[^>\n]*>|[^\n]*)')
_NAME = re.compile(r"[A-Za-z_]\w*")
_NAME_AT_END = re.compile(r"([A-Za-z_]\w*)\s*\Z")
_STRUCT = re.compile(
    r"(\btypedef\s+)?\bstruct\b\s*(?:__attribute__\s*\(\(.*?\)\)\s*|__packed\s+)?([A-Za-z_]\w*)?\s*\Z", re.DOTALL
)
_NAME_BEHIND = re.compile(r"\s*(?:__attribute__\s*\(\([^;]*?\)\)\s*|__packed\s+)?([A-Za-z_]\w*)\s*;")
_GUARD = re.compile(r"#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+\1\b")
_KEYWORDS = frozenset(("if", "for", "while", "switch", "return", "sizeof", "do", "else"))


def _blank(text: str) -> str:
    return _BLANKED.sub(" ", text)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with what begins and ends it; *line* is its first."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a body; of ``MACRO(a, b) { .. }`` the *name* is that of the macro.

    *before* is what stands before the name in its declaration; *parameters* what is between its parentheses. The
    offsets are those of the name, of the opening parenthesis, of the braces of the body.
    """

    name: str
    before: str
    parameters: str
    line: int
    end_line: int
    name_at: int
    paren_at: int
    open_at: int
    close_at: int

    @property
    def is_static(self) -> bool:
        return "static" in _NAME.findall(self.before)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parameters one by one."""
        return tuple(split_arguments(self.parameters))


class _Block(NamedTuple):
    """What is between braces at the top: where its declaration begins, its braces, under how many `#if` it stands."""

    declared: int
    open_at: int
    close_at: int
    conditions: int


class CText:
    """A C file. *code* is as long as *text*; comments, literals and directives are blanks there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        comments, parts, at = [], [], 0
        for match in _PARTS.finditer(text):
            parts += [text[at : match.start()], _blank(match[0])]
            at = match.end()
            if match["comment"] is not None:
                comments.append(Comment(self.line_of(match.start()), match[0]))
        self.comments: tuple[Comment, ...] = tuple(comments)
        self.bare = "".join([*parts, text[at:]])
        """The text without comments and literals; directives are still there."""
        self.code = _DIRECTIVE.sub(lambda match: _blank(match[0]), self.bare)

    def line_of(self, offset: int) -> int:
        """Return the line of *offset*."""
        return bisect_right(self._starts, offset)

    @cached_property
    def directives(self) -> tuple[tuple[int, int, int], ...]:
        """First line, begin and end of each preprocessor directive."""
        return tuple(
            (self.line_of(match.start()), match.start(), match.end()) for match in _DIRECTIVE.finditer(self.bare)
        )

    @property
    def includes(self) -> Iterator[tuple[int, str]]:
        """Line, and what is included: ``"name"``, ``<name>``, or whatever else stands there."""
        for line, begin, end in self.directives:
            if _INCLUDE.match(self.bare, begin, end):
                found = _INCLUDE.match(self.text, begin, end)
                yield line, found[1].strip() if found else self.text[begin:end].strip()

    @property
    def words(self) -> frozenset[str]:
        """All names outside of comments and literals."""
        return frozenset(_NAME.findall(self.bare))

    @cached_property
    def structs(self) -> tuple[str, ...]:
        """The structs that are defined at the top, under no condition: ``struct name``, or the name of a typedef."""
        return tuple(dict.fromkeys(self._structs()))

    def _structs(self) -> Iterator[str]:
        guarded = _GUARD.match(self.bare.lstrip()) is not None
        for block in self._blocks:
            if block.conditions > guarded or not (head := _STRUCT.search(self.code, block.declared, block.open_at)):
                continue
            named = _NAME_BEHIND.match(self.code, block.close_at + 1)
            if head[2]:
                yield f"struct {head[2]}"
            elif head[1] and named:
                yield named[1]

    def line_of_map(self, name: str) -> int | None:
        """Return the line that declares a map: ``BPF_HASH(name, ..)``; None if there is none."""
        # The type of the map, the first argument of BPF_TABLE, is a literal: nothing is left of it here.
        found = re.search(rf"\bBPF_\w+\s*\((?:[^;{{}}()]*,)?\s*{re.escape(name)}\s*[,)]", self.code)
        return self.line_of(found.start()) if found else None

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Every function with a body, in order; one that has two under ``#if`` comes twice."""
        return tuple(self._functions())

    def _functions(self) -> Iterator[Function]:
        for block in self._blocks:
            if (function := self._function(block.declared, block.open_at)) is not None:
                yield replace(function, close_at=block.close_at, end_line=self.line_of(block.close_at))

    @property
    def unclosed(self) -> int | None:
        """The line of the bracket { at the top that is not closed; None if each is."""
        last = self._all_blocks[-1] if self._all_blocks else None
        return self.line_of(last.open_at) if last is not None and not last.close_at else None

    @cached_property
    def _blocks(self) -> tuple[_Block, ...]:
        return tuple(block for block in self._all_blocks if block.close_at)

    @cached_property
    def _all_blocks(self) -> tuple[_Block, ...]:
        """All blocks; what is not closed is the last, and ends at 0."""
        return tuple(self._find_blocks())

    def _find_blocks(self) -> Iterator[_Block]:
        conditions = deque(self._conditions())
        saved: list[int] = []
        depth = declared = 0
        opened: _Block | None = None
        for match in re.finditer(r"[{};]", self.code):
            while conditions and conditions[0][0] < match.start():
                # Branches of which one is compiled: each begins as deep as the first.
                begin, kind = conditions.popleft()
                if kind.startswith("if"):
                    saved.append(depth)
                elif saved and kind == "endif":
                    saved.pop()
                elif saved:
                    if depth > saved[-1] == 0:  # the head of a function again, before a body that all branches share
                        declared = begin
                    depth = saved[-1]
            character = match[0]
            if character == "{":
                if depth == 0:
                    opened = _Block(declared, match.start(), 0, len(saved))
                    declared = match.end()
                depth += 1
            elif character == "}":
                depth = max(0, depth - 1)
                if depth == 0:
                    if opened is not None:
                        yield opened._replace(close_at=match.start())
                    opened, declared = None, match.end()
            elif depth == 0:
                declared = match.end()
        if opened is not None:
            yield opened

    def _conditions(self) -> Iterator[tuple[int, str]]:
        for _line, begin, end in self.directives:
            if found := _CONDITION.match(self.bare, begin, end):
                yield begin, found[1]

    def _function(self, declared: int, open_at: int) -> Function | None:
        """Return the function whose body opens at *open_at*; None for a struct, an initialiser and the like."""
        head = self.code[declared:open_at]
        closing = head.rstrip()
        # An attribute may stand behind the parameters.
        while attribute := re.search(r"__attribute__\s*\(\(.*?\)\)\Z", closing, re.DOTALL):
            closing = closing[: attribute.start()].rstrip()
        if not closing.endswith(")"):
            return None
        depth = 0
        for paren_at in range(len(closing) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(closing[paren_at], 0)
            if depth == 0:
                break
        else:
            return None
        name = _NAME_AT_END.search(closing, 0, paren_at)
        if name is None or name[1] in _KEYWORDS or "=" in closing[: name.start()]:
            return None
        at = declared + name.start(1)
        return Function(
            name=name[1],
            before=closing[: name.start(1)].strip(),
            parameters=self.code[declared + paren_at + 1 : declared + len(closing) - 1],
            line=self.line_of(at),
            end_line=0,
            name_at=at,
            paren_at=declared + paren_at,
            open_at=open_at,
            close_at=0,
        )


def split_arguments(text: str) -> Iterator[str]:
    """Yield what stands between the commas of *text* that are in no parentheses, brackets or braces."""
    depth = begin = 0
    for at, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[begin:at].strip()
            begin = at + 1
    if last := text[begin:].strip():
        yield last
