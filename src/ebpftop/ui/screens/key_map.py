"""Which actions have keys, where they can be done, and which of them share a key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.keys import _normalize_key_list

from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.row_view import RowView


def _declared() -> Iterator[tuple[type[DOMNode], str, Binding]]:
    """Yield all bindings that have an id, of all screens and widgets of ours that are imported."""
    kinds: list[type[DOMNode]] = [DOMNode]
    for kind in kinds:
        kinds += [one for one in kind.__subclasses__() if one not in kinds]
        if kind.__module__.startswith("textual."):
            continue
        for _, binding in BindingsMap(kind.__dict__.get("BINDINGS", ())):
            if binding.id is not None:
                yield kind, binding.id, binding


def bindings() -> Mapping[str, list[Binding]]:
    """Return all bindings by their ids."""
    found: dict[str, list[Binding]] = {}
    for _, name, binding in _declared():
        found.setdefault(name, []).append(binding)
    return found


def others_on(key: str, action: str, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the other actions that have *key*, with this key map, where *action* can be done."""
    declared = tuple(_declared())
    mine = [kind for kind, name, _ in declared if name == action]
    key = _normalize_key_list(key)
    others = (
        name
        for kind, name, binding in declared
        if name != action
        and key in _normalize_key_list(keymap.get(name, binding.key)).split(",")
        and _meet(mine, (kind,))
    )
    return tuple(dict.fromkeys(others))


def _meet(some: Iterable[type[DOMNode]], others: Iterable[type[DOMNode]]) -> bool:
    """Can actions of the one and of the other classes be done at the same time?"""
    return any(
        issubclass(one, other)
        or issubclass(other, one)
        or (_is_everywhere(one) and _is_on_main(other))
        or (_is_everywhere(other) and _is_on_main(one))
        for one in some
        for other in others
    )


def _is_everywhere(kind: type[DOMNode]) -> bool:
    """Does the main screen have its keys, whichever pane has the focus?"""
    return issubclass(kind, App) or issubclass(MainScreen, kind)


def _is_on_main(kind: type[DOMNode]) -> bool:
    return _is_everywhere(kind) or issubclass(kind, (Pane, RowView))
