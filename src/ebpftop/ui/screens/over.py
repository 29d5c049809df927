"""Screens above another one, which is visible below them unless they are opaque."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual._context import visible_screen_stack
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region, Size
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.timer import Timer

from ebpftop.ui.textual_fixes.app_errors import guard_drawing

if TYPE_CHECKING:
    from typing_extensions import Self

Result = TypeVar("Result")

BELOW_S = 0.25
"""Seconds between two frames of the screen below, at least."""

_Key = tuple[Size, Color]


@lru_cache(4096)
def _shaded(style: Style | None, shade: Color, filters: tuple[LineFilter, ...], background: Color) -> Style | None:
    """Return *style* as it appears under *shade*, and through *filters* in front of *background*.

    Textual computes it for each piece of text, which is most of the time that a screen takes to open.
    """
    segments = list(BackgroundScreen.process_segments([Segment(" ", style)], shade))
    for line_filter in filters:
        segments = line_filter.apply(segments, background)
    return segments[0].style


class LayoutOnResize(Screen[Result]):
    """A screen that is laid out again only when its size has changed, not whenever another one opens above it."""

    drawn_size = Size()
    """The size of the terminal when the whole screen was drawn last, with none above it."""

    def _screen_resized(self, size: Size) -> None:
        if size != self._compositor.size:
            super()._screen_resized(size)

    def _compositor_refresh(self) -> None:
        is_whole = self._compositor.size.region in self._compositor._dirty_regions
        super()._compositor_refresh()
        if is_whole and self.is_active:
            self.drawn_size = self._compositor.size
        if not self.is_active:
            # Textual requests another layout of everything whenever anything that is covered has changed.
            self._repaint_required = False

    def is_drawn_above(self) -> None:
        """The screen above has just drawn all of this one: pending updates need not be drawn again."""
        self._compositor.update_widgets(self._dirty_widgets)
        self._compositor._dirty_regions.clear()
        self._dirty_widgets.clear()
        self._repaint_required = False


class OverScreen(LayoutOnResize[Result], ModalScreen[Result]):
    """A modal screen that opens at once: the screen below is shaded once, and again when it changes.

    Of an opaque one, nothing below is drawn: that is two thirds of what a frame with panes below costs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._below: tuple[_Key, list[Strip]] | None = None
        self._due: Timer | None = None
        self._is_first = False

    @property
    def is_opaque(self) -> bool:
        """Whether nothing of the screen below can be seen."""
        return self.styles.background.a == 1

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if regions and not layout and not recompose:
            if self.is_opaque:
                return self
            # The screen below has changed there. Painting it takes as long as opening, so it is done later.
            self._below = None
            if self._due is None and not self._repaint_required:
                self._due = self.set_timer(BELOW_S, self._show_below)
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def draw_first(self) -> None:
        """Draw only this screen; the one below stays unshaded for this frame, because shading takes longer."""
        if self.is_opaque:
            self._compositor._dirty_regions.add(self._compositor.size.region)
            self._compositor_refresh()
            return
        below = self.app._background_screens[-1:]
        if not all(isinstance(screen, LayoutOnResize) and screen.drawn_size == self.size for screen in below):
            return  # the terminal shows a frame of another size
        regions = (
            region.intersection(clip)
            for widget, (region, clip) in self._compositor.visible_widgets.items()
            if widget is not self
        )
        self._compositor._dirty_regions.clear()
        self._compositor._dirty_regions.update(region for region in regions if region)
        self._is_first = True
        try:
            self._compositor_refresh()
        finally:
            self._is_first = False

    def render_ahead(self) -> None:
        """Render this screen without the one below, and keep the result, so that opening it is fast."""
        self._is_first = True
        try:
            self._compositor.render_full_update().render_segments(self.app.console)
        finally:
            self._is_first = False

    def _show_below(self) -> None:
        self._due = None
        self.refresh()

    @guard_drawing
    def render_lines(self, crop: Region) -> list[Strip]:
        if self._is_first:
            return [Strip.blank(crop.width)] * crop.height  # none of it is visible
        if self.is_opaque:
            return [Strip.blank(crop.width, self.rich_style)] * crop.height
        key = self.size, self.styles.background
        if self._below is None or self._below[0] != key or self._dirty_regions:
            below = visible_screen_stack.get([])
            if not below or below[-1] is self:
                return super().render_lines(crop)
            covered = below.pop()
            self._below = key, self._shade(covered._compositor.render_strips())
            if isinstance(covered, LayoutOnResize):
                covered.is_drawn_above()
            self._dirty_regions.clear()
        return [strip.crop(*crop.column_span) for strip in self._below[1][crop.y : crop.bottom]]

    def _shade(self, lines: list[Strip]) -> list[Strip]:
        look = self.styles.background, tuple(self.get_line_filters()), self.background_colors[1]
        return [
            Strip([Segment(text, _shaded(style, *look)) for text, style, _ in strip], strip.cell_length)
            for strip in lines
        ]
