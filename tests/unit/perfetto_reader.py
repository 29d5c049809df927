"""Read a Perfetto trace by its authors' schema, and check what any reader of it relies on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_BOOTTIME,
    BUILTIN_CLOCK_REALTIME,
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice, with the names of its track and of those above it, in ns since boot."""

    track: tuple[str, ...]
    name: str
    begin: int
    end: int
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Instant:
    track: tuple[str, ...]
    name: str
    time: int
    args: dict[str, Any]


class PerfettoTrace:
    """The tracks of a trace, and what is on them. AssertionError if it is not well-formed."""

    def __init__(self, data: bytes) -> None:
        self.trace = Trace()
        self.trace.ParseFromString(data)
        size = self.trace.ByteSize()
        self.trace.DiscardUnknownFields()
        assert self.trace.ByteSize() == size, "fields that the schema does not have"
        self.tracks: dict[int, Any] = {}
        self.slices: list[Slice] = []
        self.instants: list[Instant] = []
        self.counters: defaultdict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
        self.boot_to_unix_ns = 0
        self._names: dict[int, str] = {}
        self._arg_names: dict[int, str] = {}
        self._events: defaultdict[int, list[tuple[int, int, int, str, dict[str, Any]]]] = defaultdict(list)
        self._is_whole = False
        for number, packet in enumerate(self.trace.packet):
            self._read(number, packet)
        for uuid, events in self._events.items():
            self._nest(self.path(uuid), events)

    def path(self, uuid: int) -> tuple[str, ...]:
        """Return the names of a track and those above it, the uppermost first."""
        track = self.tracks[uuid]
        return (*(self.path(track.parent_uuid) if track.parent_uuid else ()), track.name)

    def slices_of(self, name: str) -> list[Slice]:
        """Return the slices of a name."""
        return [one for one in self.slices if one.name == name]

    def _read(self, number: int, packet: Any) -> None:
        assert packet.trusted_packet_sequence_id, "without it, there are no interned names"
        if packet.sequence_flags & TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
            self._is_whole = True
            self._names.clear()
            self._arg_names.clear()
        assert self._is_whole, "names are used that are not defined since the state was cleared"
        for name in packet.interned_data.event_names:
            assert self._names.setdefault(name.iid, name.name) == name.name
        for name in packet.interned_data.debug_annotation_names:
            assert self._arg_names.setdefault(name.iid, name.name) == name.name
        if packet.HasField("clock_snapshot"):
            assert packet.clock_snapshot.primary_trace_clock == BUILTIN_CLOCK_BOOTTIME
            clocks = {clock.clock_id: clock.timestamp for clock in packet.clock_snapshot.clocks}
            self.boot_to_unix_ns = clocks[BUILTIN_CLOCK_REALTIME] - clocks[BUILTIN_CLOCK_BOOTTIME]
        elif packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in self.tracks, "two tracks of one number"
            assert not track.parent_uuid or track.parent_uuid in self.tracks, "a track before its parent"
            self.tracks[track.uuid] = TrackDescriptor.FromString(track.SerializeToString())
        elif packet.HasField("track_event"):
            event = packet.track_event
            track = self.tracks[event.track_uuid]
            if event.type == TrackEvent.TYPE_COUNTER:
                assert track.HasField("counter")
                self.counters[self.path(event.track_uuid)].append((packet.timestamp, event.double_counter_value))
                return
            assert not track.HasField("counter")
            name = "" if event.type == TrackEvent.TYPE_SLICE_END else self._names[event.name_iid]
            args = {self._arg_names[arg.name_iid]: _value(arg) for arg in event.debug_annotations}
            self._events[event.track_uuid].append((packet.timestamp, number, event.type, name, args))

    def _nest(self, path: tuple[str, ...], events: list[tuple[int, int, int, str, dict[str, Any]]]) -> None:
        # Those of one track are written in the order of time: sorting changes nothing.
        slices = [event for event in events if event[2] != TrackEvent.TYPE_INSTANT]
        assert slices == sorted(slices, key=lambda event: event[:2]), path
        open_slices: list[tuple[int, str, dict[str, Any]]] = []
        for time, _, kind, name, args in events:
            if kind == TrackEvent.TYPE_SLICE_BEGIN:
                assert not open_slices, f"{path}: {name} lies over {open_slices}"
                open_slices.append((time, name, args))
            elif kind == TrackEvent.TYPE_SLICE_END:
                begin, began, first = open_slices.pop()
                self.slices.append(Slice(path, began, begin, time, {**first, **args}))
            else:
                self.instants.append(Instant(path, name, time, args))
        assert not open_slices, f"{path}: no end of {open_slices}"


def _value(arg: Any) -> Any:
    if arg.dict_entries:
        return {part.name: _value(part) for part in arg.dict_entries}
    if arg.array_values:
        return [_value(part) for part in arg.array_values]
    kind = arg.WhichOneof("value")
    return getattr(arg, kind) if kind else []
