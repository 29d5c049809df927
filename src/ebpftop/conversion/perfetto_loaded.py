"""The tracks of a program of one's own in a Perfetto trace: its events, its runs, what entries of its maps gained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping

from ebpftop.conversion.input import ns
from ebpftop.conversion.perfetto_counters import Rate, Totals
from ebpftop.conversion.perfetto_writer import Arg, TraceWriter
from ebpftop.core.load_records import BpfEvent, Loaded, LoadedMap, MapReading, ProgramRuns, Value
from ebpftop.core.records import Record
from ebpftop.models.load_fields import Leaf, counter_of, leaves
from ebpftop.models.span_loaded import key_text

_FILE_RANK, _EVENTS_RANK = 2, 3  # with the programs, and with the trace log
_KEYS_MAX = 32
"""Entries of a map that have a track, in the order in which they came; the others are added up."""
_MAPS_MAX = 64


class LoadedTracks:
    """Makes the tracks below *root*, each with the first record that it needs."""

    def __init__(self, writer: TraceWriter, root: int, boot_offset_ns: int, begin_ns: int) -> None:
        self._writer = writer
        self._root = root
        self._offset_ns = boot_offset_ns
        self._begin_ns = begin_ns
        self._file = 0
        self._buffers: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._rates: dict[Hashable, Rate] = {}
        self._totals: dict[str, Totals] = {}
        """Of each map, what the entries gained that have no track."""
        self._keys: Counter[str] = Counter()
        """How many entries of each map have one."""
        self._counters: dict[str, Leaf] = {}
        """What counts in the values of each map."""

    def follow(self, record: Record) -> bool:
        """Write a record; return whether it is one of a program of one's own."""
        if isinstance(record, BpfEvent):
            self._event(record)
        elif isinstance(record, Loaded):
            self._loaded(record)
        elif isinstance(record, ProgramRuns):
            self._runs(record)
        elif isinstance(record, MapReading):
            self._map(record)
        else:
            return False
        return True

    def finish(self) -> None:
        """End the counters."""
        for rate in self._rates.values():
            rate.finish()

    def _at(self, record: BpfEvent | ProgramRuns | MapReading) -> int:
        return ns(record.time) - self._offset_ns

    def _event(self, record: BpfEvent) -> None:
        track = self._buffers.get(record.map)
        if track is None:
            key, name = f"event {record.map}", f"Events of {record.map}"
            track = self._buffers[record.map] = self._writer.track(key, name, self._root, rank=_EVENTS_RANK)
        args: dict[str, Arg] = {name: _arg(value) for name, value in record.fields.items()}
        # A member of that name wins.
        about: dict[str, Arg] = {"names": dict(record.names) or None, "cpu": record.cpu, "program": record.program}
        args = {**{name: value for name, value in about.items() if value is not None}, **args}
        name = record.map if record.comm is None else record.comm
        self._writer.instant(self._at(record), track, name, "event", args)

    def _loaded(self, record: Loaded) -> None:
        for one in record.maps:
            self._counters.pop(one.name, None)
            if (counter := _counter(one)) is not None:
                self._counters[one.name] = counter
        if record.state not in ("on", "failed"):
            return
        if not self._file:
            self._file = self._writer.track("loaded", record.file, self._root, rank=_FILE_RANK)
        args: dict[str, Arg] = {"path": record.path, "generation": record.generation, "compile_s": record.compile_s}
        errors = [error for error in record.diagnostics if error.severity == "error"]
        for number, error in enumerate(errors, 1):
            args[f"error {number}"] = error.message if error.line is None else f"line {error.line}: {error.message}"
        name = f"generation {record.generation}" if record.state == "on" else "not loaded"
        # What held when a part begins is marked there.
        at_ns = max(ns(record.time), self._begin_ns) - self._offset_ns
        self._writer.instant(at_ns, self._file, name, "loaded", args)

    def _runs(self, record: ProgramRuns) -> None:
        if not record.counted:
            return
        for row in record.rows:
            self._rate("Runs", ("run", row.program), row.program, "/s").add(self._at(record), row.runs)
            self._rate("Time of runs", ("time", row.program), row.program, "ns/s").add(self._at(record), row.run_ns)

    def _map(self, record: MapReading) -> None:
        counter = self._counters.get(record.map)
        if counter is None:
            return
        totals = self._totals.get(record.map)
        if totals is None:
            if len(self._totals) >= _MAPS_MAX:
                return
            totals = self._totals[record.map] = Totals()
        group = f"Map {record.map}" + (f": {counter.name}" if counter.name else "")
        is_more = False
        for row in record.rows:
            value = counter.read(row.value)
            if not isinstance(value, int) or value < 0:
                continue
            key = ("entry", record.map, row.id)
            if key in self._rates or self._keys[record.map] < _KEYS_MAX:
                self._keys[record.map] += key not in self._rates
                self._rate(group, key, key_text(row), "/s").add(self._at(record), value)
            else:
                totals.set(row.id, value)
                is_more = True
        if is_more:
            self._rate(group, ("others", record.map), "all others", "/s").add(self._at(record), totals.sum)

    def _rate(self, group: str, key: Hashable, name: str, unit: str) -> Rate:
        rate = self._rates.get(key)
        if rate is None:
            parent = self._groups.get(group)
            if parent is None:
                parent = self._groups[group] = self._writer.track(f"group {group}", group, self._root, rank=_FILE_RANK)
            track = self._writer.counter_track(f"loaded {key!r}", name, parent, unit, rank=len(self._rates))
            rate = self._rates[key] = Rate(self._writer, track)
        return rate


def _counter(one: LoadedMap) -> Leaf | None:
    """Return what counts in the values of a map that has keys, and is not drawn as a histogram."""
    if one.key is None or one.value is None or one.histogram is not None:
        return None
    return counter_of(leaves(one.value), one.name)


def _arg(value: Value) -> Arg:
    """Return a decoded value as an argument."""
    if isinstance(value, Mapping):
        return {str(name): _arg(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(_arg, value))
    return value if isinstance(value, (str, int, float)) else None
