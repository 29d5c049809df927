"""The text that BCC gets: each line says which line of the user's file it is, and types of events are kept.

BCC inserts lines, so that what clang, the verifier and BTF say would be off by some (measured: by 12 and more). A
`#line` before each line sets that right. And it drops the types that no map has: those of events.
"""

from __future__ import annotations

import re

from ebpftop.core.c_text import CText
from ebpftop.kernel.load.source import Source

_UNSAFE = re.compile(r"[^\w.+-]", re.ASCII)


def numbered(source: Source, text: str, before: str = "") -> str:
    """Return *text*, which has the lines of *source*, with *before* in front, as BCC is to compile it."""
    c = CText(text)
    name = f"/{quoted(source.name)}"
    covered = _no_line_there(c)
    lines = text.split("\n")
    numbered = [before] if before else []
    for number, line in enumerate(lines, 1):
        if number not in covered and line.strip():
            numbered.append(f'#line {number} "{name}"')
        numbered.append(line)
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
