"""The records of a BPF program of one's own, run by `ebpftop load FILE.c` (docs/workbench.md).

`Loaded` says what was compiled, loaded and attached, and what is wrong with it; `Code` what became of each program.
They hold until the next one comes. `ProgramRuns`, `LineCounts` and `MapReading` are read every interval; `BpfEvent` is
what a program gave to a perf or ring buffer.

A decoded value is what JSON has: null, true and false, integers of 64 bits, floats ("nan", "inf" and "-inf" as text),
text, arrays, and objects of the members of a structure by name. `Field` says of what type it is and what it means.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from ebpftop.core.records import Attempt, Count, Event, TableReading, Time, TimedRecord

Value: TypeAlias = object
"""A decoded value: see above."""

FieldKind: TypeAlias = Literal[
    "int", "uint", "bool", "float", "enum", "string", "bytes", "struct", "union", "array", "pointer", "unknown"
]
# fmt: off
Meaning: TypeAlias = Literal[
    "", "uid", "gid", "pid", "tid", "ns", "time", "ip4", "ip6", "port", "mac", "cpu", "errno", "ret", "syscall",
    "bytes", "stack", "program", "slot", "dev", "inode", "signal", "hex",
]
# fmt: on
LoadState: TypeAlias = Literal["compiling", "verifying", "on", "failed"]
Stage: TypeAlias = Literal["source", "clang", "verifier", "attach"]

DEEPEST = 16
"""Values within values, at most: a structure within structures, an array of arrays."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A type as the BTF of the object has it: of a key, a value, an event, or of a member of one.

    `name` is that of the member, empty for the whole. `type` is written as in C (``struct data_t``, ``u64``,
    ``char[16]``). `size` is in bytes; `bits` its width if it is a bit-field, else 0. An array has `count` elements, all
    of the one type in `fields`; a structure or a union has its members there. `values` are the numbers of an enum.
    """

    name: str = ""
    type: str
    kind: FieldKind
    meaning: Meaning = ""
    size: Count = 0
    bits: Count = 0
    count: Count = 0
    values: dict[str, int] = {}
    fields: tuple[Field, ...] = ()


class Register(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the verifier knew of a register, in words."""

    name: str
    text: str


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is wrong with the file, of one program or of all: what was said, what it means, and what to try.

    `line` and `column` are those of `Loaded.source`, from 1. `path`: the lines on the way there, as the verifier
    walked them. `log` is all that compiler or verifier said, line by line; of more than 64 KiB the end.
    """

    program: str | None = None
    stage: Stage
    severity: Literal["error", "warning", "note"] = "error"
    line: int | None = None
    column: int | None = None
    message: str
    meaning: str = ""
    suggestion: str = ""
    registers: tuple[Register, ...] = ()
    path: tuple[int, ...] = ()
    log: tuple[str, ...] = ()


class LoadedProgram(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A function of the file that is a BPF program.

    `event` is where it was asked to hang (``syscall:execve``), null for one that is only reached by a tail call;
    `attached` where it does, `via` which attach option that is. `reason` and `remedy`: why it is not attached, or not
    loaded (then `id` is null). `insns` are its instructions as the verifier left them, `verified_insns` how many it
    walked, where the kernel says so.
    """

    name: str
    type: str
    id: int | None = None
    tag: str = ""
    event: str | None = None
    attached: tuple[str, ...] = ()
    via: str | None = None
    insns: Count = 0
    jited_bytes: Count = 0
    verified_insns: int | None = None
    load_s: float = 0.0
    reason: str | None = None
    remedy: str | None = None
    attempts: tuple[Attempt, ...] = ()


class LoadedMap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A map of the file. `value` is of what it holds, of a perf or ring buffer of its events; null if that is unknown.

    `histogram`: its values are counts of powers of two (``log2``), or of equal steps (``linear``).
    `writable`: its cells may be written. `kept`: it went on from before the last reload.
    """

    name: str
    type: str
    id: int | None = None
    key: Field | None = None
    value: Field | None = None
    max_entries: Count = 0
    per_cpu: bool = False
    histogram: Literal["log2", "linear"] | None = None
    writable: bool = False
    kept: bool = False


class Loaded(TimedRecord, frozen=True, kw_only=True, tag="loaded"):
    """What became of the file when it was started, and each time it was saved; it holds until the next one comes.

    `source` has its lines, without tabs: those are blanks up to the next column of eight.

    `state` is ``compiling``, ``verifying``, ``on``, or ``failed``. Unless it is on, `source` and `diagnostics` are of
    what is tried, or was, and `programs` and `maps` of the last good one, which runs on, if there is one; `running` is
    its source (null: it is `source`). While it is compiled or verified, there are no `diagnostics` yet. `generation`
    counts those that were good. `unattached` are the programs that run nowhere, though the file says where they are to
    hang: their `reason` says why. `saved` is when the file was saved, `compile_s` how long it took to compile, load and
    attach.
    """

    file: str
    path: str
    state: LoadState
    generation: Count = 0
    saved: Time = 0.0
    compile_s: float = 0.0
    source: tuple[str, ...] = ()
    running: tuple[str, ...] | None = None
    programs: tuple[LoadedProgram, ...] = ()
    maps: tuple[LoadedMap, ...] = ()
    unattached: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    paths = ("path", "message", "meaning", "suggestion", "text")


class CodeLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An instruction: `at` is its number, of native code the byte that it begins at; `line` its line in the file.

    `function` is set where a function begins.
    """

    at: Count
    text: str
    line: int | None = None
    function: str | None = None


class Code(TimedRecord, frozen=True, kw_only=True, tag="code"):
    """What a program of the file became: its instructions as the verifier left them, and as the kernel runs them.

    It holds until the next one of that program. `native` is empty if the kernel does not show it; `arch` is its
    machine, as ``uname -m`` has it. `unnamed`: why helpers have no names, nor addresses, and `native` is empty;
    null if the kernel showed them.
    """

    program: str
    generation: Count = 0
    xlated: tuple[CodeLine, ...] = ()
    native: tuple[CodeLine, ...] = ()
    arch: str = ""
    unnamed: str | None = None


class ProgramRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often a program of the file ran, and how long that took on all CPUs, since the file was started.

    `misses`: runs left out since it was running on that CPU already.
    """

    program: str
    runs: Count = 0
    run_ns: Count = 0
    misses: Count = 0


class ProgramRuns(TableReading, frozen=True, kw_only=True, tag="runs"):
    """The run counts of all programs of the file, in the order of their names. `counted`: the kernel counts them.

    `own_events` and `excluded_events` are no records: events of ebpftop itself, which --hide-self leaves out, and of
    other processes that the filter does not match. With those, the records and what was lost, all that was written is
    accounted for.
    """

    rows: tuple[ProgramRun, ...] = ()
    counted: bool = True
    own_events: Count = 0
    excluded_events: Count = 0
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("program",)}


def hidden_text(own: int, excluded: int) -> str:
    """Return how many events of a program of one's own were left out, and why: ``hidden: 9 ebpftop's own``."""
    parts = (f"{own:,} ebpftop's own" if own else "", f"{excluded:,} by the filter" if excluded else "")
    return f"hidden: {text}" if (text := ", ".join(filter(None, parts))) else ""


class LineCount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often a line of the file ran."""

    line: Count
    runs: Count


class LineCounts(TableReading, frozen=True, kw_only=True, tag="lines"):
    """How often each line of the file ran since that is counted, if it was asked for: it costs time at each run."""

    rows: tuple[LineCount, ...] = ()
    generation: Count = 0
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("line",)}


class MapRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a map. `id` are the bytes of its key, in hexadecimal.

    `value` of a map with a value for each CPU is their sum, and `cpus` has them, where they are numbers. `names` says
    what numbers in it stand for, by their place: ``{"key": "ann"}``, ``{"key.pid": "bash", "value.stack": "a;b"}``.
    """

    id: str
    key: Value = None
    value: Value = None
    cpus: tuple[Value, ...] = ()
    names: dict[str, str] = {}


class MapReading(TableReading, frozen=True, kw_only=True, tag="map"):
    """The entries of a map of the file, in the order of `id`. Readings of each map are partial against its last one.

    `entries` is how many it has; `more` of them have no row.
    """

    map: str
    type: str
    rows: tuple[MapRow, ...] = ()
    entries: Count = 0
    more: Count = 0
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("id",)}
    series: ClassVar[str] = "map"
    may_fall: ClassVar[tuple[str, ...]] = ("entries", "more")

    paths = ("value", "key", "names")

    def check(self) -> None:
        for row in self.rows:
            check_value(row.key)
            check_value(row.value)
            for value in row.cpus:
                check_value(value)


class BpfEvent(Event, frozen=True, kw_only=True, tag="event"):
    """What a program gave to a perf or ring buffer of the file.

    `fields` are the members of its structure by name; one that is none is in ``data``. `names` says what numbers in
    them stand for, as in `MapRow`, by the names of fields. `pid`, `uid` and `comm` are the fields that mean that, null
    if there are none. `program` is the one that gave it, null if several programs use that buffer. `size` is how many
    bytes came; `cut`: fewer than the structure has.
    """

    map: str
    program: str | None = None
    cpu: int | None = None
    pid: int | None = None
    uid: int | None = None
    comm: str | None = None
    fields: dict[str, Value]
    names: dict[str, str] = msgspec.field(default_factory=dict)
    size: Count = 0
    cut: bool = False

    paths = ("fields", "names")

    def check(self) -> None:
        check_value(self.fields)


def check_value(value: Value, depth: int = 0) -> None:
    """Raise ValueError for a decoded value that no type of C has: one that is nested too deeply."""
    if depth > DEEPEST:
        raise ValueError("a value that is nested too deeply")
    if isinstance(value, dict):
        for item in value.values():
            check_value(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_value(item, depth + 1)
