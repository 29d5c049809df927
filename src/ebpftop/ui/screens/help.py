"""Help: every key, taken from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode

from ebpftop.models.overview import KINDS_OF_LOSS
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.placing import PanesScreen
from ebpftop.ui.screens.playback import TIME_KEYS
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self

KEY_WIDTH = 18

_LAYOUT_S = 0.1
"""Seconds after which its widgets know their sizes."""


class HelpScreen(SheetScreen):
    """The list of keys. It changes only with the settings, so it is rendered in advance, and kept."""

    _listed: object = None
    """The keys of the settings when it was made."""

    def fill_keys(self) -> Self:
        """Show the keys from the top, as they are bound, when this screen is pushed the next time."""
        self._list_keys()
        self.filled()
        return self

    def _list_keys(self) -> None:
        if self._rendered is None or self._listed is not self.app._keymap:
            self._listed = self.app._keymap
            sheet = _sheet(self.app)
            self.details = Details(title="Keys", sheet=lambda: sheet)
            self._shown = sheet.content()

    def on_mount(self) -> None:
        if self.is_closed:
            self.call_later(self._open_ahead)

    def _open_ahead(self) -> None:
        if not self.is_closed:
            return
        self._list_keys()
        self.show_filled()
        self._refresh_layout(self.app.size)
        self.set_timer(_LAYOUT_S, self._render_if_closed)

    def _render_if_closed(self) -> None:
        if self.is_closed:
            self.render_ahead()

    def update_sheet(self) -> None:
        """Nothing to do: it never changes."""

    def let_go(self) -> None:
        """Nothing to do: its contents are small, and the same the next time."""


def _sheet(app: App[Any]) -> Sheet:
    sheet = Sheet()
    everywhere = [key for key in MainScreen.BINDINGS if key not in TIME_KEYS]
    groups: tuple[tuple[str, tuple[Iterable[object], ...]], ...] = (
        ("Everywhere", (everywhere, _own_keys(type(app)))),
        ("Panes", (_own_keys(PanesScreen),)),
        ("Time", (TIME_KEYS,)),
        ("Moving", (_own_keys(RowView),)),
        ("Logs", (_own_keys(LogView),)),
        ("Tables", (_own_keys(TableView),)),
        *((pane.label, (_own_keys(pane),)) for pane in panes().classes.values() if _own_keys(pane)),
    )
    for title, keys in groups:
        sheet.heading(title)
        for some in keys:
            _keys(sheet, app, some)
    sheet.heading("What is shown")
    numbers = " ".join(str(panes().number(probe)) for probe in panes().rows)
    width = max(8, len(numbers) + 1)
    sheet.line((f"{numbers:<{width}}", "bold"), ("toggle a probe; off: nothing of it is left in the kernel", ""))
    sheet.line((f"{'lost':<{width}}", "$error bold"), (f"what was lost, and where: {', '.join(KINDS_OF_LOSS)}", ""))
    sheet.line(
        (f"{'cost':<{width}}", "bold"),
        ("what ebpftop takes of one CPU: its programs in the kernel, and this process", ""),
    )
    return sheet


def _own_keys(owner: type[DOMNode]) -> Iterable[object]:
    keys: Iterable[object] = owner.__dict__.get("BINDINGS", ())
    return keys


def _keys(sheet: Sheet, app: App[Any], bindings: Iterable[object]) -> None:
    shown: dict[str, tuple[list[str], str]] = {}
    declared = [b for b in bindings if isinstance(b, Binding)]
    bound = BindingsMap(declared)
    if app._keymap:
        bound.apply_keymap(app._keymap)
    for _, binding in bound:
        if not binding.description:
            continue
        keys, _about = shown.setdefault(binding.action, ([], binding.tooltip or binding.description))
        key = app.get_key_display(Binding(binding.key, binding.action))
        if key not in keys:
            keys.append(key)
    for keys, about in shown.values():
        sheet.line((f"  {' '.join(keys):<{KEY_WIDTH}}", "$accent bold"), (about, ""))
