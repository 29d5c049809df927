"""What of a record is needed to count it. Decoding only these fields takes a fraction of decoding a record."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, Union

import msgspec

from ebpftop.core.records import LAST_TIME, TableReading
from ebpftop.probes.registry import registry

Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Total: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LAST_TIME)]
_Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=65_536)]


class Seen(msgspec.Struct, frozen=True, gc=False, tag_field="kind"):
    """A record of which nothing more is needed."""

    time: _Time = 0.0


class SeenReading(Seen, frozen=True):
    """Rows of counters that only the panes of the host need."""

    whole: bool = True


class SeenHeader(Seen, frozen=True, tag="header"):
    host: str = ""
    version: str = ""
    kernel: str = ""
    started: _Time = 0.0


class SeenExec(Seen, frozen=True, tag="exec"):
    pid: Int = 0
    start_ns: Int = 0
    ret: Int = 0


class SeenExit(Seen, frozen=True, tag="exit"):
    pid: Int = 0
    start_ns: Int = 0


class SeenProcess(Seen, frozen=True, tag="process"):
    pid: Int = 0
    start_ns: Int = 0


class SeenProbe(Seen, frozen=True, tag="probe"):
    probe: str = ""
    state: str = ""
    reason: str | None = None
    remedy: str | None = None


class SeenLost(Seen, frozen=True, tag="lost"):
    probe: str = ""
    where: str = ""
    count: Total = 0


class SeenFullest(Seen, frozen=True, tag="fullest"):
    probe: str = ""


class SeenCost(Seen, frozen=True, tag="cost"):
    kernel: _Share | None = None
    user: _Share = 0.0


class SeenCall(msgspec.Struct, frozen=True, gc=False):
    abi: str = ""
    nr: Int = 0
    count: Total = 0
    errors: Total = 0


class SeenCalls(SeenReading, frozen=True, tag="syscalls"):
    rows: tuple[SeenCall, ...] = ()


class SeenEnd(Seen, frozen=True, tag="end"):
    reason: str = ""


class SeenEnding(msgspec.Struct, frozen=True, gc=False):
    """How a process ended: what the log shows of it."""

    pid: Int = 0
    start_ns: Int = 0
    code: Int | None = None
    signal: str | None = None
    duration_s: float | None = None


class SeenProgram(msgspec.Struct, frozen=True, gc=False):
    """A program that started, or did not: what the log shows of it."""

    time: _Time
    pid: Int = 0
    start_ns: Int = 0
    ret: Int = 0
    error: str | None = None
    uid: Int = 0
    user: str | None = None
    comm: str = ""
    file: str = ""
    argv: tuple[str, ...] = ()


_COUNTED = (
    SeenHeader,
    SeenExec,
    SeenExit,
    SeenProcess,
    SeenProbe,
    SeenLost,
    SeenFullest,
    SeenCost,
    SeenCalls,
    SeenEnd,
)


def _others() -> tuple[type[Seen], ...]:
    """Return a type for each kind of record that is only passed on to the panes of its host."""
    known = {str(kind.__struct_config__.tag) for kind in _COUNTED}
    made: list[type[Seen]] = []
    for kind, record in registry().kinds.items():
        if kind not in known:
            base = SeenReading if issubclass(record, TableReading) else Seen
            one: Any = msgspec.defstruct(f"Seen_{kind}", [], bases=(base,), frozen=True, tag=kind)
            made.append(one)
    return tuple(made)


def decoder() -> msgspec.json.Decoder[Any]:
    """Return what decodes lines of all known kinds as far as they are needed."""
    types: tuple[type[Seen], ...] = (*_COUNTED, *_others())
    return msgspec.json.Decoder(Union[types])  # noqa: UP007  # not known to mypy


program_decoder = msgspec.json.Decoder(SeenProgram)
ending_decoder = msgspec.json.Decoder(SeenEnding)
