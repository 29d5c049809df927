"""What a program of one's own wrote to a buffer, as a record: whose it is, when it was, whether the filter has it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ebpftop.core.comm import COMMAND_NAMES
from ebpftop.core.escape import printable
from ebpftop.core.load_records import BpfEvent, Value
from ebpftop.kernel.load.layout import Layout
from ebpftop.kernel.load.loading import RawEvent
from ebpftop.kernel.load.map_rows import add_names
from ebpftop.probes.base import Context
from ebpftop.probes.load_maps import ShownMaps
from ebpftop.probes.load_names import LoadNames

_LATE_S = 10.0
"""A time of a member that is longer ago is that of another moment: when a process started, say."""
_PID_MASK = (1 << 32) - 1


class EventReader:
    """Makes records of events."""

    def __init__(self, context: Context, maps: ShownMaps, names: LoadNames) -> None:
        self._context = context
        self._maps = maps
        self._names = names
        self.own = 0
        """Events of ebpftop itself, which is hidden."""
        self.excluded = 0
        """Events that the filter does not match, but those of ebpftop."""
        self.unknown = 0
        """Events of buffers that the file does not have any more."""

    def event(self, raw: RawEvent, now: float, offset: float) -> BpfEvent | None:
        """Return an event as a record; None if the filter does not match it, which is counted.

        *offset*: of Unix time from the boot's.
        """
        one = self._maps.get(raw.map)
        if one is None:
            self.unknown += 1
            return None
        layout = self._maps.event_layout(one, len(raw.data))
        value = layout.decode(raw.data)
        fields: dict[str, Value] = value if isinstance(value, dict) else {"data": value}
        pid, uid, comm = _process(layout, fields)
        if pid is not None and self._context.is_self(pid, (comm or "").encode()):
            self.own += 1
            return None
        if not self._matches(pid, uid, comm):
            self.excluded += 1
            return None
        names: dict[str, str] = {}
        add_names(names, "" if isinstance(value, dict) else "data", layout.field, value, {}, self._names.name)
        return BpfEvent(
            time=_time(raw, layout, fields, now, offset),
            map=printable(raw.map),
            program=one.writer,
            cpu=raw.cpu,
            pid=pid,
            uid=uid,
            comm=comm,
            fields=fields,
            names=names,
            size=len(raw.data),
            cut=len(raw.data) < layout.size,
        )

    def _matches(self, pid: int | None, uid: int | None, comm: str | None) -> bool:
        """Return whether the filter matches an event that says of which process it is; others always match."""
        if pid is None or not self._context.filtering():
            return True
        with suppress(OSError):
            if uid is None:
                uid = Path(f"/proc/{pid}").stat().st_uid
        if comm is None:
            comm = self._names.comm(pid)
        return uid is not None and self._context.matches(pid, uid, (comm or "").encode())


def _process(layout: Layout, fields: Mapping[str, Value]) -> tuple[int | None, int | None, str | None]:
    """Return process, user and command name as an event says them: the first member that means each."""
    pid = uid = comm = None
    for one in layout.field.fields:
        value = fields.get(one.name)
        if one.meaning == "pid" and pid is None and isinstance(value, int) and one.name != "ppid":
            # bpf_get_current_pid_tgid has the process in its upper half.
            pid = value >> 32 if value > _PID_MASK else value
        elif one.meaning == "uid" and uid is None and isinstance(value, int):
            uid = value & _PID_MASK
        elif comm is None and one.kind == "string" and one.name in COMMAND_NAMES and isinstance(value, str):
            comm = value
    return pid, uid, comm


def _time(raw: RawEvent, layout: Layout, fields: Mapping[str, Value], now: float, offset: float) -> float:
    """Return when an event happened, in Unix seconds, as the kernel or a member of it says; else when it was read."""
    if raw.time_ns is not None:
        return max(0.0, raw.time_ns / 1e9 + offset)
    for one in layout.field.fields:
        value = fields.get(one.name)
        if one.meaning == "time" and isinstance(value, int) and now - _LATE_S < value / 1e9 + offset <= now:
            return value / 1e9 + offset
    return now
