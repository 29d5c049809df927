"""Python's lock: the screen's thread keeps it while it is at work, and gets it soon when it has been waiting."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from ebpftop.lifecycle.priority import ASKS_AFTER_S, KEEPS_S, keep_lock


async def test_the_screens_thread_hands_python_over_only_when_it_has_nothing_to_do() -> None:
    def looked() -> float:
        time.sleep(0.05)  # until the loop waits
        return sys.getswitchinterval()

    before_s = sys.getswitchinterval()
    loop = asyncio.get_running_loop()
    end = keep_lock(loop)
    try:
        await asyncio.sleep(0)
        assert sys.getswitchinterval() == pytest.approx(KEEPS_S)
        assert await loop.run_in_executor(None, looked) == pytest.approx(ASKS_AFTER_S)
        assert sys.getswitchinterval() == pytest.approx(KEEPS_S)
    finally:
        end()
    await asyncio.sleep(0)
    assert await loop.run_in_executor(None, looked) == pytest.approx(before_s) == sys.getswitchinterval()
