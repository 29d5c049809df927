"""What a terminal sends that none should: it is passed over, and the next key arrives."""

from __future__ import annotations

import pytest
from textual.events import Key

from ebpftop.terminal_driver import KeyParser
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
