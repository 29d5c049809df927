"""What of a C file says: which lesson it is, and which functions it has."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ebpftop.core.c_text import CText

_LESSON = re.compile(r"\bebpftop:\s*lesson\s+([1-4])\b")
_MACRO = re.compile(r"[A-Z][A-Z0-9_]*")


def lesson_of(source: str) -> int | None:
    """Return the number of the lesson that a file says it is: ``// ebpftop: lesson 2``. None if it is no lesson."""
    for comment in CText(source).comments:
        if found := _LESSON.search(comment.text):
            return int(found[1])
    return None


def functions(source: str) -> Mapping[str, str]:
    """Return the body of each function by its name; those that a macro makes, as TRACEPOINT_PROBE, are left out.

    Comments, texts and directives are blanks there.
    """
    c = CText(source)
    named = (one for one in c.functions if not _MACRO.fullmatch(one.name))
    return {one.name: c.code[one.open_at + 1 : one.close_at] for one in named}
