"""The probes: a row for each. Everything that lists probes, or the kinds of their records, derives from these rows.

A row names classes as "module:Class", and they are imported when they are needed: a recording is read on machines that
have no bcc. `ebpftop.ui.registry` has the panes. docs/adding-a-probe.md shows how to add one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from ebpftop.core.escape import printable
from ebpftop.core.own_programs import OwnFile
from ebpftop.core.record_lines import Decoder
from ebpftop.core.records import OF_THE_STREAM, Cost, Fullest, Lost, Probe, ProbeName, Record, TableReading, TimedRecord

if TYPE_CHECKING:
    from msgspec.inspect import Type

GROUP = "ebpftop.probes"
"""The entry points by which other distribution packages bring their rows."""

LOAD: ProbeName = "load"
"""The probe of a C file of the user's own: it is there only if one is loaded."""

_OF_NO_PROBE = (*OF_THE_STREAM, OwnFile)
_NAME = re.compile(r"[a-z]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """A probe.

    *probe* is its class, a `ebpftop.probes.base.KernelProbe`; None for what comes from no program in the kernel, and
    cannot be attached: a source makes its records, as that of `ebpftop run` does. *records* are the classes of its
    records, derived from `ebpftop.core.records.TimedRecord`, in modules that import without bcc. *ladders* names the
    parts of the probe that `--attach NAME.PART=EVENT` attaches apart. One that is not *on* is only attached when it is
    asked for. One with a *screen* of its own is attached while that is open, whichever probes were asked for.
    """

    name: ProbeName
    about: str
    probe: str | None
    records: tuple[str, ...]
    ladders: tuple[str, ...] = ()
    on: bool = True
    screen: bool = False


PROBES = (
    ProbeRow(
        name="execs",
        about="programs that start, fail to, and end",
        probe="ebpftop.probes.execs:ExecsProbe",
        records=(
            "ebpftop.core.process_records:Exec",
            "ebpftop.core.process_records:Exit",
            "ebpftop.core.process_records:Process",
            "ebpftop.core.ending_records:Endings",
        ),
        ladders=("failures", "exits"),
    ),
    ProbeRow(
        name="users",
        about="execve calls and failures of each user",
        probe="ebpftop.probes.users:UsersProbe",
        records=("ebpftop.core.user_records:Users",),
    ),
    ProbeRow(
        name="syscalls",
        about="counts, errors and latency of every system call",
        probe="ebpftop.probes.syscalls:SyscallsProbe",
        records=("ebpftop.core.syscall_records:Syscalls", "ebpftop.core.syscall_records:Syscall"),
    ),
    ProbeRow(
        name="trace",
        about="what BPF programs print",
        probe="ebpftop.probes.trace:TraceProbe",
        records=("ebpftop.core.trace_records:Trace",),
        ladders=("lines",),
    ),
    ProbeRow(
        name="opens",
        about="files that programs open, or fail to",
        probe="ebpftop.probes.opens:OpensProbe",
        records=("ebpftop.models.opens:Open",),
        on=False,
    ),
    ProbeRow(
        name="programs",
        about="every eBPF program of the machine, and what it costs",
        probe="ebpftop.probes.programs:ProgramsProbe",
        records=("ebpftop.core.program_records:Programs",),
        on=False,
        screen=True,
    ),
    ProbeRow(
        name="cgroups",
        about="what each cgroup, program and user asks of the kernel",
        probe="ebpftop.probes.groups:GroupsProbe",
        records=(
            "ebpftop.core.group_records:Cgroups",
            "ebpftop.core.group_records:Comms",
            "ebpftop.core.group_records:Uids",
        ),
        on=False,
        screen=True,
    ),
    ProbeRow(
        name="states",
        about="how long each process ran, waited for a CPU and was blocked, in which call, and who woke it",
        probe="ebpftop.probes.states:StatesProbe",
        records=("ebpftop.core.state_records:States",),
        on=False,
        screen=True,
    ),
    ProbeRow(
        name=LOAD,
        about="a BPF program of your own: what `ebpftop load FILE.c` runs",
        probe=None,
        records=(
            "ebpftop.core.load_records:Loaded",
            "ebpftop.core.load_records:Code",
            "ebpftop.core.load_records:ProgramRuns",
            "ebpftop.core.load_records:LineCounts",
            "ebpftop.core.load_records:MapReading",
            "ebpftop.core.load_records:BpfEvent",
        ),
        on=False,
    ),
    ProbeRow(
        name="output",
        about="what the command of `ebpftop run` prints",
        probe=None,
        records=("ebpftop.models.output:Output",),
        on=False,
    ),
)


def is_of_a_file(probes: Iterable[ProbeName]) -> bool:
    """Return whether *probes* are those of a C file of the user's own: it, and perhaps what its programs print."""
    held = set(probes)
    return LOAD in held and held <= {LOAD, "trace"}


Row = TypeVar("Row")


class RowError(Exception):
    """A row that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """An entry point that is not used: its name, its distribution package, and why."""

    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return printable(f"{self.name} of the package {self.package} is disabled: {self.reason}")


def load(name: str) -> object:
    """Return what "module:name" names. Raises what importing the module raises, ValueError, AttributeError."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"{name!r} is not module:name")
    found: object = getattr(import_module(module), attribute)
    return found


def add_plugins(group: str, kind: type[Row], add: Callable[[Row], None]) -> tuple[Disabled, ...]:
    """Give *add* the row of each entry point of *group*, by name; it raises RowError for one that cannot be used.

    Whatever is wrong with one of them disables that one alone. Returns those.
    """
    disabled = []
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        try:
            # What is printed while it is imported must not get among the records of `stream`.
            with redirect_stdout(sys.stderr):
                row = point.load()
            if not isinstance(row, kind):
                raise RowError(f"{point.value} is not a {kind.__name__}")
            add(row)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # code of somebody else
            reason = str(error) if isinstance(error, RowError) else f"{type(error).__name__}: {error}"
            disabled.append(Disabled(point.name, point.dist.name if point.dist else "?", reason))
    return tuple(disabled)


class Registry:
    """The rows in use, in their order, and what follows from them."""

    def __init__(self, rows: Iterable[ProbeRow] = PROBES) -> None:
        """Use *rows*, then those of other distribution packages."""
        self.rows: dict[ProbeName, ProbeRow] = {}
        for row in rows:
            self.rows[row.name] = row
        own = frozenset(self.rows)
        self.disabled = add_plugins(GROUP, ProbeRow, self._add)
        self.plugins = self.rows.keys() - own

    @property
    def names(self) -> tuple[ProbeName, ...]:
        """All probes."""
        return tuple(row.name for row in self.rows.values() if row.probe is not None)

    @property
    def channels(self) -> tuple[ProbeName, ...]:
        """All that a recording may hold: the probes, and what comes from none."""
        return tuple(self.rows)

    @property
    def on(self) -> tuple[ProbeName, ...]:
        """The probes that are attached unless others are asked for."""
        return tuple(row.name for row in self.rows.values() if row.on)

    @property
    def with_screen(self) -> tuple[ProbeName, ...]:
        """The probes that are attached while their screen is open."""
        return tuple(row.name for row in self.rows.values() if row.screen)

    @property
    def ladders(self) -> tuple[str, ...]:
        """What `--attach` can name: a probe, or a part of one."""
        return (
            *self.names,
            *(f"{row.name}.{part}" for row in self.rows.values() for part in row.ladders),
        )

    @cached_property
    def types(self) -> dict[type[TimedRecord], ProbeName]:
        """The records of the probes, and the probe of each."""
        return {kind: row.name for row in self.rows.values() for kind in _record_types(row)}

    @cached_property
    def kinds(self) -> dict[str, type[Record]]:
        """All records by their kind."""
        records: tuple[type[Record], ...] = (*_OF_NO_PROBE, *self.types)
        return {kind_of(record): record for record in records}

    @cached_property
    def decoder(self) -> Decoder:
        """What reads all of them."""
        return Decoder(self.kinds.values())

    def probe_of(self, record: Record) -> ProbeName | None:
        """Return the probe whose batches contain *record*; None for those of the stream itself and unknown ones."""
        if isinstance(record, (Probe, Lost, Fullest, OwnFile)):
            return record.probe
        if isinstance(record, Cost):  # of no probe; it comes with the first one
            return next(iter(self.rows))
        return self.types.get(type(record))  # type: ignore[arg-type]  # a header is not found

    def _add(self, row: ProbeRow) -> None:
        if not _is_name(row.name):
            raise RowError(f"{row.name!r} is not a name of 1 to 16 small letters")
        if row.name in self.rows:
            raise RowError(f"there is a probe {row.name} already")
        if not (isinstance(row.probe, str) and isinstance(row.about, str)):
            raise RowError("probe and about are texts")
        if not (isinstance(row.ladders, tuple) and all(map(_is_name, row.ladders))):
            raise RowError("ladders are names of 1 to 16 small letters")
        taken = {kind_of(kind) for kind in _OF_NO_PROBE}
        taken |= {kind_of(kind) for other in self.rows.values() for kind in _record_types(other)}
        types = _record_types(row)
        for kind in map(kind_of, types):
            if not _is_name(kind):
                raise RowError(f"{kind!r} is not a kind of 1 to 16 small letters")
            if kind in taken:
                raise RowError(f"there are records of the kind {kind} already")
            taken.add(kind)
        for record in types:
            if issubclass(record, TableReading):
                _check_tables(record)
        Decoder((*_OF_NO_PROBE, *types))
        self.rows[row.name] = row


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def kind_of(record: type[Record]) -> str:
    """Return the kind of a record's class."""
    return str(record.__struct_config__.tag)


def _check_tables(reading: type[TableReading]) -> None:
    """Raise RowError if the rows of *reading* cannot be told apart by its `keys`, or cannot age by its `ages`."""
    from msgspec.inspect import IntType, LiteralType, StrType, VarTupleType, type_info

    name = reading.__name__
    if not (isinstance(reading.keys, dict) and isinstance(reading.ages, dict)):
        raise RowError(f"keys and ages of {name} are objects of field names")
    fields = _fields(type_info(reading))
    for table, keys in reading.keys.items():
        rows = fields.get(table)
        columns = _fields(rows.item_type) if isinstance(rows, VarTupleType) else {}
        if not (isinstance(keys, tuple) and keys):
            raise RowError(f"keys of {table} of {name} are not a tuple of field names")
        for key in keys:
            if not isinstance(columns.get(key), (IntType, StrType, LiteralType)):
                raise RowError(f"{table} of {name} are not rows with a number or text {key}")
        age = reading.ages.get(table)
        if age is not None and not all(
            isinstance(clock, IntType) for clock in (columns.get(age), fields.get("boot_ns"))
        ):
            raise RowError(f"{name} has no number boot_ns, or its {table} no number {age}")
    if unknown := reading.ages.keys() - reading.keys.keys():
        raise RowError(f"{name} has ages of what has no keys: {', '.join(map(str, unknown))}")


def _fields(kind: Type) -> dict[str, Type]:
    """Return the types of the fields of a structure, by name; none of another type."""
    from msgspec.inspect import StructType

    return {field.name: field.type for field in kind.fields} if isinstance(kind, StructType) else {}


def _record_types(row: ProbeRow) -> tuple[type[TimedRecord], ...]:
    types = tuple(load(name) for name in row.records)
    for name, kind in zip(row.records, types, strict=True):
        if not (isinstance(kind, type) and issubclass(kind, TimedRecord)):
            raise RowError(f"{name} is not derived from Event or Reading")
    return types  # type: ignore[return-value]  # checked


@cache
def registry() -> Registry:
    """Return the one of this process."""
    return Registry()


def decode(line: bytes | str) -> Record:
    """Return the record of one line; see `Decoder.decode`."""
    return registry().decoder.decode(line)
