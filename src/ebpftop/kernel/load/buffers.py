"""The perf and ring buffers of a user's programs, emptied on demand; and how many events were lost."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ebpftop.kernel import maps as bpf_maps
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.event_buffer import RingBuffer
from ebpftop.kernel.load.loading import RawEvent
from ebpftop.kernel.load.maps import PERF_EVENT_ARRAY, OpenMap
from ebpftop.kernel.maps import Map
from ebpftop.kernel.perf_event import CpuBuffer, online_cpus

PERF_PAGES = 64
"""For each CPU and buffer."""


class _Perf:
    def __init__(self, one: OpenMap) -> None:
        self._name = one.name
        self._buffers: list[tuple[int, CpuBuffer]] = []
        table = Map(one.fd, one.info.max_entries)
        for cpu in online_cpus():
            if cpu >= one.info.max_entries:
                break
            try:
                self._buffers.append((cpu, CpuBuffer(cpu, PERF_PAGES, timed=True)))
                bpf_maps.update(table, struct.pack("=I", cpu), struct.pack("=i", self._buffers[-1][1].fd))
            except OSError as error:
                self.close()
                raise LoadError(
                    f"the perf buffer {one.name} of CPU {cpu} cannot be opened: {error.strerror}"
                ) from error

    def read(self) -> list[RawEvent]:
        return [
            RawEvent(self._name, cpu, data, time_ns)
            for cpu, buffer in self._buffers
            for time_ns, data in buffer.read_timed()
        ]

    def lost(self) -> int | None:
        return sum(buffer.lost for _, buffer in self._buffers)

    def close(self) -> None:
        while self._buffers:
            self._buffers.pop()[1].close()


class _Ring:
    def __init__(self, one: OpenMap) -> None:
        self._name = one.name
        self._ring = RingBuffer(Map(one.fd, one.info.max_entries))

    def read(self) -> list[RawEvent]:
        return [RawEvent(self._name, None, data, None) for data in self._ring.read()]

    def lost(self) -> int | None:
        return None  # the kernel does not count what did not fit: only the program can

    def close(self) -> None:
        self._ring.close()


class Buffers:
    """The open buffers of one file, by the id of their map: a map that is kept over a reload keeps its buffer."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, _Perf | _Ring]] = {}

    def add(self, one: OpenMap) -> None:
        """Open the buffer of a map, before programs write to it. Raises LoadError."""
        if one.is_buffer and one.id not in self._open:
            self._open[one.id] = (one.name, (_Perf if one.info.type == PERF_EVENT_ARRAY else _Ring)(one))

    def keep_only(self, maps: Iterable[OpenMap]) -> None:
        """Close the buffers of all other maps."""
        kept = {one.id for one in maps}
        for number in self._open.keys() - kept:
            self._open.pop(number)[1].close()

    def read(self) -> list[RawEvent]:
        """Return what was written since the last call; of each buffer of a CPU oldest first, those with a time in
        its order."""
        found = [event for _, buffer in self._open.values() for event in buffer.read()]
        if any(event.time_ns is not None for event in found):
            found.sort(key=lambda event: event.time_ns or 0)
        return found

    def lost(self) -> dict[str, int | None]:
        """Return how many events of each buffer did not fit; None if the kernel does not count that."""
        return {name: buffer.lost() for name, buffer in self._open.values()}

    def close(self) -> None:
        """Close all. Safe to call twice."""
        while self._open:
            self._open.popitem()[1][1].close()
