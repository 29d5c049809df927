"""What the user changes, of the settings and on the screen, is kept for the next start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from ebpftop.settings.rows import (
    COLUMNS,
    FAILURES,
    FILTERS,
    GRAPHS,
    IGNORE,
    INTERVAL,
    KEYS,
    LAYOUT,
    PANES,
    SETTINGS,
    SORT,
    THEME,
    TRACE,
    VIEW,
    WHEN,
    WRAP,
    Columns,
    PaneSize,
    Path,
    kind_of,
)
from ebpftop.settings.store import Settings
from ebpftop.syscalls.tracing import spelled
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.applied_settings import AT_ONCE, AppliedSettings, SettableApp
from ebpftop.ui.screens.key_map import bindings
from ebpftop.ui.screens.list_settings import lists_of, own_columns, own_sort, sortable
from ebpftop.ui.screens.main import MainScreen


class KeptSettings(AppliedSettings):
    """The settings of the app: takes changes, notices those on the screen, and saves them."""

    def __init__(self, app: SettableApp, settings: Settings, main: Callable[[], MainScreen]) -> None:
        super().__init__(app, settings, main)
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

    def arrange(self) -> None:
        super().arrange()
        self._seen = dict(self._shown())

    def apply(self, path: Path) -> bool:
        done = super().apply(path)
        if done and path[0] not in AT_ONCE:
            self._seen = dict(self._shown())
        return done

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
        pane = self.main.query_one(SyscallsPane)
        ignored = spelled(dict.fromkeys(pane.asked.ignored, ()), pane.abis)
        return {IGNORE.name: ignored, TRACE.name: pane.asked.text(pane.abis)}

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
        yield VIEW.path, self.main.views.pane.view.name
        yield GRAPHS.path, self.main.graphs.wanted
        if self.settings[FAILURES] != "off":
            yield FAILURES.path, self.main.execs.model.view.failures
        for pane in self.main.panes:
            size = PaneSize(pane.probe in layout.hidden, layout.weights.get(pane.probe, 1.0))
            yield (PANES.name, pane.probe), size
        for name, view in lists_of(self.main.panes).items():
            yield (COLUMNS.name, name), own_columns(view)
            yield (SORT.name, name), own_sort(view)

    def look_again(self) -> None:
        """Another main screen is shown: what is different there was not changed by the user."""
        self._seen = dict(self._shown())

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
