"""An app in the colours of a theme, as far as the terminal has them."""

from __future__ import annotations

import os
from typing import Any

from textual.app import App
from textual.filter import ANSIToTruecolor
from textual.theme import Theme

from ebpftop.core.theme_names import AUTO
from ebpftop.lifecycle.process import process
from ebpftop.ui.themes import DARK, fitting, is_light, is_light_colour, schemes
from ebpftop.ui.themes.depth import depth_of
from ebpftop.ui.themes.shown import ShownColours


class ThemedApp(App[int]):
    """Knows what the terminal can show, and which theme was chosen."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.depth = depth_of(os.environ)
        told = process.terminal.background
        self.light = is_light(os.environ) if told is None else is_light_colour(told)
        """Whether the terminal's own background is light, as far as it is known."""
        self.theme_choice = AUTO
        super().__init__(*arguments, **options)

    @property
    def available_themes(self) -> dict[str, Theme]:
        # Not Textual's own: they have no colour for some roles, and too little contrast for others.
        return {name: scheme.theme for name, scheme in schemes(light=self.light).items()}

    @property
    def current_theme(self) -> Theme:
        return self.available_themes.get(self.theme, DARK.theme)

    def choose_theme(self, choice: str) -> None:
        """Show the theme that *choice* means, one of `THEME_NAMES`."""
        self.theme_choice = choice
        self.theme = fitting(choice, light=self.light)

    def background_known(self, *, light: bool) -> None:
        """The terminal has said how its own background is."""
        if light is self.light:
            return
        self.light = light
        before = self.theme
        self.choose_theme(self.theme_choice)
        if self.theme == before and self._shown_colours().enabled:
            # The same theme, in other colours: only if it is set, Textual asks for all styles again.
            self._set_theme_again()

    def _set_theme_again(self) -> None:
        self._watch_theme(self.theme)
        for screen in self.screen_stack:
            for widget in screen.walk_children(with_self=True):
                widget.notify_style_update()
                widget.refresh()

    def _watch_theme(self, theme_name: str) -> None:
        # With NO_COLOR, Textual has a filter of its own. It makes greys, of which nobody can tell what they say.
        self._filters = [one for one in self._filters if isinstance(one, ANSIToTruecolor)]
        self._filters.append(self._shown_colours())
        super()._watch_theme(theme_name)

    def _shown_colours(self) -> ShownColours:
        scheme = schemes(light=self.light)[self.theme]
        return ShownColours(scheme, self.depth, own_background=scheme.dark is not self.light)
