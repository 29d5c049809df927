"""What became of a user's file, as a record: its programs and its maps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ebpftop.core.escape import escape, printable
from ebpftop.core.load_records import Code, CodeLine, Diagnostic, Loaded, LoadedMap, LoadedProgram
from ebpftop.kernel.bpf_names import map_type, program_type
from ebpftop.kernel.bpf_programs import program_id
from ebpftop.kernel.load import server
from ebpftop.kernel.load.attempt import Attempt
from ebpftop.kernel.load.built import CodeRequest, ShownCode
from ebpftop.kernel.load.loading import Loading, ProgramFacts, ProgramState
from ebpftop.kernel.load.map_layouts import MapLayout
from ebpftop.kernel.load.maps import OpenMap
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes.load_problems import TAB, diagnostics, not_attached

_LINES_MAX = 20_000
_CODE_MAX = 10_000
"""Instructions of a program that a record has."""
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
    return tuple(escape(line.expandtabs(TAB)) for line in text.split("\n", _LINES_MAX)[:_LINES_MAX])


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


def loaded(
    now: float, path: Path, tried: Loading, good: Loading | None, facts: Facts, problems: tuple[Diagnostic, ...] | None
) -> Loaded:
    """Return the record of what *tried* came to; *good* is what runs now.

    *problems* are its diagnostics if they are known already.
    """
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
        unattached=tuple(
            printable(one.name) for one in programs if good is not None and one.events and not one.attached
        ),
        diagnostics=tuple(diagnostics(tried, path.name)) if problems is None else problems,
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
        reason=None if state.reason is None else printable(not_attached(state)[0]),
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
            shown, unnamed = _shown(running, one.fd if one.plain_fd is None else one.plain_fd, request, root)
            yield Code(
                time=now,
                program=printable(one.name),
                generation=loading.generation,
                xlated=tuple(map(_safe, shown.xlated[:_CODE_MAX])),
                native=tuple(map(_safe, shown.native[:_CODE_MAX])),
                arch=printable(shown.arch),
                unnamed=unnamed,
            )


def _shown(running: LoadServer, program_fd: int, request: CodeRequest, root: RootWork) -> tuple[ShownCode, str | None]:
    """Return the code of a program, and why it has no names of helpers; None if it has.

    Of a call of a helper, the kernel hides the number too: its name cannot be kept from before.
    """
    try:
        own_fd = root.program_fd(program_id(program_fd))
    except OSError as error:
        return running.code(program_fd, request), f"no names of helpers, no machine code: {_why(error)}"
    try:
        return running.code(own_fd, request), None
    finally:
        os.close(own_fd)


def _why(error: OSError) -> str:
    """Return why root's rights cannot be used."""
    if error.errno in (errno.EPIPE, errno.EBADF, errno.ECONNRESET):
        return "ebpftop-root, which opens them, has ended"
    return printable(error.strerror or str(error) or type(error).__name__)


def _safe(line: CodeLine) -> CodeLine:
    text, function = printable(line.text), line.function and printable(line.function)
    return (
        line
        if (text, function) == (line.text, line.function)
        else CodeLine(at=line.at, text=text, line=line.line, function=function)
    )
