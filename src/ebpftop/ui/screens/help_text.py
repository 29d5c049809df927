"""What the help says: from the panes, their columns, the bindings, and `ebpftop.ui.words`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from textual.app import App

from ebpftop.ui import words
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.key_actions import key_actions, own_bindings
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.screens.over_time import TIME_KEYS
from ebpftop.ui.screens.placing import PanesScreen
from ebpftop.ui.widgets.columns import Column
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.manual import Entry, Section
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark

KEYS, LOST, FILTERS = "keys", "lost", "filters"
"""The keys of sections that are about no pane."""


def sections(app: App[Any], panes: Sequence[Pane], sheets: Iterable[LiveScreen]) -> tuple[Section, ...]:
    """Return the whole help: the keys, each pane, each sheet, what holds everywhere."""
    return (
        Section(KEYS, "Keys everywhere", tuple(_everywhere(app))),
        *(Section(pane.probe, f"{pane.number} {pane.label}", tuple(_of_pane(app, pane))) for pane in panes),
        *(Section(type(sheet).__name__, sheet.label, tuple(_of_sheet(app, sheet))) for sheet in sheets),
        Section("signs", "Marks and colours", tuple(_signs())),
        Section("status", "Status line", tuple(Entry(part, text) for part, text in words.STATUS.items())),
        Section(LOST, "What is lost", tuple(_losses())),
        Section(FILTERS, "Filters", tuple(Entry(term, text) for term, text in words.FILTERS.items())),
        Section("terminal", "Terminal", tuple(Entry(name, text) for name, text in words.TERMINAL.items())),
        Section("words", "Words", tuple(Entry(word, text) for word, text in words.GLOSSARY.items())),
    )


def _everywhere(app: App[Any]) -> Iterator[Entry]:
    everywhere = [key for key in MainScreen.BINDINGS if key not in TIME_KEYS]
    yield from _keys(app, (*everywhere, *_of_app(app)))
    for title, keys in (
        ("Panes", own_bindings(PanesScreen)),
        ("Time", TIME_KEYS),
        ("Moving", own_bindings(RowView)),
        ("Logs", own_bindings(LogView)),
        ("Tables", own_bindings(TableView)),
        ("Sheets", own_bindings(SheetScreen)),
    ):
        yield Entry(title, "")
        yield from _keys(app, keys)


def _of_app(app: App[Any]) -> Iterator[object]:
    for kind in type(app).__mro__:
        if not kind.__module__.startswith("textual."):
            yield from own_bindings(kind)


def _of_pane(app: App[Any], pane: Pane) -> Iterator[Entry]:
    yield from _paragraphs(pane.about)
    if keys := tuple(_keys(app, own_bindings(type(pane)))):
        yield Entry("Keys", "")
        yield from keys
    if pane.marks:
        yield Entry("Marks", "")
        yield from _marks(pane.marks)
    yield from _columns(pane.explained())


def _of_sheet(app: App[Any], sheet: LiveScreen) -> Iterator[Entry]:
    yield from _paragraphs(sheet.about)
    if keys := tuple(_keys(app, own_bindings(type(sheet)))):
        yield Entry("Keys", "")
        yield from keys
    yield from _columns(sheet.explained())


def _paragraphs(text: str) -> Iterator[Entry]:
    for paragraph in text.splitlines():
        yield Entry("", paragraph)


def _marks(marks: Iterable[Mark]) -> Iterator[Entry]:
    for mark in marks:
        yield Entry(mark.sign, mark.about, mark.look)


def _columns(groups: Iterable[tuple[str, Sequence[Column[Any]]]]) -> Iterator[Entry]:
    for title, columns in groups:
        yield Entry(title, "")
        for column in columns:
            hidden = " Hidden until c shows it." if column.hidden else ""
            yield Entry(column.title or f"({column.key})", f"{column.about}{hidden}".strip() or "(not explained)")


def _signs() -> Iterator[Entry]:
    yield from _marks(words.SIGNS)
    yield Entry("Probes", "")
    yield from _marks(words.STATES)
    yield Entry("Colours", "")
    yield from _marks(words.COLOURS)


def _losses() -> Iterator[Entry]:
    yield Entry("", words.GLOSSARY["lost"] + " Each kind is counted where it happens, and shown in the pane's title.")
    for where, loss in words.LOSSES.items():
        yield Entry(where, loss.missing)
        yield Entry(" ", f"Helps: {loss.helps}")


def _keys(app: App[Any], bindings: Iterable[object]) -> Iterator[Entry]:
    for one in key_actions(app, bindings):
        yield Entry(" ".join(one.keys) or "no key", one.about)
