"""What each line of the settings screen says: the value, and what is allowed or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.content import Content

from ebpftop.core.escape import escape
from ebpftop.settings.rows import BY_NAME, COLUMNS, INTERVAL, KEYS, PANES, Columns, PaneSize, Path, kind_of
from ebpftop.settings.store import DEFAULT
from ebpftop.ui.screens.applied_settings import INTERVAL_S
from ebpftop.ui.screens.kept import KeptSettings
from ebpftop.ui.screens.key_map import bindings
from ebpftop.ui.widgets.columns import clip

_GROUP, _NAME, _VALUE = 9, 17, 14
"""Cells of the columns."""

_PLAIN = ("a number of ", "a whole number of ", "a ", "an ", "the ")
"""What a hint goes without."""


class SettingLines:
    """The lines of the settings of an app."""

    def __init__(self, app: App[Any], kept: KeptSettings) -> None:
        self._app = app
        self._kept = kept
        self.bindings: Mapping[str, list[Binding]] = bindings()
        self.wrong: tuple[Path | None, str] = (None, "")
        """What was typed last for a setting, if it is not allowed."""

    @staticmethod
    def group(path: Path) -> str:
        return BY_NAME[path[0]].group if path[0] in BY_NAME else path[0]

    def value(self, path: Path) -> str:
        """Return what holds, in words."""
        value = self._kept.settings.value(path)
        if path[0] == KEYS.name and value is None:
            keys = (self._app.get_key_display(Binding(b.key, b.action)) for b in self.bindings.get(path[1], ()))
            return " ".join(dict.fromkeys(keys))
        if path == INTERVAL.path and value is None:
            return f"{INTERVAL_S:g}"
        if path[0] == COLUMNS.name:
            return _columns_text(value)
        if path[0] == PANES.name:
            return _pane_text(value)
        if value is None:
            return "-" if path[0] in BY_NAME else "usual"
        return kind_of(path).shown(value) or "-"

    def hint(self, path: Path) -> tuple[str, str]:
        """Return what is allowed at *path*, or what is wrong there, with its style."""
        if self.wrong[0] == path:
            return f"✗ {self.wrong[1]}", "$error"
        name = ".".join(path)
        for problem in self._kept.settings.problems if path not in self._kept.corrected else ():
            if problem.name.replace('"', "") == name:
                return f"✗ {problem.reason}{f' (line {problem.line})' if problem.line else ''}", "$error"
        if path in self._kept.later:
            return "from the next start on", "$warning"
        if path[0] == KEYS.name:
            return next((b.tooltip or b.description for b in self.bindings.get(path[1], ())), ""), "$dim"
        if path[0] == PANES.name:
            return "Enter: shown or hidden; { and } on the screen: height", "$dim"
        if path[0] == COLUMNS.name:
            return "Enter: choose them, and their widths", "$dim"
        allowed = ", ".join(self._kept.choices(path)) or kind_of(path).allowed
        begin = next((words for words in _PLAIN if allowed.startswith(words)), "")
        return allowed[len(begin) :], "$dim"

    def line(self, path: Path, group: str) -> Content:
        hint, style = self.hint(path)
        value = self.value(path)
        is_own = self._kept.settings.origin(path) != DEFAULT
        mark = " ▾" if self._kept.choices(path) else ""
        left = max(1, self._app.size.width - _GROUP - _NAME - _VALUE - 5)
        return Content.assemble(
            (f" {clip(group, _GROUP)}", "$primary"),
            (f"{clip(escape(path[-1]), _NAME)} ", "bold" if is_own else ""),
            (f"{clip(escape(value) + mark, _VALUE)} ", "bold" if is_own else ""),
            (clip(escape(hint), left).rstrip(), style),
        )


def _columns_text(columns: Columns | None) -> str:
    if columns is None or columns == Columns():
        return "usual"
    shown = "" if columns.show is None else f"{len(columns.show)} shown"
    widths = f"{len(columns.widths)} wider" if columns.widths else ""
    return ", ".join(filter(None, (shown, widths)))


def _pane_text(size: PaneSize | None) -> str:
    if size is None or size == PaneSize():
        return "usual"
    height = f"height {size.height:g}" if size.height != 1.0 else ""
    return ", ".join(filter(None, ("hidden" if size.hidden else "", height)))
