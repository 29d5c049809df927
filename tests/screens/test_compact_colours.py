"""A line with compact colours looks like the same line in Textual's spelling, and is shorter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.textual_fixes.compact_colours import render

from .conftest import settle
from .scene import FakeSource, minute

WIDTH = 120
ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse", "strike", "blink")
SYSTEMS = (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT, ColorSystem.STANDARD)

colours = st.sampled_from((None, "default", "red", "bright_blue", "#102030", "#d4d9de"))


def style(color: str | None, background: str | None, on: set[str], off: set[str]) -> Style:
    attributes: dict[str, Any] = {**dict.fromkeys(off, False), **dict.fromkeys(on, True)}
    return Style(color=color, bgcolor=background, **attributes)


some = st.sets(st.sampled_from(ATTRIBUTES), max_size=3)
styles = st.builds(style, colours, colours, some, some)
segments = st.builds(Segment, st.sampled_from(("a", "bc", " ", "   ", "x y", "é", "─")), st.none() | styles)


def textuals(line: Sequence[Segment], system: ColorSystem) -> str:
    """Return what Textual itself writes."""
    return "".join(text if style is None else Strip.render_style(style, text, system) for text, style, _ in line)


def drawn(text: str) -> list[tuple[Any, ...]]:
    """Return what a person sees of each cell; of a blank, what can be seen of it."""
    screen = pyte.Screen(WIDTH, 1)
    pyte.Stream(screen).feed(text + "\x1b[1;100H|")  # the end must be plain again
    cells = (screen.buffer[0][x] for x in range(WIDTH))
    return [
        (cell.data, cell.bg, cell.underscore, cell.strikethrough, cell.blink, cell.reverse)
        + ((cell.fg, cell.bold, cell.italics) if cell.data != " " or cell.reverse else ())
        for cell in cells
    ]


@pytest.mark.parametrize("system", SYSTEMS)
@settings(deadline=None)  # a machine may do other things
@given(line=st.lists(segments, max_size=12))
def test_a_line_looks_as_textual_draws_it(system: ColorSystem, line: list[Segment]) -> None:
    assert drawn(render(line, system)) == drawn(textuals(line, system))


def test_faint_begins_and_ends_where_it_should() -> None:
    """pyte knows no faint, so the text is compared."""
    plain, faint, bold = Style(color="red"), Style(color="red", dim=True), Style(color="red", bold=True)
    line = [Segment("a", plain), Segment("b", faint), Segment("c", bold), Segment(" ", faint), Segment("d", plain)]
    assert render(line, ColorSystem.STANDARD) == "\x1b[31ma\x1b[2mb\x1b[22;1mc \x1b[22md\x1b[0m"


def test_a_link_is_written_as_textual_writes_it() -> None:
    line = [Segment("a", Style(color="red")), Segment("b", Style(color="red", link="https://x")), Segment("c")]
    linked = Strip.render_style(line[1].style or Style(), "b", ColorSystem.STANDARD)
    assert render(line, ColorSystem.STANDARD) == f"\x1b[31ma\x1b[0m{linked}c"


async def test_the_screen_is_written_in_less_than_half_the_bytes() -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(WIDTH, 35)) as pilot:
        await settle(pilot, source)
        lines = [Strip(line) for line in app.screen._compositor.render_strips()]
    console = app.console
    compact = sum(len(line.render(console)) for line in lines)
    assert 0 < compact < sum(len(textuals(list(line), ColorSystem.TRUECOLOR)) for line in lines) / 2
