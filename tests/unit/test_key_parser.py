"""What a terminal sends that none should: it is passed over, and the next key arrives."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.events import Key, Paste

from ebpftop.ui.textual_fixes.key_parser import PASTE_MAX, BackgroundReported, KeyParser, SchemeChanged
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


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[KeyParser, float], list[str]]:
    """Let seconds go by in which the terminal sends nothing; return what that means."""
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)

    def go_by(keys: KeyParser, seconds: float) -> list[str]:
        nonlocal now_s
        names: list[str] = []
        for _ in range(round(seconds / 0.05)):
            now_s += 0.05
            names += told(keys.tick())
        return names

    return go_by


@pytest.mark.parametrize(("told_ms", "delay_s"), [(None, 0.025), ("300", 0.3), ("never", 0.1)])
def test_escape_waits_as_long_as_the_user_says_or_as_other_programs_do(told_ms: str | None, delay_s: float) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ESCDELAY"}
    if told_ms is not None:
        environment["ESCDELAY"] = told_ms
    code = "import ebpftop.ui.textual_fixes.settings; from textual.constants import ESCAPE_DELAY; print(ESCAPE_DELAY)"
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert float(printed.stdout) == delay_s


def test_what_follows_an_escape_that_was_told_already_is_its_rest_and_is_not_typed(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[KeyParser, float], list[str]]
) -> None:
    # GIVEN a line so slow that all but Escape comes later than Escape waits
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.025)
    for sequence in (*ANSI_SEQUENCES_KEYS, *ANSWERS):
        if sequence[:1] != "\x1b" or sequence[1:2] not in tuple("[O]P_^X") or len(sequence) == 2:
            continue
        keys = KeyParser()
        told(keys.feed("\x1b"))
        assert wait(keys, 0.05) == ["escape"]
        # THEN the rest is what it is with Escape, also where it is cut once more
        whole = told(KeyParser().feed(sequence))
        assert told(keys.feed(sequence[1:])) == whole, sequence
        for at in range(3, len(sequence)):
            keys = KeyParser()
            keys.feed("\x1b")
            assert wait(keys, 0.05) == ["escape"]
            assert [*told(keys.feed(sequence[1:at])), *told(keys.feed(sequence[at:]))] == whole, (sequence, at)
    # AND what cannot be one, or comes later, is typed
    for seconds, typed in ((0.05, "q"), (0.2, "[")):
        keys = KeyParser()
        keys.feed("\x1b")
        assert wait(keys, seconds) == ["escape"]
        assert told(keys.feed(typed)) == [{"[": "left_square_bracket"}.get(typed, typed)]


def test_only_escape_alone_is_told_soon(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[KeyParser, float], list[str]]
) -> None:
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.025)
    for begun, waits_s in (("", None), ("\x1b", 0.025), ("\x1b[", 0.1), ("\x1bO", 0.1), ("\x1b[<0;", 0.1)):
        keys = KeyParser()
        keys.feed(begun)
        assert keys.wait_s == pytest.approx(waits_s) if waits_s else keys.wait_s is None
        assert wait(keys, 0.05) == ["escape"] * (begun == "\x1b")


STRINGS = tuple(f"\x1b{introducer}" for introducer in "]P_^X")


@pytest.mark.parametrize("begin", STRINGS, ids=repr)
def test_a_string_that_is_cut_short_is_never_typed(begin: str, wait: Callable[[KeyParser, float], list[str]]) -> None:
    # GIVEN a string of 100 kB that the terminal does not end
    keys = KeyParser()
    names = told(keys.feed(begin + "52;c;"))
    for _ in range(25):
        names += told(keys.feed("q1\r\n" * 1024))
        names += wait(keys, 0.5)
    assert names == []
    # THEN nothing of it is a key, and the first key after a pause is
    assert wait(keys, 1.0) == []
    assert told(keys.feed("j")) == ["j"]


@pytest.mark.parametrize("begin", STRINGS, ids=repr)
@pytest.mark.parametrize(
    ("end", "means"),
    [
        *[(end, []) for end in ("\x07", "\x18", "\x1a", "\x1b\\", "\x9c", "\x1b]0;q\x1b\\")],
        # With what follows it, Escape begins a sequence; alone it may be half of what ends the string, and is no key.
        *[("\x1b[A", ["up"]), ("\x1b\x1b[A", ["up"]), ("\x1b[200~q\x1b[201~", ["paste:q"])],
    ],
    ids=repr,
)
def test_what_ends_a_string(begin: str, end: str, means: list[str]) -> None:
    sent = f"{begin}q;1{end}j"
    for at in range(1, len(sent)):
        assert fed(sent[:at], sent[at:]) == [*means, "j"], at


def test_ctrl_c_alone_ends_whatever_was_begun() -> None:
    for begun in (
        *(f"{begin}q" for begin in STRINGS),
        "\x1b[<0;5",
        "\x1b[?" + "1;" * 99,
        "\x1b[200~q",
        "\x1bO",
        "\x1b[",
    ):
        assert fed(begun, "\x03")[-1:] == ["ctrl+c"], repr(begun)


ANSWERS = (
    *("\x1b[?62;22;52c", "\x1b[>1;7000;0c", "\x1b[=3c", "\x1b[0n", "\x1b[?1u", "\x1b[4;900;1600t"),
    *("\x1b[<0;10;11M", "\x1b[48;24;80;480;800t", "\x1b[?2026;2$y", "\x1b[12;40R", "\x1b[M !1", "\x1b[1;2;3;4 q"),
    *("\x1b]11;rgb:1111/qqqq/1111\x07", "\x1bP1$r0m\x1b\\", "\x1b_Gi=1;OK\x1b\\", "\x1b[?1;2S"),
)


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_is_no_key_wherever_it_is_cut(answer: str, wait: Callable[[KeyParser, float], list[str]]) -> None:
    for at in range(2, len(answer) + 1):
        keys = KeyParser()
        names = [*told(keys.feed(answer[:at])), *wait(keys, 2.0)]
        # What is cut behind its first two characters is what Alt and a key send: no key that does anything.
        assert len(names) <= (at == 2), answer[:at]
        assert all(name.startswith("alt+") for name in names), answer[:at]
        assert told(keys.feed("j")) == ["j"]
        # The same, and a sequence behind it instead of a pause.
        names = fed(answer[:at] + "\x1b[B")
        assert names[-1] == "down", answer[:at]
        assert all(name.startswith("alt+") for name in names[:-1]), answer[:at]


def test_every_key_that_textual_knows_is_one_wherever_it_is_cut(wait: Callable[[KeyParser, float], list[str]]) -> None:
    for sequence in ANSI_SEQUENCES_KEYS:
        if not sequence.startswith("\x1b") or sequence in ("\x1b", "\x1b\x1b"):
            continue
        whole = told(list(XTermParser().feed(sequence)))
        for at in range(1, len(sequence)):
            keys = KeyParser()
            names = [*told(keys.feed(sequence[:at])), *told(keys.feed(sequence[at:])), *wait(keys, 0.2)]
            assert names == whole, (sequence, at)


def test_alt_and_a_character(wait: Callable[[KeyParser, float], list[str]]) -> None:
    for sent, name in {
        "x": "alt+x",
        "P": "alt+shift+p",
        "]": "alt+right_square_bracket",
        "[": "alt+left_square_bracket",
        "O": "alt+shift+o",
    }.items():
        keys = KeyParser()
        assert [*told(keys.feed(f"\x1b{sent}")), *wait(keys, 0.2)] == [name]
        assert told(keys.feed("j")) == ["j"]


def test_where_a_sequence_begins_that_is_passed_over_its_rest_is_no_key() -> None:
    for begun, rest in (("\x1b]0;", "q1\x07"), ("\x1b[<0;", "1;1M"), ("\x1b[200~", "q\x1b[201~"), ("\x1bO", "A")):
        keys = KeyParser()
        keys.pass_over("jjjj" + begun)
        assert set(told(keys.feed(rest + "k"))) <= {"k", "up", "paste:q"}
        keys = KeyParser()
        keys.pass_over(begun + rest)
        assert told(keys.feed("k")) == ["k"]


@pytest.mark.parametrize("seed", range(20))
def test_any_pieces_in_any_order_leave_it_alive(seed: int, wait: Callable[[KeyParser, float], list[str]]) -> None:
    draw = random.Random(seed)
    pieces = [*ANSWERS, *STRINGS, *(odd.decode("utf-8", "replace") for odd in ODD), "j", "\x1b", "\x03", "\x18", "\x1a"]
    keys = KeyParser()
    for _ in range(300):
        text = "".join(draw.choices(pieces, k=3))
        at = draw.randrange(len(text) + 1)
        for piece in filter(None, (text[:at], text[at:])):
            (keys.feed if draw.random() < 0.8 else keys.pass_over)(piece)
        if draw.random() < 0.3:
            wait(keys, draw.choice((0.05, 0.2, 1.5)))
    wait(keys, 2.0)
    assert told(keys.feed("j")) == ["j"]


# ---- The terminal's background ----


@pytest.mark.parametrize("end", ["\x1b\\", "\a"])
@pytest.mark.parametrize(
    ("said", "colour"),
    [
        ("rgb:ffff/0000/8080", (1.0, 0.0, 0.502)),
        ("rgb:ff/00/80", (1.0, 0.0, 0.502)),
        ("rgba:ffff/0000/8080/ffff", (1.0, 0.0, 0.502)),
    ],
)
def test_the_background_arrives_wherever_the_answer_is_cut(
    said: str, colour: tuple[float, float, float], end: str
) -> None:
    answer = f"\x1b]11;{said}{end}"
    for at in range(len(answer) + 1):
        keys = KeyParser()
        messages = [*keys.feed(f"a{answer[:at]}"), *keys.feed(f"{answer[at:]}b")]
        assert told(messages) == ["a", "b"]
        (reported,) = [message for message in messages if isinstance(message, BackgroundReported)]
        assert reported.colour == pytest.approx(colour, abs=1e-3)


@pytest.mark.parametrize("scheme", "12")
def test_other_colours_of_the_terminal_are_reported_wherever_the_report_is_cut(scheme: str) -> None:
    report = f"\x1b[?997;{scheme}n"
    for at in range(len(report) + 1):
        keys = KeyParser()
        messages = [*keys.feed(f"a{report[:at]}"), *keys.feed(f"{report[at:]}b")]
        assert told(messages) == ["a", "b"]
        assert len([message for message in messages if isinstance(message, SchemeChanged)]) == 1
    assert KeyParser().feed("\x1b[?997;3n\x1b[?996;1n") == []


@pytest.mark.parametrize(
    "odd", ["\x1b]11;?\a", "\x1b]11;rgb:x/y/z\a", "\x1b]12;rgb:ff/ff/ff\a", "\x1bP11;rgb:ff/ff/ff\a"]
)
def test_what_is_no_answer_says_nothing(odd: str) -> None:
    assert KeyParser().feed(odd) == []
