"""The terminal is asked for its background, and nobody waits for the answer; nor is it read as typed."""

from __future__ import annotations

import os
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from ebpftop.lifecycle.terminal import ANSWER_S, Terminal, background_in

QUESTION = b"\x1b]11;?\x1b\\"
ANSWER = b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\"


class Ends(NamedTuple):
    """A terminal of a process, and what a terminal program would read and write."""

    terminal: Terminal
    other_fd: int

    def ask(self, on_quit: Callable[[], None] = lambda: None) -> None:
        self.terminal.take_keys(on_quit)
        self.terminal.ask_background()

    def asked(self) -> bytes:
        os.set_blocking(self.other_fd, False)
        try:
            return os.read(self.other_fd, 1024)
        except BlockingIOError:
            return b""

    def typed(self) -> bytes:
        """What a shell would read afterwards."""
        assert self.terminal.fd is not None
        tty.setraw(self.terminal.fd, termios.TCSANOW)
        try:
            return os.read(self.terminal.fd, 1024)
        except BlockingIOError:
            return b""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setenv("TERM", "xterm-256color")
    other_fd, its_fd = os.openpty()
    stdin = os.dup(0)
    os.dup2(its_fd, 0)
    terminal = Terminal()
    terminal.open()
    yield Ends(terminal, other_fd)
    terminal.typed_ahead()
    os.dup2(stdin, 0)
    assert terminal.fd is not None
    for fd in (stdin, its_fd, other_fd, terminal.fd):
        os.close(fd)


def until(wanted: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20
    while not wanted():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_an_answer_is_known_before_the_first_picture(ends: Ends) -> None:
    ends.ask(lambda: pytest.fail("that is no q"))
    assert ends.asked() == QUESTION
    assert ends.terminal.background is None
    os.write(ends.other_fd, b"j" + ANSWER + b"k")
    until(lambda: ends.terminal.background)
    assert ends.terminal.background == (1.0, 1.0, 1.0)
    # The screen gets it too: its parser knows what is a key.
    assert ends.terminal.typed_ahead() == b"j" + ANSWER + b"k"


def test_q_behind_an_answer_ends_it(ends: Ends) -> None:
    ended: list[bool] = []
    ends.ask(lambda: ended.append(True))
    os.write(ends.other_fd, ANSWER[:9])
    time.sleep(0.02)
    os.write(ends.other_fd, ANSWER[9:] + b"q")
    until(lambda: ended)
    os.write(ends.other_fd, b"q")
    time.sleep(0.02)
    assert ended == [True]


@pytest.mark.parametrize("term", ["linux", "vt220", "dumb", ""])
def test_terminals_that_would_print_it_are_not_asked(ends: Ends, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    ends.ask()
    assert ends.asked() == b""


def test_an_answer_that_comes_at_the_end_is_not_left_to_the_shell(ends: Ends) -> None:
    ends.ask()
    ends.terminal.typed_ahead()
    os.write(ends.other_fd, ANSWER)
    ends.terminal.restore()
    assert ends.typed() == b""


def test_a_terminal_that_never_answers_is_waited_for_once_and_not_for_long(ends: Ends) -> None:
    ends.ask()
    ends.terminal.typed_ahead()
    ends.terminal._asked_s = time.monotonic() - ANSWER_S / 2
    ends.terminal.restore()
    assert ends.terminal._asked_s is None
    ends.terminal._await_answer()  # at once


def test_nobody_waits_for_an_answer_that_is_there(ends: Ends) -> None:
    ends.ask()
    ends.terminal.background = (0.0, 0.0, 0.0)
    assert ends.terminal._asked_s is None


def test_only_a_terminal_that_has_answered_is_asked_again_and_once_at_a_time(ends: Ends) -> None:
    written: list[str] = []
    ends.ask()
    ends.terminal.ask_background_again(written.append)
    assert written == []
    ends.terminal.background = (0.0, 0.0, 0.0)
    for _ in range(3):
        ends.terminal.ask_background_again(written.append)
    assert written == [QUESTION.decode()]
    ends.terminal.background = (1.0, 1.0, 1.0)
    ends.terminal.ask_background_again(written.append)
    assert len(written) == 2


def test_the_forms_of_an_answer() -> None:
    assert background_in(b"\x1b]11;rgb:0/0/f\a") == (0.0, 0.0, 1.0)
    assert background_in(b"\x1b]11;rgb:0000/0000") is None
    assert background_in(b"\x1b]10;rgb:0/0/f\a") is None
