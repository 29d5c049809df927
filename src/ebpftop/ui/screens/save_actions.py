"""What the main screen can save: the history, the rows of a pane, a report; and the screen itself as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ebpftop.core import format
from ebpftop.core.source import SourceError
from ebpftop.filters.query import Query
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.subset import Subset, default_name, screenshot_name
from ebpftop.recording.new_file import UnfinishedFile
from ebpftop.recording.timeline import Timeline
from ebpftop.recording.writer import fallback_folder, writable_folder
from ebpftop.ui.export import to_csv, to_json
from ebpftop.ui.screens.report_actions import OnScreen, report_choice
from ebpftop.ui.screens.save_dialog import Saving
from ebpftop.ui.widgets.columns import Shown


@dataclass(frozen=True)
class Listed:
    """The rows of a list: what it is called, in words and in the name of a file."""

    label: str
    name: str
    rows: Shown[Any]


def save_choices(
    shown: OnScreen,
    listed: Listed,
    view_filter: ViewFilter,
    query: Query[ExecRow] | None,
    profiles: Iterable[Saving] = (),
) -> list[Saving]:
    """All that can be saved: the history as *view_filter* and *query* show it, a list, a report, *profiles*."""
    host, moment = shown.header.host, shown.shown
    choices = [*rows_of(listed, host, moment), report_choice(shown, write_file), *profiles]
    if shown.timeline is not None:
        choices.insert(0, history_choice(shown.timeline, view_filter, query, shown.filter, host, moment))
    return choices


def history_choice(
    timeline: Timeline, view_filter: ViewFilter, query: Query[ExecRow] | None, words: str, host: str, moment: float
) -> Saving:
    """The whole history, or the part that *view_filter* and *query* show; *words* describe it."""
    whole = not view_filter and query is None

    def write(path: str, replace: bool) -> str:
        narrow = None if whole else Subset(view_filter, query, timeline.records())
        options = None if query is not None else _options(timeline.header.filter, view_filter)
        count = timeline.save(path, narrow, replace=replace, filter=options)
        return f"{format.counted(count, 'record', whole=True)} in {os.path.abspath(path)}: `ebpftop replay` opens it"

    first, last = timeline.span
    only = f", only {words}; no counters of system calls" if not whole else ""
    about = f"the history, {format.age(last - first)}{only}"
    return Saving("recording", about, default_name("recording", host, "", moment), write)


def _options(recorded: tuple[str, ...] | None, view_filter: ViewFilter) -> tuple[str, ...] | None:
    """Return the options of *view_filter* over what was *recorded* with others; None if no options say that."""
    chosen = view_filter.filter.options
    if math.isfinite(view_filter.kernel_filter_since):  # live: it is all of the filter
        return chosen
    if recorded is None or _kinds(recorded) & _kinds(chosen):
        return None
    return (*recorded, *chosen)


def _kinds(options: tuple[str, ...]) -> set[str]:
    return {option.partition("=")[0] for option in options if option.startswith("--")}


def rows_of(listed: Listed, host: str, moment: float) -> list[Saving]:
    """The rows of a list, as CSV and as JSON."""
    shown = listed.rows
    about = f"the {shown.counted} of {listed.label}, {format.counted(len(shown.columns), 'column')}"
    return [
        Saving("csv", about, default_name("csv", host, listed.name, moment), _Writer(shown, "csv")),
        Saving("json", about, default_name("json", host, listed.name, moment), _Writer(shown, "json")),
    ]


def write_file(path: str, data: bytes, replace: bool) -> None:
    """Create a file of *data*. Raises SourceError."""
    _write(path, data, replace=replace)


def save_screenshot(svg: str, host: str, moment: float) -> str:
    """Write a picture of the screen into a new file, where we may write; return a line about it. Raises SourceError."""
    path = os.path.join(writable_folder() or fallback_folder(), screenshot_name(host, moment))
    _write(path, svg.encode(), replace=False)
    return f"Screenshot in {path}"


def _write(path: str, data: bytes, *, replace: bool) -> None:
    file = UnfinishedFile(path, replace)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file.fd, rest) :]
        os.fdatasync(file.fd)
    except OSError as error:
        file.remove()
        raise SourceError(f"{path}: {error.strerror}; nothing is saved") from error
    file.publish()


class _Writer:
    """Writes the rows that were on the screen when it was made."""

    def __init__(self, shown: Shown[Any], form: str) -> None:
        self._shown = shown
        self._make = to_csv if form == "csv" else to_json

    def __call__(self, path: str, replace: bool) -> str:
        _write(path, self._make(self._shown.headers, self._shown).encode(), replace=replace)
        return f"{self._shown.counted} in {os.path.abspath(path)}"
