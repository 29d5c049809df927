"""The probe of a C file: what its maps and buffers have as records, what a reload changes, and what is refused."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebpftop.core.load_records import BpfEvent, LineCounts, Loaded, MapReading, ProgramRuns
from ebpftop.core.records import Record
from ebpftop.core.source import SourceError
from ebpftop.kernel import clocks
from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.load.deadline import Deadline
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading, ProgramFacts, ProgramState, RawEvent
from ebpftop.probes.base import Context
from ebpftop.probes.load import LoadProbe
from ebpftop.probes.load_request import LoadRequest
from tests.unit.btf_builder import BtfBuilder

HASH, PROG_ARRAY, PERF, PERCPU_ARRAY = 1, 3, 4, 6
UID = os.getuid()


class FakeMap:
    """A map in memory."""

    def __init__(
        self, name: str, kind: int, key_size: int, value_size: int, types: tuple[int, int] = (0, 0), **more: Any
    ) -> None:
        self.name = name
        self.id = 7
        self.fd = more.get("fd", -1)
        self.info = MapInfo(kind, key_size, value_size, 512, 0)
        self.key_type, self.value_type = types
        self.event_fields: tuple[tuple[str, str], ...] = more.get("event_fields", ())
        self.kept = False
        self.per_cpu = kind == PERCPU_ARRAY
        self.is_buffer = kind == PERF
        self.is_readable = kind != PERF
        self.contents: dict[bytes, bytes] = {}
        self.read = 0

    def entries(self, limit: int) -> tuple[list[bytes], list[bytes]]:
        self.read += 1
        return list(self.contents), list(self.contents.values())

    def lookup(self, key: bytes) -> bytes | None:
        return self.contents.get(key)

    def cpu_values(self, value: bytes) -> list[bytes]:
        size = self.info.value_size
        return [value[at : at + size] for at in range(0, len(value), size)] if self.per_cpu else [value]


class FakeFile:
    """A file of which the test says what becomes of it."""

    def __init__(self, path: Path) -> None:
        made = BtfBuilder()
        u32, u64 = made.integer("unsigned int", 4), made.integer("unsigned long long", 8)
        char = made.integer("char", 1, encoding=1)
        key = made.composite("key", 8, [("uid", u32, 0), ("failed", u32, 32)])
        comm = made.array(char, 16)
        made.composite("event", 32, [("pid", u32, 0), ("uid", u32, 32), ("comm", comm, 64), ("ts", u64, 192)])
        fields = (("pid", "u32"), ("uid", "u32"), ("comm", "char[16]"), ("ts", "u64"))
        self.path = path
        self.btf = made.blob()
        self.maps: dict[str, Any] = {
            "counts": FakeMap("counts", HASH, 8, 8, (key, u64)),
            "each": FakeMap("each", PERCPU_ARRAY, 4, 8, (u32, u64)),
            "calls": FakeMap("calls", PROG_ARRAY, 4, 4),
            "output": FakeMap("output", PERF, 4, 4, event_fields=fields, fd=77),
        }
        self.raw: list[RawEvent] = []
        self.was_saved = False
        self.next = self.loading_of(1)
        self.good: Loading | None = None
        self.loading: Loading | None = None
        self.runs = 0
        self.slot: dict[int, str] = {59: "hello"}
        self.is_closed = False
        self.counting = False
        self.generation = 1
        self.begun = 0
        self.step = "compiling"
        self.goes_on = threading.Event()
        self.goes_on.set()

    def loading_of(self, generation: int, **more: Any) -> Loading:
        source = "int hello(void *ctx)\n{\n\treturn 0;\n}\n"
        hello = ProgramState("hello", 5, 2, ("syscall:execve",), ("kprobe:__x64_sys_execve",), insns=bytes(16))
        return Loading(
            **{
                **{"ok": True, "generation": generation, "source": source, "btf": self.btf, "programs": (hello,)},
                **{"structs": ("struct event",), "shows": {}, "saved": 5.0, "seconds": 0.25},
                **more,
            }
        )

    @property
    def programs(self) -> Mapping[str, ProgramState]:
        return {one.name: one for one in self.good.programs} if self.good else {}

    def begin(self, *, counting: bool | None = None) -> Any:
        self.was_saved = False
        self.begun += 1
        attempt = SimpleNamespace(
            deadline=Deadline(),
            counting=self.counting if counting is None else counting,
            source=SimpleNamespace(text=self.next.source),
            saved=self.next.saved,
            step="compiling",
            step_since_s=time.monotonic(),
            was_read=threading.Event(),
            next=self.next,
        )
        attempt.was_read.set()
        return attempt

    def build(self, attempt: Any) -> Loading:
        """As slow as the test lets it be."""
        attempt.step = self.step
        while not self.goes_on.wait(0.005):
            attempt.deadline.check()
        return cast(Loading, attempt.next)

    def finish(self, attempt: Any, result: Loading) -> Loading:
        self.loading = result
        if result.ok:
            self.good, self.runs, self.counting = result, 0, attempt.counting
        return result

    def saved(self) -> bool:
        return self.was_saved

    def events(self) -> list[RawEvent]:
        found, self.raw = self.raw, []
        return found

    def lost(self) -> dict[str, int | None]:
        return {"output": 3, "ring": None}

    def release_plain(self) -> None:
        pass

    def line_counts(self) -> dict[int, int]:
        return {3: 7, 1: 2}

    def facts(self, program: str) -> ProgramFacts:
        return ProgramFacts(9, "aa", 16, 40, 2, self.runs, 10 * self.runs, 0)

    def slots(self, name: str) -> Mapping[int, str]:
        return self.slot

    def write(self, name: str, key: bytes, value: bytes) -> None:
        self.maps[name].contents[key] = value

    def delete(self, name: str, key: bytes) -> bool:
        return self.maps[name].contents.pop(key, None) is not None

    def set_slot(self, name: str, index: int, program: str | None) -> None:
        if program not in (None, "hello"):
            raise KeyError(program)
        self.slot[index] = cast(str, program)

    def detach(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


class Refusing:
    """Root's work, of which none is allowed."""

    def enable_stats(self) -> int:
        raise PermissionError


def context(**more: Any) -> Context:
    users = SimpleNamespace(get={0: "root", 1000: "ann"}.get)
    made: dict[str, Any] = {
        "defines": {},
        "shared": {},
        "features": None,
        "root": Refusing(),
        "users": users,
        "buffer": "perf",
    }
    return Context(**{**made, **more})


def started(file: FakeFile, **more: Any) -> LoadProbe:
    probe = LoadProbe(context(**more), LoadRequest(file.path), lambda _: cast(LoadedFile, file))
    probe.start()
    settle(probe)
    return probe


def settle(probe: LoadProbe) -> None:
    """Wait until nothing is loaded any more."""
    while probe.is_loading:
        probe.wait(5)
        probe.advance()


@pytest.fixture
def file(tmp_path: Path) -> FakeFile:
    return FakeFile(tmp_path / "hello.c")


def of(kind: type[Record], records: list[Record]) -> list[Any]:
    return [one for one in records if isinstance(one, kind)]


def event(pid: int, uid: int, comm: bytes, ts: int = 0, *, cpu: int | None = 1, time_ns: int | None = None) -> RawEvent:
    return RawEvent("output", cpu, struct.pack("=II16sQ", pid, uid, comm, ts) + bytes(4), time_ns)


def key(uid: int, failed: int) -> bytes:
    return struct.pack("=II", uid, failed)


def test_it_says_what_became_of_the_file(file: FakeFile) -> None:
    probe = started(file)
    (loaded,) = of(Loaded, probe.read_events(time.time()))
    assert (loaded.state, loaded.generation, loaded.file, loaded.saved) == ("on", 1, "hello.c", 5.0)
    assert loaded.source[2] == "        return 0;"
    (program,) = loaded.programs
    assert (program.name, program.type, program.id, program.event, program.via) == (
        *("hello", "kprobe", 9, "syscall:execve", "kprobe"),
    )
    maps = {one.name: one for one in loaded.maps}
    assert (maps["counts"].key.type, maps["counts"].writable, maps["output"].writable) == ("struct key", True, False)
    assert [one.name for one in maps["output"].value.fields] == ["pid", "uid", "comm", "ts"]
    assert maps["each"].per_cpu
    assert maps["calls"].value.meaning == "program"
    assert probe.program_ids() == {9}


def test_maps_are_rows_with_names_and_what_did_not_change_is_the_same_row(file: FakeFile) -> None:
    probe = started(file)
    file.maps["counts"].contents = {key(1000, 0): struct.pack("=Q", 5), key(0, 1): struct.pack("=Q", 1 << 63)}
    file.maps["each"].contents = {bytes(4): struct.pack("=2Q", 5, 7)}
    first = {one.map: one for one in of(MapReading, probe.read_counters(1.0))}
    assert [(row.key, row.value, row.names) for row in first["counts"].rows] == [
        ({"uid": 0, "failed": 1}, 1 << 63, {"key.uid": "root"}),
        ({"uid": 1000, "failed": 0}, 5, {"key.uid": "ann"}),
    ]
    assert [(row.key, row.value, row.cpus) for row in first["each"].rows] == [(0, 12, (5, 7))]
    assert [(row.key, row.value) for row in first["calls"].rows] == [(59, "hello")]
    assert "output" not in first
    file.maps["counts"].contents[key(1000, 0)] = struct.pack("=Q", 6)
    second = {one.map: one for one in of(MapReading, probe.read_counters(2.0))}
    assert second["counts"].rows[0] is first["counts"].rows[0]
    assert second["counts"].rows[1].value == 6


def test_events_have_their_members_and_when_they_happened(file: FakeFile) -> None:
    probe = started(file)
    probe.read_events(0.0)
    now = time.time()
    ago_ns = clocks.monotonic_ns() - 2 * 10**9
    file.raw = [
        event(812, 1000, b"bash", time_ns=ago_ns),
        event(813, 0, b"s\x1bh", ago_ns + 10**9, cpu=None),
        event(814, 0, b"old", 5, cpu=None),
    ]
    first, second, third = of(BpfEvent, probe.read_events(now))
    assert (first.pid, first.uid, first.comm, first.cpu, first.names) == (812, 1000, "bash", 1, {"uid": "ann"})
    assert (first.map, first.size, first.cut) == ("output", 36, False)
    assert second.fields["comm"] == "s\\x1bh"
    assert abs(first.time - (now - 2)) < 0.5
    assert abs(second.time - (now - 1)) < 0.5  # its member ts says so
    assert third.time == now  # this one says when something else was


def test_an_event_says_which_program_it_is_of_if_only_one_uses_the_buffer(file: FakeFile) -> None:
    uses = struct.pack("=BBhi8x", 0x18, 0x11, 0, 77)  # r1 = the map with the descriptor 77
    hello, other = ProgramState("hello", 5, 2, insns=uses), ProgramState("other", 6, 2, insns=uses)
    idle = ProgramState("idle", 7, 2, insns=bytes(16))
    for programs, program in (((hello, idle), "hello"), ((hello, other), None)):
        file.next = file.loading_of(1, programs=programs)
        probe = started(file)
        file.raw = [event(812, 1000, b"bash")]
        assert [one.program for one in of(BpfEvent, probe.read_events(1.0))] == [program]


def test_an_event_of_another_size_is_cut_or_bytes(file: FakeFile) -> None:
    file.next = file.loading_of(1, structs=())
    probe = started(file)
    probe.read_events(0.0)
    file.raw = [RawEvent("output", 0, b"\x01\x02", None), RawEvent("gone", 0, b"", None)]
    (one,) = of(BpfEvent, probe.read_events(1.0))
    assert (one.fields, one.pid) == ({"data": "0102"}, None)


def test_the_filter_decides_on_events_of_a_process(file: FakeFile) -> None:
    asked: list[tuple[int, int, bytes]] = []

    def matches(pid: int, uid: int, comm: bytes) -> bool:
        asked.append((pid, uid, comm))
        return uid == 1000

    probe = started(file, filtering=lambda: True, matches=matches)
    probe.read_events(0.0)
    file.raw = [event(812, 1000, b"bash"), event(813, 0, b"cron")]
    assert [one.pid for one in of(BpfEvent, probe.read_events(1.0))] == [812]
    assert asked == [(812, 1000, b"bash"), (813, 0, b"cron")]
    (runs,) = of(ProgramRuns, probe.read_counters(1.0))
    assert (runs.own_events, runs.excluded_events) == (0, 1)


@pytest.mark.parametrize("is_filtering", [False, True])
def test_what_is_ebpftops_own_is_counted_apart(file: FakeFile, is_filtering: bool) -> None:
    probe = started(
        file, filtering=lambda: is_filtering, is_self=lambda pid, _: pid == 812, matches=lambda pid, *_: pid == 814
    )
    probe.read_events(0.0)
    file.raw = [event(pid, 1000, b"bash") for pid in (812, 812, 814)]
    assert len(of(BpfEvent, probe.read_events(1.0))) == 1
    (runs,) = of(ProgramRuns, probe.read_counters(1.0))
    assert (runs.own_events, runs.excluded_events) == (2, 0)


def test_events_of_a_buffer_that_is_gone_are_lost(file: FakeFile) -> None:
    probe = started(file)
    before = probe.lost_now()["ring"]
    file.raw = [RawEvent("gone", 0, b"", None)]
    assert not of(BpfEvent, probe.read_events(1.0))
    assert probe.lost_now()["ring"] == before + 1


def test_saving_is_said_at_once_and_what_runs_is_read_until_it_is_loaded(file: FakeFile) -> None:
    probe = started(file)
    file.runs = 4
    probe.read_events(0.0)
    file.goes_on.clear()
    file.was_saved, file.next = True, file.loading_of(2, source="int other(void *ctx) { return 1; }", saved=6.0)
    (compiling,) = of(Loaded, probe.read_events(1.0))
    assert (compiling.state, compiling.generation, compiling.saved) == ("compiling", 1, 6.0)
    assert (compiling.source, compiling.running) == (("int other(void *ctx) { return 1; }",), source_lines(file))
    file.raw = [event(812, 1000, b"bash")]
    assert not of(Loaded, found := probe.read_events(2.0))
    assert [one.pid for one in of(BpfEvent, found)] == [812]
    assert of(MapReading, probe.read_counters(2.0))
    file.goes_on.set()
    settle(probe)
    (loaded,) = of(Loaded, probe.read_events(3.0))
    assert (loaded.state, loaded.generation, loaded.running) == ("on", 2, None)
    file.runs = 3
    (runs,) = of(ProgramRuns, probe.read_counters(3.0))
    assert [(row.program, row.runs, row.run_ns) for row in runs.rows] == [("hello", 7, 70)]
    assert not of(Loaded, probe.read_events(4.0))


def source_lines(file: FakeFile) -> tuple[str, ...]:
    assert file.good is not None
    return tuple(line.expandtabs(8) for line in file.good.source.split("\n"))


def test_what_is_sought_in_a_log_keeps_nobody_waiting(file: FakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = started(file)
    probe.read_events(0.0)
    begun, found = threading.Event(), threading.Event()

    def seek(*_: object) -> tuple[()]:
        begun.set()
        found.wait(60)
        return ()

    monkeypatch.setattr("ebpftop.probes.load_work.diagnostics", seek)
    file.was_saved, file.next = True, file.loading_of(1, ok=False, stage="verifier", error="refused")
    probe.read_events(1.0)
    begun.wait(60)
    file.was_saved, file.next = True, file.loading_of(2)
    probe.read_events(2.0)
    settle(probe)
    assert of(Loaded, probe.read_events(3.0))[-1].generation == 2
    file.was_saved, file.next = True, file.loading_of(2, ok=False, stage="verifier", error="refused")
    begun.clear()
    probe.read_events(4.0)
    begun.wait(60)
    probe.stop()
    assert (file.is_closed, found.is_set()) == (True, False)
    found.set()


def test_a_newer_save_ends_what_is_made_of_an_older_one(file: FakeFile) -> None:
    probe = started(file)
    probe.read_events(0.0)
    file.goes_on.clear()
    file.was_saved, file.next = True, file.loading_of(2, source="two")
    probe.read_events(1.0)
    file.was_saved, file.next = True, file.loading_of(2, source="three")
    found = of(Loaded, probe.read_events(2.0))
    while file.begun < 3:
        probe.wait(5)
        found += of(Loaded, probe.read_events(2.0))
    assert [(one.state, one.source) for one in found] == [("compiling", ("three",))]
    file.goes_on.set()
    settle(probe)
    (loaded,) = of(Loaded, probe.read_events(3.0))
    assert (loaded.state, loaded.source) == ("on", ("three",))


def test_what_the_verifier_walks_for_long_is_said_and_without_the_errors_before(
    file: FakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = started(file)
    probe.read_events(0.0)
    file.was_saved, file.next = True, file.loading_of(1, ok=False, stage="source", error="no program")
    probe.read_events(1.0)
    settle(probe)
    (failed,) = of(Loaded, probe.read_events(2.0))
    assert [one.message for one in failed.diagnostics] == ["no program"]
    monkeypatch.setattr("ebpftop.probes.load_attempts._VERIFIES_S", 0.0)
    file.goes_on.clear()
    file.step = "verifying"
    file.was_saved, file.next = True, file.loading_of(2)
    found: list[Any] = []
    while not found or found[-1].state != "verifying":
        found += of(Loaded, probe.read_events(3.0))
    assert [one.diagnostics for one in found] == [()] * len(found)
    assert not of(Loaded, probe.read_events(4.0))
    probe.stop()  # whatever it is at
    assert file.is_closed


def test_what_does_not_load_leaves_the_last_good_one(file: FakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = started(file)
    # To find what is wrong in a long log takes seconds, in which nothing else would be read.
    monkeypatch.setattr("ebpftop.probes.load_report.diagnostics", lambda *_: pytest.fail("where it is read"))
    probe.read_events(0.0)
    file.was_saved = True
    output = "/hello.c:3:2: error: use of undeclared identifier 'retrun'\n\treturn 0;\n\t^\n"
    bad = file.loading_of(1, ok=False, stage="clang", error="it does not compile", output=output)
    file.next = bad
    probe.read_events(1.0)
    settle(probe)
    (failed,) = of(Loaded, probe.read_events(2.0))
    assert (failed.state, failed.generation, len(failed.programs), len(failed.maps)) == ("failed", 1, 1, 4)
    assert [(one.line, one.column, one.message) for one in failed.diagnostics] == [
        (3, 9, "use of undeclared identifier 'retrun'")
    ]
    assert probe.failures() == ()  # something runs
    assert of(ProgramRuns, probe.read_counters(3.0))


def test_if_nothing_runs_the_reasons_are_lines_for_stderr(file: FakeFile) -> None:
    file.next = file.loading_of(
        0,
        ok=False,
        stage="attach",
        error="no place",
        programs=(ProgramState("hello", None, 0, ("profile:hz:99",), (), "this kernel has no \x1b[2J"),),
    )
    probe = started(file)
    assert probe.failures() == ("hello.c: hello: this kernel has no \\x1b[2J",)


def test_lines_are_counted_while_that_is_asked_for(file: FakeFile) -> None:
    probe = started(file)
    assert not of(LineCounts, probe.read_counters(1.0))
    probe.count_lines(True)
    settle(probe)
    (counts,) = of(LineCounts, probe.read_counters(2.0))
    assert [(row.line, row.runs) for row in counts.rows] == [(1, 2), (3, 7)]
    good, file.next = file.next, file.loading_of(1, ok=False, stage="clang", error="it does not compile")
    work = probe.count_lines(False)
    settle(probe)
    with pytest.raises(SourceError, match="does not compile"):
        work.require()
    assert of(LineCounts, probe.read_counters(3.0)), "as before"
    file.next = good
    probe.count_lines(False)
    settle(probe)
    assert not of(LineCounts, probe.read_counters(4.0))


def test_a_hint_that_means_nothing_is_said_of_its_line(file: FakeFile) -> None:
    source = "// ebpftop: show counts.key=usr\n// ebpftop: show each=log2 cuonts.key=uid\n"
    shows = {"counts.key": "usr", "each": "log2", "cuonts.key": "uid"}
    file.next = file.loading_of(1, source=source, shows=shows, maps=("counts", "each"))
    (loaded,) = of(Loaded, started(file).read_events(0.0))
    assert loaded.state == "on"
    assert [(one.line, one.severity, one.message) for one in loaded.diagnostics] == [
        (1, "warning", "show counts.key=usr: usr is not a meaning"),
        (2, "warning", "show cuonts.key=uid: there is no map cuonts"),
    ]


def test_edits_are_bytes_as_the_types_have_them(file: FakeFile) -> None:
    probe = started(file)
    probe.edits.write_map("counts", "uid=1000 failed=1", "42")
    assert file.maps["counts"].contents == {key(1000, 1): struct.pack("=Q", 42)}
    probe.edits.delete_key("counts", "uid=1000 failed=1")
    assert file.maps["counts"].contents == {}
    probe.edits.set_slot("calls", "execve", None)
    probe.edits.set_slot("calls", "3", "hello")
    assert file.slot[3] == "hello"
    edits: tuple[Callable[[], None], ...] = (
        partial(probe.edits.write_map, "counts", "uid=1000 failed=1", "many"),
        partial(probe.edits.write_map, "counts", "1000", "1"),
        partial(probe.edits.write_map, "output", "0", "1"),
        partial(probe.edits.write_map, "nothing", "0", "1"),
        partial(probe.edits.delete_key, "counts", "uid=9"),
        partial(probe.edits.set_slot, "calls", "512", "hello"),
        partial(probe.edits.set_slot, "calls", "-1", "hello"),
        partial(probe.edits.set_slot, "calls", "1", "nobody"),
    )
    for refused in edits:
        with pytest.raises(SourceError):
            refused()


def test_another_file_takes_its_place_unless_it_does_not_load(file: FakeFile, tmp_path: Path) -> None:
    other = FakeFile(tmp_path / "other.c")
    files = [file, other]
    probe = LoadProbe(context(), LoadRequest(file.path), lambda _: cast(LoadedFile, files.pop(0)))
    probe.start()
    settle(probe)
    probe.read_events(0.0)
    other.next = other.loading_of(0, ok=False, stage="source", error="no program")
    work = probe.open_file(other.path)
    settle(probe)
    with pytest.raises(SourceError, match=r"other\.c: no program"):
        work.require()
    assert (other.is_closed, file.is_closed, probe.on) == (True, False, True)
    files.append(FakeFile(tmp_path / "third.c"))
    work = probe.open_file(tmp_path / "third.c")
    settle(probe)
    work.require()
    assert file.is_closed
    assert [one.file for one in of(Loaded, probe.read_events(1.0))] == ["third.c"]
    probe.stop()
    assert not probe.on


def test_losses_are_those_that_the_kernel_counts(file: FakeFile) -> None:
    assert started(file).lost_now() == {"ring": 3}


def test_a_map_that_takes_long_to_read_is_read_less_often_but_once_at_the_end(
    file: FakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("ebpftop.probes.load.time.monotonic", lambda: clock[0])
    probe = started(file)
    slow = file.maps["counts"]

    def entries(limit: int) -> tuple[list[bytes], list[bytes]]:
        slow.read += 1
        clock[0] += 0.5
        return [key(0, 0)], [struct.pack("=Q", slow.read)]

    slow.entries = entries
    for second in range(4):
        clock[0] += 1
        probe.read_counters(float(second))
    assert slow.read == 1
    probe.detach()
    (last,) = [one for one in of(MapReading, probe.read_counters(9.0)) if one.map == "counts"]
    assert (slow.read, last.rows[0].value) == (2, 2)
