"""Lists of options (the palette's, the columns') on terminals without room for one.

Textual's list has no lines then, and PgUp and PgDn look up the first one: KeyError.
"""

from __future__ import annotations

from textual.widgets import OptionList

_move_page = OptionList._move_page


def move_page(options: OptionList, direction: int) -> None:
    """Move by a page, if any line is laid out."""
    if (options.highlighted or 0) in options._index_to_line:
        _move_page(options, direction)  # type: ignore[arg-type]  # -1 or 1


def install() -> None:
    """Let every list move in this way."""
    OptionList._move_page = move_page  # type: ignore[assignment, method-assign]  # ours in its place
