"""Settings take effect: each on what it is about, at once where that is possible."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ebpftop.core import clock
from ebpftop.core.glyphs import Glyphs, environment_at_start, fitting, glyphs_of
from ebpftop.models.folded_view import FAILURES as FAILURES_SHOWN
from ebpftop.settings.reading import nearest
from ebpftop.settings.rows import (
    ASCII,
    CLOCK,
    COLUMNS,
    CONFIRM,
    FAILURES,
    FILTERS,
    GRAPHS,
    INTERVAL,
    KEYS,
    LAYOUT,
    MOUSE,
    PANES,
    REMEMBER,
    SORT,
    THEME,
    VIEW,
    WHEN,
    WRAP,
    PaneSize,
    Path,
)
from ebpftop.settings.store import Settings
from ebpftop.ui.registry import PaneLayout, panes
from ebpftop.ui.screens.key_map import bindings, others_on
from ebpftop.ui.screens.key_names import wrong_key
from ebpftop.ui.screens.list_settings import lists_of, sortable
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.textual_fixes.terminal_driver import TerminalDriver
from ebpftop.ui.themes.themed_app import ThemedApp
from ebpftop.ui.widgets.heatmap import HeatMap
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.row_wrapping import WrappingApp
from ebpftop.ui.widgets.table_view import TableView

INTERVAL_S = 1.0
"""Seconds between readings, unless they are set."""

AT_ONCE = (CONFIRM.name, REMEMBER.name, FILTERS.name)
"""What is asked for whenever it is needed."""


class SettableApp(ThemedApp, WrappingApp):
    """An app with what settings are about."""


class AppliedSettings:
    """Applies the settings to the app and its main screen; says which of them are wrong."""

    def __init__(self, app: SettableApp, settings: Settings, main: Callable[[], MainScreen]) -> None:
        self.app = app
        self._main = main
        self.settings = settings
        self._zone = os.environ.get("TZ")
        self._glyphs = glyphs_of(environment_at_start())
        self._when: list[str] = settings[WHEN]
        """What is looked out for because settings say so."""

    @property
    def glyphs(self) -> Glyphs:
        """What the terminal can show, or is to show."""
        return Glyphs.ASCII if self.settings[ASCII] else self._glyphs

    @property
    def main(self) -> MainScreen:
        return self._main()

    def start(self) -> None:
        """Apply what has to be there before the first picture."""
        self._set_theme()
        self._set_keys()
        self._set_wrap()
        if self.settings[CLOCK] != CLOCK.default:
            self._set_clock()

    def arrange(self) -> None:
        """Apply what is known of the lists, which have been made."""
        for name, view in lists_of(self.main.panes).items():
            self._set_columns(name, view)
            self._set_sort(name, view)
        self._check_names()
        self._set_layout()
        self.main.views.pane.choose(self.settings[VIEW])
        self.main.graphs.wanted = self.settings[GRAPHS]
        self._set_failures()
        self.app.call_later(self._set_ascii)

    def check_keys(self) -> None:
        """Say which ids of keys nothing has, and which keys two actions have: all screens are imported now."""
        known = bindings()
        for action, keys in self.settings.entries(KEYS).items():
            path = (KEYS.name, action)
            if action not in known:
                self.settings.refuse(path, f"there is no action with this id{nearest(action, tuple(known))}")
                continue
            for key in filter(None, keys.split(",")):
                if others := others_on(key, action, self.settings.entries(KEYS)):
                    self.settings.doubt(path, f"{key} is also the key of {', '.join(others)}")

    def _check_names(self) -> None:
        all_panes = tuple(panes().rows)  # some are only there if the source has what they show
        names = tuple(dict.fromkeys((*lists_of(self.main.panes), *all_panes)))
        for table, known, what in ((COLUMNS, names, "list"), (SORT, names, "list"), (PANES, all_panes, "pane")):
            for name in self.settings.entries(table):
                if name not in known:
                    self.settings.refuse((table.name, name), f"there is no {what} of this name{nearest(name, known)}")

    def apply(self, path: Path) -> bool:
        """Let the value at *path* take effect; False if it does so only at the next start."""
        name = path[0]
        if name in (COLUMNS.name, SORT.name):
            view = lists_of(self.main.panes).get(path[1])
            if view is not None:
                self._set_columns(path[1], view)
                self._set_sort(path[1], view)
                view.rearrange()
                if isinstance(view, TableView):
                    view.show_rows(view.rows())
        elif name in (LAYOUT.name, PANES.name):
            self._set_layout()
            self.main.set_layout(self.main.pane_layout)
        elif name == GRAPHS.name:
            self.main.set_graphs(shown=self.settings[GRAPHS])
        elif name == VIEW.name:
            self.main.views.choose(self.settings[VIEW])
        elif name == FAILURES.name:
            self._set_failures()
            if self.settings[FAILURES] == "off":
                return False
        elif name == INTERVAL.name:
            self.main.set_interval_s(self.settings[INTERVAL] or INTERVAL_S)
        elif name in self._effects:
            self._effects[name](self)
        else:
            return name in AT_ONCE
        return True

    def _set_theme(self) -> None:
        self.app.choose_theme(self.settings[THEME])

    def _set_layout(self) -> None:
        sizes: dict[str, PaneSize] = self.settings.entries(PANES)
        hidden = frozenset(name for name, size in sizes.items() if size.hidden)
        heights = {name: size.height for name, size in sizes.items() if size.height != 1.0}
        self.main.pane_layout = PaneLayout(self.settings[LAYOUT], hidden, heights)

    def _set_failures(self) -> None:
        wanted = self.settings[FAILURES]
        shown = next((one for one in FAILURES_SHOWN if one == wanted), FAILURES_SHOWN[0])
        if shown != self.main.execs.model.view.failures:
            self.main.execs.show_failures(shown)

    def _set_wrap(self) -> None:
        self.app.wrap_rows(self.settings[WRAP])

    def _set_keys(self) -> None:
        for action, keys in self.settings.entries(KEYS).items():
            if reason := wrong_key(keys):
                self.settings.refuse((KEYS.name, action), reason)
        self.app.set_keymap(self.settings.entries(KEYS))

    def _set_clock(self) -> None:
        # All times of day are made by the C library's zone: on the screen, in exports and in names of files.
        if self.settings[CLOCK] == "utc":
            os.environ["TZ"] = "UTC"
        elif self._zone is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = self._zone
        time.tzset()
        clock.forget()
        self._redraw()

    def _set_when(self) -> None:
        before, self._when = self._when, self.settings[WHEN]
        self.main.watching.replace(before, self._when)

    def _set_mouse(self) -> None:
        driver = self.app._driver
        if isinstance(driver, TerminalDriver):
            driver.set_mouse(self.settings[MOUSE])

    def _set_ascii(self) -> None:
        driver = self.app._driver
        if isinstance(driver, TerminalDriver) and driver.translate != (wanted := fitting(self.glyphs)):
            driver.translate = wanted
            self._redraw()

    def _redraw(self) -> None:
        if self.app._screen_stack:
            for view in self.main.query(RowView):
                view.redraw()
            for screen in self.app.screen_stack:
                for heat in screen.query(HeatMap):
                    heat.redraw()
                screen.refresh()

    _effects = {  # noqa: RUF012  # never changed
        THEME.name: _set_theme,
        KEYS.name: _set_keys,
        CLOCK.name: _set_clock,
        MOUSE.name: _set_mouse,
        WHEN.name: _set_when,
        ASCII.name: _set_ascii,
        WRAP.name: _set_wrap,
    }

    def _set_columns(self, name: str, view: RowView[Any]) -> None:
        path = (COLUMNS.name, name)
        columns = self.settings.value(path)
        known = tuple(column.key for column in view.columns)
        for key in (*(columns.show or ()), *(columns.widths or ())) if columns is not None else ():
            if key not in known:
                self.settings.refuse(path, f"{name} has no column {key!r}{nearest(key, known)}; {', '.join(known)}")
                columns = None
                break
        usual = frozenset(column.key for column in view.columns if column.hidden)
        view.hidden = usual if columns is None or columns.show is None else frozenset(known) - set(columns.show)
        view.widths = dict(columns.widths or {}) if columns is not None else {}

    def _set_sort(self, name: str, view: RowView[Any]) -> None:
        path = (SORT.name, name)
        order = self.settings.value(path)
        if order is not None and order.removeprefix("-") not in sortable(view):
            known = sortable(view)
            reason = f"{order!r} is not a column to sort by{nearest(order.removeprefix('-'), known)}"
            self.settings.refuse(path, f"{reason}; {', '.join(known)}" if known else f"{name} is not sorted")
            order = None
        if isinstance(view, TableView):
            view.sort_key = view.sort_at_first if order is None else order.removeprefix("-")
            view.reversed = order is not None and order.startswith("-")
