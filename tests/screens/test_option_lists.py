"""Lists of options where there is no room for one."""

from __future__ import annotations

import pytest

from ebpftop.ui.app import EbpftopApp

from .scene import FakeSource


@pytest.mark.parametrize("size", [(10, 3), (1, 40), (2, 1)])
@pytest.mark.parametrize("opening", ["c", "ctrl+p"])
async def test_a_page_of_a_list_without_room_moves_nothing(size: tuple[int, int], opening: str) -> None:
    app = EbpftopApp(FakeSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3", opening)
        await pilot.resize_terminal(*size)
        await pilot.press("pagedown", "pageup")
        await pilot.resize_terminal(80, 24)
        await pilot.press("escape")
        assert app.is_running
