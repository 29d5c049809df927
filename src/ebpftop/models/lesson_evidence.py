"""What the exercises of a lesson are checked by: the records of the file that was loaded last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy

from msgspec.structs import replace

from ebpftop.core.load_records import BpfEvent, Code, Field, Loaded, LoadedMap, MapReading, MapRow, ProgramRuns, Value
from ebpftop.core.records import Record
from ebpftop.core.trace_records import Trace

KEPT = 200
"""Events of each map and lines that are kept, the newest."""

ARRAYS = ("array", "percpu_array")


class Evidence:
    """What was seen since the last good file: what is attached, what its maps hold, what it sent and printed."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.code: dict[str, Code] = {}
        self.lines: deque[Trace] = deque(maxlen=KEPT)
        self.events: dict[str, deque[BpfEvent]] = {}
        self.readings: dict[str, MapReading] = {}
        self.runs = 0
        """How often all programs of the file ran; 0 if that is not counted."""

    def add(self, record: Record) -> None:
        """Add a record of the file, or a line that one of its programs printed; others change nothing."""
        if isinstance(record, MapReading):
            self.readings[record.map] = record
        elif isinstance(record, BpfEvent):
            self.events.setdefault(record.map, deque(maxlen=KEPT)).append(record)
        elif isinstance(record, Trace):
            self.lines.append(record)
        elif isinstance(record, ProgramRuns):
            self.runs = sum(row.runs for row in record.rows) if record.counted else 0
        elif isinstance(record, Code):
            self.code[record.program] = record
        elif isinstance(record, Loaded) and record.state in ("on", "failed"):
            self._load(record)

    def _load(self, loaded: Loaded) -> None:
        known = self.loaded
        self.loaded = loaded
        if known is not None and (known.path, known.generation) == (loaded.path, loaded.generation):
            return
        # What the file before it did says nothing about this one.
        self.lines.clear()
        self.events.clear()
        names = {program.name for program in loaded.programs}
        self.code = {name: code for name, code in self.code.items() if name in names}
        maps = {item.name: item for item in loaded.maps}
        for name in [name for name in self.readings if name not in maps or not maps[name].kept]:
            del self.readings[name]

    def of_running(self) -> Evidence:
        """Return what was seen as evidence of the program that runs, where what was saved last does not load."""
        loaded = self.loaded
        if loaded is None or loaded.state != "failed":
            return self
        running = copy(self)
        source = loaded.source if loaded.running is None else loaded.running
        running.loaded = replace(loaded, state="on", source=source, diagnostics=())
        return running

    @property
    def text(self) -> str:
        """The file as it was saved last."""
        return "\n".join(self.loaded.source) if self.loaded is not None else ""

    @property
    def maps(self) -> tuple[LoadedMap, ...]:
        return self.loaded.maps if self.loaded is not None else ()

    def of_type(self, *types: str) -> list[LoadedMap]:
        """Return the maps of these types, as bpftool names them."""
        return [item for item in self.maps if item.type in types]

    def counters(self) -> list[LoadedMap]:
        """Return the maps whose values are numbers, which programs count in."""
        return [
            item
            for item in self.maps
            if item.value is not None
            and item.value.kind in ("int", "uint")
            and (item.type in ARRAYS or "hash" in item.type)
        ]

    def rows(self, name: str) -> tuple[MapRow, ...]:
        """Return what the map *name* holds, as it was read last."""
        reading = self.readings.get(name)
        return reading.rows if reading is not None else ()

    def total(self, name: str) -> int:
        """Return the sum of what the map *name* counts."""
        return sum(number(row.value) for row in self.rows(name))

    def sent_to(self, name: str) -> Iterable[BpfEvent]:
        """Return the newest events of the buffer *name*, the oldest first."""
        return self.events.get(name, ())


def number(value: Value) -> int:
    """Return a decoded value if it is a number, else 0."""
    return value if isinstance(value, int) else 0


def texts(value: Value) -> Iterator[str]:
    """Yield the texts in a decoded value, also those in its members."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)


def has_text(field: Field | None) -> bool:
    """Is a value of this type a text, or does it have one as a member?"""
    return field is not None and (field.kind == "string" or any(map(has_text, field.fields)))


def member(field: Field | None, word: str) -> str | None:
    """Return the member of a structure whose name or meaning has *word*; None if there is none."""
    if field is None or field.kind != "struct":
        return None
    return next((item.name for item in field.fields if word in item.name.lower() or item.meaning == word), None)
