"""What is wrong with a user's file, of what became of it: by its lines, in words, and what to try."""

from __future__ import annotations

import errno
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from ebpftop.core.escape import escape, printable
from ebpftop.core.load_records import Diagnostic, Register
from ebpftop.kernel.load import meanings
from ebpftop.kernel.load.events import Event, parse
from ebpftop.kernel.load.lines import as_named, quoted
from ebpftop.kernel.load.loading import Loading, ProgramState
from ebpftop.kernel.load.misspelt import misspelt
from ebpftop.kernel.load.source_files import Included
from ebpftop.kernel.load.verifier_text import refused_place, without_addresses
from ebpftop.models.load_diagnostics import IncludedFile, of_compiler, of_verifier

TAB = 8
"""Cells of a tab in the records."""

_TRACEPOINT = re.compile(r"'struct tracepoint__(?P<category>\w+?)__(?P<event>\w+)'")
"""What BCC makes of the name of a tracepoint; of one that there is not, it makes nothing."""
_PROG_ARRAY = re.compile(r"\bBPF_PROG_ARRAY\b|\bBPF_MAP_TYPE_PROG_ARRAY\b|[\"']prog(?:_array)?[\"']")
_LOG_MAX = 64 << 10
_TEXT_MAX = 60
"""Characters of a line of another file that are quoted."""
_TOO_MUCH = "see macros and unrolled loops (#pragma unroll), which multiply code, and large arrays"


def diagnostics(tried: Loading, name: str) -> Iterator[Diagnostic]:
    """Yield what is wrong with what was *tried*; first why it failed, if it did."""
    yield from _of_stage(tried, name)
    yield from _of_hints(tried)
    yield from _of_missing(tried, name)
    yield from _of_idle(tried)


def _of_stage(tried: Loading, name: str) -> Iterator[Diagnostic]:
    log = lines_of(as_named(tried.output, name))
    if tried.stage == "clang" or (tried.ok and tried.output):
        included = {key: IncludedFile(one.line, one.text.split("\n")) for key, one in tried.included.items()}
        said = of_compiler(tried.output, tried.source.split("\n"), quoted(name), included)
        found = [_at_columns(one, tried.source, name) for one in _of_tracepoints(said, tried.source)]
        yield from found
        if found and not tried.ok:
            return
    if tried.stage == "verifier":
        yield from _of_verifier(tried, name)
        return
    if not tried.ok and tried.stage != "attach":
        stage: Literal["source", "clang"] = "source" if tried.stage == "source" else "clang"
        remedy = tried.remedy or (_TOO_MUCH if tried.stage == "limit" else "")
        yield Diagnostic(
            stage=stage, line=tried.line, message=printable(tried.error), suggestion=printable(remedy), log=log
        )
    yield from (_of_place(one, tried.remedy) for one in tried.programs if one.events and one.reason)
    for slot, reason in tried.slot_errors.items():
        yield Diagnostic(
            stage="attach",
            severity="warning",
            line=_hint_line(tried.source, f"{slot}="),
            message=printable(f"{slot} stays empty: {reason}"),
        )
    for state in tried.programs:
        if state.counts_reason:
            yield Diagnostic(
                program=printable(state.name),
                stage="verifier",
                severity="warning",
                line=state.line,
                message=printable(f"the lines of {state.name} are not counted: {state.counts_reason}"),
            )


def _of_tracepoints(said: Iterable[Diagnostic], source: str) -> Iterator[Diagnostic]:
    """Yield what clang said, but of the structure of a tracepoint that there is not only that there is none, once."""
    named: set[tuple[str, str]] = set()
    for one in said:
        found = _TRACEPOINT.search(one.message)
        target = (found["category"], found["event"]) if found else None
        wrong = misspelt(Event("tracepoint", target)) if target is not None else None
        if target is None or wrong is None:
            yield one
        elif target not in named:
            named.add(target)
            lines = enumerate(source.split("\n"), 1)
            line = next((at for at, text in lines if re.search(rf"\b{target[1]}\b", text)), one.line)
            yield msgspec.structs.replace(
                one, line=line, column=None, message=wrong.message, meaning="", suggestion=wrong.suggestion
            )


def _of_hints(tried: Loading) -> Iterator[Diagnostic]:
    """Yield which hints mean nothing: a slip of the pen would go unnoticed."""
    for place, word in tried.shows.items():
        name = place.partition(".")[0]
        known = meanings.WORDS if "." in place else meanings.STEPS
        message = suggestion = ""
        if word not in known:
            message, suggestion = f"{word} is not a meaning", f"one of {', '.join(known)}"
        elif tried.ok and name not in tried.maps:
            message, suggestion = f"there is no map {name}", f"the file has {', '.join(tried.maps) or 'none'}"
        if message:
            yield Diagnostic(
                stage="source",
                severity="warning",
                line=_hint_line(tried.source, f"{place}={word}"),
                message=f"show {place}={word}: {message}",
                suggestion=suggestion,
            )


def _hint_line(source: str, words: str) -> int | None:
    """Return the line of the hint that has *words*."""
    lines = enumerate(source.split("\n"), 1)
    return next((at for at, line in lines if words in line and "ebpftop:" in line.partition(words)[0]), None)


def _of_place(state: ProgramState, remedy: str) -> Diagnostic:
    """Return that a program does not hang at all its places, beside the line that says where."""
    reason, suggestion = not_attached(state)
    return Diagnostic(
        program=printable(state.name),
        stage="attach",
        severity="warning" if state.attached else "error",
        line=state.line,
        message=printable(reason),
        suggestion=printable(suggestion or remedy),
    )


def not_attached(state: ProgramState) -> tuple[str, str]:
    """Return why a program does not hang where it should, and what is probably meant; first if a name is wrong."""
    wrong = [found for text in state.events if (found := misspelt(parse(text))) is not None]
    if not wrong:
        return state.reason or "", ""
    return "; ".join(one.message for one in wrong), " ".join(filter(None, (one.suggestion for one in wrong)))


def _of_missing(tried: Loading, name: str) -> Iterator[Diagnostic]:
    """Yield which files that are included do not exist. They count as empty: what follows from that may be an error."""
    for file, line in tried.missing.items():
        yield Diagnostic(
            stage="source",
            severity="warning",
            line=line,
            message=f"there is no {printable(file)} beside {printable(name)}: it counts as empty",
            suggestion="it is read as soon as it is there; headers of the kernel are not needed",
        )


def _of_idle(tried: Loading) -> Iterator[Diagnostic]:
    """Yield which programs can never run: they hang nowhere, and there are no slots that they could be in."""
    texts = (tried.source, *(one.text for one in tried.included.values()))
    if not tried.ok or any(map(_PROG_ARRAY.search, texts)):
        return
    for state in tried.programs:
        if not state.events and state.fd is not None:
            name = printable(state.name)
            yield Diagnostic(
                program=name,
                stage="attach",
                severity="warning",
                line=state.line,
                message=f"{name} never runs: nothing says where it hangs, and no tail call leads to it",
                suggestion=f"a comment says where: // ebpftop: attach {name}=syscall:execve; or make it static inline",
            )


def _of_verifier(tried: Loading, name: str) -> Iterable[Diagnostic]:
    # One that was accepted has a log too, and is not loaded either, if another one is refused.
    refused = [state for state in tried.programs if state.errno]
    for state in refused:
        lines = {one.insn: one.line for one in state.lines if one.file == name}
        error = errno.errorcode.get(state.errno, "")
        log = without_addresses(state.log, state.insns)
        found = of_verifier(state.name, log, tried.source.split("\n"), quoted(name), lines=lines, error=error)
        found = found if found.line is not None else msgspec.structs.replace(found, line=state.line)
        yield _at_columns(_of_included(found, state, tried.included), tried.source, name)
    elsewhere = [one for one in tried.programs if one.fd is None and one not in refused and one.reason]
    yield from (_of_place(one, tried.remedy) for one in elsewhere)
    if not refused and not elsewhere:
        message, suggestion = printable(tried.error), printable(tried.remedy)
        yield Diagnostic(stage="verifier", line=tried.line, message=message, suggestion=suggestion)


def _of_included(found: Diagnostic, state: ProgramState, included: Mapping[str, Included]) -> Diagnostic:
    """Return *found* beside the line that includes a file, if it is about a line of that file."""
    place = refused_place(found.message, state)
    name = next((one for one in included if place is not None and place.file.endswith(f"/{one}")), None)
    if place is None or name is None:
        return found
    lines = included[name].text.split("\n")
    text = textwrap.shorten(lines[place.line - 1], _TEXT_MAX, placeholder=" ..") if place.line <= len(lines) else ""
    message = f"{name}:{place.line}: {found.message}{' in: ' if text else ''}{text}"
    return msgspec.structs.replace(found, line=included[name].line, column=None, message=message)


def _at_columns(one: Diagnostic, source: str, name: str) -> Diagnostic:
    """Return *one* with the column of the line as it is shown, instead of that in bytes; its texts are safe."""
    column = one.column
    lines = source.split("\n")
    if column is not None and one.line is not None and 0 < one.line <= len(lines):
        before = lines[one.line - 1].encode()[: column - 1].decode("utf-8", "replace")
        column = 1 + len(escape(before.expandtabs(TAB)))
    return msgspec.structs.replace(
        one,
        column=column,
        program=None if one.program is None else printable(one.program),
        message=printable(one.message),
        meaning=printable(one.meaning),
        suggestion=printable(one.suggestion),
        registers=tuple(Register(name=printable(each.name), text=printable(each.text)) for each in one.registers),
        log=lines_of(as_named("\n".join(one.log), name)),
    )


def lines_of(text: str) -> tuple[str, ...]:
    """Return the lines of what compiler or verifier wrote; of a long text the end."""
    return tuple(escape(line.expandtabs(TAB)) for line in text[-_LOG_MAX:].rstrip("\n").split("\n")) if text else ()


def in_a_line(name: str, one: Diagnostic, source: str) -> str:
    """Return a diagnostic as compilers print them, for who reads such lines: its column counts bytes of *source*."""
    where = ":".join(str(part) for part in (name, one.line, _byte_column(one, source)) if part is not None)
    program = f"{one.program}: " if one.program else ""
    parts = (part.rstrip().removesuffix(".") for part in (one.message, one.meaning, one.suggestion))
    return f"{where}: {program}{'; '.join(filter(None, parts))}"


def _byte_column(one: Diagnostic, source: str) -> int | None:
    lines = source.split("\n")
    if one.column is None or one.line is None or not 0 < one.line <= len(lines):
        return None
    line = lines[one.line - 1]
    ends = (end for end in range(len(line) + 1) if 1 + len(escape(line[:end].expandtabs(TAB))) >= one.column)
    return 1 + len(line[: next(ends, len(line))].encode())
