"""What of the settings is seen on the screen: it takes effect at once, and what changes on the screen is kept."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
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
    IGNORE,
    INTERVAL,
    KEYS,
    LAYOUT,
    MOUSE,
    PANES,
    REMEMBER,
    SETTINGS,
    SORT,
    THEME,
    TRACE,
    WHEN,
    WRAP,
    Columns,
    PaneSize,
    Path,
    kind_of,
)
from ebpftop.settings.store import Settings
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.registry import PaneLayout
from ebpftop.ui.screens.key_map import bindings, others_on
from ebpftop.ui.screens.key_names import wrong_key
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.textual_fixes.terminal_driver import TerminalDriver
from ebpftop.ui.themes.themed_app import ThemedApp
from ebpftop.ui.widgets.heatmap import HeatMap
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.row_wrapping import WrappingApp
from ebpftop.ui.widgets.table_view import TableView

INTERVAL_S = 1.0
"""Seconds between readings, unless they are set."""

_AT_ONCE = (CONFIRM.name, REMEMBER.name, FILTERS.name)
"""What is asked for whenever it is needed."""


def lists_of(panes: Iterable[Pane]) -> dict[str, RowView[Any]]:
    """Return the lists of the panes by their names: the first of a pane has the name of its probe, others their id."""
    found: dict[str, RowView[Any]] = {}
    for pane in panes:
        for view in pane.query(RowView):
            found[pane.probe if pane.probe not in found else (view.id or "").removeprefix("exec-")] = view
    return found


def own_columns(view: RowView[Any]) -> Columns:
    """Return how the columns of *view* differ from the usual."""
    usual = frozenset(column.key for column in view.columns if column.hidden)
    show = tuple(column.key for column in view.columns if column.key not in view.hidden)
    widths = {c.key: view.widths[c.key] for c in view.columns if view.widths.get(c.key, c.width) != c.width}
    return Columns(None if view.hidden == usual else show, widths or None)


def own_sort(view: RowView[Any]) -> str | None:
    """Return the sort order of *view* if it is not the usual one."""
    if not isinstance(view, TableView) or (view.sort_key, view.reversed) == (view.sort_at_first, False):
        return None
    return f"-{view.sort_key}" if view.reversed else str(view.sort_key)


def sortable(view: RowView[Any]) -> tuple[str, ...]:
    """Return the columns by which *view* can be sorted."""
    return tuple(c.key for c in view.columns if c.sort is not None) if isinstance(view, TableView) else ()


class SettableApp(ThemedApp, WrappingApp):
    """An app with what settings are about."""


class KeptSettings:
    """The settings of the app: applies them, notices what the user changes, and saves it."""

    def __init__(self, app: SettableApp, settings: Settings, main: Callable[[], MainScreen]) -> None:
        self.app = app
        self._main = main
        self.settings = settings
        self.saved_s = 0.0
        """When settings were saved last, in Unix seconds."""
        self.trouble = ""
        """Why they could not be saved."""
        self.later: set[Path] = set()
        """What was changed and takes effect at the next start."""
        self.corrected: set[Path] = set()
        """What was changed, so that nothing is wrong with it any more."""
        self._seen: dict[Path, Any] = {}
        """What was on the screen when it was looked at last."""
        self._is_saving = False
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

    # ---- what holds ----

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
        self.main.graphs.wanted = self.settings[GRAPHS]
        self._set_failures()
        self._seen = dict(self._shown())
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
        names = tuple(lists_of(self.main.panes))
        panes = tuple(pane.probe for pane in self.main.panes)
        for table, known, what in ((COLUMNS, names, "list"), (SORT, names, "list"), (PANES, panes, "pane")):
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
        elif name == FAILURES.name:
            self._set_failures()
            if self.settings[FAILURES] == "off":
                return False
        elif name == INTERVAL.name:
            self.main.set_interval_s(self.settings[INTERVAL] or INTERVAL_S)
        elif name in self._effects:
            self._effects[name](self)
        else:
            return name in _AT_ONCE
        self._seen = dict(self._shown())
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

    # ---- what the user changes ----

    def change(self, path: Path, value: Any) -> None:
        """Let *value* hold at *path*, now, if that is possible, and later; None: the default."""
        self.settings.change(path, value)
        self.corrected.add(path)
        (self.later.discard if self.apply(path) else self.later.add)(path)
        self.save_soon()

    def typed(self, path: Path, text: str) -> Any:
        """Return the value that *text* means; raises argparse.ArgumentTypeError."""
        kind = kind_of(path)
        return kind.read(kind.typed(text))

    def choices(self, path: Path) -> tuple[str, ...]:
        """Return the values that the one at *path* may have, if they are few."""
        if path[0] == SORT.name:
            view = lists_of(self.main.panes).get(path[1])
            return () if view is None else tuple(f"{sign}{key}" for key in sortable(view) for sign in ("", "-"))
        return kind_of(path).choices

    def paths(self) -> Iterator[Path]:
        """Yield all that can be set: also orders and keys that are the usual ones."""
        yield from (setting.path for setting in SETTINGS)
        views = lists_of(self.main.panes)
        yield from ((PANES.name, pane.probe) for pane in self.main.panes)
        yield from ((COLUMNS.name, name) for name in views)
        yield from ((SORT.name, name) for name, view in views.items() if sortable(view))
        yield from ((FILTERS.name, name) for name in self.settings.entries(FILTERS))
        yield from ((KEYS.name, key) for key in bindings())

    def handled_calls(self) -> dict[str, str]:
        """Return the system calls that are ignored and traced now, as the settings `ignore` and `trace` have them."""
        calls: dict[str, list[str]] = {IGNORE.name: [], TRACE.name: []}
        for pane in self.main.query(SyscallsPane):
            for call in pane.model.calls.values():
                if (handler := pane.model.handler(call)) in calls:
                    calls[handler].append(f"{call.row.abi}:{call.row.name}")
        return {name: ",".join(sorted(names)) for name, names in calls.items()}

    def keep_calls(self) -> None:
        """Ignore and trace the same system calls at the next start."""
        for name, calls in self.handled_calls().items():
            self.settings.change((name,), calls or None)
        self.save_soon()

    def keep_watches(self) -> None:
        """Look out for the same at the next start."""
        self._when = [*self.main.watching.expressions]
        self.settings.change(WHEN.path, self._when or None)
        self.save_soon()

    def notice(self) -> None:
        """Remember what the user has changed on the screen since the last look."""
        if not self._seen or not self.settings.remembers or self._is_over:
            return
        for path, value in self._shown():
            if value != self._seen.get(path):
                self.settings.remember(path, None if value in (Columns(), PaneSize()) else value)
                self._seen[path] = value

    def _shown(self) -> Iterator[tuple[Path, Any]]:
        yield THEME.path, self.app.theme_choice
        if self.main.source.live:
            yield INTERVAL.path, self.main.interval_s
        yield WRAP.path, self.app.wraps_rows
        layout = self.main.pane_layout
        yield LAYOUT.path, layout.preset
        yield GRAPHS.path, self.main.graphs.wanted
        if self.settings[FAILURES] != "off":
            yield FAILURES.path, self.main.execs.model.view.failures
        for pane in self.main.panes:
            size = PaneSize(pane.probe in layout.hidden, layout.weights.get(pane.probe, 1.0))
            yield (PANES.name, pane.probe), size
        for name, view in lists_of(self.main.panes).items():
            yield (COLUMNS.name, name), own_columns(view)
            yield (SORT.name, name), own_sort(view)

    def save_soon(self) -> None:
        """Save in a thread what has changed."""
        if self.settings.changed and not self._is_saving:
            self._is_saving = True
            asyncio.get_running_loop().run_in_executor(None, self._save)

    def _save(self) -> None:
        trouble = self.settings.save()
        self.app.call_from_thread(self._saved, trouble)

    def _saved(self, trouble: str) -> None:
        self._is_saving = False
        if trouble and trouble != self.trouble:
            self.app.notify(trouble, severity="warning", markup=False)
        self.trouble = trouble
        if not trouble:
            self.saved_s = time.time()
            self.save_soon()  # what changed meanwhile

    def now_and_then(self) -> None:
        """Notice what changed, and save it."""
        self.notice()
        if not self.trouble and not self._is_over:
            self.save_soon()

    @property
    def _is_over(self) -> bool:
        """Has the app ended? Then there is no screen to look at."""
        return not self.app._screen_stack
