"""The line of keys at the foot of a screen. One widget draws it; Textual's footer mounts one widget per key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, ClassVar, NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

_DIM = Style(dim=True)

_APART = 2
"""Cells between two keys."""

_FIRST = (
    *("open", "act", "step(1)", "step(-1)", "match(1)", "match(-1)"),
    *(
        "keep",
        "stretch(-1, 0)",
        "filter",
        "blocker",
        "pane(1)",
        "pause",
        "tree",
        "trace",
        "app.trace",
        "view(1)",
        "error",
        "add",
        "remove",
        "count_lines",
        "maximise",
        "failures",
    ),
    *(
        "handle('ignore')",
        "app.stop_tracing",
        "period",
        "waiting",
        "graphs",
        "layout",
        "heat",
        "waits",
        "programs",
        "changed",
        "fold",
    ),
)
"""Actions that stand first. If there is no room, keys towards the middle of the line are left out."""

_LAST = ("dismiss", "back", "command_palette", "app.help", "help", "app.quit", "quit")
"""Actions at the right end, which are never left out."""

_Offer: TypeAlias = tuple[Binding, bool, str]
"""A key, whether it can be pressed now, and its tooltip."""


class _Key(NamedTuple):
    """A key and its description, at the cells from `x` up to `end`."""

    x: int
    end: int
    key: str
    display: str
    about: str
    tooltip: str
    enabled: bool


class KeyLine(Widget):
    """The keys of the screen and of the focused widget. A click on one presses it."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--about", "keys--hover"}

    pointed: reactive[str] = reactive("")
    """The key under the mouse."""

    def __init__(self, also_shown: Callable[[], Mapping[str, str]] = dict) -> None:
        """Show keys; *also_shown* returns what actions are called here, also those whose bindings are not shown.

        One without a name is not offered here.
        """
        super().__init__()
        self._also_shown = also_shown
        self._keys: tuple[_Key, ...] | None = None
        self._words: tuple[tuple[int, str], ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _: Screen[Any]) -> None:
        if self._keys is not None and self.app.app_focus:
            self.update_keys()

    def update_keys(self) -> None:
        """Show the current keys."""
        if not self.app._screen_stack:
            return  # the app is ending
        before = self._keys, self._words
        self._place()
        if (self._keys, self._words) != before:
            self.refresh()

    def on_resize(self) -> None:
        self.update_keys()

    def _place(self) -> None:
        """Read the keys again, and lay them out."""
        by_action: dict[str, tuple[Binding, bool, str]] = {}
        also_shown = self._also_shown()
        is_typing = isinstance(self.screen.focused, Input)
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            about = also_shown.get(binding.action)
            if about or (binding.show and about is None):
                shown = replace(binding, description=about) if about else binding
                if is_typing and len(binding.key_display or "") == 1 and (binding.key_display or "").isascii():
                    shown = replace(shown, key_display=binding.key.title())  # that sign would be typed
                by_action.setdefault(binding.action, (shown, enabled, tooltip))
        offered = sorted(by_action.values(), key=lambda offer: _rank(offer[0]))
        left, left_words, left_end = _line(self.app, [offer for offer in offered if offer[0].action not in _LAST])
        right, right_words, right_end = _line(self.app, [offer for offer in offered if offer[0].action in _LAST])
        start = max(0, self.size.width - right_end)
        limit = left_end if left_end + _APART <= start else start - _APART
        words = [(x, text) for x, text in left_words if x + cell_len(text) <= limit]
        if len(words) < len(left_words):
            left = [key for key in left if key.about]  # those of a group are nothing without its name
        self._keys = (
            *(key for key in left if key.end <= limit),
            *(key._replace(x=key.x + start, end=key.end + start) for key in right),
        )
        self._words = (*words, *((x + start, text) for x, text in right_words))

    def render_line(self, y: int) -> Strip:
        if self._keys is None:
            self._place()
        gap = Style.from_color(bgcolor=self.background_colors[1].rich_color)
        segments: list[Segment] = []
        at = 0
        for x, end, pieces in sorted(self._pieces(), key=lambda piece: piece[0]):
            if x > at:
                segments.append(Segment(" " * (x - at), gap))
            segments += pieces
            at = end
        width = self.size.width
        return Strip(segments, at).crop_extend(0, width, gap)

    def _pieces(self) -> Iterator[tuple[int, int, list[Segment]]]:
        key_style = self.get_component_rich_style("keys--key")
        about_style = self.get_component_rich_style("keys--about")
        hover_style = self.get_component_rich_style("keys--hover")
        for key in self._keys or ():
            look, about = key_style, about_style
            if key.key == self.pointed:
                look, about = look + hover_style, about + hover_style
            if not key.enabled:
                look, about = look + _DIM, about + _DIM
            described = [Segment(f" {key.about}", about)] if key.about else []
            yield key.x, key.end, [Segment(key.display, look), *described]
        for x, text in self._words:
            yield x, x + cell_len(text), [Segment(text, about_style)]

    # The mouse.

    def _at(self, x: int) -> _Key | None:
        return next((key for key in self._keys or () if key.x <= x < key.end), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        key = self._at(event.x)
        self.pointed = "" if key is None else key.key
        self.tooltip = Content(key.tooltip) if key is not None and key.tooltip else None

    def on_leave(self) -> None:
        self.pointed = ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        key = self._at(event.x)
        if key is None:
            return
        if key.enabled:
            self.app.simulate_key(key.key)
        else:
            self.app.bell()


def _line(app: App[Any], offered: list[_Offer]) -> tuple[list[_Key], list[tuple[int, str]], int]:
    """Lay *offered* out from the left; also return the names of groups with their cells, and the end of all."""
    keys: list[_Key] = []
    words: list[tuple[int, str]] = []
    x = 0
    for group, grouped in groupby(offered, lambda offer: offer[0].group):
        offers = list(grouped)
        together = group is not None and len(offers) > 1
        between = _APART if group is None or not together else 0 if group.compact else 1
        for binding, enabled, tooltip in offers:
            display = app.get_key_display(binding)
            about = "" if together else binding.description
            end = x + cell_len(display) + (1 + cell_len(about) if about else 0)
            hint = tooltip or (binding.description if together else "")
            keys.append(_Key(x, end, binding.key, display, about, hint, enabled))
            x = end + between
        if together and group is not None:
            x += 1 - between
            words.append((x, group.description.strip()))
            x += cell_len(group.description.strip()) + _APART
    return keys, words, max(0, x - _APART)


def _rank(binding: Binding) -> int:
    """Return where among the keys of its end of the line a key stands."""
    if binding.action in _LAST:
        return _LAST.index(binding.action)
    if binding.action in _FIRST:
        return _FIRST.index(binding.action)
    return len(_FIRST) + (binding.group is not None)
