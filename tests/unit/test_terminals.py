"""`ebpftop demo` in terminals of several kinds: what it writes to them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ending import Session

ANY_COLOUR = re.compile(rb"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])\b[0-9;]*m")


@contextmanager
def demo(*options: str) -> Iterator[Session]:
    session = Session((sys.executable, "-m", "ebpftop", "demo", *options), "alone")
    try:
        yield session
    finally:
        session.throw_away()


def drawn(session: Session) -> bytes:
    assert session.wait_for(b"Exec log")
    assert session.wait_for(b"Quit")
    return session.output


def test_in_the_locale_c_nothing_but_ascii_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with demo() as session:
        assert drawn(session).isascii()
        session.press(b"?")
        assert session.wait_for(b"Help")
        assert session.output.isascii()


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with demo() as session:
        assert not ANY_COLOUR.search(drawn(session))
        assert b"\x1b[7m" in session.output or b";7m" in session.output


def test_without_all_colours_none_is_written_by_its_red_green_and_blue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORTERM", raising=False)
    with demo() as session:
        assert b"38;5;" in drawn(session)
        assert b"38;2;" not in session.output


def test_a_light_terminal_gets_the_light_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("COLORFGBG", raising=False)
    with demo() as session:
        assert session.wait_for(b"\x1b]11;?\x1b\\")
        session.press(b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\")
        assert session.wait_for(b"48;2;250;250;248")


def test_a_background_that_changes_is_followed_if_the_terminal_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("COLORFGBG", raising=False)
    with demo() as session:
        assert session.wait_for(b"\x1b]11;?\x1b\\")
        # A report that nobody asked for asks nothing of a terminal that has not answered.
        session.press(b"\x1b[?997;2n")
        assert b"\x1b[?2031h" not in drawn(session)
        session.press(b"\x1b]11;rgb:0000/0000/0000\x1b\\")
        assert session.wait_for(b"\x1b[?2031h")
        session.output = b""
        session.press(b"\x1b[?997;2n")
        assert session.wait_for(b"\x1b]11;?\x1b\\")
        session.press(b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\")
        assert session.wait_for(b"48;2;250;250;248")


def test_a_key_gives_the_mouse_away_and_takes_it_back() -> None:
    with demo("--no-mouse") as session:
        assert b"\x1b[?1000h" not in drawn(session)
        session.press(b"Y")
        assert session.wait_for(b"\x1b[?1000h")
        session.press(b"Y")
        assert session.wait_for(b"\x1b[?1000l")
