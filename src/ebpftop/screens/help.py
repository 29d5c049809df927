"""Help: every key, taken from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode

from ebpftop.panes.execs import ExecsPane
from ebpftop.panes.syscalls import SyscallsPane
from ebpftop.screens.main import MainScreen
from ebpftop.screens.travel import TravelScreen
from ebpftop.widgets.lines import Lines
from ebpftop.widgets.log import LogLines
from ebpftop.widgets.sheet import Details, Sheet
from ebpftop.widgets.table import TableLines

KEY_WIDTH = 18


def help_sheet(app: App[int]) -> Details:
    """Build the list of keys, as *app* has them bound."""
    return Details(title="Keys", sheet=lambda: _sheet(app))


def _sheet(app: App[int]) -> Sheet:
    sheet = Sheet()
    groups: tuple[tuple[str, tuple[type[DOMNode], ...]], ...] = (
        ("Everywhere", (MainScreen, type(app))),
        ("Time", (TravelScreen,)),
        ("Moving", (Lines,)),
        ("Logs", (LogLines,)),
        ("Tables", (TableLines,)),
        ("Exec log", (ExecsPane,)),
        ("Syscalls", (SyscallsPane,)),
    )
    for title, owners in groups:
        sheet.heading(title)
        for owner in owners:
            _keys(sheet, app, owner.__dict__.get("BINDINGS", ()))
    sheet.heading("What is shown")
    sheet.line(
        ("1 2 3 4 ", "bold"), ("turn a probe off and on: off means that nothing of it is left in the kernel", "")
    )
    sheet.line(
        ("lost    ", "$error bold"), ("what got lost, by where: ring, map, recursion, argv, queue, pipe, rate", "")
    )
    sheet.line(
        ("cost    ", "bold"), ("what ebpftop takes of one CPU: its programs in the kernel, and this process", "")
    )
    return sheet


def _keys(sheet: Sheet, app: App[int], bindings: Iterable[object]) -> None:
    shown: dict[str, tuple[list[str], str]] = {}
    declared = [b for b in bindings if isinstance(b, Binding)]
    for _, binding in BindingsMap(declared):
        if not binding.description:
            continue
        keys, _about = shown.setdefault(binding.action, ([], binding.tooltip or binding.description))
        key = app.get_key_display(Binding(binding.key, binding.action))
        if key not in keys:
            keys.append(key)
    for keys, about in shown.values():
        sheet.line((f"  {' '.join(keys):<{KEY_WIDTH}}", "$accent bold"), (about, ""))
