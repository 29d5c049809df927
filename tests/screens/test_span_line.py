"""Lines of spans: their styles are computed once, and again when they may have changed."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.span_line import SpanLine
from ebpftop.ui.widgets.status_bar import StatusBar
from ebpftop.ui.widgets.timeline_bar import TimelineBar


class Footed(App[None]):
    CSS = "PaneFooter { background: $surface; } .note--dim { color: $text-muted; } .blue { background: blue; }"

    def compose(self) -> ComposeResult:
        yield PaneFooter()


async def test_a_line_that_is_drawn_again_asks_for_no_style(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Footed()
    async with app.run_test():
        footer = app.query_one(PaneFooter)
        footer.set_text([Span("some "), Span("dim", "dim")])
        before = footer.render_line(0)
        with monkeypatch.context() as patch:
            patch.setattr(PaneFooter, "get_component_rich_style", lambda *_, **__: pytest.fail("it asked"))
            assert footer.render_line(0) == before


@pytest.mark.parametrize("change", ["theme", "class"])
async def test_a_line_changes_its_colours_with_the_theme_and_the_classes(change: str) -> None:
    app = Footed()
    async with app.run_test() as pilot:
        footer = app.query_one(PaneFooter)
        footer.set_text([Span("some "), Span("dim", "dim")])
        before = footer.render_line(0)
        if change == "theme":
            app.theme = "textual-light"
        else:
            footer.add_class("blue")
        await pilot.pause()
        after = footer.render_line(0)
        assert after.text == before.text
        assert [segment.style for segment in after] != [segment.style for segment in before]


@pytest.mark.parametrize("kind", [PaneFooter, StatusBar, TimelineBar])
def test_each_look_is_a_component_class(kind: type[SpanLine]) -> None:
    assert kind.COMPONENT_CLASSES
    assert {name.partition("--")[0] for name in kind.COMPONENT_CLASSES} == {kind.prefix}
