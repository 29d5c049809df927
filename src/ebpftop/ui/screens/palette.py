"""The command palette: Enter runs the command that matches the text, however fast both are typed.

Textual's still offers the old matches until a search is done, and waits a tenth of a second for a search that finds
nothing. Here keys typed after the text wait until its search is done.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from rich.cells import cell_len
from textual import on
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.events import Mount
from textual.fuzzy import FuzzySearch
from textual.widgets import Input
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from ebpftop.core.theme_names import AUTO
from ebpftop.ui.screens.key_actions import Command
from ebpftop.ui.screens.over import OverScreen
from ebpftop.ui.themes import schemes
from ebpftop.ui.widgets.columns import clip

_TITLE = 22
"""Cells of a title; what it does stands behind them."""
_AROUND = 6
"""Cells at both sides of a line: its margins, and the scroll bar."""
_FUZZY = FuzzySearch()


class Palette(CommandPalette, OverScreen[None]):
    """Always offers exactly the commands that match the text in its input."""

    _searching: Worker[Any] | None = None

    def _gather_commands(self, search_value: str) -> Worker[Any]:
        self._searching = super()._gather_commands(search_value)
        return self._searching

    async def _search_for(self, search_value: str) -> AsyncGenerator[DiscoveryHit | Hit, bool]:
        for provider in self._providers:
            async for hit in provider._search(search_value):
                if (yield hit):  # cancelled
                    return

    async def _search_ended(self) -> None:
        if self._searching is not None:
            # A search that failed is reported like any worker that fails; nothing is offered then.
            with suppress(WorkerCancelled, WorkerFailed):
                await self._searching.wait()

    async def _on_mount(self, event: Mount) -> None:  # type: ignore[override]  # may be a coroutine
        event.prevent_default()
        super()._on_mount(event)
        await self._search_ended()

    @on(Input.Changed)
    async def _typed(self, event: Input.Changed) -> None:
        event.prevent_default()
        self._input(event)
        await self._search_ended()


class Commands(Provider):
    """All commands, one a line with its key: those of the list in focus first, and the most used of these."""

    def _ordered(self) -> list[Command]:
        uses: Mapping[str, int] = self.app.palette_uses  # type: ignore[attr-defined]  # ours
        commands: Iterable[Command] = self.app.commands()  # type: ignore[attr-defined]
        return sorted(commands, key=lambda command: (command.tier, -uses[command.title], not command.is_usual))

    async def discover(self) -> Hits:
        for command in self._ordered():
            yield DiscoveryHit(self._line(command), self._run(command), command.title)

    async def search(self, query: str) -> Hits:
        commands = self._ordered()
        for at, command in enumerate(commands):
            score, letters = score_of(query, command)
            if score > 0:
                line = self._line(command, letters)
                yield Hit(score + (len(commands) - at) / 1000, line, self._run(command), command.title)

    def _run(self, command: Command) -> Callable[[], Any]:
        def run() -> Any:
            self.app.palette_uses[command.title] += 1  # type: ignore[attr-defined]
            return command.callback()

        return run

    def _line(self, command: Command, letters: Sequence[int] = ()) -> Content:
        """Return a line as wide as the list: the title, what it does, and at its right end the key."""
        # Content, which Textual takes as it is: a text would be markup, and a filter that was typed may be part of it.
        title = Content(command.title)
        for at in letters:
            title = title.stylize(self.match_style or "underline", at, at + 1)
        gap = " " * max(2, _TITLE - cell_len(command.title))
        room = self.app.size.width - _AROUND - cell_len(command.title) - len(gap) - cell_len(command.key) - 2
        about = clip(command.about, max(0, room))
        return Content.assemble(title, (f"{gap}{about}  ", "not bold $dim"), (command.key, "$accent"))


def score_of(query: str, command: Command) -> tuple[float, Sequence[int]]:
    """Return how well *query* fits a command, 0 if not at all, and which letters of the title it is.

    Its key, and the beginning of its title, come before the beginning of a word, then any part of the title, then its
    letters here and there; then what is said about it.
    """
    wanted, title = query.strip().lower(), command.title.lower()
    if not wanted:
        return 0.0, ()
    name = title.rpartition(": ")[2]  # without the pane that it belongs to
    at = title.find(wanted)
    found = range(at, at + len(wanted)) if at >= 0 else range(0)
    if query.strip() in command.key.split():
        return 60.0, found
    if wanted in (title, name):
        return 50.0, range(len(title) - len(wanted), len(title))
    if name.startswith(wanted):
        start = len(title) - len(name)
        return 40.0, range(start, start + len(wanted))
    if title.startswith(wanted):
        return 40.0, found
    if word := re.search(rf"\b{re.escape(wanted)}", title):
        return 30.0, range(*word.span())
    if found:
        return 20.0, found
    score, letters = _FUZZY.match(wanted, command.title)
    if score > 0:
        return 10.0 + min(score, 1000.0) / 1000, letters
    return (5.0, ()) if len(wanted) > 2 and wanted in command.about.lower() else (0.0, ())


class ThemeChoices(Provider):
    """The themes, and the choice of dark or light by the terminal's background."""

    def _choices(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        app = self.app
        about = "light" if app.light else "dark"  # type: ignore[attr-defined]  # ours
        choose = app.choose_theme  # type: ignore[attr-defined]
        yield AUTO, f"As the terminal's background is: {about}", partial(choose, AUTO)
        for scheme in schemes(light=False).values():
            yield scheme.name, scheme.about, partial(choose, scheme.name)

    async def discover(self) -> Hits:
        for name, about, choose in self._choices():
            yield DiscoveryHit(name, choose, help=about)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, about, choose in self._choices():
            if (match := matcher.match(name)) > 0:
                yield Hit(match, matcher.highlight(name), choose, help=about)
