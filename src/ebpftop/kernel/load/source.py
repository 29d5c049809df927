"""A C file of the user's own: its programs, where they hang, and how its maps are to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ebpftop.core.c_text import CText, Function
from ebpftop.core.escape import printable
from ebpftop.kernel.load.events import Event
from ebpftop.kernel.load.hints import HintError, Hints, read_hints
from ebpftop.kernel.load.prefixes import Style, hook_of
from ebpftop.kernel.load.source_files import Included, Includes, SourceRefused, read_text

__all__ = ("ProgramSource", "Source", "SourceRefused", "read")

_NO_EVENTS: Mapping[str, tuple[Event, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """A program of a file. Without *events* it runs only from a slot of a prog array.

    *names* are what it may be called in the compiled object, *function* is the first. *from_name*: its name says where
    it hangs. *hint_line* is the line of the comment that says it, if one does.
    """

    function: str
    names: tuple[str, ...]
    events: tuple[Event, ...]
    style: Style
    from_name: bool
    written: Function
    hint_line: int | None = None

    @property
    def line(self) -> int:
        return self.written.line

    @property
    def end_line(self) -> int:
        return self.written.end_line


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read: *includes* are the files that it includes with quotes, by their names below its folder.

    *missing* are those that do not exist, and the lines that include them; *files* all that were looked for.
    *shows* has a meaning for ``MAP.key``, ``MAP.value``, ``MAP.FIELD``; *slots* functions by map and index, which is a
    number or the name of a system call. *structs* are the names of structs that it defines.
    """

    path: Path
    text: str
    c: CText
    includes: Mapping[str, Included]
    missing: Mapping[str, int]
    files: frozenset[Path]
    programs: tuple[ProgramSource, ...]
    structs: tuple[str, ...]
    shows: Mapping[str, str]
    slots: Mapping[str, Mapping[str, str]]
    lesson: int | None = None

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return self.path.name

    def line_of_map(self, name: str) -> int | None:
        """Return the line that declares a map, or that includes the file which does; None if it is not found."""
        own = self.c.line_of_map(name)
        included = (one.line for one in self.includes.values() if CText(one.text).line_of_map(name) is not None)
        return own if own is not None else next(included, None)

    def line_of_program(self, function: str) -> int | None:
        """Return the line that says where a program hangs: that of a comment, or its own."""
        found = self.program(function)
        return None if found is None else found.hint_line or found.line

    def program(self, function: str) -> ProgramSource | None:
        """Return the program that is called so in the compiled object."""
        return next((program for program in self.programs if function in program.names), None)


def read(path: Path, attach: Mapping[str, tuple[Event, ...]] = _NO_EVENTS) -> Source:
    """Read *path*; *attach* has the events of functions for which neither the file nor a name decides.

    Raises SourceRefused.
    """
    text = None
    includes = Includes(path)
    try:
        text = read_text(path)
        includes.read(CText(text))
        return read_from(path, text, includes, attach)
    except SourceRefused as error:
        error.text, error.files = text, frozenset(includes.files)
        raise


def read_from(
    path: Path, text: str, includes: Includes, attach: Mapping[str, tuple[Event, ...]] = _NO_EVENTS
) -> Source:
    """Do the same with a *text* that was read already."""
    c = CText(text)
    try:
        hints = read_hints(c.comments)
    except HintError as error:
        raise SourceRefused(
            str(error), error.remedy or "docs/workbench.md has the hints that a comment may give", error.line
        ) from error
    programs = tuple(_programs(c, {**hints.attach, **attach}, {**hints.lines, **dict.fromkeys(attach)}))
    if c.unclosed is not None and not (programs and _are_there(programs, hints, attach)):
        raise SourceRefused("this { is never closed", "add the } that is missing, here or further down", c.unclosed)
    if not programs:
        raise SourceRefused(
            f"{printable(path.name)} has no program", "a program is a function that is not static: int hello(void *ctx)"
        )
    _check_names(programs, hints, attach)
    included = (CText(one.text) for one in includes.found.values())
    structs = tuple(dict.fromkeys(name for one in (c, *included) for name in one.structs))
    return Source(
        path,
        text,
        c,
        includes=includes.found,
        missing=includes.missing,
        files=frozenset(includes.files),
        programs=programs,
        structs=structs,
        shows=hints.shows,
        slots=hints.slots,
        lesson=hints.lesson,
    )


def _programs(
    c: CText, attach: Mapping[str, tuple[Event, ...]], lines: Mapping[str, int | None]
) -> list[ProgramSource]:
    found: dict[str, ProgramSource] = {}
    for function in c.functions:
        hook = hook_of(function)
        if hook is None or hook.names[0] in found:
            continue
        named = next((name for name in hook.names if name in attach), "")
        asked = attach.get(named)
        events = asked if asked is not None else (hook.event,) if hook.event else ()
        from_name = asked is None and hook.event is not None
        found[hook.names[0]] = ProgramSource(
            hook.names[0], hook.names, events, hook.style, from_name, function, lines.get(named)
        )
    return list(found.values())


def _names(programs: tuple[ProgramSource, ...]) -> set[str]:
    return {name for program in programs for name in program.names}


def _are_there(programs: tuple[ProgramSource, ...], hints: Hints, attach: Mapping[str, tuple[Event, ...]]) -> bool:
    slots = (function for slot in hints.slots.values() for function in slot.values())
    return _names(programs) >= {*attach, *hints.attach, *slots}


def _check_names(programs: tuple[ProgramSource, ...], hints: Hints, attach: Mapping[str, tuple[Event, ...]]) -> None:
    """Refuse to attach, or to put into a slot, what is not there: it is a slip of the pen."""
    names = _names(programs)
    there = ", ".join(program.function for program in programs)
    slots = {function: hints.slot_lines[name, i] for name, slot in hints.slots.items() for i, function in slot.items()}
    lines = {**slots, **hints.lines, **dict.fromkeys(attach)}
    for function, line in lines.items():
        if function not in names:
            helps = "" if line is None else "; name one of those, or take this line away"
            raise SourceRefused(f"there is no program {printable(function)}", f"the file has {there}{helps}", line)
