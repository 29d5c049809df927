"""What becomes of text that other programs chose: it can be seen, and it can be told from what looks like it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ebpftop.core.escape import MARKS_MAX, c_string, escape, is_shown

IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")

# Letters of every kind, marks, parts of Korean syllables, selectors, joiners and blanks, more often than chance has it.
CHARACTERS = st.one_of(
    st.characters(),
    st.sampled_from("ae \x1b\x7f\u0301\u0327\u0308\u200d\u0ac1\ufe0f\u3164\u2800\u115f\u034f\u1100\u1161\u11a8\uac00"),
    st.sampled_from("\u2764\U0001f469\u0958\u09be\u09c7\u09be"),
)
SEEN = ("", "/usr/bin/make -j2", "a \\ b", "grüße", "日本語", "Ελλάδα", "हिन्दी", "שָׁלוֹם", "👍🏽 ❤")


@pytest.mark.parametrize("text", SEEN)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert escape(text) == text
    assert escape(text.encode()) == text


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("ssh\u3164", "ssh\\u3164"),
        ("ssh\u2800", "ssh\\u2800"),
        ("\u115fssh", "\\u115fssh"),
        ("s\u034fsh", "s\\u034fsh"),
        ("ssh\ufe0f", "ssh\\ufe0f"),
        ("❤\ufe0f", "❤\\ufe0f"),
        ("👩\u200d💻", "👩\\u200d💻"),
        ("ssh\U000e0101", "ssh\\U000e0101"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        # Another way to write the same letter.
        ("e\u0301", "e\\u0301"),
        ("\u212bngstrom", "\\u212bngstrom"),
        ("\u1112\u1161\u11ab", "\u1112\\u1161\\u11ab"),
        # Marks: on nothing, on a blank, on a code, twice, and too many.
        ("\u0303x", "\\u0303x"),
        ("a \u0303", "a \\u0303"),
        ("\u200b\u0323", "\\u200b\\u0323"),
        ("x\u0323\u0323", "x\u0323\\u0323"),
        ("x\u0323\u0324\u0325\u0326", "x\u0323\u0324\u0325\\u0326"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_code(raw: str | bytes, escaped: str) -> None:
    assert escape(raw) == escaped


def test_every_ignorable_character_of_unicode_is_hidden_and_no_letter_of_a_name_is() -> None:
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if IGNORABLE.match(character):
            assert not is_shown(character), hex(point)
        elif is_shown(character):
            assert character.isprintable()
    assert all(map(is_shown, "aZ09ß€Жλあ漢한"))


@settings(max_examples=300, deadline=None)
@example("\ud800")
@given(st.text(CHARACTERS, max_size=30))
def test_whatever_comes_can_be_seen_and_is_written_in_one_way_only(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable()
    assert not IGNORABLE.search(shown)
    assert unicodedata.is_normalized("NFC", shown)
    assert escape(shown) == shown
    marks = 0
    for before, character in zip(" " + shown, shown, strict=False):
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        assert marks <= MARKS_MAX
        assert not marks or not before.isspace()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_bytes_of_any_kind_can_be_seen(raw: bytes) -> None:
    assert escape(raw).isprintable()


def test_a_field_of_the_kernel_ends_at_its_first_nul() -> None:
    assert c_string(b"ab\x07\0cd\0") == "ab\\x07"


@pytest.mark.parametrize("piece", ["\x7f", "e\u0301", "\u0301", "\u115f"], ids=ascii)
def test_a_text_of_megabytes_is_escaped_whole(piece: str) -> None:
    count = (2 << 20) // len(piece.encode())
    shown = escape(piece * count)
    # Not compared with ==: pytest would print both.
    assert len(shown) == len(escape(piece)) * count
    assert shown.isascii()
