"""What became of a user's file, as a record: its programs, its maps, and what is wrong with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ebpftop.core.escape import escape, printable
from ebpftop.core.load_records import Code, CodeLine, Diagnostic, Loaded, LoadedMap, LoadedProgram, Register
from ebpftop.kernel.bpf_names import map_type, program_type
from ebpftop.kernel.bpf_programs import program_id
from ebpftop.kernel.load import meanings, server
from ebpftop.kernel.load.attempt import Attempt
from ebpftop.kernel.load.built import CodeRequest, ShownCode
from ebpftop.kernel.load.events import parse
from ebpftop.kernel.load.lines import as_named, quoted
from ebpftop.kernel.load.loading import Loading, ProgramFacts, ProgramState
from ebpftop.kernel.load.map_layouts import MapLayout
from ebpftop.kernel.load.maps import OpenMap
from ebpftop.kernel.load.misspelt import misspelt
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.load.verifier_text import without_addresses
from ebpftop.kernel.root_work import RootWork
from ebpftop.models.load_diagnostics import IncludedFile, of_compiler, of_verifier

_TAB = 8
_LOG_MAX = 64 << 10
_LINES_MAX = 20_000
_CODE_MAX = 10_000
"""Instructions of a program that a record has."""
_TOO_MUCH = "see macros and unrolled loops (#pragma unroll), which multiply code, and large arrays"
_WRITABLE = frozenset(
    ("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "prog_array")
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked of the kernel about what runs: programs by name, layouts of maps by name."""

    programs: Mapping[str, ProgramFacts]
    layouts: Mapping[str, MapLayout]
    maps: Mapping[str, OpenMap]


def source_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text as records have them: without tabs, and safe to show."""
    return tuple(escape(line.expandtabs(_TAB)) for line in text.split("\n", _LINES_MAX)[:_LINES_MAX])


def in_progress(
    now: float, state: Literal["compiling", "verifying"], path: Path, before: Loaded | None, attempt: Attempt, good: str
) -> Loaded:
    """Return what holds while a file is compiled or verified: its new text, of which nothing is known to be wrong.

    *good* is the text of what runs.
    """
    if before is None:
        before = Loaded(time=now, file=printable(path.name), path=printable(str(path)), state=state)
    source, running = before.source, before.running
    if attempt.source is not None:
        text = attempt.source.text
        source, running = source_lines(text), source_lines(good) if good and good != text else None
    return msgspec.structs.replace(
        before,
        time=now,
        state=state,
        saved=max(0.0, attempt.saved),
        source=source,
        running=running,
        diagnostics=(),
    )


def loaded(now: float, path: Path, tried: Loading, good: Loading | None, facts: Facts) -> Loaded:
    """Return the record of what *tried* came to; *good* is what runs now."""
    state: Literal["on", "failed"] = "on" if tried.ok else "failed"
    programs = good.programs if good is not None else tried.programs
    return Loaded(
        time=now,
        file=printable(path.name),
        path=printable(str(path)),
        state=state,
        generation=good.generation if good is not None else 0,
        saved=max(0.0, tried.saved),
        compile_s=tried.seconds,
        source=source_lines(tried.source),
        running=source_lines(good.source) if good is not None and good.source != tried.source else None,
        programs=tuple(_program(one, facts.programs.get(one.name)) for one in programs),
        maps=tuple(_map(one, facts.layouts[name]) for name, one in facts.maps.items() if name in facts.layouts),
        diagnostics=tuple(diagnostics(tried, path.name)),
    )


def _program(state: ProgramState, facts: ProgramFacts | None) -> LoadedProgram:
    attached = tuple(map(printable, state.attached))
    return LoadedProgram(
        name=printable(state.name),
        type=program_type(state.type) if state.type else "",
        id=facts.id if facts else None,
        tag=facts.tag if facts else "",
        event=", ".join(map(printable, state.events)) or None,
        attached=attached,
        via=", ".join(dict.fromkeys(place.partition(":")[0] for place in attached)) or None,
        insns=facts.xlated_bytes // 8 if facts else len(state.insns) // 8,
        jited_bytes=facts.jited_bytes if facts else 0,
        verified_insns=facts.verified_insns if facts else None,
        load_s=state.load_s,
        reason=None if state.reason is None else printable(_not_attached(state)[0]),
        attempts=state.attempts,
    )


def _map(one: OpenMap, layout: MapLayout) -> LoadedMap:
    kind = map_type(one.info.type)
    return LoadedMap(
        name=printable(one.name),
        type=kind,
        id=one.id,
        key=layout.key.field if layout.key else None,
        value=layout.value.field if layout.value else None,
        max_entries=one.info.max_entries,
        per_cpu=one.per_cpu,
        histogram=layout.histogram,
        writable=kind in _WRITABLE,
        kept=one.kept,
    )


def codes(now: float, loading: Loading, file: str, maps: Mapping[int, str], root: RootWork) -> Iterator[Code]:
    """Yield what the programs became that were loaded, as far as the kernel shows it; *maps* has names by id.

    The kernel hides addresses from whom it loaded a program for without CAP_SYSLOG: so *root* opens it again.
    """
    running = server.running()
    if running is None:
        return
    request = CodeRequest(file, dict(maps), loading.btf)
    for one in loading.programs:
        if one.fd is not None:
            shown = _shown(running, one.fd if one.plain_fd is None else one.plain_fd, request, root)
            yield Code(
                time=now,
                program=printable(one.name),
                generation=loading.generation,
                xlated=tuple(map(_safe, shown.xlated[:_CODE_MAX])),
                native=tuple(map(_safe, shown.native[:_CODE_MAX])),
                arch=printable(shown.arch),
            )


def _shown(running: LoadServer, program_fd: int, request: CodeRequest, root: RootWork) -> ShownCode:
    try:
        own_fd = root.program_fd(program_id(program_fd))
    except OSError:  # without root's rights
        return running.code(program_fd, request)
    try:
        return running.code(own_fd, request)
    finally:
        os.close(own_fd)


def _safe(line: CodeLine) -> CodeLine:
    text, function = printable(line.text), line.function and printable(line.function)
    return (
        line
        if (text, function) == (line.text, line.function)
        else CodeLine(at=line.at, text=text, line=line.line, function=function)
    )


def diagnostics(tried: Loading, name: str) -> Iterator[Diagnostic]:
    """Yield what is wrong with what was *tried*; first why it failed, if it did."""
    yield from _of_stage(tried, name)
    yield from _of_hints(tried)
    yield from _of_missing(tried, name)


def _of_stage(tried: Loading, name: str) -> Iterator[Diagnostic]:
    log = lines_of(as_named(tried.output, name))
    if tried.stage == "clang" or (tried.ok and tried.output):
        included = {key: IncludedFile(one.line, one.text.split("\n")) for key, one in tried.included.items()}
        said = of_compiler(tried.output, tried.source.split("\n"), quoted(name), included)
        found = [_at_columns(one, tried.source, name) for one in said]
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
    reason, suggestion = _not_attached(state)
    return Diagnostic(
        program=printable(state.name),
        stage="attach",
        severity="warning" if state.attached else "error",
        line=state.line,
        message=printable(reason),
        suggestion=printable(suggestion or remedy),
    )


def _not_attached(state: ProgramState) -> tuple[str, str]:
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


def _of_verifier(tried: Loading, name: str) -> Iterable[Diagnostic]:
    refused = [state for state in tried.programs if state.fd is None and (state.log or state.errno)]
    for state in refused:
        lines = {one.insn: one.line for one in state.lines if one.file == name}
        error = errno.errorcode.get(state.errno, "")
        log = without_addresses(state.log, state.insns)
        found = of_verifier(state.name, log, tried.source.split("\n"), quoted(name), lines=lines, error=error)
        found = found if found.line is not None else msgspec.structs.replace(found, line=state.line)
        yield _at_columns(found, tried.source, name)
    elsewhere = [one for one in tried.programs if one.fd is None and one not in refused and one.reason]
    yield from (_of_place(one, tried.remedy) for one in elsewhere)
    if not refused and not elsewhere:
        message, suggestion = printable(tried.error), printable(tried.remedy)
        yield Diagnostic(stage="verifier", line=tried.line, message=message, suggestion=suggestion)


def _at_columns(one: Diagnostic, source: str, name: str) -> Diagnostic:
    """Return *one* with the column of the line as it is shown, instead of that in bytes; its texts are safe."""
    column = one.column
    lines = source.split("\n")
    if column is not None and one.line is not None and 0 < one.line <= len(lines):
        before = lines[one.line - 1].encode()[: column - 1].decode("utf-8", "replace")
        column = 1 + len(escape(before.expandtabs(_TAB)))
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
    return tuple(escape(line.expandtabs(_TAB)) for line in text[-_LOG_MAX:].rstrip("\n").split("\n")) if text else ()
