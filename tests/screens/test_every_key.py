"""Every key, pressed on a real terminal, does what its binding says: seen in what the terminal then shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pyte
import pytest
from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from ebpftop.ui.registry import panes
from ebpftop.ui.screens.app_keys import AppKeys
from ebpftop.ui.screens.main_keys import MainKeys
from ebpftop.ui.screens.placing import PanesScreen
from ebpftop.ui.screens.syscall_details import SyscallScreen
from ebpftop.ui.widgets.log_view import LogView
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.table_view import TableView

COLUMNS, LINES = 120, 36
TERMINALS = 6
WITHIN_S = 30.0
SILENT_S = 2.0
"""After so long a key has changed nothing: the cursor was there already."""

# The bytes that a terminal sends for a key.
BYTES = {
    **{"space": " ", "slash": "/", "question_mark": "?", "exclamation_mark": "!", "plus": "+", "equals_sign": "="},
    **{
        "minus": "-",
        "less_than_sign": "<",
        "greater_than_sign": ">",
        "left_square_bracket": "[",
        "left_parenthesis": "(",
        "right_parenthesis": ")",
        "comma": ",",
        "full_stop": ".",
    },
    **{"right_square_bracket": "]", "left_curly_bracket": "{", "right_curly_bracket": "}", "tab": "\t"},
    **{"shift+tab": "\x1b[Z", "enter": "\r", "escape": "\x1b", "left": "\x1b[D", "right": "\x1b[C", "up": "\x1b[A"},
    **{"down": "\x1b[B", "home": "\x1b[H", "end": "\x1b[F", "pageup": "\x1b[5~", "pagedown": "\x1b[6~"},
    **{"f1": "\x1bOP", "f2": "\x1bOQ"},
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}


Seen = Callable[[str, str], bool]


class Press(NamedTuple):
    """Keys that lead there; what the key itself must do to what the terminal shows; keys that lead back.

    *shows* is a regular expression that is found only after it; with ! in front, only before it.
    """

    before: tuple[str, ...]
    shows: str | Seen
    after: tuple[str, ...] = ("escape",)

    def seen(self, before: str, after: str) -> bool:
        if not isinstance(self.shows, str):
            return self.shows(before, after)
        gone = self.shows.startswith("!")
        expected, other = (before, after) if gone else (after, before)
        pattern = re.compile(self.shows.removeprefix("!"), re.MULTILINE)
        return bool(pattern.search(expected)) and not pattern.search(other)


def time_at_cursor(screen: str) -> str:
    """When the chosen program of the exec log started; empty if none is chosen."""
    found = re.search("^.\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}([0-9:.]+)", screen, re.MULTILINE)
    return found[1] if found else ""


def moves_down(before: str, after: str) -> bool:
    return time_at_cursor(after) > time_at_cursor(before) > ""


def moves_up(before: str, after: str) -> bool:
    return "" < time_at_cursor(after) < time_at_cursor(before)


def tells(before: str, after: str) -> bool:
    """There is a notice now."""
    return "▌" in after and "▌" not in before


def users_at(screen: str) -> int:
    """The line of the pane of users, which stands below the exec log."""
    return next((at for at, line in enumerate(screen.splitlines()) if "2 Users" in line), -1)


def unfolds(before: str, after: str) -> bool:
    """Fewer rows of the exec log are folded into others."""
    less, more = (re.search(r"folded (\d+) repeats", screen) for screen in (after, before))
    return more is not None and int(less[1] if less else 0) < int(more[1])


def grows(before: str, after: str) -> bool:
    """The exec log has more lines."""
    return users_at(after) > users_at(before) > 0


def shrinks(before: str, after: str) -> bool:
    return grows(after, before)


SYSCALLS = ("tab", "tab")
USERS, FROM_USERS = ("tab",), ("shift+tab",)
TRACE, FROM_TRACE = ("tab", "tab", "tab"), ("shift+tab", "shift+tab", "shift+tab")
LONG, NOT_LONG = ("slash", "c", "c", "1", "enter", "g"), ("escape", "F")
BACK = ("shift+tab", "shift+tab")
FIRST, FOLLOW = ("g",), ("F",)
NO_PROBES = "A recording has no probes to toggle"

# By the binding's id.
PRESSES: dict[str, Press] = {
    "help": Press((), r"Help  1 Exec log"),
    "diagnostics": Press((), r"^ Diagnostics"),
    "losses": Press((), r"^ Lost"),
    "mouse": Press((), r"The mouse is the terminal's", ("Y",)),
    "settings": Press((), r"^ *Settings "),
    "pause": Press((), r"PAUSED", ("space",)),
    "time.back": Press(("space",), r"PAUSED.* [1-9]s behind", ("l",)),
    "time.forward": Press(("space", "comma", "comma", "comma", "comma"), r"PAUSED.* 3s behind", ("l",)),
    "time.minute_back": Press(("space",), r"PAUSED.* 6\ds behind", ("l",)),
    "time.minute_forward": Press(("space", "left_square_bracket"), r"!behind", ("l",)),
    "time.mark_before": Press((), r"Nothing is marked"),
    "time.mark_after": Press((), r"Nothing is marked"),
    "time.live": Press(("space", "comma"), r"!PAUSED", ()),
    **{f"probe.{name}": Press((), NO_PROBES) for name in ("execs", "users", "syscalls", "trace", "opens")},
    "probe.output": Press((), r"no output to show"),
    "filter": Press((), r"completes"),
    "match.next": Press((), r"Nothing to search for"),
    "match.previous": Press((), r"Nothing to search for"),
    "execs.tree": Press((), r"EXECS PROCESS"),
    "pane.columns": Press((), r"╭─ Columns: Exec log"),
    "user": Press(FIRST, r"filter root", ("escape", *FOLLOW)),
    "container": Press((), r"Choose the row of a program of a container first"),
    "copy_as": Press(FIRST, r"╭─ Copy as", ("escape", *FOLLOW)),
    "go_to": Press(FIRST, r"╭─ Go to, from", ("escape", *FOLLOW)),
    "watch": Press((), r"╭─ Watch for what matters"),
    "copy": Press(FIRST, r"[Ss]ent", FOLLOW),
    "save": Press((), r"● recording"),
    "export": Press((), r"● csv"),
    "interval.longer": Press(("space",), r"recording [4-9]\dx.*PAUSED", ("minus", "l")),
    "interval.shorter": Press(("space",), r"recording [12]\dx.*PAUSED", ("plus", "l")),
    "heat": Press((), r"Heat  all calls"),
    "programs": Press((), r"^ Programs"),
    "pane.kernel": Press((), r"^ Probe execs"),
    "workbench": Press((), r"^ Workbench"),
    "mark": Press((), r"◆ [0-9:]+ marked", ("M",)),
    "changed": Press((), r"^ Changed"),
    "waits": Press((), r"^ Why it waits"),
    "graphs": Press((), r"!execs/s", ("O",)),
    "back": Press(("t",), r"!EXECS PROCESS", ()),
    "pane.next": Press((), r"▸2 Users", FROM_USERS),
    "pane.previous": Press(USERS, r"▸1 Exec log", ()),
    "pane.maximise": Press((), r"!2 Users", ("m",)),
    "pane.grow": Press((), grows, ("left_curly_bracket",)),
    "pane.shrink": Press((), shrinks, ("right_curly_bracket",)),
    "pane.hide": Press(USERS, r"!2 Users", ("L", "L", "L", "L")),
    "layout": Press((), r"!2 Users", ("L", "L", "L")),
    "lines.down": Press(FIRST, moves_down, FOLLOW),
    "lines.up": Press(("G",), moves_up, FOLLOW),
    "lines.page_down": Press(FIRST, moves_down, FOLLOW),
    "lines.page_up": Press(("G",), moves_up, FOLLOW),
    "lines.half_down": Press(FIRST, moves_down, FOLLOW),
    "lines.half_up": Press(("G",), moves_up, FOLLOW),
    "lines.first": Press(("G",), moves_up, FOLLOW),
    "lines.last": Press(FIRST, moves_down, FOLLOW),
    "lines.right": Press(LONG, r"!/usr/lib/gcc", ("left", *NOT_LONG)),
    "lines.left": Press((*LONG, "right"), r"/usr/lib/gcc", NOT_LONG),
    "lines.wrap": Press(LONG, r"\n {20,}-\S+ ", ("w", *NOT_LONG)),
    "lines.open": Press(FIRST, r"interpreter +/usr/bin/env", ("escape", *FOLLOW)),
    "log.follow": Press(FIRST, r"!F: follow", ()),
    "table.sort_right": Press(USERS, r"▼FAIL/s", ("less_than_sign", *FROM_USERS)),
    "table.sort_left": Press((*USERS, "greater_than_sign"), r"▼EXECS/s", FROM_USERS),
    "table.reverse": Press(USERS, r"▲EXECS/s", ("r", *FROM_USERS)),
    "execs.failures": Press((), r"failures: all", ("e", "e", "e")),
    "execs.fold": Press(("slash", *"true", "enter", "g"), unfolds, ("escape", "F")),
    "trace.fold": Press((*TRACE, "g"), r"!ebpftop ×\d+", ("z", "F", *FROM_TRACE)),
    "i": Press((*SYSCALLS, "g"), tells, BACK),
    "T": Press((*SYSCALLS, "g"), tells, BACK),
    "call.i": Press((*SYSCALLS, "g", "enter"), tells, ("escape", *BACK)),
    "call.T": Press((*SYSCALLS, "g", "enter"), tells, ("escape", *BACK)),
    "Z": Press(SYSCALLS, r"since [0-9:]+, Z", ("Z", *BACK)),
    "view.next": Press((), r"2 Units", ("V",)),
    "view.previous": Press((), r"2 Errnos", ("v",)),
    "syscalls.v": Press(SYSCALLS, r"since last", ("v", *BACK)),
    "syscalls.I": Press(SYSCALLS, r"^ Calls in flight", ("escape", *BACK)),
    "syscalls.s": Press(SYSCALLS, r"^ The tail-call table", ("escape", *BACK)),
    "syscalls.S": Press(SYSCALLS, r"^ Traced calls", ("escape", *BACK)),
}
ELSEWHERE = {
    "quit": "the last key of this test",
    "interrupt": "test_screen_keys.py, and the ending of each session of test_lifecycle.py",
    "suspend": "test_lifecycle.py: it needs a shell",
}


def bindings() -> Iterator[Binding]:
    """Yield each binding of the main screen and of what is on it."""
    owners: tuple[type[DOMNode], ...] = (
        AppKeys,
        MainKeys,
        PanesScreen,
        RowView,
        LogView,
        TableView,
        SyscallScreen,
    )
    for owner in (*owners, *panes().classes.values()):
        found: list[BindingType] = owner.__dict__.get("BINDINGS", [])
        for binding in found:
            assert isinstance(binding, Binding)
            # What has a key of the main screen has its id; here it is pressed too.
            yield replace(binding, id=f"call.{binding.id}") if owner is SyscallScreen else binding


class Terminal:
    """The demo in a terminal, played to its end."""

    def __init__(self) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._changed_s = self._pressed_s = time.monotonic()
        self._text = ""
        self._text_of_s = 0.0
        """What is shown, and of which change: pyte needs 10 ms of processor time for it."""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", EBPFTOP_CONFIG="", LC_ALL="C.UTF-8")
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
            os.execv(sys.executable, [sys.executable, "-m", "ebpftop", "demo", "--speed", "30"])
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # the terminal is closed: it has ended
            while True:
                drawn = os.read(self._fd, 1 << 16)
                with self._lock:
                    self._stream.feed(drawn)
                    self._changed_s = time.monotonic()

    def shown(self) -> str:
        with self._lock:
            if self._text_of_s != self._changed_s:
                self._text, self._text_of_s = "\n".join(self._screen.display), self._changed_s
            return self._text

    def wait(self, true: Callable[[str], bool]) -> bool:
        until_s = time.monotonic() + WITHIN_S
        while not true(self.shown()):
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        return True

    def settled(self) -> str:
        """Return what it shows once a key has changed something, if it does, and nothing changes any more."""
        until_s = self._pressed_s + SILENT_S
        while self._changed_s <= self._pressed_s and time.monotonic() < until_s:
            time.sleep(0.02)
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < min(until_s, self._changed_s + 0.25):
            time.sleep(0.02)
        return self.shown()

    def press(self, key: str) -> None:
        self._pressed_s = time.monotonic()
        os.write(self._fd, BYTES.get(key, key).encode())

    def end(self) -> int:
        """Return its exit status; it is killed if it does not end by itself."""
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_each_key_is_pressed_somewhere() -> None:
    assert {str(binding.id) for binding in bindings()} == PRESSES.keys() | ELSEWHERE.keys()


def presses() -> list[tuple[str, str, Press]]:
    """Return the binding, the key and what it does, for each key."""
    found: dict[tuple[str, str], Press] = {}
    for binding in bindings():
        if (press := PRESSES.get(str(binding.id))) is not None:
            found.update({(str(binding.id), key.strip()): press for key in binding.key.split(",")})
    return [(binding, key, press) for (binding, key), press in found.items()]


def press_all(terminal: Terminal, mine: Sequence[tuple[str, str, Press]]) -> list[str]:
    """Press these keys, then the one that quits; return what was wrong."""
    wrong = []
    assert terminal.wait(lambda shown: "recording ended" in shown), terminal.shown()
    for binding, key, press in mine:
        # A notice of the key before would hide that of this one, and parts of the screen.
        assert terminal.wait(lambda shown: "▌" not in shown)
        for one in press.before:
            terminal.press(one)
            terminal.settled()
        before = terminal.settled()
        terminal.press(key)
        if not terminal.wait(partial(press.seen, before)):
            wrong.append(f"{binding} by {key}:\n{terminal.shown()}")
        for one in press.after:
            terminal.press(one)
            terminal.settled()
    terminal.press("q")
    assert terminal.end() == 0
    return wrong


@pytest.mark.timeout(600)
def test_every_key_does_what_it_says() -> None:
    # One terminal is silent most of the time.
    terminals = [Terminal() for _ in range(TERMINALS)]
    try:
        with ThreadPoolExecutor(TERMINALS) as pressing:
            shares = [presses()[at::TERMINALS] for at in range(TERMINALS)]
            wrong = [one for share in pressing.map(press_all, terminals, shares) for one in share]
    finally:
        for terminal in terminals:
            with suppress(ProcessLookupError):
                os.kill(terminal.pid, signal.SIGKILL)
    assert not wrong, "\n".join(wrong)
