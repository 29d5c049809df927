"""A BPF program of one's own: a C file that is loaded, read, and loaded again each time it is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import msgspec

from ebpftop.core.escape import printable
from ebpftop.core.load_records import (
    BpfEvent,
    Diagnostic,
    LineCount,
    LineCounts,
    Loaded,
    MapReading,
    ProgramRun,
    ProgramRuns,
    Value,
)
from ebpftop.core.records import Record, Where
from ebpftop.core.source import SourceError
from ebpftop.kernel import bpf_syscall, clocks
from ebpftop.kernel.bpf_names import map_type
from ebpftop.kernel.compiled import loaded_map_fds
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.load.layout import Layout, unknown
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading, ProgramFacts, RawEvent
from ebpftop.kernel.load.map_layouts import FileTypes, MapLayout, MapShape
from ebpftop.kernel.load.map_rows import READ_MAX, MapRows, add_names
from ebpftop.kernel.load.maps import OpenMap
from ebpftop.kernel.load.value_text import encoded
from ebpftop.kernel.load.values import BadValue
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import Context, KernelProbe
from ebpftop.probes.load_names import LoadNames
from ebpftop.probes.load_report import Facts, codes, compiling, loaded
from ebpftop.probes.load_request import LoadRequest
from ebpftop.probes.registry import LOAD

_PROG_ARRAY, _STACK_TRACE = "prog_array", "stack_trace"
_ARRAYS = frozenset(("array", "percpu_array", "prog_array"))
_EVENTS_MAX = 20_000
"""Events of one reading that become records; more are counted as lost."""
_SLOW_S = 0.02
_READ_SHARE = 10
"""A map whose reading takes longer is read again after so many times that time."""
_NAMES_FOR_S = 10.0
_STACK_NAMES_MAX = 4096
_PID_MASK = (1 << 32) - 1


@dataclass
class _OpenMap:
    """A map of what runs now, and how its contents become records."""

    map: OpenMap
    shape: MapShape
    layout: MapLayout
    rows: MapRows | None
    writer: str | None = None
    """The program whose events come out of it; None if several programs use it."""
    due_s: float = 0.0
    reading: MapReading | None = None


class LoadProbe(KernelProbe):
    """The records of one file. Edits of the screen come by `write_map`, `delete_key`, `set_slot`."""

    file: ClassVar[str] = ""

    def __init__(
        self, context: Context, request: LoadRequest, make: Callable[[LoadRequest], LoadedFile] | None = None
    ) -> None:
        super().__init__(context)
        self.name = LOAD
        self._request = request
        self._make = make or _file
        self._loaded_file: LoadedFile | None = None
        self._maps: dict[str, _OpenMap] = {}
        self._types: FileTypes | None = None
        self._names = LoadNames(context.users, context.root, self._addresses)
        self._names_until_s = 0.0
        self._record: Loaded | None = None
        self._news: list[Record] = []
        self._is_due = False
        self._stats_fd: int | None = None
        self._runs: dict[str, ProgramRun] = {}
        """The totals of programs that were loaded before those that run now."""
        self._lost = 0
        self._own_ids: frozenset[int] = frozenset()

    @property
    def on(self) -> bool:
        return self._loaded_file is not None

    @property
    def loading(self) -> Loading | None:
        """What the last attempt to load the file came to."""
        return self._loaded_file.loading if self._loaded_file is not None else None

    @property
    def record(self) -> Loaded | None:
        """The last record of what became of the file."""
        return self._record

    @property
    def expects_events(self) -> bool:
        return True

    def program_ids(self) -> frozenset[int]:
        """Return the ids of its programs, those before the last reload included."""
        return self._own_ids

    def compile(self) -> None:
        """It is compiled when it is loaded."""

    def attach(self, module: Module) -> str:
        raise NotImplementedError("it is no module")

    def start(self) -> None:
        self._enable_stats()
        self._loaded_file = self._make(self._request)
        self._load()

    def _enable_stats(self) -> None:
        with suppress(OSError):  # before Linux 5.8, and without the rights: nothing is known of runs
            self._stats_fd = self.context.root.enable_stats()

    def detach(self) -> None:
        """Its programs go with their maps, in `stop`: what they count until then is read."""
        for one in self._maps.values():
            one.due_s = 0.0

    def stop(self) -> None:
        file, self._loaded_file = self._loaded_file, None
        if file is not None:
            self._note_runs(file)
            file.close()
        if self._stats_fd is not None:
            bpf_syscall.close_stats(self._stats_fd)
        self._stats_fd = None
        self._maps, self._types = {}, None
        self.via, self.attempts = None, ()
        self._names.close()

    def failures(self) -> tuple[str, ...]:
        """Return why nothing of the file runs, for stderr; () if it runs."""
        if not self.on or self._record is None or self._record.state != "failed" or self._record.generation:
            return ()
        name = self._record.file
        found = [one for one in self._record.diagnostics if one.severity == "error"]
        lines = [_in_a_line(name, one) for one in found]
        tried = self.loading
        if not lines and tried is not None:
            lines = ["; ".join(filter(None, (f"{name}: {tried.error}", tried.remedy)))]
        return tuple(lines)

    # Loading.

    def _load(self) -> None:
        file = self._loaded_file
        assert file is not None
        self._report(file, self._counted_on(file, file.load))

    def _counted_on(self, file: LoadedFile, load: Callable[[], Loading]) -> Loading:
        """Load the file by *load*; the runs of what ran before stay in the totals."""
        before = self._programs_facts(file)
        tried = load()
        if tried.ok:
            self._add_runs(before)
        return tried

    def _report(self, file: LoadedFile, tried: Loading) -> None:
        """Note what was *tried*, and make a record of what became of the file."""
        if tried.ok:
            self._open(file)
        now, good = time.time(), file.good
        # What printed before a reload is read after it.
        self._own_ids |= {facts.id for facts in self._programs_facts(file).values()}
        self.via = ", ".join(dict.fromkeys(place for one in (good or tried).programs for place in one.attached)) or None
        self.attempts = tuple(
            msgspec.structs.replace(attempt, via=f"{printable(one.name)}: {attempt.via}")
            for one in (good or tried).programs
            for attempt in one.attempts
        )
        facts = Facts(
            self._programs_facts(file),
            {name: one.layout for name, one in self._maps.items()},
            {name: one.map for name, one in self._maps.items()},
        )
        self._record = loaded(now, file.path, tried, good, facts)
        self._news.append(self._record)
        if tried.ok:
            names = {one.id: name for name, one in file.maps.items()}
            self._news += codes(now, tried, file.path.name, names, self.context.root)
            file.release_plain()

    def _open(self, file: LoadedFile) -> None:
        """Note the maps of what was just loaded."""
        good = file.good
        assert good is not None
        types = FileTypes(good.btf, good.source, good.structs, good.shows)
        self._types, self._maps = types, {}
        for name, one in file.maps.items():
            shape = MapShape(
                *(name, one.info.type, one.info.key_size, one.info.value_size, one.key_type, one.value_type),
                *(one.is_buffer, one.event_fields),
            )
            layout = types.layout(shape)
            rows = None
            if one.is_readable and layout.key is not None and layout.value is not None:
                is_array = map_type(one.info.type) in _ARRAYS
                rows = MapRows(layout.key, layout.value, self._names.name, is_array=is_array, is_sum=one.per_cpu)
            users = [state.name for state in good.programs if one.fd in loaded_map_fds(state.insns)]
            writer = printable(users[0]) if len(users) == 1 else None
            self._maps[name] = _OpenMap(one, shape, layout, rows, writer)

    def _addresses(self, number: int) -> tuple[int, ...]:
        """Return the addresses of a stack of any stack map of the file."""
        for one in self._maps.values():
            if map_type(one.shape.type) == _STACK_TRACE and 0 <= number <= _PID_MASK:
                with suppress(OSError):
                    raw = one.map.lookup(number.to_bytes(4, "little"))
                    if raw is not None:
                        found = (int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8))
                        return tuple(address for address in found if address)
        return ()

    # Reading.

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        file = self._loaded_file
        if file is None:
            return []
        if self._is_due:
            self._is_due = False
            via = self.via
            self._load()
            if self.via != via:
                self._news.append(self.state(now))
        elif not everything and file.saved():
            self._is_due = True
            self._news.append(compiling(now, file.path, self._record))
        records, self._news = self._news, []
        offset = clocks.unix_offset()
        raw = file.events()
        self._lost += max(0, len(raw) - _EVENTS_MAX)
        records += filter(None, (self._event(one, now, offset) for one in raw[:_EVENTS_MAX]))
        return records

    def read_counters(self, now: float) -> list[Record]:
        file = self._loaded_file
        if file is None:
            return []
        if self._names_until_s < time.monotonic():
            self._names_until_s = time.monotonic() + _NAMES_FOR_S
            for one in self._maps.values():
                if one.rows is not None:
                    one.rows.forget_names()
        records: list[Record] = [self._run_counts(file, now)]
        if file.counting:
            counts = sorted(file.line_counts().items())
            lines = tuple(LineCount(line=line, runs=runs) for line, runs in counts)
            records.append(LineCounts(time=now, rows=lines, generation=file.generation))
        for one in self._maps.values():
            if one.rows is not None and (reading := self._map(one, now)) is not None:
                records.append(reading)
        return records

    def _map(self, one: _OpenMap, now: float) -> MapReading | None:
        began_s = time.monotonic()
        if one.due_s > began_s and one.reading is not None:
            one.reading = msgspec.structs.replace(one.reading, time=now)
            return one.reading
        assert one.rows is not None
        kind = map_type(one.map.info.type)
        try:
            if kind == _PROG_ARRAY:
                keys, values = self._slots(one)
            else:
                keys, values = one.map.entries(READ_MAX)
        except OSError:
            return None
        rows = one.rows.rows(keys, values, one.map.cpu_values)
        one.reading = MapReading(
            time=now, map=printable(one.map.name), type=kind, rows=rows, entries=len(keys), more=one.rows.more
        )
        took_s = time.monotonic() - began_s
        one.due_s = time.monotonic() + _READ_SHARE * took_s if took_s > _SLOW_S else 0.0
        return one.reading

    def _slots(self, one: _OpenMap) -> tuple[list[bytes], list[bytes]]:
        """Return the slots of an array of programs that are not empty, and the names of the programs in them."""
        file = self._loaded_file
        slots = file.slots(one.map.name) if file is not None else {}
        found = sorted(slots.items())
        return [index.to_bytes(4, "little") for index, _ in found], [name.encode() + b"\0" for _, name in found]

    def _event(self, raw: RawEvent, now: float, offset: float) -> BpfEvent | None:
        one = self._maps.get(raw.map)
        if one is None:
            return None
        layout = self._event_layout(one, len(raw.data))
        value = layout.decode(raw.data)
        fields: dict[str, Value] = value if isinstance(value, dict) else {"data": value}
        names: dict[str, str] = {}
        add_names(names, "" if isinstance(value, dict) else "data", layout.field, value, {}, self._names.name)
        pid, uid, comm = _process(layout, fields)
        event = BpfEvent(
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
        return event if self._matches(event) else None

    def _event_layout(self, one: _OpenMap, size: int) -> Layout:
        layout = one.layout.value
        if layout is not None and layout.field.kind != "unknown":
            return layout
        found = self._types.event(one.shape, size) if self._types is not None else None
        return found or unknown(size)

    def _matches(self, event: BpfEvent) -> bool:
        """Return whether the filter matches an event that says of which process it is; others always match."""
        if event.pid is None:
            return True
        if not self.context.filtering():  # but perhaps ebpftop itself is hidden
            return self.context.matches(event.pid, 0, b"")
        uid, comm = event.uid, event.comm
        with suppress(OSError):
            if uid is None:
                uid = Path(f"/proc/{event.pid}").stat().st_uid
        if comm is None:
            comm = self._names.comm(event.pid)
        return uid is not None and self.context.matches(event.pid, uid, (comm or "").encode())

    def lost_now(self) -> dict[Where, int]:
        file = self._loaded_file
        counts = file.lost().values() if file is not None else ()
        return {
            "ring": self._lost_before.get("ring", 0) + self._lost + sum(count for count in counts if count is not None)
        }

    # Run counts.

    def _programs_facts(self, file: LoadedFile) -> dict[str, ProgramFacts]:
        found = {}
        for name, state in file.programs.items():
            if state.fd is not None:
                with suppress(OSError, KeyError):
                    found[name] = file.facts(name)
        return found

    def _run_counts(self, file: LoadedFile, now: float) -> ProgramRuns:
        rows = {**self._runs}
        for name, facts in self._programs_facts(file).items():
            rows[name] = _plus(rows.get(name), name, facts)
        return ProgramRuns(
            time=now, rows=tuple(rows[name] for name in sorted(rows)), counted=self._stats_fd is not None
        )

    def _add_runs(self, facts: Mapping[str, ProgramFacts]) -> None:
        for name, one in facts.items():
            self._runs[name] = _plus(self._runs.get(name), name, one)

    def _note_runs(self, file: LoadedFile) -> None:
        """Keep the totals of programs that are about to be unloaded."""
        self._add_runs(self._programs_facts(file))
        self._lost_before["ring"] = self.lost_now()["ring"]
        self._lost = 0

    # Edits of the screen.

    def write_map(self, name: str, key: str, value: str, field: str = "") -> None:
        """Set a key of a map to what was typed; *field* is the member of the value, or empty for the whole."""
        with self._refusing():
            one = self._writable(name)
            key_layout, layout = self._layouts(one)
            raw_key = encoded(key_layout, key)
            before = one.map.lookup(raw_key)
            first = one.map.cpu_values(before)[0] if before is not None else None
            self._file().write(name, raw_key, encoded(layout, value, first, field))

    def delete_key(self, name: str, key: str) -> None:
        """Delete a key of a map."""
        with self._refusing():
            one = self._writable(name)
            if not self._file().delete(name, encoded(self._layouts(one)[0], key)):
                raise SourceError(f"{printable(name)} has no key {printable(key)}")

    def set_slot(self, name: str, index: str, program: str | None) -> None:
        """Put a program of the file into a slot of an array of programs, or empty it."""
        with self._refusing():
            one = self._writable(name)
            number = self._names.syscall(index) if not index.strip().isdecimal() else int(index)
            if number is None:
                raise BadValue(f"{index} is neither a number nor a system call")
            if not 0 <= number < one.map.info.max_entries:
                raise BadValue(f"{name} has the slots 0 to {one.map.info.max_entries - 1}")
            self._file().set_slot(name, number, program)

    def open_file(self, path: Path) -> None:
        """Load another file instead, whose functions hang where it says itself; what ran is closed if that works."""
        request = LoadRequest(path)
        with self._refusing():
            file = self._make(request)
            tried = file.load()
            if not tried.ok:
                file.close()
                raise SourceError(f"{printable(path.name)}: {printable(tried.error)}", printable(tried.remedy))
        self.stop()
        self._request, self._record, self._runs = request, None, {}
        self._enable_stats()
        self._loaded_file = file
        self._report(file, tried)
        self._news.append(self.state(time.time()))

    def count_lines(self, on: bool) -> None:
        """Count how often each line runs from now on, or no more; the programs are loaded again for that."""
        with self._refusing():
            file = self._file()
            tried = self._counted_on(file, partial(file.count_lines, on))
            if not tried.ok:
                raise SourceError(printable(tried.error), printable(tried.remedy))
            self._report(file, tried)

    def _file(self) -> LoadedFile:
        if self._loaded_file is None:
            raise SourceError("the program is not loaded")
        return self._loaded_file

    def _writable(self, name: str) -> _OpenMap:
        if name not in self._maps:
            raise SourceError(f"there is no map {printable(name)}")
        one = self._maps[name]
        one.due_s = 0.0  # what was written is read at once
        return one

    def _layouts(self, one: _OpenMap) -> tuple[Layout, Layout]:
        if one.layout.key is None or one.layout.value is None or not one.map.is_readable:
            raise SourceError(f"{printable(one.map.name)} has no cells")
        return one.layout.key, one.layout.value

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn what the kernel, or the layout, refuses into an error for the screen."""
        try:
            yield
        except (BadValue, ValueError) as error:
            raise SourceError(printable(str(error))) from error
        except KeyError as error:
            raise SourceError(f"there is no program {printable(str(error.args[0]))}") from error
        except LoadError as error:
            raise SourceError(printable(str(error))) from error
        except OSError as error:
            raise SourceError(f"the kernel refuses it: {error.strerror}") from error


def _file(request: LoadRequest) -> LoadedFile:
    return LoadedFile(request.path, attach=request.attach, map_bytes_max=request.map_bytes_max)


def _in_a_line(name: str, one: Diagnostic) -> str:
    """Return a diagnostic as compilers print them."""
    where = ":".join(str(part) for part in (name, one.line, one.column) if part is not None)
    program = f"{one.program}: " if one.program else ""
    return f"{where}: {program}{'; '.join(filter(None, (one.message, one.meaning, one.suggestion)))}"


def _plus(before: ProgramRun | None, name: str, facts: ProgramFacts) -> ProgramRun:
    return ProgramRun(
        program=printable(name),
        runs=facts.runs + (before.runs if before else 0),
        run_ns=facts.run_ns + (before.run_ns if before else 0),
        misses=facts.misses + (before.misses if before else 0),
    )


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
        elif comm is None and one.kind == "string" and one.name in _COMM_NAMES and isinstance(value, str):
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


_LATE_S = 10.0
"""A time of a member that is longer ago is that of another moment: when a process started, say."""
_COMM_NAMES = frozenset(("comm", "command", "task", "pcomm", "name"))
