"""What all records share, and the records of the stream itself: those that no probe alone sends.

Records are what the parts of the program exchange, each a JSON object on a line of a stream (docs/records.md,
record_lines.py). Those of the probes are in process_records.py, user_records.py, syscall_records.py and
trace_records.py, where each derives from `Event` or `Reading`.

Units: times are Unix seconds. Durations are seconds if the name ends in ``_s``, nanoseconds if it is or ends in
``ns``. Counts are totals since the start, never deltas. Text has been through `ebpftop.core.escape`. Readers skip
unknown kinds and fields, so both may be added.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec

SCHEMA = 2

ProbeName: TypeAlias = str
"""The name of a row of `ebpftop.probes.registry`; in a recording also of a probe that is not installed here."""

State: TypeAlias = Literal["on", "off", "failed"]
Where: TypeAlias = Literal["ring", "exits", "map", "recursion", "argv", "pipe", "rate", "export", "fleet"]

LAST_TIME = 253402300799.0 - 86_400
"""The last day that datetime can show in every time zone: a pane that prints a time must not fail on it."""

# What no real record exceeds: a line that does is refused when it is read.
Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LAST_TIME)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=65_536)]  # more CPUs than any kernel can be built for
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
    """What all records share: immutable, keyword-only, tagged by ``kind``."""


class TimedRecord(_Record, frozen=True, kw_only=True):
    """Every record but the header: `time` is when it happened, or was read.

    A probe of your own derives its records from `Event` or `Reading`, with the kind as tag (small letters, at most 16):

        class Open(Event, frozen=True, kw_only=True, tag="open"):
            pid: int

    Recordings come from anywhere: `check` raises ValueError for values that no real record has. Texts that may be as
    long as a path are named in `paths`; others are names of at most 2 KiB.
    """

    time: Time
    paths: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raise ValueError for values that no real record has."""


class Event(TimedRecord, frozen=True, kw_only=True):
    """Something that happened once. Events are counted, and each is shown. One that has a `pid` is of that process."""


class Reading(TimedRecord, frozen=True, kw_only=True):
    """Counters, read every interval. Each is complete: the screen may skip some of those of the past."""


class TableReading(Reading, frozen=True, kw_only=True):
    """Totals in rows. In memory it is always `whole`; a stream mostly holds what changed (recording/readings.py).

    `keys` names the fields that identify a row, for each field that holds rows; the rows are in the order of their
    keys, which are never null. `ages`: a field of the rows that grows as the field `boot_ns` of the reading does.
    Objects hold totals by name. `removed` is empty in memory; in a stream it has the keys of rows that are gone.
    `series`: a field whose text says which of several tables of a kind a reading is of, as the name of a map; each goes
    on from the last one of its own. `may_fall`: numbers of the reading that may fall without being counted anew.
    """

    whole: bool = True
    removed: dict[str, tuple[tuple[str | int, ...], ...]] = {}
    keys: ClassVar[dict[str, tuple[str, ...]]] = {}
    ages: ClassVar[dict[str, str]] = {}
    series: ClassVar[str] = ""
    may_fall: ClassVar[tuple[str, ...]] = ()


SeriesKey: TypeAlias = "tuple[type[TableReading], str]"
"""Which readings go on from each other: those of a kind, and of one `series`."""


def series_of(reading: TableReading) -> SeriesKey:
    """Return what *reading* goes on from the last one of."""
    kind = type(reading)
    return kind, str(getattr(reading, kind.series)) if kind.series else ""


UNKNOWN_HOST = "unknown host"


class Header(_Record, frozen=True, tag="header"):
    """First line of a stream: where and when it was made. Of another version, a field may be missing: `schema` is 0.

    `filter`: the options of the filter that it was made with, () for none; None if that is not known.
    `begin`: when a part of a recording begins; what is older says what held then. None: it is whole.
    `part`: its number, from 1, if a recording was written in parts. `held`: how many records behind the header are in
    the part before, too.
    """

    schema: int = 0
    version: str = ""
    host: str = UNKNOWN_HOST
    kernel: str = ""
    abi: str = ""
    started: Time = 0.0
    filter: tuple[str, ...] | None = None
    begin: Time | None = None
    part: Count | None = None
    held: Count | None = None


NOT_NEEDED = "not needed: "
NOT_ASKED_FOR = "--attach asked for "
"""The prefix of the reason of an attach option that was not tried."""

_NOT_TRIED = (NOT_NEEDED, NOT_ASKED_FOR, "--via asked for ")  # the last: recordings of 0.1


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attach option of a probe's attach ladder: its name, what it costs the machine, why it is not in use.

    `blind` names what cannot be seen from there.
    """

    via: str
    cost: str
    reason: str | None
    blind: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """``on``: attached. ``off``: not tried. ``failed``: it was tried, or is known not to work."""
        if self.reason is None:
            return "on"
        return "off" if self.reason.startswith(_NOT_TRIED) else "failed"

    @property
    def explanation(self) -> str:
        """The text in `check` and diagnostics: what it costs, or why it is not in use."""
        return self.reason or f"costs {self.cost}"


class Probe(TimedRecord, frozen=True, kw_only=True, tag="probe"):
    """A probe changed its state. `via` names the option in use; `reason` and `remedy`: why it failed and what helps.

    `gone` lists what its filter names but what no longer exists ("cgroup /x.service", "pid 7"): nothing matches there
    until it is created again. A new record reports each change.
    """

    probe: ProbeName
    state: State
    via: str | None
    reason: str | None
    remedy: str | None = None
    attempts: tuple[Attempt, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def blind(self) -> tuple[str, ...]:
        """What the attach options in use cannot see, each once."""
        used = (attempt for attempt in self.attempts if attempt.reason is None) if self.state == "on" else ()
        return tuple(dict.fromkeys(what for attempt in used for what in attempt.blind))


class Lost(TimedRecord, frozen=True, kw_only=True, tag="lost"):
    """What was lost so far, counted where it was lost."""

    probe: ProbeName
    where: Where
    count: Count


class Fullest(TimedRecord, frozen=True, kw_only=True, tag="fullest"):
    """How full the buffer between kernel and a probe was at most since the start, and when; reported when it grew."""

    probe: ProbeName
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    size: Count


class Cost(Reading, frozen=True, kw_only=True, tag="cost"):
    """What ebpftop itself costs: its programs in the kernel, and its process (shares of one CPU).

    `kernel` and `runs` are null if the kernel does not let us measure them.
    """

    kernel: Share | None
    user: Share
    runs: int | None


class End(TimedRecord, frozen=True, kw_only=True, tag="end"):
    """Last line of a closed recording; without it the last second may be missing. `reason` is empty if all is well."""

    records: int
    reason: str


Record: TypeAlias = Header | TimedRecord
OF_THE_STREAM = (Header, Probe, Lost, Fullest, Cost, End)
"""Records that no probe alone sends; all others are named in the rows of `ebpftop.probes.registry`."""
