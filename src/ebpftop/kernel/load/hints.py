"""What a comment in a C file says to ebpftop: where programs hang, how values are shown, what is in which slot.

// ebpftop: attach hello=syscall:execve
// ebpftop: show counter_table.key=uid output.delay=ns
// ebpftop: slot syscalls[execve]=hello_exec
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ebpftop.core.c_text import Comment
from ebpftop.kernel.load.events import Event, EventError, parse

_LINE = re.compile(r"^[\s/*]*ebpftop:[ \t]*(\S*)[ \t]*(.*?)[ \t]*(?:\*/)?[ \t]*$")
_SHOWN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=([a-z][a-z0-9_-]*)\Z")
_SLOT = re.compile(r"([A-Za-z_]\w*)\[(\w+)\]=([A-Za-z_]\w*)\Z")
_FURTHER = re.compile(r",(?=[a-z_]+:)")


class HintError(ValueError):
    """A hint that cannot be read: the line, and what one looks like."""

    def __init__(self, line: int, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.remedy = remedy


@dataclass(slots=True)
class Hints:
    """All hints of a file."""

    lesson: int | None = None
    attach: dict[str, tuple[Event, ...]] = field(default_factory=dict)
    shows: dict[str, str] = field(default_factory=dict)
    slots: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """The line of each function that is attached."""
    slot_lines: dict[tuple[str, str], int] = field(default_factory=dict)
    """The line of each slot, by map and index."""


def parse_attach(text: str) -> tuple[str, tuple[Event, ...]]:
    """Return function and events of ``FUNCTION=EVENT``; several events have commas between them. Raises EventError."""
    function, equals, events = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", function.strip()):
        raise EventError(f"{text!r} is not FUNCTION=EVENT", "for example hello=syscall:execve")
    return function.strip(), tuple(parse(event) for event in _FURTHER.split(events))


def parse_all_attach(texts: Iterable[str]) -> Mapping[str, tuple[Event, ...]]:
    """Return the events of each function of several `parse_attach` texts. Raises EventError."""
    found: dict[str, tuple[Event, ...]] = {}
    for text in texts:
        function, events = parse_attach(text)
        found[function] = found.get(function, ()) + events
    return found


def read_hints(comments: Iterable[Comment]) -> Hints:
    """Return what *comments* say. Raises HintError."""
    hints = Hints()
    for line, verb, rest in _lines(comments):
        parts = rest.split()
        if not parts:
            raise HintError(line, f"nothing follows {verb!r}" if verb else "nothing follows ebpftop:")
        for part in parts:
            _read(hints, line, verb, part)
    return hints


def _lines(comments: Iterable[Comment]) -> Iterator[tuple[int, str, str]]:
    for comment in comments:
        for line, text in enumerate(comment.text.split("\n"), comment.line):
            if found := _LINE.match(text):
                yield line, found[1], found[2]


def _read(hints: Hints, line: int, verb: str, part: str) -> None:
    if verb == "attach":
        try:
            function, events = parse_attach(part)
        except EventError as error:
            raise HintError(line, error.message, error.remedy) from error
        hints.attach[function] = hints.attach.get(function, ()) + events
        hints.lines[function] = line
    elif verb == "show":
        if not (found := _SHOWN.match(part)):
            raise HintError(line, f"{part!r} is not MAP.FIELD=MEANING, for example counter_table.key=uid")
        hints.shows[found[1]] = found[2]
    elif verb == "slot":
        if not (found := _SLOT.match(part)):
            raise HintError(line, f"{part!r} is not MAP[INDEX]=FUNCTION, for example syscalls[execve]=hello_exec")
        hints.slots.setdefault(found[1], {})[found[2]] = found[3]
        hints.slot_lines[found[1], found[2]] = line
    elif verb == "lesson":
        if not re.fullmatch(r"[1-9]", part):
            raise HintError(line, f"{part!r} is not the number of a lesson")
        hints.lesson = int(part)
    else:
        raise HintError(line, f"unknown hint {verb!r}; there are attach, show, slot and lesson")
