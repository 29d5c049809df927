"""Where a key works that does nothing where it was pressed: it says so, that no key of the help is silent."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _normalize_key_list
from textual.screen import Screen

from ebpftop.ui.screens.ready import ReadyScreen


class KeyPlacesApp(App[int]):
    """An app that says where a key works, if it does not where it was pressed."""

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        handled = await super()._check_bindings(key, priority)
        if not handled and not priority and self._screen_stack and (text := key_place(self, self.screen, key)):
            self.notify(text)
        return handled


def key_place(app: App[int], screen: Screen[object], key: str) -> str:
    """Return where *key*, which nothing handled on *screen*, works; empty if nowhere, or if that is a dialog."""
    from ebpftop.ui.screens.details import SheetScreen
    from ebpftop.ui.screens.live_modal import LiveScreen
    from ebpftop.ui.screens.main import MainScreen

    if not isinstance(screen, (MainScreen, LiveScreen, SheetScreen)):
        return ""
    here = [screen, *(screen.focused.ancestors_with_self if screen.focused is not None else ())]
    found = min(_places(app, here, key), key=lambda place: place[0], default=None)
    if found is None:
        return ""
    _, where, binding = found
    is_its_own = key in _normalize_key_list(binding.key).split(",")
    shown = Binding(key, binding.action, key_display=binding.key_display if is_its_own else None)
    return f"{app.get_key_display(shown)}: {where}"


def _places(app: App[int], here: list[DOMNode], key: str) -> Iterator[tuple[int, str, Binding]]:
    """Yield where a key works: how near that is, in words, and the binding."""
    from ebpftop.ui.screens.key_map import _declared

    for kind, name, binding in _declared():
        keys = _normalize_key_list(app._keymap.get(name, binding.key)).split(",")
        if key not in keys or not binding.description:
            continue
        if any(isinstance(node, kind) for node in here):
            yield 0, f"{binding.description}: there is nothing for it here", binding
        elif (place := _place(app, here[0], kind)) is not None:
            yield place[0], f"{binding.description} works {place[1]}", binding


def _place(app: App[int], screen: DOMNode, kind: type[DOMNode]) -> tuple[int, str] | None:
    """Return what has the keys of *kind*, as somebody finds it from *screen*; None: a dialog, or a part of one."""
    from ebpftop.ui.panes.base import Pane
    from ebpftop.ui.screens.details import SheetScreen
    from ebpftop.ui.screens.feed_screen import FeedScreen
    from ebpftop.ui.screens.help import SHEETS
    from ebpftop.ui.screens.live_modal import LiveScreen
    from ebpftop.ui.screens.main import MainScreen
    from ebpftop.ui.widgets.log_view import LogView
    from ebpftop.ui.widgets.row_view import RowView
    from ebpftop.ui.widgets.table_view import TableView

    main = app.screen_stack[0]
    assert isinstance(main, MainScreen)
    back = "" if screen is main else ": Esc leads there"
    if issubclass(MainScreen, kind) or (issubclass(kind, App) and kind is not App):
        return 1, f"on the main screen{back}"
    if issubclass(kind, Pane):
        pane = next((pane for pane in main.panes if isinstance(pane, kind)), None)
        return None if pane is None else (2, f"in pane {pane.number} {pane.label}{back}")
    if issubclass(kind, RowView):
        return 3, "in logs" if issubclass(kind, LogView) else "in tables" if issubclass(kind, TableView) else "in lists"
    sheet = next((one for one in SHEETS if issubclass(one, kind)), None)
    if kind is SheetScreen:
        return 5, "in details (Enter on a row)"
    if sheet is None or kind in (LiveScreen, FeedScreen, ReadyScreen):
        return None
    return 4, f"on {sheet.label}" + (f" ({sheet.key})" if issubclass(sheet, FeedScreen) else "")
