"""The filter that one types, on whatever text a program makes for it."""

from __future__ import annotations

import itertools
import re
import time

import pytest

from ebpftop.filters.regex import Pattern, PatternError, parse
from ebpftop.models.ring import PACE_S, Ring, View

TEXTS = (
    *("", "git push", "Git push", "grüße.txt", "GRÜSSE", "日本語 9", "a_b-c", "x\\x1b[2J", "٣ digits", "naïve_é", "ﬀ"),
    *(
        "--flag=1",
        "(a)",
        "[a]",
        "a{,3}",
        "^$",
        "/usr/lib/x86_64-linux-gnu",
        "fooooo",
        "K",
        "\u017f",
        "E=mc²",
        "x‿y",
        "Ⅷ",
    ),
)
SOURCES = (
    *("git", "Git", "^git", "push$", "g.t", "[g-j]it", "[^a-z]", r"\bpush\b", "a|b", "(?:fo)+", "fo{2,4}"),
    *(r"\w+", r"^\W", r"\d", r"\D", r"\s", r"\S", r"[\w-]+=", r"[^\w]", r"[\W]", r"[\d]$", r"[\D]", r"^[\W\d]"),
    *("ü", "Ü", "[à-ü]", "日", r"é\Z", r"\u00e9", r"\u65e5", r"\x5b", r"\.", r"\\x1b", "a{,3}$", "[]]", "[^]a]"),
    *("(?P<n>g)it", "(?i)GIT", "(?i:G)it", "colou?r", "a*?", "x??", "", r"\(", "²", r"\S+push"),
)


def pattern(text: str) -> Pattern:
    parsed = parse(text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize("typed", SOURCES)
def test_what_pythons_expressions_match_is_matched(typed: str) -> None:
    if not typed:
        assert parse(typed) is None
        return
    capitals = re.search(r"[A-ZÜ]", re.sub(r"\\.|\(\?P", "", typed))
    reference = re.compile(typed, 0 if capitals else re.IGNORECASE)
    for text in TEXTS:
        found = reference.search(text) is not None
        assert pattern(typed).matches(text) is found, text


def test_a_plain_word_is_found_as_its_expression_is() -> None:
    for word, text in itertools.product(("git", "Git", "a_b-c", "x86_64-linux"), TEXTS):
        assert pattern(word).matches(text) is pattern(f"(?:{word})").matches(text)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("(", "a ( is not closed"),
        ("a)", "a ) has no ( before it"),
        ("[a", "a [ is not closed"),
        ("*a", "nothing before * to repeat"),
        ("a**", "** repeats what is repeated already"),
        ("a++", "++ repeats what is repeated already"),
        ("a{2000}", "up to 1,000"),
        ("(((a{100}){100}){100})", "up to 1,000"),
        ("(x+x+){1000}y", "too large"),
        ("a" * 100_000, "too large"),
        ("\\", "a \\ at the end"),
        (r"\y", r"\y means nothing"),
        ("[z-a]", "z-a is an unknown range"),
        (r"(a)\1", r"a back-reference, \1, cannot be matched in bounded time"),
        ("(?P<a>b)(?P=a)", "a back-reference"),
        ("(?=a)", "a look-ahead"),
        ("(?!a)", "a look-ahead"),
        ("(?<=a)", "a look-behind"),
        ("(?>a)", "an atomic group"),
        ("(?#a)", "a comment"),
        ("(a)(?(1)b)", "a condition"),
        ("(?P<", "is unknown"),
        ("a{99999999}", "up to 1,000"),
        ("a{3,99999999}", "up to 1,000"),
        ("\ud800", "not text"),
    ],
)
def test_what_cannot_be_matched_is_said_in_words(typed: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PatternError) as raised:
        parse(typed)
    assert words in str(raised.value)
    assert len(str(raised.value)) < 100
    # RE2 has a log of its own; the screen is no place for it.
    assert capfd.readouterr() == ("", "")


EXPLODING = (
    "(a+)+$",
    "(a|a)*b",
    "(a|aa)+$",
    "(.*)*x",
    r"(?:[01]*1[01]{200})x",
    "(.?){30}b",
    "((a{10}){4}){6}x",
    r"(\w+\s?)*$y",
)


@pytest.mark.parametrize("typed", EXPLODING)
@pytest.mark.parametrize("size", [60, 2_000_000])
def test_no_text_makes_an_expression_take_long(typed: str, size: int, capfd: pytest.CaptureFixture[str]) -> None:
    matcher = pattern(typed)
    dice = itertools.cycle("0110100110010110" * 3 + "1")
    for text in ("a" * size + "!", "".join(itertools.islice(dice, size)), "é " * (size // 2)):
        began = time.monotonic()
        matcher.matches(text)
        # Python's own needs longer than the universe lasts for the first of these.
        assert time.monotonic() - began < 10
    assert capfd.readouterr() == ("", "")


def test_a_text_is_searched_as_far_as_it_takes_no_time() -> None:
    assert pattern("wa+ldo").matches("x" * 100_000 + "waldo")
    assert not pattern("[a-z]+waldo").matches("-" * 10_000_000 + "xwaldo")


def test_a_slow_filter_is_let_go_on_later() -> None:
    ring: Ring[int] = Ring()
    view = View(ring)
    for row in range(50):
        ring.append(row)

    def passes(row: int) -> bool:
        time.sleep(PACE_S / 4)
        return row % 2 == 0

    view.set_filter(passes)
    for row in range(50, 100):
        ring.append(row)
    view.advance()
    assert view.behind
    steps = 1
    while view.scan(1000):
        steps += 1
    assert steps > 5
    assert not view.behind
    assert [view[at] for at in range(view.first, view.end)] == list(range(0, 100, 2))
