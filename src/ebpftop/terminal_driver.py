"""Textual's driver of a terminal, without the waits in which it could hang, and with job control.

Textual's own waits for ever where the terminal takes nothing, reads at full speed where it is gone, and starts again
on SIGCONT although the app has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import select
import signal
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from ebpftop.lifecycle import INTERRUPTED, process
from ebpftop.text import escape

if TYPE_CHECKING:
    from textual.app import App

log = logging.getLogger(__name__)

_PENDING_MAX = 1 << 17
"""Bytes that may wait for a slow terminal, a few frames: more is dropped, and all is drawn again when it is ready."""

_TICK_MS = 100
_READ_BYTES = 4096

# From one escape character up to the next.
_SEQUENCES = re.compile(r"\x1b?[^\x1b]*", re.DOTALL)
_TOLD = 80


class _Output:
    """A file for Textual to write to: what the terminal does not take at once waits here, or is dropped."""

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        """*on_ready* is called in the loop when the terminal takes something again after something was dropped."""
        self._fd = fd
        self._loop = loop
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._waiting = False
        self._dropped = False
        self._closed = False

    def fileno(self) -> int:
        return self._fd

    def flush(self) -> None:
        """There is nothing that waits and could go."""

    def write(self, text: str) -> int:
        with self._lock:
            if not self._closed and not self._dropped and not process.leaving:
                self._pending += text.encode("utf-8", "replace")
                self._put()
                if len(self._pending) > _PENDING_MAX:
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
        except OSError:  # the terminal is gone: whoever reads keys learns of it too
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


class KeyParser:
    """Textual's parser of what a terminal sends, which is dead after some sequences that none should send."""

    def __init__(self) -> None:
        self._parser = XTermParser(constants.DEBUG)

    def feed(self, text: str) -> list[Message]:
        """Return what *text* says; of a sequence that cannot be, nothing, and of what follows, all."""
        return [message for piece in _SEQUENCES.findall(text) for message in self._messages(piece)]

    def tick(self) -> list[Message]:
        """Return what is known of a sequence that has not gone on."""
        return self._messages("")

    def _messages(self, piece: str) -> list[Message]:
        try:
            return list(self._parser.feed(piece) if piece else self._parser.tick())
        except Exception:  # whatever it is: without keys there is no way out
            log.warning("the terminal sent what cannot be: %s", escape(piece[:_TOLD]), exc_info=True)
            self._parser = XTermParser(constants.DEBUG)
            return []


class TerminalDriver(LinuxDriver):
    """Draws on the terminal of `process`, and reads keys from it."""

    def __init__(self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None):
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if process.terminal.fd is None:
            process.terminal.open()
        self._output: _Output | None = None
        self._continued = False
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
        if self._writer_thread is None:  # it could not even be asked how it is set
            process.ask_to_end(0)

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
            process.terminal.leave_screen()  # the end of the process does the rest

    def write(self, data: str) -> None:
        if self._writer_thread is not None:
            super().write(data)

    # ---- keys ----

    _typed_ahead = b""

    def run_input_thread(self) -> None:
        """Read keys until told to stop, or until there is no terminal any more."""
        ready = select.poll()
        ready.register(self.fileno, select.POLLIN)
        keys = KeyParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        data, self._typed_ahead = self._typed_ahead, b""
        while not self.exit_event.is_set():
            if not data and ready.poll(_TICK_MS):
                try:
                    data = os.read(self.fileno, _READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    process.ask_to_end(0)  # hung up
                    return
            if data:
                for message in keys.feed(decode(data)):
                    self.process_message(message)
                data = b""
            for message in keys.tick():
                self.process_message(message)

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Resize) and not self._in_band_window_resize:
            return  # a size that nobody asked for
        # Here and not by a binding: a dialog, an input, or whatever keeps the loop busy must not stand in between.
        if isinstance(message, events.Key) and message.key == "ctrl+c":
            process.ask_to_end(INTERRUPTED)
        elif isinstance(message, events.Key) and message.key == "ctrl+z":
            os.killpg(os.getpgrp(), signal.SIGTSTP)  # the whole job, as the terminal would
        else:
            super().process_message(message)

    # ---- job control ----

    def _stop_job(self) -> None:
        if self._output is None:
            return
        self.stop_application_mode()
        process.stop()
        if process.asked is None:
            self.start_application_mode()  # tells the size, on which all is drawn

    def _redraw(self) -> None:
        """After SIGCONT: set the terminal up again, which somebody may have changed, and draw everything."""
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
        self._draw_all()

    def _draw_all(self) -> None:
        self._app.refresh(layout=True)
