"""What the terminal is, and what the screen makes of it."""

from __future__ import annotations

import pytest
from rich.color import Color

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.textual_fixes.key_parser import BackgroundReported
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.row_view import RowView

from .conftest import settle
from .scene import FakeSource, minute

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def background_of(app: EbpftopApp) -> Color | None:
    """What the terminal draws a row on."""
    rows = app.main.query(RowView).first()
    return next(iter(rows._lines(range(1))[0][0])).style.bgcolor  # type: ignore[union-attr]


@pytest.mark.parametrize("choice", ["auto", "contrast"])
async def test_the_theme_follows_what_the_terminal_says_unless_one_was_chosen(choice: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        app.choose_theme(choice)
        for colour, fitting in ((WHITE, "light"), (BLACK, "dark"), (WHITE, "light")):
            app.post_message(BackgroundReported(colour))
            await settle(pilot, source)
            assert app.theme == (fitting if choice == "auto" else choice)
        assert app.theme_choice == choice


async def test_the_terminals_own_colours_follow_its_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-16color")
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        app.choose_theme("dark")
        await settle(pilot, source)
        assert background_of(app) == Color.default()
        app.post_message(BackgroundReported(WHITE))
        await settle(pilot, source)
        assert app.theme == "dark"
        assert background_of(app) == Color.from_ansi(0)


@pytest.mark.parametrize(("variables", "names"), [({}, "⏎"), ({"LC_ALL": "C"}, "Ret"), ({"TERM": "linux"}, "Ret")])
async def test_keys_have_names_that_the_terminal_can_show(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, source)
        keys = "".join(segment.text for segment in app.screen.query_one(KeyLine).render_line(0))
        assert keys.startswith(f"{names} Details")
