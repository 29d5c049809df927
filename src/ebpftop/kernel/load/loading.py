"""What becomes of a file: what was loaded and attached, or why not; and what its programs wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from ebpftop.core.records import Attempt
from ebpftop.kernel.load.source_files import Included

Stage: TypeAlias = Literal["", "source", "clang", "map", "limit", "verifier", "attach"]
"""What failed; empty if nothing did. "limit": the compiler was ended, or has ended."""


class LineInfo(NamedTuple):
    """Where the instructions from *insn* on come from. `column` is that of clang, in bytes from 1."""

    insn: int
    line: int
    column: int
    file: str
    text: str


@dataclass(frozen=True)
class ProgramState:
    """A function of the file that can be a program."""

    name: str
    fd: int | None
    """None: it was not loaded."""
    type: int
    """enum bpf_prog_type; 0 if it was not loaded, and it is not known as what."""
    events: tuple[str, ...] = ()
    """Where it is to be attached."""
    attached: tuple[str, ...] = ()
    """Where it is attached: kinds and places, as `Attempt.via`."""
    reason: str | None = None
    """Why it is not loaded, or not attached. None if it is, or if it is only reached by tail calls."""
    line: int | None = None
    """The line of the source that says where it hangs: that of a comment, or its own."""
    attempts: tuple[Attempt, ...] = ()
    errno: int = 0
    """Of the kernel's refusal to load it."""
    log: str = ""
    """What the verifier wrote: all it knew if it refused the program, else its totals."""
    insns: bytes = b""
    """Its instructions as they were loaded."""
    functions: bytes = b""
    """struct bpf_func_info, one after the other."""
    lines: tuple[LineInfo, ...] = ()
    raw_lines: bytes = b""
    """struct bpf_line_info, one after the other, whose strings are in `Loading.btf`."""
    load_s: float = 0.0
    """Seconds that the kernel took to verify it."""
    plain_fd: int | None = None
    """If what is attached counts its lines, the same program without counters."""
    counts_reason: str | None = None
    """Why its lines are not counted, if that was asked for."""


_NO_SLOTS: Mapping[str, Mapping[int, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Loading:
    """What one attempt to load the file came to. If it is not `ok`, what ran before runs on."""

    ok: bool
    generation: int
    """Number of those that were ok, this one included."""
    stage: Stage = ""
    error: str = ""
    remedy: str = ""
    line: int | None = None
    """Of the source, if the error is about one."""
    seconds: float = 0.0
    compile_s: float = 0.0
    output: str = ""
    """What clang and BCC wrote."""
    source: str = ""
    """The user's text."""
    compiled: str = ""
    """What the compiler got."""
    btf: bytes = b""
    """The types of the object; empty if there are none."""
    programs: tuple[ProgramState, ...] = ()
    maps: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    """Maps that go on with what was in them."""
    structs: tuple[str, ...] = ()
    """The structs that the source and its includes define."""
    shows: Mapping[str, str] = field(default_factory=dict)
    """What parts of maps mean, by hints in comments: see `Source.shows`."""
    included: Mapping[str, Included] = field(default_factory=dict)
    """The files that it includes with quotes: see `Source.includes`."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Those that do not exist, and the lines that include them."""
    slot_errors: Mapping[str, str] = field(default_factory=dict)
    """Why a slot stays empty, by "map[index]"."""
    saved: float = 0.0
    """When the file was saved: its mtime, in seconds."""


class RawEvent(NamedTuple):
    """What a program wrote to a perf or ring buffer."""

    map: str
    cpu: int | None
    """None: a ring buffer does not say."""
    data: bytes
    """A perf buffer's is up to seven bytes longer than what was written."""
    time_ns: int | None
    """CLOCK_MONOTONIC when it was written; None: a ring buffer does not say."""


class ProgramFacts(NamedTuple):
    """What the kernel says about a loaded program; counts are totals since it was loaded."""

    id: int
    tag: str
    xlated_bytes: int
    jited_bytes: int
    verified_insns: int | None
    """Instructions that the verifier walked; None before Linux 5.16."""
    runs: int
    """Runs and their time count only while statistics are on."""
    run_ns: int
    misses: int
