"""A command line in the syntax of a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_RESERVED = frozenset(
    "! { } [[ ]] case coproc do done elif else esac fi for function if in select then time until while".split()  # noqa: SIM905
)


def shell_line(words: Sequence[str]) -> str:
    """Return *words* as a line that runs the first one: not as a keyword of the shell, nor as an assignment.

    >>> shell_line(["ls", "a b"]), shell_line(["then", "then"]), shell_line(["A=1", "x"])
    ("ls 'a b'", "'then' then", "'A=1' x")
    """
    line = shlex.join(words)
    head = words[0] if words else ""
    if (head in _RESERVED or "=" in head) and line.startswith(head):
        return f"'{head}'{line[len(head) :]}"
    return line
