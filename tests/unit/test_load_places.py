"""Where programs can hang, in which order that is tried, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ebpftop.core.records import Attempt
from ebpftop.kernel import btf
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.bpf_syscall import MapInfo
from ebpftop.kernel.load import attach, ladder, maps
from ebpftop.kernel.load.adapt import NotAdaptable
from ebpftop.kernel.load.attach import Place, places
from ebpftop.kernel.load.events import parse
from ebpftop.kernel.load.ladder import Ladder
from ebpftop.kernel.load.loading import ProgramState
from ebpftop.kernel.load.slots import index_of
from ebpftop.kernel.load.source import Source, read_from
from ebpftop.kernel.load.source_files import Includes
from ebpftop.kernel.maps import CPUS
from ebpftop.kernel.offsets import syscall_prefix

FEATURES = KernelFeatures(None, None)
EXECVE = f"{syscall_prefix()}sys_execve"


def vias(text: str) -> list[str]:
    return [place.via for place in places(parse(text))]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            "syscall:execve",
            [
                f"kprobe:{EXECVE}",
                f"fentry:{EXECVE}",
                "tracepoint:syscalls:sys_enter_execve",
                "raw_tracepoint:sys_enter",
            ],
        ),
        (
            "syscall_exit:execve",
            [
                f"kretprobe:{EXECVE}",
                f"fexit:{EXECVE}",
                "tracepoint:syscalls:sys_exit_execve",
                "raw_tracepoint:sys_exit",
            ],
        ),
        ("kprobe:do_exit", ["kprobe:do_exit", "fentry:do_exit"]),
        ("kretprobe:vfs_read", ["kretprobe:vfs_read", "fexit:vfs_read"]),
        ("kprobe:__x64_sys_execve", vias("syscall:execve")),
        ("kprobe:__do_sys_execve", ["kprobe:__do_sys_execve", "fentry:__do_sys_execve"]),
        ("kprobe:__ia32_sys_execve", ["kprobe:__ia32_sys_execve", "fentry:__ia32_sys_execve"]),
        ("kprobe:sys_imageblit", ["kprobe:sys_imageblit", "fentry:sys_imageblit"]),
        ("kretprobe:__x64_sys_execve", vias("syscall_exit:execve")),
        ("fentry:__x64_sys_execve", [f"fentry:{EXECVE}", "tp_btf:sys_enter"]),
        ("fexit:sys_execve", [f"fexit:{EXECVE}", "tp_btf:sys_exit"]),
        ("tracepoint:sched:sched_switch", ["tracepoint:sched:sched_switch"]),
        ("raw_tracepoint:sched_switch", ["raw_tracepoint:sched_switch"]),
        ("uprobe:/bin/bash:readline", ["uprobe:/bin/bash:readline"]),
        ("profile:hz:99", ["perf:profile:hz:99"]),
        ("lsm:file_open", ["lsm:file_open"]),
    ],
)
def test_an_event_has_its_places_best_first(event: str, expected: list[str]) -> None:
    assert vias(event) == expected


def test_places_say_what_they_cost() -> None:
    costs = {place.kind: place.cost for place in places(parse("syscall:execve"))}
    assert costs["kprobe"] == costs["fentry"] != costs["tracepoint"] == costs["raw_tracepoint"]
    assert places(parse("raw_tracepoint:sys_exit"))[0].cost == costs["tracepoint"]
    assert places(parse("tracepoint:sched:sched_switch"))[0].cost == costs["kprobe"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("profile:hz:99", (1, 0, 99, True)),
        ("software:page-faults:1", (1, 2, 1, False)),
        ("hardware:cache-misses:1000", (0, 3, 1000, False)),
    ],
)
def test_what_is_sampled(event: str, expected: tuple[int, int, int, bool]) -> None:
    (place,) = places(parse(event))
    assert attach.sampling(place.target.split(":")) == expected


def test_an_event_of_perf_that_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown software event page-fault: one of cpu-clock"):
        attach.sampling(["software", "page-fault", "1"])


def source(text: str) -> Source:
    return read_from(Path("hello.c"), text, Includes(Path("hello.c")))


@pytest.fixture
def without_kprobes(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(place: Place, features: KernelFeatures) -> str | None:
        return "no kprobes" if place.kind == "kprobe" else None

    monkeypatch.setattr(ladder, "absent", absent)


HELLO = "int hello(void *ctx) { return 0; }\n// ebpftop: attach hello=syscall:execve\n"


def as_it_is(source: Source, choice: Mapping[str, str]) -> str:
    return ",".join(f"{function}={kind}" for function, kind in choice.items())


@pytest.mark.usefixtures("without_kprobes")
def test_a_ladder_is_climbed_until_a_place_works_and_says_why_others_did_not() -> None:
    steps = Ladder()
    steps.begin(source(HELLO), FEATURES)
    assert steps.adapt(source(HELLO), as_it_is) == "hello=fentry"
    assert steps.climb({"hello": "EPERM"})
    assert steps.kind("hello") == "tracepoint"
    assert [(one.via.partition(":")[0], one.reason) for one in steps.attempts("hello")] == [
        ("kprobe", "no kprobes"),
        ("fentry", "EPERM"),
        ("tracepoint", None),
        ("raw_tracepoint", "not needed: tracepoint:syscalls:sys_enter_execve works"),
    ]


@pytest.mark.usefixtures("without_kprobes")
def test_what_failed_is_not_tried_again_at_the_next_load_of_the_same_events() -> None:
    steps = Ladder()
    steps.begin(source(HELLO), FEATURES)
    steps.climb({"hello": "EPERM"})
    steps.begin(source(HELLO + "\n"), FEATURES)
    assert steps.kind("hello") == "tracepoint"
    steps.begin(source(HELLO.replace("execve", "openat")), FEATURES)
    assert steps.kind("hello") == "fentry"


@pytest.mark.usefixtures("without_kprobes")
def test_the_last_place_is_not_left() -> None:
    steps = Ladder()
    steps.begin(source(HELLO), FEATURES)
    assert steps.climb({"hello": "1"})
    assert steps.climb({"hello": "2"})
    assert not steps.climb({"hello": "3"})
    assert steps.kind("hello") == "raw_tracepoint"
    assert steps.reason("hello") is None


@pytest.mark.usefixtures("without_kprobes")
@pytest.mark.parametrize("function", ["hello", "in_a_slot", ""])
def test_a_program_that_cannot_be_adapted_goes_on_to_the_next_kind(function: str) -> None:
    def adapt(source: Source, choice: Mapping[str, str]) -> str:
        if choice["hello"] != "raw_tracepoint":
            raise NotAdaptable("its arguments cannot be read", function)
        return as_it_is(source, choice)

    steps = Ladder()
    steps.begin(source(HELLO), FEATURES)
    assert steps.adapt(source(HELLO), adapt) == "hello=raw_tracepoint"
    assert [one.reason for one in steps.attempts("hello")][1:3] == ["its arguments cannot be read"] * 2


def test_a_program_that_can_hang_nowhere_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "absent", lambda place, features: f"no {place.kind}")
    text = "int kprobe__do_exit(struct pt_regs *ctx) { return 0; }\n"
    steps = Ladder()
    steps.begin(source(text), FEATURES)
    assert steps.adapt(source(text), as_it_is) == ""
    assert steps.reason("kprobe__do_exit") == "no kprobe; no fentry"
    assert steps.kind("kprobe__do_exit") == "kprobe"


def test_a_program_that_no_place_takes_says_what_it_needs() -> None:
    why = "the kernel refused to load it"
    state = ProgramState("kfunc__vfs_read", None, 26, attempts=(Attempt(via="fentry:vfs_read", cost="", reason=why),))
    found = ladder.nowhere(state)
    assert found is not None
    assert found[0] == f"kfunc__vfs_read can be attached nowhere: fentry:vfs_read: {why}"
    assert "kprobe__vfs_read(struct pt_regs *ctx, ..)" in found[1]
    another = Attempt(via="tp_btf:sys_enter", cost="", reason=None)
    assert ladder.nowhere(replace(state, attempts=(*state.attempts, another))) is None


def test_many_functions_are_looked_up_in_types_that_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Types:
        def __init__(self, data: bytes) -> None:
            read.append(data)

        def find(self, kind: object, name: str) -> int:
            return 7

    monkeypatch.setattr(attach, "BtfTypes", Types)
    monkeypatch.setattr(btf, "of_running_kernel", lambda: b"")
    events = ",".join(f"kprobe:vfs_{name}_of_a_test" for name in "abcdefgh")
    text = f"int hello(void *ctx) {{ return 0; }}\n// ebpftop: attach hello={events}\n"
    steps = Ladder()
    attach.forget_types()
    steps.begin(source(text), FEATURES)
    assert len(read) == 1
    assert all(attach.attach_id(Place("fentry", f"vfs_{name}_of_a_test")) == 7 for name in "abcdefgh")
    assert len(read) == 1


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        ("struct pt_regs *ctx", "raw_tracepoint"),
        ("struct bpf_raw_tracepoint_args *ctx", "raw_tracepoint"),
        ("struct bpf_perf_event_data *ctx", "perf"),
        ("void *ctx", "raw_tracepoint"),
    ],
)
def test_a_program_for_a_slot_is_of_the_kind_that_its_context_says_or_that_calls_it(context: str, kind: str) -> None:
    text = f"RAW_TRACEPOINT_PROBE(sys_enter) {{ return 0; }}\nint in_a_slot({context}) {{ return 0; }}\n"
    steps = Ladder()
    steps.begin(source(text), FEATURES)
    assert steps.kind("in_a_slot") == kind
    assert steps.attempts("in_a_slot") == ()


def test_a_slot_has_a_number_or_the_name_of_a_system_call() -> None:
    assert index_of("17") == 17
    assert index_of("execve") is not None
    assert index_of("no_such_call") is None
    assert index_of("-1") is None


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (MapInfo(maps.ARRAY, 4, 8, 1 << 30, 0), 8 << 30),
        (MapInfo(maps.PERCPU_ARRAY, 4, 4, 10, 0), 80 * CPUS),
        (MapInfo(maps.HASH, 4, 8, 1000, 0), 80_000),
        (MapInfo(maps.RINGBUF, 0, 0, 1 << 20, 0), 1 << 20),
    ],
)
def test_how_much_memory_a_map_takes(info: MapInfo, expected: int) -> None:
    assert maps.memory_bytes(info) == expected
