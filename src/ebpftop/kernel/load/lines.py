"""The text that BCC gets: each line says which line of the user's file it is, and types of events are kept.

BCC inserts lines, so that what clang, the verifier and BTF say would be off by some (measured: by 12 and more). A
`#line` before each line sets that right, and another one where a body begins on the line of its function: BCC inserts
lines before the one, and behind the brace of the other. And it drops the types that no map has: those of events.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ebpftop.core.c_text import CText
from ebpftop.kernel.load.source import Source

_UNSAFE = re.compile(r"[^\w.+-]", re.ASCII)


def numbered(source: Source, text: str, before: str = "") -> str:
    """Return *text*, which has the lines of *source*, with *before* in front, as BCC is to compile it."""
    c = CText(text)
    name = f"/{quoted(source.name)}"
    covered = _no_line_there(c)
    lines = text.split("\n")
    bodies = _bodies(c)
    numbered = [before] if before else []
    for number, line in enumerate(lines, 1):
        if number not in covered and line.strip():
            numbered.append(f'#line {number} "{name}"')
        cuts = [0, *bodies.get(number, ()), len(line)] if number not in covered else [0, len(line)]
        for begin, end in pairwise(cuts):
            if begin:
                numbered.append(f'#line {number} "{name}"')
            # Blanks in place of what stands before it: columns stay what they are.
            numbered.append(" " * len(line[:begin].encode("utf-8", "replace")) + line[begin:end])
    kept = (f"BPF_ANNOTATE_KV_PAIR(__eb_type_{i}, int, {struct});" for i, struct in enumerate(source.structs))
    return "\n".join([*numbered, *kept, ""])


def quoted(name: str) -> str:
    """Return what `#line` calls the file *name*: it is found again in messages, between colons and blanks."""
    return _UNSAFE.sub("_", name)


def as_named(output: str, name: str) -> str:
    """Return what clang wrote about the file *name*, with all files of the user called as the user calls them."""
    own = rf"(?P<own>/{re.escape(quoted(name))}|/virtual/main\.c)(?=:\d)|/\S*/include/quoted/"
    return re.sub(
        rf"^(?P<by>(?:In file included from )?)(?:{own})",
        lambda match: match["by"] + (name if match["own"] else ""),
        output,
        flags=re.MULTILINE,
    )


def _bodies(c: CText) -> dict[int, list[int]]:
    """Return behind which columns of which lines, from 0, a body begins that has code on the line of its function."""
    found: dict[int, list[int]] = {}
    for function in c.functions:
        begin = c.text.rfind("\n", 0, function.open_at) + 1
        end = c.text.find("\n", begin)
        line, code = c.line_of(function.open_at), c.code[function.open_at + 1 : end if end >= 0 else None]
        if code.strip() and not code.rstrip().endswith("\\"):
            found.setdefault(line, []).append(function.open_at + 1 - begin)
    return found


def _no_line_there(c: CText) -> set[int]:
    """Return the lines before which there can be no `#line`.

    What continues a line, what begins within a comment or a literal, and what stands between parentheses or begins
    with one: it may be the argument of a macro.
    """
    covered = set()
    for first, begin, end in c.directives:
        covered |= set(range(first + 1, c.line_of(max(begin, end - 1)) + 1))
    for comment in c.comments:
        covered |= set(range(comment.line + 1, comment.line + comment.text.count("\n") + 1))
    depth = 0
    for number, (line, code) in enumerate(zip(c.text.split("\n"), c.code.split("\n"), strict=True), 1):
        if depth > 0 or code.lstrip().startswith("("):
            covered.add(number)
        if line.endswith("\\"):
            covered.add(number + 1)
        depth = max(0, depth + code.count("(") - code.count(")"))
    return covered
