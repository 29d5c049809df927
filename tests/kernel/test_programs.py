"""Every eBPF program of the machine: what they are as bpftool says it, and how often they ran as the test ran them."""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from ebpftop.core.program_records import ProgramRow, Programs
from ebpftop.core.records import Probe
from ebpftop.kernel import bpf_names, bpf_programs, bpf_syscall, btf, cgroups, maps, perf_event, tracefs
from ebpftop.kernel.bpf_objects import Counts
from ebpftop.kernel.bpf_syscall import MapInfo, Program
from ebpftop.kernel.defines import kernel_version
from ebpftop.kernel.offsets import function_id
from ebpftop.probes import programs as probe
from tests.kernel import own_source
from tests.kernel.support import needs_root

pytestmark = [needs_root, pytest.mark.guest]

SOCKET_FILTER, CGROUP_SKB, INGRESS = 1, 8, 0
_PROG_ATTACH, _TEST_RUN, _BTF_LOAD, _PROG_LOAD = 8, 10, 18, 5
PATIENCE_S = 30.0


class Watched(own_source.OwnSource):
    """A source of this process's own that only has this probe."""

    def read(self) -> Programs:
        """Return the programs now."""
        return self.now(Programs)

    def row(self, program_fd: int) -> ProgramRow:
        """Return what is said of a program of this process."""
        number = bpf_programs.program_id(program_fd)
        (row,) = [row for row in self.read().rows if row.id == number]
        return row

    def wait_for(self, program_fd: int, holds: Callable[[ProgramRow], object]) -> ProgramRow:
        """Return the row of a program as soon as something holds of it: not all is looked at each time."""
        until_s = time.monotonic() + PATIENCE_S
        while not holds(row := self.row(program_fd)):
            assert time.monotonic() < until_s, row
            time.sleep(0.2)
        return row


def watching(**options: object) -> AbstractContextManager[Watched]:
    return own_source.opened(Watched, **{"probes": ("programs",), **options})


@contextmanager
def loaded(
    code: bytes = bpf_syscall.RETURN_ZERO, *, kind: int = SOCKET_FILTER, name: str = "of_this_test", **more: int
) -> Iterator[int]:
    """Load a program for a while; yield its descriptor."""
    fd = bpf_syscall.load_program(
        Program(kind, name, code, "GPL", 0, more.get("attach_type", 0), more.get("attach_id", 0))
    )
    try:
        yield fd
    finally:
        os.close(fd)


def run(program_fd: int, times: int) -> None:
    """Run a socket filter so often, on a packet of nothing."""
    packet = ctypes.create_string_buffer(64)
    attr = struct.pack("=IIIIQQI", program_fd, 0, len(packet), 0, ctypes.addressof(packet), 0, times)
    bpf_syscall.bpf(_TEST_RUN, attr)


def by_bpftool(*words: str) -> Any:  # whatever it says
    return json.loads(subprocess.run(["bpftool", "-j", *words], check=True, stdout=subprocess.PIPE).stdout)


def test_runs_are_counted_exactly_from_when_ebpftop_watches() -> None:
    with loaded(name="before") as before, watching() as watched:
        run(before, 500)
        assert watched.row(before).runs == 500
        assert watched.read().stats == "enabled"
        with loaded(name="meanwhile") as meanwhile:
            run(meanwhile, 77)
            row = watched.row(meanwhile)
            assert (row.runs, row.misses, row.own) == (77, 0, False)
            assert 0 < row.run_ns < 1e9
            everything = watched.read().machine
        later = watched.read().machine
        # What has gone is still in the sum.
        assert later.runs >= everything.runs >= 577
        assert later.run_ns >= everything.run_ns >= row.run_ns
        watched.source.toggle("programs")
        run(before, 1000)  # nobody watches
        watched.source.toggle("programs")
        assert watched.row(before).runs == 500
        run(before, 3)
        assert watched.row(before).runs == 503


def descriptors(name: str) -> int:
    """How many descriptors of this process are *name*."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}") == name
        except OSError:
            continue
    return found


def test_statistics_are_on_only_while_somebody_watches() -> None:
    stats = "anon_inode:bpf-stats"
    with watching() as watched:
        watched.source._cost.close()
        watched.source._cost._next_s = float("inf")  # it has its own
        assert descriptors(stats) == 1
        watched.source.toggle("programs")
        assert descriptors(stats) == 0
        watched.source.toggle("programs")
        assert descriptors(stats) == 1
    assert descriptors(stats) == 0


@pytest.mark.everywhere
def test_every_program_is_what_bpftool_says() -> None:
    with loaded(), watching() as watched:
        truth: dict[int, dict[str, Any]] = {one["id"]: one for one in by_bpftool("prog", "show")}
        memory = {one["id"]: one["bytes_memlock"] for one in by_bpftool("map", "show")}
        reading = watched.read()
        still = {one["id"] for one in by_bpftool("prog", "show")}
        rows = {row.id: row for row in reading.rows if row.id in truth and row.id in still}
        assert len(rows) >= 1
        assert rows.keys() == truth.keys() & still
        for number, row in rows.items():
            one = truth[number]
            assert row.type == one["type"]
            assert row.own or row.name == one.get("name", "")
            assert row.tag == one["tag"]
            assert row.uid == one["uid"]
            assert abs(row.loaded - one["loaded_at"]) < 2
            assert row.insns * 8 == one["bytes_xlated"]
            assert sorted(row.maps) == sorted(one.get("map_ids", []))
            assert row.misses <= one.get("recursion_misses", 0)
            if memory.keys() >= set(row.maps):
                assert row.map_bytes == sum(memory[each] for each in row.maps)


def test_a_name_that_the_kernel_cut_is_whole_where_its_types_have_it() -> None:
    name = b"a_name_of_more_than_fifteen_characters"
    with ExitStack() as stack:
        fd = load_with_types(name)
        stack.callback(os.close, fd)
        watched = stack.enter_context(watching())
        assert watched.row(fd).name == name.decode()


def load_with_types(name: bytes) -> int:
    """Load a program whose function has a name in its BTF (Documentation/bpf/btf.rst): int NAME(int a)."""
    names = b"\0int\0a\0" + name + b"\0"
    types = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)  # 1: int, signed, of 32 bits
    types += struct.pack("=IIIII", 0, 13 << 24 | 1, 1, 5, 1)  # 2: a function of int that returns int
    types += struct.pack("=III", 7, 12 << 24 | 1, 2)  # 3: NAME, which is global
    blob = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names)) + types + names
    raw = ctypes.create_string_buffer(blob, len(blob))
    btf_fd = bpf_syscall.bpf(_BTF_LOAD, struct.pack("=QQII", ctypes.addressof(raw), 0, len(blob), 0))
    try:
        code, licence = ctypes.create_string_buffer(bpf_syscall.RETURN_ZERO), ctypes.create_string_buffer(b"GPL")
        function = ctypes.create_string_buffer(struct.pack("=II", 0, 3))
        attr = struct.pack("=IIQQIIQII16sII", SOCKET_FILTER, 2, ctypes.addressof(code), ctypes.addressof(licence),
                           0, 0, 0, 0, 0, name[:15], 0, 0)  # fmt: skip
        attr += struct.pack("=IIQI", btf_fd, 8, ctypes.addressof(function), 1)
        return bpf_syscall.bpf(_PROG_LOAD, attr)
    finally:
        os.close(btf_fd)


def using(map_fd: int) -> bytes:
    """A program that only names a map."""
    return struct.pack("=BBhiBBhi", 0x18, 0x11, 0, map_fd, 0, 0, 0, 0) + bpf_syscall.RETURN_ZERO


def test_a_map_counts_to_each_program_that_uses_it_and_once_to_the_machine() -> None:
    map_fd = bpf_syscall.create_map("shared_by_two", MapInfo(2, 4, 4096, 256, 0))
    try:
        with loaded(using(map_fd)) as one, loaded(using(map_fd)) as two, watching() as watched:
            rows = watched.row(one), watched.row(two)
            reading = watched.read()
            assert rows[0].map_bytes == rows[1].map_bytes >= 1 << 20
            (number,) = rows[0].maps
            (shared,) = [each for each in reading.maps if each.id == number]
            assert (shared.type, shared.name, shared.entries) == ("array", "shared_by_two", 256)
            assert shared.bytes == rows[0].map_bytes
            assert reading.machine.map_bytes == sum(each.bytes for each in reading.maps)
    finally:
        os.close(map_fd)


def test_where_programs_are_attached_and_who_holds_them() -> None:
    with ExitStack() as stack:
        raw = stack.enter_context(loaded(kind=bpf_syscall.TYPE_RAW_TRACEPOINT, name="raw"))
        stack.callback(os.close, bpf_syscall.open_raw_tracepoint(raw, "task_newtask"))
        point = stack.enter_context(loaded(kind=5, name="point"))
        stack.callback(os.close, perf_event.attach_tracepoint(point, tracefs.find(), "task:task_newtask"))
        expected = {raw: "task_newtask", point: "task_newtask"}
        if perf_event.KPROBE_TYPE.exists():
            for word in ("kprobe", "kretprobe"):
                fd = stack.enter_context(loaded(kind=2, name=word))
                returns = word == "kretprobe"
                stack.callback(os.close, perf_event.attach_kprobe(fd, "wake_up_new_task", returns=returns))
                expected[fd] = f"{word} wake_up_new_task"
        attach_id = function_id("wake_up_new_task")
        if bpf_syscall.fentry_refusal(attach_id) is None:
            entry = stack.enter_context(at_entry(attach_id))
            stack.callback(os.close, bpf_syscall.open_raw_tracepoint(entry, None))
            # Before Linux 6.0 nothing tells the function.
            expected[entry] = "fentry wake_up_new_task" if kernel_version() >= (6, 0) else "fentry"
        child = subprocess.Popen(["sleep", "600"], pass_fds=[raw])
        stack.callback(child.wait)
        stack.callback(child.kill)
        watched = stack.enter_context(watching())
        assert {fd: watched.row(fd).attached for fd in expected} == {fd: (place,) for fd, place in expected.items()}
        row = watched.wait_for(raw, lambda row: len(row.owners) == 2)
        assert {str(owner).partition(" ")[2] for owner in row.owners} == {str(os.getpid()), str(child.pid)}
        assert f"sleep {child.pid}" in map(str, row.owners)
        assert {owner.pid for owner in watched.row(point).owners} == {os.getpid()}


def at_entry(function: int | None, code: bytes = bpf_syscall.RETURN_ZERO) -> AbstractContextManager[int]:
    """Load a program of tracing for the entry of a kernel function."""
    return loaded(code, kind=bpf_syscall.TYPE_TRACING, attach_type=bpf_syscall.TRACE_FENTRY, attach_id=function or 0)


def test_a_program_of_a_cgroup_says_which_without_a_link() -> None:
    root = cgroups.unified()
    assert root is not None
    folder = root / f"ebpftop-test-{os.getpid()}"
    folder.mkdir()
    try:
        with loaded(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0), kind=CGROUP_SKB) as program:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            bpf_syscall.bpf(_PROG_ATTACH, struct.pack("=IIII", fd, program, INGRESS, 0))
            os.close(fd)
            with watching() as watched:
                assert watched.row(program).attached == (f"cgroup /{folder.name} ingress",)
    finally:
        folder.rmdir()


MISSED = 50


def test_what_a_program_missed() -> None:
    if kernel_version() < (5, 12):  # it counts none, and does not leave them out either
        with watching() as watched:
            assert {row.misses for row in watched.read().rows} <= {0}
        return
    with ExitStack() as stack:
        program = stack.enter_context(recursive_printing() if kernel_version() >= (6, 2) else recursive_deleting())
        watched = stack.enter_context(watching())
        before = watched.row(program.fd)
        program.run()
        row = watched.row(program.fd)
        truth = by_bpftool("prog", "show", "id", str(row.id)).get("recursion_misses", 0)
        later = watched.row(program.fd)
    assert row.runs - before.runs >= MISSED
    assert row.misses - before.misses >= MISSED
    assert row.misses <= truth <= later.misses  # it had missed none before


class Recursive(NamedTuple):
    """A program that is attached to what it does itself: the kernel leaves out each run that it causes."""

    fd: int
    run: Callable[[], None]
    """Make it run `MISSED` times."""


@contextmanager
def recursive_printing() -> Iterator[Recursive]:
    """One at bpf_trace_printk that prints. (Before Linux 6.2, it would wait for itself.)"""
    prints = b"".join(
        (
            struct.pack("=BBhi", 0x62, 0x0A, -4, 0x78),  # *(u32 *)(r10 - 4) = "x"
            struct.pack("=BBhi", 0xBF, 0xA1, 0, 0),  # r1 = r10
            struct.pack("=BBhi", 0x07, 0x01, 0, -4),  # r1 -= 4
            struct.pack("=BBhi", 0xB7, 0x02, 0, 4),  # r2 = 4
            struct.pack("=BBhi", 0x85, 0, 0, 6),  # bpf_trace_printk
            bpf_syscall.RETURN_ZERO,
        )
    )
    with loaded(prints, kind=bpf_syscall.TYPE_RAW_TRACEPOINT) as program, loaded(prints) as other:
        link = bpf_syscall.open_raw_tracepoint(program, "bpf_trace_printk")
        try:
            yield Recursive(program, lambda: run(other, MISSED))
        finally:
            os.close(link)


@contextmanager
def recursive_deleting() -> Iterator[Recursive]:
    """One at the entry of what deletes from a map that deletes from one (before Linux 5.12 without an end)."""
    keys = bpf_syscall.create_map("deleted_from", MapInfo(1, 4, 4, 8, 0))

    def delete() -> None:
        for _ in range(MISSED):
            maps.delete(maps.Map(keys, 8), bytes(4))

    deletes = b"".join(
        (
            struct.pack("=BBhi", 0x62, 0x0A, -4, 0),  # *(u32 *)(r10 - 4) = 0
            struct.pack("=BBhi", 0xBF, 0xA2, 0, 0),  # r2 = r10
            struct.pack("=BBhi", 0x07, 0x02, 0, -4),  # r2 -= 4
            struct.pack("=BBhiBBhi", 0x18, 0x11, 0, keys, 0, 0, 0, 0),  # r1 = the map
            struct.pack("=BBhi", 0x85, 0, 0, 3),  # bpf_map_delete_elem
            bpf_syscall.RETURN_ZERO,
        )
    )
    with at_entry(function_id("htab_map_delete_elem"), deletes) as program:
        link = bpf_syscall.open_raw_tracepoint(program, None)
        try:
            yield Recursive(program, delete)
        finally:
            os.close(link)
            os.close(keys)


@pytest.mark.everywhere
def test_names_of_numbers_are_the_kernels() -> None:
    types = btf.Btf(btf.of_running_kernel())
    for prefix, enum, names in (
        ("BPF_PROG_TYPE_", "bpf_prog_type", bpf_names.PROGRAM_TYPES),
        ("BPF_MAP_TYPE_", "bpf_map_type", bpf_names.MAP_TYPES),
        ("BPF_", "bpf_attach_type", bpf_names.ATTACH_TYPES),
    ):
        known = [types.enum(enum, prefix + name.upper()) for name in names]
        while known[-1] is None:  # newer than this kernel
            known.pop()
        assert known == list(range(len(known)))
        assert len(known) > 20


def test_programs_of_ebpftop_are_marked_and_have_their_whole_names() -> None:
    with watching(probes=("execs", "programs")) as watched:
        module = watched.source._probes["execs"].module
        assert module is not None
        fds = module.programs
        reading = watched.read()
    assert {row.name for row in reading.rows if row.own} >= {name.partition("@")[0] for name in fds}
    assert all({owner.pid for owner in row.owners} == {os.getpid()} for row in reading.rows if row.own)
    (state,) = [r for r in watched.records if isinstance(r, Probe) and r.probe == "programs" and r.state == "on"]
    assert state.via == probe.VIA
    used = [attempt.via for attempt in state.attempts if attempt.state == "on"]
    assert used == [probe.VIA, probe.STATISTICS, probe.LINKS, probe.OWNERS]


def test_when_it_cannot_be_read_any_more_it_fails_and_can_be_turned_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_than: int) -> list[Counts]:
        raise BrokenPipeError(32, "the process that keeps root's rights has ended")

    with watching() as watched:
        watched.read()
        with monkeypatch.context() as patched:
            patched.setattr(watched.source._root, "counts", ended)
            state = next(record for batch in watched.source.read_all() for record in batch.records)
        assert isinstance(state, Probe)
        assert state.state == "failed"
        assert "has ended" in (state.reason or "")
        assert not watched.source.is_on("programs")
        watched.source.toggle("programs")
        assert watched.read().rows is not None
        assert watched.source.is_on("programs")


def test_in_a_container_it_says_whose_owners_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "in_first_pid_namespace", lambda: False)
    with watching() as watched:
        watched.read()
    (state,) = [record for record in watched.records if isinstance(record, Probe)]
    assert state.blind == (probe.OTHER_NAMESPACES,)


def test_without_the_right_it_fails_alone_and_says_what_helps() -> None:
    command = ["setpriv", "--bounding-set", "-sys_admin", sys.executable, "-m", "ebpftop", "stream"]
    done = subprocess.run(
        [*command, "--probes", "users,programs", "--duration", "1"], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (state,) = [line for line in lines if line["kind"] == "probe" and line["probe"] == "programs"]
    assert state["state"] == "failed"
    assert "refused" in state["reason"]
    assert "CAP_SYS_ADMIN" in state["remedy"]
    assert [line for line in lines if line["kind"] == "users"]
    assert re.search("programs", done.stderr)
