"""What is on the terminal, frame by frame, equals the whole screen drawn anew, whatever happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual._context import visible_screen_stack
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from ebpftop.core.source import Batch
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.screens.over import OverScreen
from ebpftop.ui.textual_fixes.changed_spans import SpansUpdate
from ebpftop.ui.widgets.row_scroll_bar import RowScrollBar
from ebpftop.ui.widgets.row_view import RowView

from .conftest import settle
from .scene import Remembered, batch, ended, minute, ran, syscalls, trace, users

Cell = tuple[str, Style | None]
KEYS = (
    *("j", "k", "g", "G", "pageup", "pagedown", "F", "tab", "shift+tab", "m", "t", "r", "less_than_sign", "v", "u"),
    *("comma", "full_stop"),
    *(
        "space",
        "left",
        "right",
        "left_square_bracket",
        "l",
        "escape",
        "escape",
        "1",
        "4",
        "i",
        "y",
        "Z",
    ),
)
OPENING = ("question_mark", "enter", "c", "exclamation_mark", "W", "S", "E", "L", "x", "}")
SIZES = ((80, 24), (120, 35), (160, 45), (60, 15))


def cells(strip: Strip) -> Iterator[Cell]:
    """Yield the cells of a strip; a wide character is followed by an empty one."""
    for text, style, _ in strip:
        for character in text:
            yield character, style
            yield from [("", style)] * (cell_len(character) - 1)


class Terminal:
    """The cells that frames have drawn. A partial frame changes only its spans."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[list[Cell]] = []
        self.spans = self.frames = 0
        display = EbpftopApp._display

        def noted(app: EbpftopApp, screen: Screen[Any], update: Any) -> None:
            if not app._batch_count:
                self.draw(update)
            display(app, screen, update)

        monkeypatch.setattr(EbpftopApp, "_display", noted)

    def draw(self, update: object) -> None:
        self.frames += update is not None
        if isinstance(update, LayoutUpdate):
            self.lines = [[cell for strip in line for cell in cells(strip)] for line in update.strips]
        elif isinstance(update, SpansUpdate):
            self.spans += len(update.spans)
            for y, x, strip in update.spans:
                drawn = list(cells(strip))
                self.lines[y][x : x + len(drawn)] = drawn
        else:
            assert update is None


def whole(app: EbpftopApp) -> list[list[Cell]]:
    """Draw the screen anew: nothing that any widget keeps of its lines is used."""
    for screen in app.screen_stack:
        bars = [view.vertical_scrollbar for view in screen.query(RowView)]
        for widget in (screen, *screen.query(Widget), *bars):
            widget._styles_cache.clear()
            if isinstance(widget, (RowView, RowScrollBar)):
                widget._strips.clear()
    if isinstance(app.screen, OverScreen):
        app.screen._below = None
    visible_screen_stack.set(app._background_screens)
    return [list(cells(strip)) for strip in app.screen._compositor.render_strips()]


def text(lines: list[list[Cell]]) -> list[str]:
    return ["".join(character for character, _ in line) for line in lines]


async def still(pilot: Pilot[int], app: EbpftopApp, source: Remembered, terminal: Terminal) -> None:
    """Wait until all that was asked for has been drawn. Ages and the tree are as of now in all panes then."""
    await settle(pilot, source)
    app.main.execs._grown = float("-inf")
    for one in app.main.panes:
        one.show()
    calm = 0
    while calm < 3:  # a cursor may blink
        before = terminal.frames
        await pilot.pause()
        calm = 0 if is_drawing(app) else calm + 1 if before == terminal.frames else min(calm, 1)


def is_drawing(app: EbpftopApp) -> bool:
    """Whether anything that was asked for has not been drawn."""
    screens = [screen for screen in app.screen_stack if screen.is_current]
    # One that cannot be seen keeps what was asked of it until it is woken by a message.
    drawn = [*screens, *(widget for screen in screens for widget in screen._compositor.visible_widgets)]
    return (
        bool(app.keys_waiting)
        or not app._settled
        or any(screen._dirty_widgets or screen._compositor._dirty_regions for screen in screens)
        or any(widget._repaint_required or widget._layout_required for widget in drawn)
    )


def more(chance: random.Random, at: int) -> list[Batch]:
    """Return something that happens: new rows, ends of old ones, readings."""
    program = ran(60 + at, 9000 + at, "prog", "x" * chance.randint(0, 90), "宽" * chance.randint(0, 9))
    happened = [batch("execs", 60 + at, program)]
    if chance.random() < 0.5:
        happened.append(batch("execs", 60 + at + 0.1, ended(program, 0.1, chance.randint(0, 1))))
    if chance.random() < 0.3:
        happened += chance.choice((users, syscalls, trace))()
    return happened


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_on_the_terminal_equals_the_whole_screen_drawn_anew(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    source = Remembered(minute())
    terminal = Terminal(monkeypatch)
    monkeypatch.setattr("ebpftop.ui.screens.over.BELOW_S", 0.001)
    app = EbpftopApp(source)
    async with app.run_test(size=chance.choice(SIZES)) as pilot:
        await still(pilot, app, source, terminal)
        done: list[str] = []
        for at in range(20):
            what = chance.random()
            if what < 0.45:
                source.give(*more(chance, at))
                done.append("more")
            elif what < 0.5:
                size = chance.choice(SIZES)
                await pilot.resize_terminal(*size)
                done.append(str(size))
            elif what < 0.55:
                done.append("filter")
                await pilot.press("slash", *chance.choice(("prog", "zzz", "a")), "enter")
            elif what < 0.62:
                done.append(chance.choice(OPENING))
                await pilot.press(done[-1])
            else:
                done.append(chance.choice(KEYS))
                await pilot.press(done[-1])
            if chance.random() < 0.5:
                continue  # several things between two looks
            await still(pilot, app, source, terminal)
            anew = whole(app)
            assert text(terminal.lines) == text(anew), done
            assert terminal.lines == anew, done
        assert Size(len(terminal.lines[0]), len(terminal.lines)) == app.size
    assert terminal.spans > 0


async def test_a_screenshot_of_what_is_not_drawn_yet_takes_no_line_from_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Remembered(minute())
    terminal = Terminal(monkeypatch)
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        program = ran(60, 9000, "prog")
        source.give(batch("execs", 60, program))
        await still(pilot, app, source, terminal)
        app.main.execs.feed(batch("execs", 61, ended(program, 1.0, 77)))
        app.export_screenshot()
        await still(pilot, app, source, terminal)
        assert any("exit 77" in line for line in text(terminal.lines))
        assert text(terminal.lines) == text(whole(app))
