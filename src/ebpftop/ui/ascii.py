"""Everything on the screen in ASCII, cell by cell: for consoles and fonts that have nothing else."""

from __future__ import annotations

from rich.cells import cell_len

_SIGNS = {
    **dict(zip("●○◌✗✘†‡▸▶›▼▾▲◆◇·–—−│┃║┊…×≤≥←→↑↓µ", "ooo" "xx" "++" ">>>" "vv^**.---||||~x<><>^vu", strict=True)),  # noqa: RUF001
    **dict.fromkeys("─━═╌╍╸╺╴╶", "-"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛╔╗╚╝╠╣╦╩╬", "+"),
    **dict(zip(" ▁▂▃▄▅▆▇█", " .:-=+*##", strict=True)),
    **dict(zip("░▒▓", ".:=", strict=True)),
    **dict(zip("▏▎▍▌▋▊▉▐", "||||####", strict=True)),
    **dict(zip("⏎␣⇥⋮↯⚠✓“”‘’", "<_>:!!v\"\"''", strict=True)),  # noqa: RUF001
}  # fmt: skip


class _Table(dict[int, str]):
    """What `str.translate` puts in place of each character: as many cells, so that nothing beside it moves."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code >= 128:
            character = _SIGNS.get(character) or "?" * cell_len(character)
        if len(self) < 10_000:  # a program may print any
            self[code] = character
        return character


_TABLE = _Table()


def ascii_only(text: str) -> str:
    """Return *text* in ASCII; in as many cells."""
    return text if text.isascii() else text.translate(_TABLE)
