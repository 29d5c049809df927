"""The command palette: Enter runs the command that matches the text, however fast both are typed.

Textual's still offers the old matches until a search is done, and waits a tenth of a second for a search that finds
nothing. Here keys typed after the text wait until its search is done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from textual import on
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.events import Mount
from textual.widgets import Input
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from ebpftop.core.theme_names import AUTO
from ebpftop.ui.screens.key_actions import Command
from ebpftop.ui.screens.over import OverScreen
from ebpftop.ui.themes import schemes


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
    """All commands, each with its key."""

    async def discover(self) -> Hits:
        for command in sorted(self.app.commands(), key=lambda command: command.title):  # type: ignore[attr-defined]
            title = Content(command.title)
            yield DiscoveryHit(_with_key(title, command), command.callback, command.title, _about(command))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self.app.commands():  # type: ignore[attr-defined]  # ours
            if (match := matcher.match(command.title)) > 0:
                shown = _with_key(matcher.highlight(command.title), command)
                yield Hit(match, shown, command.callback, command.title, _about(command))


def _with_key(title: Content, command: Command) -> Content:
    return Content.assemble(title, ("  " + command.key, "$accent")) if command.key else title


def _about(command: Command) -> Any:
    # Content, which Textual takes as it is: a text would be markup, and a filter that was typed may be part of it.
    return Content(command.about) if command.about else None


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
