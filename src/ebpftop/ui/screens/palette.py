"""The command palette: Enter runs the command that matches the text, however fast both are typed.

Textual's still offers the old matches until a search is done, and waits a tenth of a second for a search that finds
nothing. Here keys typed after the text wait until its search is done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from textual import on
from textual.command import CommandPalette, DiscoveryHit, Hit
from textual.events import Mount
from textual.widgets import Input
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from ebpftop.ui.screens.over import OverScreen


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
