"""What a terminal sends that none should: it is passed over, and the next key arrives."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from textual.events import Key, Paste

from ebpftop.terminal_driver import PASTE_MAX, KeyParser
from tests.monkey import ODD

# Begun and never ended, by which the terminal says that what follows belongs to them.
ENDS = "\x1b[201~\x1b"


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_the_key_after_a_broken_sequence_arrives(odd: bytes) -> None:
    keys = KeyParser()
    keys.feed(odd.decode("utf-8", "replace"))
    keys.feed(ENDS)
    # A size without pixels makes the place of the mouse a division by zero.
    keys.feed("\x1b[<0;5;5M")
    messages = keys.feed("j")
    assert [message.key for message in messages if isinstance(message, Key)] == ["j"]


def test_what_follows_in_the_same_breath_is_not_lost() -> None:
    messages = KeyParser().feed("\x1b[1114112;1u\x1b[Ak")
    assert [message.key for message in messages if isinstance(message, Key)] == ["up", "k"]


def fed(*pieces: str) -> list[str]:
    """Return what *pieces* mean: the name of a key, or `paste:` and its text."""
    keys = KeyParser()
    return told([message for piece in pieces for message in (*keys.feed(piece), *keys.tick())])


def told(messages: Sequence[object]) -> list[str]:
    names = (m.key if isinstance(m, Key) else f"paste:{m.text}" for m in messages if isinstance(m, (Key, Paste)))
    return list(names)


@pytest.mark.parametrize("at", range(1, 28))
def test_a_paste_is_one_wherever_it_is_cut_and_whatever_it_holds(at: int) -> None:
    sent = "\x1b[200~a\x1b]0;q\x07\nq\x1bOq\x1b[201~j"
    assert fed(sent[:at], sent[at:]) == ["paste:a\x1b]0;q\x07\nq\x1bOq", "j"]


def test_a_paste_that_does_not_end_is_ended_by_ctrl_c_or_by_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fed("\x1b[200~abc", "\x03") == ["ctrl+c"]
    keys = KeyParser()
    assert told([*keys.feed("\x1b[200~ab"), *keys.tick()]) == []
    later_s = time.monotonic() + 10
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert told([*keys.tick(), *keys.feed("q")]) == ["paste:ab", "q"]


def test_a_huge_paste_is_cut() -> None:
    pieces = ["\x1b[200~", *["x" * 4096] * 300, "\x1b[20", "1~j"]
    assert fed(*pieces) == ["paste:" + "x" * PASTE_MAX, "j"]


@pytest.mark.parametrize(
    "answer",
    [
        "\x1bP>|XTerm(370)\x1b\\",
        "\x1b]10;rgb:ffff/ffff/ffff\x07",
        "\x1b]4;1;rgb:qqqq\x1b\\",
        "\x1b_Gi=31;OK\x1b\\",
        "\x1b[?" + "62;" * 40 + "c",
        "\x1b[48;" + "9" * 5000 + ";1;0;0t",
        "\x1b[<0;" + "9" * 9000 + ";9M",
    ],
)
def test_an_answer_that_nobody_asked_for_is_no_command(answer: str) -> None:
    pieces = [answer[at : at + 4096] for at in range(0, len(answer), 4096)]
    assert fed(*pieces, "j") == ["j"]


def test_escape_is_a_key_once_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyParser()
    assert told([*keys.feed("a\x1b"), *keys.tick()]) == ["a"]
    later_s = time.monotonic() + 0.11
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert told([*keys.tick(), *keys.feed("j")]) == ["escape", "j"]
    assert fed("\x1b", "[A", "\x1b[2", "4~") == ["up", "f12"]
