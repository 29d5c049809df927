"""Programs of the machine without a kernel: what its structures mean, how totals go on, when what is looked at."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.program_records import ProgramMap, ProgramOwner, ProgramRow, Programs, ProgramTotals
from ebpftop.core.record_lines import encode
from ebpftop.core.record_memory import weight
from ebpftop.core.source import Batch
from ebpftop.kernel import bpf_objects, bpf_syscall, btf, cgroups, device_programs
from ebpftop.kernel.bpf_holders import Holder, Round
from ebpftop.kernel.bpf_names import attach_word, cgroup_attach_types, map_type, program_type
from ebpftop.kernel.bpf_objects import Counts, LinkFacts, MapFacts, ProgramFacts
from ebpftop.kernel.device_programs import DeviceProgram
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.root_work import RootWork
from ebpftop.models.held import Held
from ebpftop.probes import program_facts, program_places
from ebpftop.probes.pacing import Pace
from ebpftop.probes.program_facts import ProgramTable
from ebpftop.probes.program_runs import Runs, RunTotals
from ebpftop.probes.rows_room import OWNERS_MAX, PLACES_MAX, maps_that_fit, programs_that_fit
from ebpftop.recording.parse import MAX_LINE_BYTES, MAX_VALUES, read_line
from ebpftop.recording.readings import ReadingDecoder, ReadingEncoder

# ---- totals ----


def counts(**runs: int) -> list[Counts]:
    return [Counts(int(name[1:]), 10 * many, many, many // 100) for name, many in runs.items()]


def test_what_ran_before_is_in_no_total_and_what_was_loaded_since_is() -> None:
    totals = RunTotals()
    totals.update(counts(p1=500))
    assert totals.of == {1: Runs()}
    totals.update(counts(p1=507, p2=300))
    assert totals.of == {1: Runs(7, 70, 0), 2: Runs(300, 3000, 3)}
    assert totals.all == Runs(307, 3070, 3)


def test_what_has_gone_stays_in_the_sum() -> None:
    totals = RunTotals()
    totals.update(counts(p1=0, p2=0))
    totals.update(counts(p1=5, p2=8))
    totals.update(counts(p1=6))
    assert totals.of == {1: Runs(6, 60, 0)}
    assert totals.all.runs == 14


def test_what_ran_while_nobody_watched_is_in_no_total() -> None:
    totals = RunTotals()
    totals.update(counts(p1=0))
    totals.update(counts(p1=5))
    totals.pause()
    totals.update(counts(p1=1005, p2=900))  # the second was loaded meanwhile
    assert totals.of == {1: Runs(5, 50, 0), 2: Runs()}
    totals.update(counts(p1=1006, p2=903))
    assert totals.of[1].runs == 6
    assert totals.of[2].runs == 3


def test_a_total_never_falls() -> None:
    totals = RunTotals()
    totals.update(counts(p1=0))
    totals.update(counts(p1=50))
    totals.update(counts(p1=20))
    assert totals.of[1].runs == 50


# ---- when something is looked at ----


def test_it_is_due_at_first_then_now_and_then() -> None:
    pace = Pace(10.0, 1.0, 0.02)
    assert pace.due(100.0)
    pace.done(100.0, 100.01)
    assert not pace.due(109.0)
    assert pace.due(110.02)


def test_news_make_it_due_sooner_until_it_has_begun_after_them() -> None:
    pace = Pace(10.0, 1.0, 0.02)
    pace.done(100.0, 100.01)
    assert not pace.due(100.5, news_s=102.0)
    assert pace.due(101.1, news_s=102.0)
    pace.done(101.1, 101.11)
    assert pace.due(102.2, news_s=102.0)
    pace.done(102.2, 102.21)
    assert not pace.due(104.0, news_s=102.0)


def test_what_takes_long_is_looked_at_less_often_whatever_the_news() -> None:
    pace = Pace(10.0, 1.0, 0.02)
    pace.done(100.0, 110.0, 0.5)  # half a second of these ten
    assert not pace.due(130.0, news_s=1000.0)
    assert pace.due(135.1, news_s=1000.0)


# ---- the kernel's structures ----


def info_of(known: int) -> bytes:
    """A struct bpf_prog_info of a kernel that knows the first *known* bytes of it."""
    whole = struct.pack("=II8sIIQQQIIQ16sI", 17, 214, b"eight..!", 99, 80, 0, 0, 5_000, 1000, 3, 0, b"short", 2)
    whole = whole.ljust(192, b"\0") + struct.pack("=QQQIII", 700, 30, 2, 77, 0, 55)
    return whole[:known].ljust(256, b"\0")


@pytest.mark.parametrize(
    ("known", "misses", "attached"),
    [(208, 0, 0), (216, 2, 0), (232, 2, 55)],
    ids=["5.8", "5.12", "6.0"],
)
def test_structures_that_grew_with_the_kernel(
    known: int, misses: int, attached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bpf_syscall, "info", lambda _fd, _request=b"": info_of(known))
    facts = bpf_objects._program(-1)
    assert facts == ProgramFacts(214, 17, b"eight..!", 10, 5_000, 1000, b"short", (0, 0, 0), b"", b"", attached, 2)
    assert bpf_objects._COUNTS.unpack_from(info_of(known), bpf_objects._COUNTS_AT) == (700, 30, misses)


def blob(names: Sequence[bytes], *, before: int = 0) -> bytes:
    """Types that are integers of these names; a module's names begin where the kernel's end."""
    text, at, types = b"\0", [], b""
    for name in names:
        at.append(before + len(text))
        text += name + b"\0"
    for name_at in at:
        types += struct.pack("=IIII", name_at, 1 << 24, 4, 32)
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(text)) + types + text


def test_names_of_types_of_the_kernel_and_of_a_module() -> None:
    kernel = blob([b"one", b"two", b"three"])
    assert btf.names(kernel, {1, 3, 9}) == {1: b"one", 3: b"three"}
    size = struct.unpack_from("=I", kernel, 20)[0]
    assert btf.names(blob([b"four", b"five"], before=size), {2, 5}, kernel) == {5: b"five"}
    for cut in range(len(kernel) - 1):
        with pytest.raises(BtfError):
            btf.names(kernel[:cut], {3})


def test_numbers_that_are_newer_than_the_names() -> None:
    assert (program_type(26), program_type(99)) == ("tracing", "type 99")
    assert (map_type(27), map_type(99)) == ("ringbuf", "type 99")
    assert [attach_word(number) for number in (0, 6, 10, 24, 27, 46, 99)] == [
        *("ingress", "device", "inet4_connect", "fentry", "lsm", "ingress", "type 99"),
    ]
    assert cgroup_attach_types(15) == (6,)
    assert cgroup_attach_types(8) == (0, 1)
    assert cgroup_attach_types(9) == (2, 12, 13, 34)
    assert {8, 10, 19, 29, 49} <= set(cgroup_attach_types(18))
    assert cgroup_attach_types(17) == cgroup_attach_types(99) == ()


# ---- where programs are attached ----


def link(kind: int, layout: str = "=", *values: int | bytes, text: bytes = b"") -> LinkFacts:
    return LinkFacts(9, kind, 214, struct.pack(layout, *values).ljust(48, b"\0"), text)


@pytest.mark.parametrize(
    ("attached", "shown"),
    [
        (link(1, text=b"sched_switch"), "sched_switch"),
        (link(1, text=b"\x1b[2Jx"), "\\x1b[2Jx"),
        (link(2, "=I", 24), "fentry do_it"),
        (link(2, "=I", 23), "do_it"),
        (link(2, "=I", 27), "lsm do_it"),
        (link(3, "=QI", 77, 6), "cgroup /a.slice"),
        (link(3, "=QI", 77, 1), "cgroup /a.slice egress"),
        (link(3, "=QI", 78, 10), "cgroup id 78 inet4_connect"),
        (link(4, text=b"task"), "iter task"),
        (link(5, "=II", 4026531840, 36), "netns 4026531840 sk_lookup"),
        (link(6, "=I", 1), "xdp lo"),
        (link(6, "=I", 0x7FFFFFFF), "xdp device 2147483647"),
        (link(7, "=I16xIQ", 3, 16, 0xFF, text=b"do_exit"), "kprobe do_exit+0x10"),
        (link(7, "=I16xIQ", 4, 0, 0xFF), "kretprobe 0xff"),
        (link(7, "=I16xIQ", 3, 0, 0), "kprobe"),
        (link(7, "=I16xI", 1, 0x1234, text=b"/bin/sh"), "uprobe /bin/sh+0x1234"),
        (link(7, "=I", 5, text=b"sched_switch"), "sched_switch"),
        (link(7, "=I4xQI", 6, 2, 1), "perf software 0x2"),
        (link(7), "perf_event"),
        (link(8, "=8xII", 12, 0), "kprobe of 12 functions"),
        (link(8, "=8xII", 3, 1), "kretprobe of 3 functions"),
        (link(9, "=I", 5), "struct_ops map 5"),
        (link(10, "=II", 2, 1), "netfilter ipv4 input"),
        (link(10, "=II", 7, 9), "netfilter family 7 hook 9"),
        (link(11, "=II", 1, 46), "tcx lo ingress"),
        (link(12, "=36xII", 4, 0, text=b"/bin/sh"), "uprobe of 4 places in /bin/sh"),
        (link(13, "=II", 1, 55), "netkit lo peer"),
        (link(14, "=I", 6), "sockmap map 6"),
        (link(99), "link type 99"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_links_in_words(attached: LinkFacts, shown: str) -> None:
    paths = {77: "/a.slice"}
    assert program_places.of_link(attached, "do_it", paths.get) == shown


def test_perf_events_of_a_process_in_words() -> None:
    shown = [
        program_places.of_holder(Holder(7, b"x", 214, kind, name, offset, address))
        for kind, name, offset, address in (
            *((1, b"sched_switch", 0, 0), (2, b"do_exit", 0, 5), (3, b"", 0, 0xAB), (5, b"/bin/sh", 16, 0)),
            *((-1, b"", 0, 0), (99, b"x", 0, 0)),
        )
    ]
    assert shown == ["sched_switch", "kprobe do_exit", "kretprobe 0xab", "uretprobe /bin/sh+0x10", "", ""]


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_programs_of_devices_in_what_the_kernel_sends() -> None:
    xdp = attribute(2, b"\4") + attribute(5, struct.pack("=I", 7)) + attribute(6, struct.pack("=I", 9))
    assert list(device_programs.xdp_programs(xdp)) == [7, 9]
    assert list(device_programs.xdp_programs(xdp[:-2])) == [7]  # cut off
    options = attribute(0x8000 | 2, attribute(11, struct.pack("=I", 8)))
    assert device_programs.filter_program(attribute(1, b"bpf\0") + options) == 8
    assert device_programs.filter_program(attribute(1, b"u32\0") + options) == 0
    assert device_programs.filter_program(b"\0\0\0\0") == 0
    shown = [program_places.of_device(DeviceProgram(1, b"eth0\x1b", hook)) for hook in ("xdp", "egress")]
    assert shown == ["xdp eth0\\x1b", "tc eth0\\x1b egress"]


# ---- the table of programs ----


def facts(number: int, kind: int = 17, *, maps: tuple[int, ...] = (), name: bytes = b"hello") -> ProgramFacts:
    return ProgramFacts(number, kind, b"\xab" * 8, 10, 0, 0, name, maps, b"", b"", 0, 0)


class Machine(RootWork):
    """A kernel that has what a test puts there."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.programs_there: dict[int, ProgramFacts] = {}
        self.links_there: list[LinkFacts] = []
        self.rounds: list[Round] = [Round([], 0)]
        self.cgroups_there: dict[int, dict[int, tuple[int, ...]]] = {}
        self.memory = 4096
        self.asked: list[str] = []

    def program_facts(self, ids: Sequence[int]) -> list[ProgramFacts]:
        return [self.programs_there[number] for number in ids if number in self.programs_there]

    def map_facts(self, ids: Sequence[int]) -> list[MapFacts]:
        self.asked.append(f"maps {list(ids)}")
        return [MapFacts(number, 1, 8, b"m\n", self.memory) for number in ids]

    def link_facts(self, than: int) -> list[LinkFacts]:
        return [one for one in self.links_there if one.id > than][:1]

    def holders(self, after: int) -> Round:
        self.asked.append(f"after {after}")
        return self.rounds.pop(0)

    def cgroup_programs(self, attach_type: int, ids: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        there = self.cgroups_there.get(attach_type, {})
        return [(number, there[number]) for number in ids if number in there]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("ebpftop.probes.program_facts.time.monotonic", lambda: now[0])
    return now


def test_programs_come_and_go(clock: list[float]) -> None:
    machine = Machine()
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1, maps=(5,)), 2: facts(2, maps=(5, 6))}
    table.refresh([1, 2, 3])  # the third has gone since
    assert table.facts.keys() == {1, 2}
    assert table.maps[5] == ProgramMap(id=5, type="hash", name="m\\x0a", entries=8, bytes=4096)
    machine.rounds = [Round([], 0)]
    clock[0] += 1.0
    table.refresh([1])
    assert table.facts.keys() == {1}
    assert table.maps.keys() == {5}


def test_maps_are_asked_for_again_now_and_then_and_stay_the_same_objects(clock: list[float]) -> None:
    machine = Machine()
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1, maps=(5,))}
    table.refresh([1])
    before = table.maps[5]
    machine.rounds = [Round([], 0)] * 3
    clock[0] += 5.0
    table.refresh([1])
    assert [asked for asked in machine.asked if "maps" in asked] == ["maps [5]"]
    clock[0] += 6.0
    table.refresh([1])
    assert table.maps[5] is before
    machine.memory = 8192
    clock[0] += 11.0
    table.refresh([1])
    assert table.maps[5].bytes == 8192


def test_owners_are_those_of_a_whole_round(clock: list[float]) -> None:
    machine = Machine()
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1), 2: facts(2)}
    machine.rounds = [
        Round([Holder(7, b"agent\xff", 1), Holder(7, b"agent\xff", 1, 2, b"do_exit")], 7),
        Round([Holder(900, b"other", 1)], 0),
    ]
    table.refresh([1, 2])
    assert machine.asked[-2:] == ["after 0", "after 7"]
    assert table.owners == {1: (ProgramOwner(pid=7, comm="agent\\xff"), ProgramOwner(pid=900, comm="other"))}
    assert table.places(facts(1)) == ("kprobe do_exit",)
    assert table.owners_time is not None


def test_a_round_that_takes_long_goes_on_at_the_next_reading(clock: list[float]) -> None:
    machine = Machine()
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1)}
    table.refresh([1])  # the first
    clock[0] += 20.0
    pieces = iter((Round([Holder(7, b"a", 1)], 7), Round([], 8), Round([Holder(9, b"b", 1)], 0)))

    def holders(after: int) -> Round:
        machine.asked.append(f"after {after}")
        clock[0] += 0.06
        return next(pieces)

    machine.holders = holders  # type: ignore[method-assign]
    table.refresh([1])
    assert machine.asked[-2:] == ["after 0", "after 7"]
    assert table.owners == {}
    clock[0] += 1.0
    table.refresh([1])
    assert [owner.pid for owner in table.owners[1]] == [7, 9]


def test_places_by_links_and_cgroups(clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    (tmp_path / "a.slice").mkdir()
    number = (tmp_path / "a.slice").stat().st_ino
    monkeypatch.setattr(cgroups, "unified", lambda: tmp_path)
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1), 2: facts(2, 15)}
    machine.links_there = [
        LinkFacts(4, 1, 1, bytes(48), b"sys_enter"),
        LinkFacts(5, 1, 1, bytes(48), b"sys_exit"),
        LinkFacts(8, 3, 2, struct.pack("=QI", number, 6).ljust(48, b"\0"), b""),
    ]
    machine.cgroups_there = {6: {tmp_path.stat().st_ino: (2,)}}
    table.refresh([1, 2])
    assert table.places(table.facts[1]) == ("sys_enter", "sys_exit")
    assert table.places(table.facts[2]) == ("cgroup /a.slice", "cgroup /")


def test_a_link_that_does_not_say_where_is_told_by_the_event_of_its_owner(clock: list[float]) -> None:
    machine = Machine()
    table = ProgramTable(machine)
    machine.programs_there = {1: facts(1, 2), 2: facts(2, 2)}
    machine.links_there = [LinkFacts(4, 7, 1, bytes(48), b""), LinkFacts(5, 7, 2, bytes(48), b"")]
    machine.rounds = [Round([Holder(7, b"a", 1, 2, b"do_exit")], 0)]
    table.refresh([1, 2])
    assert table.places(table.facts[1]) == ("kprobe do_exit",)
    assert table.places(table.facts[2]) == ("perf_event",)


def test_where_links_cannot_be_listed_the_rest_is_there(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()

    def refused(_than: int) -> list[LinkFacts]:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(machine, "link_facts", refused)
    machine.programs_there = {1: facts(1)}
    table = ProgramTable(machine)
    table.refresh([1])
    assert table.places_refused == "Invalid argument"
    assert table.places(table.facts[1]) == ()


def test_the_function_of_a_program_of_tracing() -> None:
    names = {"vmlinux": blob([b"do_exit", b"btf_trace_sched_switch"])}
    size = struct.unpack_from("=I", names["vmlinux"], 20)[0]
    names["module"] = blob([b"bpf_lsm_file_open"], before=size)
    functions = program_facts._Functions(names.__getitem__)
    programs = [
        facts(1)._replace(attach_btf=module, attach_type=number)
        for module, number in ((b"vmlinux", 1), (b"vmlinux", 2), (b"module", 3), (b"vmlinux", 0), (b"", 7))
    ]
    functions.learn(programs)
    assert [functions.of(program) for program in programs] == ["do_exit", "sched_switch", "file_open", "", ""]
    with pytest.raises(FileNotFoundError):
        program_facts._types_of("../../../etc/passwd")


# ---- the record ----


def reading(at: float, *rows: ProgramRow, maps: tuple[ProgramMap, ...] = ()) -> Programs:
    machine = ProgramTotals(programs=len(rows), map_bytes=1, runs=sum(row.runs for row in rows))
    return Programs(time=at, rows=rows, maps=maps, machine=machine, stats="enabled")


def row(number: int, runs: int = 0) -> ProgramRow:
    return ProgramRow(id=number, type="kprobe", name="n", tag="ab", uid=0, loaded=1.0, runs=runs, maps=(5,))


def test_a_stream_has_what_changed_and_a_reader_has_all_of_it() -> None:
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    shared = ProgramMap(id=5, type="hash", name="m", entries=8, bytes=1)
    many = [row(number) for number in range(10, 30)]
    readings = [
        reading(10.0, row(1), *many, maps=(shared,)),
        reading(11.0, row(1, 7), *many, maps=(shared,)),
        reading(12.0, *many, row(40, 3)),
    ]
    lines = [encoder.encode(one) for one in readings]
    assert [decoder.whole(read_line(line)) for line in lines] == readings
    assert b'"whole":false' in lines[1]
    assert lines[1].count(b'"tag"') == 1
    assert b'"removed":{"rows":[[1]],"maps":[[5]]}' in lines[2]


def crowded(number: int) -> ProgramRow:
    owners = tuple(ProgramOwner(pid=pid, comm="\\x1b" * 15) for pid in range(OWNERS_MAX))
    places = tuple(f"cgroup /{'é' * 700}{each}" for each in range(PLACES_MAX))
    maps = tuple(range(4_000_000_000, 4_000_000_064))
    large = 1 << 50
    return msgspec.structs.replace(
        row(number), name="n" * 255, tag="a" * 16, uid=1 << 31, loaded=1795887436.033357, owners=owners,
        attached=places, maps=maps, runs=large, run_ns=number, misses=large, insns=1_000_000, map_bytes=large,
    )  # fmt: skip


@pytest.mark.parametrize("make", [row, crowded])
@pytest.mark.parametrize("many", [30, 30_000])
def test_a_reading_is_never_longer_than_a_line_may_be(make: Callable[[int], ProgramRow], many: int) -> None:
    one = make(1)
    rows = programs_that_fit([msgspec.structs.replace(one, id=number, run_ns=number) for number in range(many)])
    maps = maps_that_fit(
        [ProgramMap(id=number, type="percpu_array", name="m" * 15, entries=9, bytes=number) for number in range(many)]
    )
    line = encode(reading(1.0, *rows, maps=maps))
    assert len(line) < MAX_LINE_BYTES
    assert line.count(b",") < MAX_VALUES
    assert read_line(line) == reading(1.0, *rows, maps=maps)
    assert len(rows) == many or len(rows) > (10_000 if make is row else 100)
    # Those that ran longest, and the largest, in the order of their ids.
    assert [each.id for each in rows] == list(range(many - len(rows), many))
    assert [each.id for each in maps] == list(range(many - len(maps), many))


def test_what_it_weighs_grows_with_its_rows() -> None:
    few, many = (weight(reading(1.0, *(row(number) for number in range(count)))) for count in (10, 1000))
    assert 900 * 300 < many - few < 2000 * 1000


def test_a_paused_screen_counts_its_rows() -> None:
    queue: Held[str] = Held()
    assert list(queue.put("screen", Batch("programs", 1.0, (reading(1.0, row(1), row(2)),)))) == []
    assert queue.weight == 3


def test_a_row_with_a_negative_count_is_a_broken_line() -> None:
    with pytest.raises(ValueError, match="Expected `int` >= 0"):
        read_line(b'{"kind":"programs","time":1,"rows":[],"machine":{"programs":-1,"map_bytes":0}}')
