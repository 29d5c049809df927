"""The help explains everything that is on the screen, opens at what has the focus, and can be searched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from ebpftop.models.overview import KINDS_OF_LOSS
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.registry import panes
from ebpftop.ui.screens.help import SHEETS, HelpScreen
from ebpftop.ui.screens.help_text import LOST
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.manual import Entry, ManualView, Section
from ebpftop.ui.words import SIGNS, STATES

from .conftest import Look, pane, settle, until
from .scene import EVERY_CHANNEL, FakeSource, minute
from .syscall_scene import minute_of_calls

KINDS = panes().classes
SIZES = [(60, 15), (80, 24), (120, 35)]

pytestmark = pytest.mark.usefixtures("made_in_advance")


@asynccontextmanager
async def helped(
    *keys: str, source: FakeSource | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[Pilot[int], EbpftopApp, ManualView]]:
    """Yield the help, opened by the last of *keys*."""
    source = source or FakeSource(minute(), probes=EVERY_CHANNEL)
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        await until(pilot, lambda: app.is_screen_installed("HelpScreen") and app.get_screen("HelpScreen").is_mounted)
        await pilot.press(*keys)
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, HelpScreen)
        yield pilot, app, screen.query_one(ManualView)


def section(manual: ManualView, key: str) -> Section:
    return next(section for section in manual._sections if section.key == key)


def entries(manual: ManualView, key: str) -> dict[str, Entry]:
    return {entry.term: entry for entry in section(manual, key).entries}


def text_in_view(manual: ManualView) -> str:
    top = manual.scroll_offset.y
    lines = manual._lines[top : top + manual.size.height]
    return "\n".join("".join(span.text for span in line.spans) for line in lines)


@pytest.mark.parametrize("size", SIZES)
async def test_each_column_mark_and_key_of_each_pane_is_explained_and_shown(size: tuple[int, int]) -> None:
    async with helped("question_mark", size=size) as (_, app, manual):
        shown = " ".join(" ".join("".join(s.text for s in line.spans) for line in manual._lines).split())
        for kind in KINDS.values():
            own = pane(app, kind.probe)
            assert own.about.split("\n")[0] in shown
            for _, columns in own.explained():
                for column in columns:
                    about = entries(manual, kind.probe)[column.title or f"({column.key})"].text
                    assert about
                    assert about in shown
            for mark in own.marks:
                assert mark.about in shown
            for binding in kind.__dict__.get("BINDINGS", ()):
                assert isinstance(binding, Binding)
                assert (binding.tooltip or binding.description) in shown


async def test_each_sheet_and_each_of_its_lists_is_explained() -> None:
    async with helped("question_mark") as (_, _app, manual):
        for kind in SHEETS:
            own = section(manual, kind.__name__)
            assert own.entries[0].text
            columns = own.entries[next(i for i, entry in enumerate(own.entries) if not entry.text) :]
            assert len(columns) > 4
            assert not [entry.term for entry in columns if entry.text == "(not explained)"]
        own = section(manual, "SyscallScreen")
        assert {"Latency", "Processes", "Errors", "Traced paths", "Traced calls"} <= {
            entry.term for entry in own.entries
        }


async def test_before_the_sheets_are_made_the_help_explains_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with helped("question_mark") as (_, _app, manual):
        usual = manual._sections
    monkeypatch.setattr("ebpftop.ui.app._PREPARE_AFTER_S", 1e6)
    source = FakeSource(minute(), probes=EVERY_CHANNEL)
    app = EbpftopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, source)
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.screen.query_one(ManualView)._sections == usual


async def test_each_kind_of_loss_says_what_is_missing_and_what_helps() -> None:
    async with helped("question_mark") as (_, _app, manual):
        texts = [(entry.term, entry.text) for entry in section(manual, LOST).entries]
        for where in KINDS_OF_LOSS:
            at = next(i for i, (term, _) in enumerate(texts) if term == where)
            assert texts[at + 1][1].startswith("Helps: ")


@pytest.mark.parametrize("probe", KINDS)
async def test_each_sign_in_the_rows_is_explained(probe: str) -> None:
    source = FakeSource([*minute(), *minute_of_calls()], probes=EVERY_CHANNEL)
    async with helped("question_mark", source=source, size=(200, 50)) as (_, app, _manual):
        own = pane(app, probe)
        known = "".join(mark.sign for mark in (*own.marks, *SIGNS, *STATES))
        known += "".join(column.about for _, group in own.explained() for column in group)
        if any(sign in known for sign in "▁▂▄█"):
            known += "▁▂▃▄▅▆▇█"
        for sign in signs_of(own):
            assert sign in known, f"{sign} is not explained"


def signs_of(own: Pane) -> set[str]:
    """Return every sign in the rows of a pane that is neither a letter nor ASCII."""
    lines: Any = own.lines
    rows, now = lines.rows(), lines.now
    texts = [span.text for row in rows for column in lines.columns for span in column.cell(row, now)]
    texts += [span.text for row in rows for column in lines.columns if column.fill for span in column.fill(row, 20)]
    return {sign for text in texts for sign in text if not sign.isascii() and not sign.isalnum()}


@pytest.mark.parametrize(("keys", "title"), [((), "1 Exec log"), (("tab",), "2 Users"), (("tab",) * 3, "4 Trace log")])
async def test_it_opens_at_the_focused_pane(keys: tuple[str, ...], title: str) -> None:
    async with helped(*keys, "question_mark") as (_, _app, manual):
        assert manual.section.title == title
        assert text_in_view(manual).startswith(title)


async def test_tab_goes_to_the_next_section_and_behind_the_last_is_the_first() -> None:
    async with helped("question_mark") as (pilot, _app, manual):
        seen = []
        for _ in range(len(manual._sections)):
            seen.append(manual.section.key)
            await pilot.press("tab")
        assert len(set(seen)) == len(manual._sections)
        assert manual.section.key == seen[0]
        await pilot.press("shift+tab")
        assert manual.section.key == "keys"


async def test_slash_searches_n_goes_on_and_escape_leaves_first_the_search() -> None:
    async with helped("question_mark") as (pilot, app, manual):
        await pilot.press("slash", *"PREEMPTED")
        await until(pilot, lambda: "preempted" in text_in_view(manual))
        await pilot.press("enter", "n")
        assert manual.has_focus
        await pilot.press("escape")
        assert isinstance(app.screen, HelpScreen)
        assert not manual.is_searched
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen)


async def test_a_search_without_room_for_any_text_finds_it_once_there_is() -> None:
    async with helped("question_mark", size=(1, 40)) as (pilot, app, manual):
        await pilot.press("slash", *"PREEMPTED")
        await pilot.resize_terminal(100, 40)
        await pilot.press("enter", "n")
        await until(pilot, lambda: "preempted" in text_in_view(manual))
        assert isinstance(app.screen, HelpScreen)


async def test_what_is_searched_and_not_there_moves_nothing() -> None:
    async with helped("question_mark") as (pilot, app, manual):
        await pilot.press("slash", *"xyzzy")
        await pilot.pause()
        assert manual.section.title == "1 Exec log"
        assert "0 found" in str(app.screen.query_one(".search-note").render())
        await pilot.press("escape")
        assert manual.has_focus


@pytest.mark.parametrize("key", ["question_mark", "h", "f1"])
async def test_each_of_its_keys_opens_and_closes_it(key: str) -> None:
    async with helped(key) as (pilot, app, _):
        await pilot.press(key)
        assert isinstance(app.screen, MainScreen)


@pytest.mark.parametrize("size", SIZES)
async def test_no_line_is_wider_than_the_screen(size: tuple[int, int]) -> None:
    async with helped("question_mark", size=size) as (_, _app, manual):
        for y in range(len(manual._lines)):
            assert sum(len(span.text) for span in manual._lines[y].spans) <= size[0] - 3


@pytest.mark.parametrize("size", [*SIZES, (200, 50)])
def test_what_it_looks_like(size: tuple[int, int], looks_the_same: Look) -> None:
    async def opened(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.is_screen_installed("HelpScreen"))
        await pilot.press("tab", "tab", "question_mark")

    assert looks_the_same(FakeSource(minute()), size, before=opened)
