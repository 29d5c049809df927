"""What a pane learns from another pane's probe is shown although its own probe brings nothing more."""

from __future__ import annotations

import pytest

from ebpftop.core.source import Batch
from ebpftop.ui.app import EbpftopApp

from .conftest import pane, settle, until
from .scene import FakeSource, execs, users


async def shown(first: list[Batch], then: list[Batch], *, like: list[str] | None = None) -> list[str]:
    """Return the lines of the pane of users once *first*, then *then* came, and they are *like* these."""
    source = FakeSource(first)
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, source)
        source.give(*then)
        await settle(pilot, source)
        region = pane(app, "users").lines.region

        def text() -> list[str]:
            drawn = app.screen._compositor.render_strips()[region.y : region.bottom]
            return [strip.crop(region.x, region.right).text for strip in drawn]

        if like is not None:
            await until(pilot, lambda: text() == like)
        return text()


@pytest.mark.parametrize("around_s", [0, 0.05])
async def test_users_run_what_the_exec_log_says_whichever_comes_first(
    around_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebpftop.ui.panes.frames.AROUND_S", around_s)
    right = await shown(execs(), users())
    assert await shown(users(), execs(), like=right) == right
