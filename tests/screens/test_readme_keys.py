"""The README names every key that the help screen names."""

from __future__ import annotations

from pathlib import Path

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.app_keys import AppKeys
from ebpftop.ui.screens.main_keys import MainKeys
from ebpftop.ui.screens.placing import PanesScreen
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView

README = (Path(__file__).parents[2] / "README.md").read_text()
NAMES = {
    **{"slash": "/", "less_than_sign": "<", "greater_than_sign": ">", "plus": "+", "minus": "-", "question_mark": "?"},
    **{
        "left": "←",
        "right": "→",
        "left_square_bracket": "[",
        "right_square_bracket": "]",
        "space": "Space",
    },
    **{"comma": ",", "full_stop": ".", "left_parenthesis": "(", "right_parenthesis": ")"},
    **{"enter": "Enter", "escape": "Esc", "tab": "Tab", "shift+tab": "Shift-Tab", "home": "g", "end": "G"},
    **{"pageup": "PgUp", "pagedown": "PgDn", "ctrl+s": "Ctrl-S", "ctrl+p": "Ctrl-P", "ctrl+c": "Ctrl-C"},
    **{"ctrl+z": "Ctrl-Z", "f2": "F2", "left_curly_bracket": "{", "right_curly_bracket": "}"},
    **{"ctrl+d": "Ctrl-D", "ctrl+u": "Ctrl-U", "exclamation_mark": "!"},
}


def first_key(binding: BindingType) -> str:
    keys = binding.key if isinstance(binding, Binding) else binding[0]
    key = keys.split(",")[0].strip()
    return NAMES.get(key, key)


def test_every_key_of_the_main_screen_is_in_the_readme() -> None:
    section = README.split("## Keys")[1].split("\n## ")[0]
    owners: tuple[type[DOMNode], ...] = (AppKeys, MainKeys, PanesScreen, RowView, LogView, TableView)
    for owner in (*owners, *panes().classes.values()):
        for binding in owner.__dict__.get("BINDINGS", ()):
            assert f"`{first_key(binding)}`" in section, (owner.__name__, binding)
    mine = section.split("syscalls: ")
    for binding in SyscallsPane.BINDINGS:
        assert any(f"`{first_key(binding)}`" in part.rpartition("\n")[2] for part in mine[:-1]), binding
