"""What a slow terminal is given: whole frames, of any size, and nothing without end."""

from __future__ import annotations

import asyncio
import os

from ebpftop.terminal_driver import _PENDING_MAX, _Output


def test_a_frame_of_a_large_screen_arrives_whole_at_a_slow_terminal() -> None:
    assert asyncio.run(_drawn(["x" * 10, "y" * 8 * _PENDING_MAX])) == (10 + 8 * _PENDING_MAX, 0)


def test_frames_for_which_no_room_is_are_dropped_and_asked_for_once() -> None:
    came, asked = asyncio.run(_drawn(["y" * 2 * _PENDING_MAX] * 50))
    assert came < 6 * _PENDING_MAX
    assert asked == 1


async def _drawn(frames: list[str]) -> tuple[int, int]:
    """Write *frames* to a pipe and read it out; return how many bytes came, and how often all was asked for anew."""
    reading_fd, writing_fd = os.pipe2(os.O_NONBLOCK)
    asked: list[None] = []
    output = _Output(writing_fd, asyncio.get_running_loop(), lambda: asked.append(None))
    for frame in frames:
        output.write(frame)
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
