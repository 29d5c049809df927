"""Textual's driver of a terminal, without the waits in which it could hang, and with job control.

Textual's own waits for ever if the terminal accepts nothing, reads in a busy loop if the terminal is gone, and starts
again on SIGCONT although the app has ended.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import signal
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual import events
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.message import Message

from ebpftop.lifecycle.process import process
from ebpftop.ui.textual_fixes.key_parser import BackgroundReported, KeyParser, SchemeChanged

if TYPE_CHECKING:
    from textual.app import App

_PENDING_MAX = 1 << 17
"""Bytes that may wait for a slow terminal before a new frame. Beyond that, all is dropped, and drawn again later."""

_READ_BYTES = 4096

_CTRL_C = "\x03"

_REPORT_SCHEME = "\x1b[?2031h"
"""Of contour, kitty, foot, ghostty, VTE, tmux: the terminal reports when its colours become dark or light."""

KEYS_WAITING_MAX = 1000
"""Keys that may wait for the screen. More are dropped, but searched for Ctrl-C."""

# A terminal may claim any size; each cell is drawn.
COLUMNS_MAX, ROWS_MAX = 640, 200


class StopEvent(threading.Event):
    """An event that poll(2) can wait for, beside a terminal: so a thread that reads keys sleeps until there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def set(self) -> None:
        super().set()
        os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        super().clear()
        with suppress(BlockingIOError):  # it was not set
            os.eventfd_read(self._fd)

    def __del__(self) -> None:
        os.close(self._fd)


class _Output:
    """The file that Textual writes to. What the terminal does not accept at once waits here, or is dropped.

    It never blocks, so it replaces Textual's writer thread as well: on an overloaded machine, a frame would wait until
    that thread gets a processor.
    """

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        """*on_ready* is called in the loop when the terminal accepts data again after some was dropped."""
        self._fd = fd
        self._loop = loop
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._waiting = False
        self._dropped = False
        self._closed = False
        self._in_frame = False
        self._waited_bytes = 0

    def fileno(self) -> int:
        return self._fd

    def start(self) -> None:
        """Part of a thread's interface; there is no thread."""

    def stop(self) -> None:
        """Part of a thread's interface; there is no thread."""

    def flush(self) -> None:
        """Part of a file's interface; nothing is buffered that could be written now."""

    def write(self, text: str) -> int:
        with self._lock:
            if not self._closed and not self._dropped and not process.leaving:
                if not self._in_frame:
                    self._waited_bytes = len(self._pending)
                self._pending += text.encode("utf-8", "replace")
                if text in (SYNC_START, SYNC_END):
                    self._in_frame = text == SYNC_START
                if self._in_frame:  # the beginning of a frame, the frame and its end are written at once
                    return len(text)
                self._put()
                # A frame of a large screen is larger than that: it is dropped if too much waits before it.
                if self._waited_bytes > _PENDING_MAX and self._pending:
                    self._pending.clear()
                    self._dropped = True
                if (self._pending or self._dropped) and not self._waiting:
                    self._waiting = True
                    self._loop.call_soon_threadsafe(self._loop.add_writer, self._fd, self._room)
        return len(text)

    def _put(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending)]
        except BlockingIOError:
            return
        except OSError:  # the terminal is gone: the thread that reads keys notices it too
            self._pending.clear()
            self._closed = True

    def _room(self) -> None:
        with self._lock:
            self._put()
            if self._pending:
                return
            self._stop_waiting()
            again, self._dropped = self._dropped and not self._closed, False
        if again:
            self._on_ready()

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Drop what waits. In the loop's thread."""
        with self._lock:
            self._closed = True
            self._pending.clear()
            self._stop_waiting()


def _writes_itself(file: _Output) -> _Output:
    """Return the object that Textual writes to, in place of a thread that writes to *file*."""
    return file


linux_driver.WriterThread = _writes_itself  # type: ignore[assignment, attr-defined]  # ours in its place


class TerminalDriver(LinuxDriver):
    """Draws on the terminal of `process`, and reads keys from it."""

    # Of the class: a signal may stop the job while Textual's part is made.
    _output: _Output | None = None
    _continued = False

    def __init__(self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None):
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self.exit_event: StopEvent = StopEvent()
        if process.terminal.fd is None:
            process.terminal.open()
        process.handle_job_control()
        process.stop_by(lambda: self._call_soon(self._stop_job), self._continue_soon)

    def _call_soon(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call)

    def _continue_soon(self) -> None:
        if not self._continued:
            self._continued = True
            self._call_soon(self._redraw)

    # ---- the screen ----

    def start_application_mode(self) -> None:
        fd = process.terminal.fd
        if fd is None or process.leaving:  # the terminal is gone already
            process.ask_to_end(0)
            return
        self._typed_ahead = process.terminal.typed_ahead()
        self._output = _Output(fd, self._loop, self._draw_all)
        self._file = self._output  # type: ignore[assignment]  # of a file, Textual uses write, flush and fileno
        enter: Callable[[], None] = super().start_application_mode
        process.terminal.take_screen(enter)
        if self._writer_thread is None:  # its settings could not even be read
            process.ask_to_end(0)

    def set_mouse(self, wanted: bool) -> None:
        """Get clicks, the wheel and drags from the terminal, or leave them to it."""
        if wanted != self._mouse:
            self._mouse = True  # otherwise neither of the two does anything
            (self._enable_mouse_support if wanted else self._disable_mouse_support)()
            self._mouse = wanted

    @property
    def has_mouse(self) -> bool:
        return self._mouse

    def _get_terminal_size(self) -> tuple[int, int]:
        """Ask the terminal. COLUMNS and LINES may be those of another one."""
        columns, rows = 0, 0
        with suppress(OSError):
            columns, rows = os.get_terminal_size(self.fileno)
        return min(columns or 80, COLUMNS_MAX), min(rows or 25, ROWS_MAX)

    def stop_application_mode(self) -> None:
        if self._output is None:
            return
        self.disable_input()
        self.close()

    def disable_input(self) -> None:
        if self._output is not None:
            super().disable_input()

    def close(self) -> None:
        if self._output is None:
            return
        super().close()
        self._output.close()
        self._output = self._writer_thread = None
        if process.asked is None:
            process.terminal.restore()
        else:
            process.terminal.leave_screen()  # it ends with the process

    translate: Callable[[str], str] | None = None
    """Changes all that is drawn, cell by cell."""

    def write(self, data: str) -> None:
        if self._writer_thread is not None:
            super().write(data if self.translate is None else self.translate(data))

    # ---- keys ----

    _typed_ahead = b""
    _sent = _posted = 0  # only one thread writes each

    def send_message(self, message: Message) -> None:
        self._sent += 1
        posting = asyncio.run_coroutine_threadsafe(self._app._post_message(message), self._loop)
        posting.add_done_callback(self._count_posted)

    def _count_posted(self, _posting: object) -> None:
        self._posted += 1

    @property
    def _is_flooded(self) -> bool:
        waiting: int = getattr(self._app, "keys_waiting", 0)
        return self._sent - self._posted + waiting > KEYS_WAITING_MAX

    def run_input_thread(self) -> None:
        """Read keys until stopped, or until the terminal is gone."""
        ready = select.poll()
        ready.register(self.fileno, select.POLLIN)
        ready.register(self.exit_event, select.POLLIN)
        keys = KeyParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        data, self._typed_ahead = self._typed_ahead, b""
        while not self.exit_event.is_set():
            wait_s = keys.wait_s
            came = [] if data else ready.poll(None if wait_s is None else math.ceil(1e3 * wait_s))
            if any(fd == self.fileno for fd, _ in came):
                try:
                    data = os.read(self.fileno, _READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    process.ask_to_end(0)  # hung up
                    return
            if data and self._is_flooded:
                if _CTRL_C.encode() in data:
                    process.interrupt()
                keys.pass_over(decode(data))
            elif data:
                for message in keys.feed(decode(data)):
                    self.process_message(message)
            data = b""
            for message in keys.tick():
                self.process_message(message)

    def process_message(self, message: Message) -> None:
        if isinstance(message, BackgroundReported):
            is_first = process.terminal.background is None
            process.terminal.background = message.colour
            self.send_message(message)
            if is_first:  # what answers one question of xterm's passes over a mode that it does not know
                self.write(_REPORT_SCHEME)
            return
        if isinstance(message, SchemeChanged):
            self._follow_background()
            return
        if isinstance(message, events.Resize) and not self._in_band_window_resize:
            return  # a size that was not requested
        if isinstance(message, events.Resize):
            columns, rows = message.size
            size = Size(min(columns, COLUMNS_MAX), min(rows, ROWS_MAX))
            message = events.Resize(size, size, pixel_size=message.pixel_size)
        # Here and not by a binding: no dialog, no input and no busy loop can delay it.
        if isinstance(message, events.Key) and message.key == "ctrl+c":
            process.interrupt()
        elif isinstance(message, events.Key) and message.key == "ctrl+z":
            os.killpg(os.getpgrp(), signal.SIGTSTP)  # the whole job, as the terminal would
        else:
            super().process_message(message)

    def _follow_background(self) -> None:
        """Ask again, and for reports, a terminal that has said how its background is."""
        if process.terminal.background is not None:
            self.write(_REPORT_SCHEME)
            process.terminal.ask_background_again(self.write)

    # ---- job control ----

    def _stop_job(self) -> None:
        if self._output is None:
            return
        self.stop_application_mode()
        process.stop()
        if process.asked is None:
            self.start_application_mode()
            self._follow_background()
            # The screen is empty, and its size is the old one, so nothing else would draw all of it.
            self._draw_all()

    def _redraw(self) -> None:
        """After SIGCONT: set up the terminal again, because its settings may have changed, and draw everything."""
        self._continued = False
        if self._output is None:
            return
        if not process.terminal.is_ours():
            self._stop_job()
            return
        process.terminal.take_again()
        self.write("\x1b[?1049h\x1b[?25l\x1b[?1004h")
        self._enable_mouse_support()
        self._enable_bracketed_paste()
        self._disable_line_wrap()
        self._query_in_band_window_resize()
        self._follow_background()
        self._draw_all()

    def _draw_all(self) -> None:
        self._app.refresh(layout=True)
