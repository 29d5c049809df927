"""What a slow terminal is given: whole frames, of any size, and nothing without end."""

from __future__ import annotations

import asyncio
import os

import pytest
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual.drivers import linux_driver

from ebpftop.ui.textual_fixes.terminal_driver import _PENDING_MAX, _Output


@pytest.mark.parametrize("synchronized", [False, True])
def test_a_frame_of_a_large_screen_arrives_whole_at_a_slow_terminal(synchronized: bool) -> None:
    more = 2 * len(SYNC_START + SYNC_END) if synchronized else 0
    drawn = asyncio.run(_drawn(["x" * 10, "y" * 8 * _PENDING_MAX], synchronized))
    assert drawn == (10 + 8 * _PENDING_MAX + more, 0)


@pytest.mark.parametrize("synchronized", [False, True])
def test_frames_for_which_no_room_is_are_dropped_and_asked_for_once(synchronized: bool) -> None:
    came, asked = asyncio.run(_drawn(["y" * 2 * _PENDING_MAX] * 50, synchronized))
    assert came < 6 * _PENDING_MAX
    assert asked == 1


def test_a_frame_and_what_begins_and_ends_it_are_written_at_once_by_the_thread_that_drew_it() -> None:
    async def written() -> list[bytes]:
        reading_fd, writing_fd = os.pipe2(os.O_NONBLOCK)
        output = _Output(writing_fd, asyncio.get_running_loop(), lambda: None)
        seen: list[bytes] = []
        assert linux_driver.WriterThread(output) is output  # type: ignore[attr-defined, arg-type, comparison-overlap]
        for text in (SYNC_START, "x" * 10, SYNC_END, "y"):
            output.write(text)
            try:
                seen.append(os.read(reading_fd, 1 << 16))
            except BlockingIOError:
                seen.append(b"")
        output.close()
        os.close(reading_fd)
        os.close(writing_fd)
        return seen

    assert asyncio.run(written()) == [b"", b"", f"{SYNC_START}{'x' * 10}{SYNC_END}".encode(), b"y"]


async def _drawn(frames: list[str], synchronized: bool) -> tuple[int, int]:
    """Write *frames* to a pipe and read it out; return how many bytes came, and how often all was asked for anew."""
    reading_fd, writing_fd = os.pipe2(os.O_NONBLOCK)
    asked: list[None] = []
    output = _Output(writing_fd, asyncio.get_running_loop(), lambda: asked.append(None))
    for frame in frames:
        for text in (SYNC_START, frame, SYNC_END) if synchronized else (frame,):
            output.write(text)
    came = 0
    for _ in range(1000):
        await asyncio.sleep(0)
        try:
            came += len(os.read(reading_fd, 1 << 16))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    output.close()
    os.close(reading_fd)
    os.close(writing_fd)
    return came, len(asked)
