"""Lines of what a program writes to a terminal: as it would look there, and safe to draw."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.escape import is_shown
from ebpftop.models.terminal_lines import LINE_BYTES, TerminalLines


def lines_of(*pieces: bytes) -> list[str]:
    lines = TerminalLines()
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end_line()


@pytest.mark.parametrize(
    ("written", "drawn"),
    [
        (b"plain\r\n", "plain"),
        (b"\x1b[1;31mred\x1b[0m and \x1b]0;a title\x07not\n", "red and not"),
        (b" 10%\r 20%\r100%\n", "100%"),
        (b"longer text\rshort\x1b[K\n", "short"),
        (b"longer text\rshort\n", "shortr text"),
        (b"abc\b\bX\n", "aXc"),
        (b"a\tb\n", "a       b"),
        (b"abcdef\x1b[3Gx\x1b[2Cy\x1b[4Dz\n", "abzdey"),
        (b"wiped\x1b[2K\n", ""),
        (b"\x07ding\x00\x0e\x0f\n", "ding"),
        (b"up\x1b[3A\x1b[2Jdown\n", "updown"),
        (b"\x1bP1$tsixel\x1b\\shown\x1b(B\x1b=\n", "shown"),
        (b"form\x0cfeed\n", r"form\x0cfeed"),
        (b"\xff\xe2\x82\xac\n", r"\xff€"),
        ("\u202egnp.exe\n".encode(), r"\u202egnp.exe"),
        (b"\x1b[999999999999Cfar\n", " far"),
    ],
)
def test_a_line_looks_as_on_a_terminal(written: bytes, drawn: str) -> None:
    assert lines_of(written) == [drawn]


def test_a_sequence_may_come_in_two_pieces() -> None:
    lines = TerminalLines()
    assert lines.feed(b"see \x1b[3") == []
    assert lines.unfinished == "see"
    assert lines.feed(b"1mred\x1b[0") == []
    assert lines.unfinished == "see red"
    assert lines.feed(b"m\n") == ["see red"]
    assert lines.unfinished == ""


def test_a_character_may_come_in_two_pieces() -> None:
    euro = "€".encode()
    assert lines_of(b"a " + euro[:1], euro[1:] + b" b\n") == ["a € b"]


def test_a_line_without_end_is_cut_between_characters_and_takes_no_more_memory() -> None:
    drawn = lines_of(*["€".encode() * 1000] * 20)
    assert "".join(drawn) == "€" * 20_000
    assert all(len(line.encode()) <= LINE_BYTES for line in drawn)


def test_a_progress_bar_without_end_is_one_line() -> None:
    assert lines_of(*(b"\r%d of 100000" % n for n in range(100_001)), b" done\n") == ["100000 of 100000 done"]


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_nothing_that_is_written_can_control_a_terminal(pieces: list[bytes]) -> None:
    for line in lines_of(*pieces):
        assert all(map(is_shown, line.replace(" ", ""))) or line.isprintable()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_where_it_is_cut_changes_nothing(written: bytes, at: int) -> None:
    assert lines_of(written[:at], written[at:]) == lines_of(written)


def test_carriage_returns_without_end_make_no_lines() -> None:
    lines = TerminalLines()
    assert lines.feed(b"done") == []
    for _ in range(10):
        assert lines.feed(b"\r" * 3000) == []
    assert lines.unfinished == "done"
