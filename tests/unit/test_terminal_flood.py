"""A terminal that sends more keys than the screen can work off."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from ebpftop.lifecycle.process import INTERRUPTED, process
from ebpftop.ui.textual_fixes.terminal_driver import KEYS_WAITING_MAX, StopEvent, TerminalDriver


def test_ctrl_c_is_found_behind_more_keys_than_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an app that handles nothing, and a terminal that sends far more than may wait, then Ctrl-C, then hangs up
    loop = asyncio.new_event_loop()  # it never runs
    posted: list[object] = []
    wishes: list[int] = []
    read_fd, write_fd = os.pipe()
    driver = TerminalDriver.__new__(TerminalDriver)
    driver.fileno, driver._loop, driver.exit_event = read_fd, loop, StopEvent()
    driver._in_band_window_resize, driver.cursor_origin = False, None
    monkeypatch.setattr(driver, "_app", SimpleNamespace(_post_message=posted.append, keys_waiting=0), raising=False)
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", lambda _post, _loop: SimpleNamespace(add_done_callback=id))
    monkeypatch.setattr(process, "ask_to_end", wishes.append)

    def send() -> None:
        with os.fdopen(write_fd, "wb") as terminal:
            terminal.write(b"z" * 300_000 + b"\x03")

    writer = threading.Thread(target=send)
    writer.start()
    # WHEN the keys are read
    driver.run_input_thread()
    writer.join()
    os.close(read_fd)
    loop.close()
    # THEN Ctrl-C was found, and what may wait is bounded: by the limit and one reading
    assert wishes[0] == INTERRUPTED
    assert KEYS_WAITING_MAX < len(posted) <= KEYS_WAITING_MAX + 4096


@pytest.mark.parametrize(
    "setting", ["TEXTUAL=debug", "TEXTUAL_LOG=/proc/x", "TEXTUAL_DRIVER=os:system", "TEXTUAL_PRESS=q"]
)
def test_settings_of_textual_are_not_settings_of_ebpftop(setting: str) -> None:
    name, _, value = setting.partition("=")
    show = "import ebpftop.ui.app, os; print(sorted(n for n in os.environ if n.startswith('TEXTUAL')))"
    shown = subprocess.check_output([sys.executable, "-c", show], env={**os.environ, name: value}, text=True)
    assert shown.strip() == "['TEXTUAL_FPS']"
