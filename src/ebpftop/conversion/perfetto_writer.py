"""Write Perfetto's trace format: TracePackets with tracks, slices, instants and counters.

The messages are those of the package `perfetto`, which its authors make of the schema. Names are interned: a packet
refers to those that packets before it defined. A track has to be described before it is used.

https://perfetto.dev/docs/reference/synthetic-track-event, protos/perfetto/trace/track_event/ of Perfetto.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias, Union

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_BOOTTIME,
    BUILTIN_CLOCK_REALTIME,
    CounterDescriptor,
    DebugAnnotation,
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)

from ebpftop.core.records import Header

Arg: TypeAlias = Union[str, int, float, bool, tuple["Arg", ...], Mapping[str, "Arg"], None]  # noqa: UP007  # of itself

# Any number but 0 that no other writer of the same trace uses.
_SEQUENCE = 1
_NAMES = 50_000
"""Interned names that a reader has to remember."""
_TOGETHER = 2000
_INT64 = 1 << 63


class TraceWriter:
    """Collects packets; `take` returns those that are complete. Times are ns since boot."""

    def __init__(self, header: Header, begin_ns: int, begin_unix_ns: int) -> None:
        self._trace = Trace()
        self._names: dict[str, int] = {}
        self._arg_names: dict[str, int] = {}
        self._is_cleared = False
        clocks = self._packet(begin_ns).clock_snapshot
        clocks.primary_trace_clock = BUILTIN_CLOCK_BOOTTIME
        clocks.clocks.add(clock_id=BUILTIN_CLOCK_BOOTTIME, timestamp=begin_ns)
        clocks.clocks.add(clock_id=BUILTIN_CLOCK_REALTIME, timestamp=begin_unix_ns)
        system = self._packet(begin_ns).system_info
        system.utsname.sysname = "Linux"
        system.utsname.release = header.kernel
        system.utsname.machine = header.abi
        self._salt = f"{header.host} {header.started}"

    def take(self, *, all_of_them: bool = False) -> bytes:
        """Return the packets of before, if there are enough of them; the beginning, or the next part, of a trace."""
        if not all_of_them and len(self._trace.packet) < _TOGETHER:
            return b""
        data: bytes = self._trace.SerializeToString()
        self._trace = Trace()
        return data

    def track(
        self, key: str, name: str, parent: int = 0, *, about: str = "", rank: int | None = None, by_time: bool = False
    ) -> int:
        """Describe a track for slices and instants, or of others; return its number.

        *rank*: its place among the children of its parent. *by_time*: its children are in the order of their first
        events, else in that of their ranks.
        """
        uuid: int = self._describe(key, name, parent, about, rank, by_time).uuid
        return uuid

    def counter_track(self, key: str, name: str, parent: int, unit: str, *, about: str = "", rank: int = 0) -> int:
        """Describe a track of a counter; return its number."""
        track = self._describe(key, name, parent, about, rank, False)
        track.counter.unit = CounterDescriptor.UNIT_COUNT
        track.counter.unit_name = unit
        uuid: int = track.uuid
        return uuid

    def begin(self, ns: int, track: int, name: str, category: str, args: Mapping[str, Arg]) -> None:
        """Begin a slice."""
        event = self._event(ns, track, TrackEvent.TYPE_SLICE_BEGIN, name or "?", category)
        self._add_args(event, args)

    def end(self, ns: int, track: int, args: Mapping[str, Arg]) -> None:
        """End the slice of the track that began last; its arguments are added to those of the begin."""
        event = self._event(ns, track, TrackEvent.TYPE_SLICE_END)
        self._add_args(event, args)

    def instant(self, ns: int, track: int, name: str, category: str, args: Mapping[str, Arg]) -> None:
        """Mark a moment."""
        event = self._event(ns, track, TrackEvent.TYPE_INSTANT, name or "?", category)
        self._add_args(event, args)

    def counter(self, ns: int, track: int, value: float) -> None:
        """Set a counter, which keeps the value until it is set again."""
        self._event(ns, track, TrackEvent.TYPE_COUNTER).double_counter_value = value

    def _packet(self, ns: int | None = None) -> TracePacket:
        packet = self._trace.packet.add(trusted_packet_sequence_id=_SEQUENCE)
        if ns is not None:
            packet.timestamp = min(max(0, ns), _INT64 - 1)  # that of a damaged record may be anything
        if self._is_cleared:
            packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        else:
            packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
            packet.first_packet_on_sequence = True
            self._is_cleared = True
        return packet

    def _describe(
        self, key: str, name: str, parent: int, about: str, rank: int | None, by_time: bool
    ) -> TrackDescriptor:
        track = self._packet().track_descriptor
        hashed = hashlib.blake2b(f"{self._salt} {key}".encode(), digest_size=8).digest()
        track.uuid = int.from_bytes(hashed, "little") or 1
        track.name = name
        if parent:
            track.parent_uuid = parent
        if about:
            track.description = about
        if rank is not None:
            track.sibling_order_rank = rank
        track.child_ordering = TrackDescriptor.CHRONOLOGICAL if by_time else TrackDescriptor.EXPLICIT
        # Two processes of one name are two.
        track.sibling_merge_behavior = TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE
        return track

    def _event(self, ns: int, track: int, kind: TrackEvent.Type, name: str = "", category: str = "") -> TrackEvent:
        if len(self._names) > _NAMES or len(self._arg_names) > _NAMES:
            self._names.clear()
            self._arg_names.clear()
            cleared = self._packet(ns)
            cleared.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        packet = self._packet(ns)
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        if name:
            number = self._names.get(name)
            if number is None:
                number = self._names[name] = len(self._names) + 1
                packet.interned_data.event_names.add(iid=number, name=name)
            event.name_iid = number
        if category:
            event.categories.append(category)
        self._interned = packet
        return event

    def _add_args(self, event: TrackEvent, args: Mapping[str, Arg]) -> None:
        for name, value in args.items():
            if value is None:
                continue
            number = self._arg_names.get(name)
            if number is None:
                number = self._arg_names[name] = len(self._arg_names) + 1
                self._interned.interned_data.debug_annotation_names.add(iid=number, name=name)
            _set(event.debug_annotations.add(name_iid=number), value)


def _set(arg: DebugAnnotation, value: Arg) -> None:
    """Set the value of an argument."""
    if isinstance(value, bool):
        arg.bool_value = value
    elif isinstance(value, int):
        if -_INT64 <= value < _INT64:
            arg.int_value = value
        else:
            arg.uint_value = value & (2 * _INT64 - 1)
    elif isinstance(value, float):
        arg.double_value = value
    elif isinstance(value, str):
        arg.string_value = value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if part is not None:
                _set(arg.dict_entries.add(name=name), part)
    elif value is not None:
        for part in value:
            _set(arg.array_values.add(), "" if part is None else part)
