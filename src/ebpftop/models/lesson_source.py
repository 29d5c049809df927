"""What of a C file says: which lesson it is, and which functions it has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_LESSON = re.compile(r"//\s*ebpftop:\s*lesson\s+([1-4])\b")
_COMMENT_OR_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_HEAD = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_MACRO = re.compile(r"[A-Z][A-Z0-9_]*")


def lesson_of(source: str) -> int | None:
    """Return the number of the lesson that a file says it is: ``// ebpftop: lesson 2``. None if it is no lesson."""
    found = _LESSON.search(source)
    return int(found[1]) if found else None


def functions(source: str) -> Mapping[str, str]:
    """Return the body of each function by its name; those that a macro makes, as TRACEPOINT_PROBE, are left out."""
    return {name: body for name, body in _blocks(bare(source)) if not _MACRO.fullmatch(name)}


def bare(source: str) -> str:
    """Return the code without comments, and with empty texts."""
    return _COMMENT_OR_TEXT.sub(lambda found: '""' if found[0].startswith('"') else " ", source)


def _blocks(code: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before each outermost pair of braces, if that is the head of a function, and what is in it."""
    depth = begin = head = 0
    for at, character in enumerate(code):
        if character == "{":
            if not depth:
                head, begin = begin, at + 1
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                name = _named(code[head : begin - 1])
                if name is not None:
                    yield name, code[begin:at]
                begin = at + 1
        elif character == ";" and not depth:
            begin = at + 1


def _named(head: str) -> str | None:
    """Return the name in the head of a function, None if it is another one's, as of a structure."""
    if "=" in head or not head.rstrip().endswith(")"):
        return None
    # An attribute has a name and parentheses too, and stands before.
    names = [
        found[1] for found in _HEAD.finditer(head) if found[1] != "__attribute__" and _outside(head, found.start())
    ]
    return names[-1] if names else None


def _outside(head: str, at: int) -> bool:
    return head.count("(", 0, at) == head.count(")", 0, at)
