"""Actions with their keys, as settings have them: for the help and for the palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.types import IgnoreReturnCallbackType

from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.list_filters import FILTER_KEYS
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.row_actions import ROW_KEYS
from ebpftop.ui.widgets.row_view import OPEN


class KeyAction(NamedTuple):
    """An action, and the keys that run it."""

    action: str
    label: str
    about: str
    keys: tuple[str, ...]
    id: str
    in_footer: bool


class Tier(IntEnum):
    """Where the palette offers a command: those of the list in focus first, keys that only move in it last."""

    LIST = 0
    SCREEN = 1
    OTHER = 2
    MOVES = 3


class Command(NamedTuple):
    """What the palette offers: a title, a line about it, what runs it, and its key if it has one.

    *is_usual*: the footer has it, so it comes before others of the same tier.
    """

    title: str
    about: str
    callback: IgnoreReturnCallbackType
    key: str = ""
    tier: Tier = Tier.OTHER
    is_usual: bool = False


_ON_ROWS = frozenset(str(one.id) for one in (*ROW_KEYS, *FILTER_KEYS)) | {
    *("execs.tree", "go_to", "T", "pane.columns", "export"),
}
"""Bindings of the screen that act on the list in focus, or on its row."""


def _tier(action: KeyAction, node: DOMNode, main: MainScreen) -> Tier:
    if node is main.pane or action.id in _ON_ROWS or action.id == OPEN:
        return Tier.LIST
    if node is main.pane.lines:
        return Tier.MOVES if action.id.startswith("lines.") else Tier.LIST
    return Tier.OTHER if isinstance(node, Pane) else Tier.SCREEN


def own_bindings(owner: type[DOMNode]) -> Iterable[object]:
    """Return the bindings that a class declares itself."""
    bindings: Iterable[object] = owner.__dict__.get("BINDINGS", ())
    return bindings


def key_actions(app: App[Any], bindings: Iterable[object]) -> Iterator[KeyAction]:
    """Yield the actions of *bindings* in their order, each with all of its keys."""
    usual = [binding for binding in bindings if isinstance(binding, Binding)]
    declared = BindingsMap(usual)
    if app._keymap:
        declared.apply_keymap(app._keymap)
    # What has no key any more is still an action.
    found: dict[str, tuple[Binding, list[str]]] = {one.action: (one, []) for one in usual if one.description}
    for _, binding in declared:
        if not binding.description:
            continue
        _, keys = found.setdefault(binding.action, (binding, []))
        key = app.get_key_display(Binding(binding.key, binding.action))
        if key not in keys:
            keys.append(key)
    for action, (binding, keys) in found.items():
        about = binding.tooltip or binding.description
        yield KeyAction(action, binding.description, about, tuple(keys), binding.id or "", binding.show)


def key_commands(app: App[Any], main: MainScreen) -> Iterator[Command]:
    """Yield a command for each action that has a key: of the focused list, the main screen, the app, and each pane."""
    lines = main.pane.lines
    owners: list[tuple[DOMNode, str, Iterable[type[Any]]]] = [
        (lines, "", type(lines).__mro__),
        (main, "", type(main).__mro__),
        (app, "", type(app).__mro__),
        *((pane, f"{pane.label}: ", type(pane).__mro__) for pane in main.panes),
    ]
    titles: set[str] = set()
    for node, prefix, classes in owners:
        for kind in classes:
            if kind.__module__.startswith("textual."):
                continue  # what is Textual's own is not offered
            for one in key_actions(app, own_bindings(kind)):
                if one.action.startswith("probe("):
                    continue  # those of all panes are offered, keys or not
                title = f"{prefix}{one.label}"
                if title in titles:
                    title = f"{prefix}{one.about}"
                titles.add(title)
                run = _on_pane(main, node, one.action) if isinstance(node, Pane) else partial(_run, node, one.action)
                about = one.about if title != one.about else ""
                tier = _tier(one, node, main)
                yield Command(title, about, run, " ".join(one.keys), tier, one.in_footer)


async def _run(node: DOMNode, action: str) -> None:
    await node.app.run_action(action, node)


def _on_pane(main: MainScreen, pane: Pane, action: str) -> Callable[[], Any]:
    async def run() -> None:
        if pane not in main.choice_of_panes:
            main.show_pane(pane, shown=True)
        main.go_to_pane(pane)
        await _run(pane, action)

    return run
