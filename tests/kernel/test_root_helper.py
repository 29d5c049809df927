"""What stays root does what it is for, and nothing else that it is asked."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel import bpf_objects, bpf_programs, bpf_syscall, clocks
from ebpftop.kernel.bpf_objects import LinkFacts
from ebpftop.kernel.bpf_syscall import MapInfo, Program
from ebpftop.kernel.mappings import mappings_of
from ebpftop.kernel.root_helper import RootHelper
from ebpftop.kernel.root_work import CGROUPS_MAX, CONTAINERS_MAX, THREADS_MAX
from ebpftop.kernel.waiting import ASKED_MAX
from tests.kernel.support import needs_root
from tests.kernel.workload_context import OTHER_UID

pytestmark = needs_root

ENABLE = "events/bpf_trace/bpf_trace_printk/enable"


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[RootHelper]:
    """A helper whose trace instance is a common folder: what it would write is seen there."""
    helper = RootHelper(tmp_path / "instance")
    helper.make_instance()
    yield helper
    helper.close()


@pytest.mark.parametrize(
    "file",
    ["", "..", "../other", f"{ENABLE}/../enable", f"/{ENABLE}", "current_tracer", "trace_marker", "set_ftrace_filter",
     "events/enable", "events/bpf_trace/bpf_trace_printk/trigger", "trace_clock\n", "buffer_total_size_kb"],
)  # fmt: skip
def test_no_other_file_is_written(helper: RootHelper, tmp_path: Path, file: str) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(PermissionError):
        helper.write(file, "1")
    assert (tmp_path / "other").read_text() == ""
    assert not list((tmp_path / "instance").iterdir())


@pytest.mark.parametrize(
    "asked",
    [
        b"\0",
        b"make\0elsewhere",
        b"unlink",
        b"write",
        b"write\0trace_clock",
        b"stats\0x",
        b"\xff" * 99,
        b"programs",
        b"programs\0x",
        b"programs\0-1",
        b"programs\0004294967296",
        b"counts",
        b"counts\0-1",
        b"program-facts\0x",
        pytest.param(b"program-facts" + b"\0001" * (bpf_objects.FACTS_MAX + 1), id="too many programs"),
        b"map-facts\0004294967296",
        pytest.param(b"map-facts" + b"\0001" * (bpf_objects.FACTS_MAX + 1), id="too many maps"),
        b"link-facts\0x",
        b"cgroup-programs\0006\0/sys/fs/cgroup",
        pytest.param(b"cgroup-programs\0006" + b"\0001" * (CGROUPS_MAX + 1), id="too many cgroups"),
        b"holders\0self",
        b"calls\0x",
        b"calls\0001",
        b"calls\0001/",
        b"calls\0001/../2",
        b"calls\0001/2/3",
        b"waits\0x",
        b"waits\0001/2/3",
        b"waits\0001/2/3/99/0/5",
        b"waits\0001/2/3/0/9/5",
        pytest.param(b"waits" + b"\0001/2/3/0/0/5" * (ASKED_MAX + 1), id="too many that wait"),
        b"mappings\0self",
        b"mapped-file\0001\0/etc/shadow\0000",
        b"perf-map\0../1",
        b"kernel-symbols\0/etc/shadow",
        b"container-names\0../../etc/",
        b"container-names\0" + b"0" * 64 + b"/root",
        pytest.param(b"container-names" + (b"\0" + b"0" * 64 + b"/") * (CONTAINERS_MAX + 1), id="too many containers"),
    ],
)
def test_no_other_requestis_answered(helper: RootHelper, tmp_path: Path, asked: bytes) -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011  # the errno is looked at
        helper._ask(asked)
    assert refused.value.errno == errno.EINVAL
    assert [path.name for path in tmp_path.iterdir()] == ["instance"]
    helper.write("trace_clock", "mono")  # it goes on
    assert (tmp_path / "instance/trace_clock").read_text() == "mono"


def test_it_reads_which_calls_threads_are_in_whoever_they_belong_to(helper: RootHelper) -> None:
    command = ["setpriv", "--reuid", str(OTHER_UID), "--clear-groups", "/bin/cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        until_s = time.monotonic() + 60
        while Path("/proc", str(child.pid), "comm").read_text() != "cat\n" or not call_of(helper, child.pid):
            assert time.monotonic() < until_s
        assert call_of(helper, child.pid) == Path("/proc", str(child.pid), "syscall").read_bytes().rstrip(b"\n")
        many = [(child.pid, child.pid), (child.pid, (1 << 22) + 1)] * (THREADS_MAX // 2)
        assert [bool(line) for line in helper.calls(many)] == [True, False] * (THREADS_MAX // 2)
    assert call_of(helper, child.pid) == b""
    with pytest.raises(OSError):  # noqa: PT011  # EINVAL, as for all that it does not do
        helper.calls([(1, 1)] * (THREADS_MAX + 1))
    assert helper.calls([]) == []


def call_of(helper: RootHelper, pid: int) -> bytes:
    (line,) = helper.calls([(pid, pid)])
    return b"" if line == b"running" else line


def test_it_lists_programs_and_where_their_code_is(helper: RootHelper) -> None:
    before = helper.programs(0).last_id
    code = bpf_syscall.RETURN_ZERO
    fd = bpf_syscall.load_program(Program(bpf_syscall.TYPE_RAW_TRACEPOINT, "a_test_of_ours", code, "GPL", 0))
    try:
        number = bpf_programs.program_id(fd)
        (ours,) = [found for found in helper.programs(before).codes if found.program_id == number]
        assert ours == next(found for found in bpf_programs.newer(number - 1).codes if found.program_id == number)
    finally:
        os.close(fd)
    assert ours.name == b"a_test_of_ours"
    assert ours.start > 1 << 63
    assert 0 < ours.length < 4096
    assert 0 <= clocks.since_boot_ns() - ours.loaded_ns < 60e9
    assert number not in {found.program_id for found in helper.programs(before).codes}


def test_what_it_tells_of_programs_is_what_the_kernel_tells(helper: RootHelper) -> None:
    mine = os.getpid()
    map_fd = bpf_syscall.create_map("of_a_test", MapInfo(2, 4, 8, 1, 0))
    names_it = struct.pack("=BBhiBBhi", 0x18, 0x11, 0, map_fd, 0, 0, 0, 0) + bpf_syscall.RETURN_ZERO
    fd = bpf_syscall.load_program(Program(bpf_syscall.TYPE_RAW_TRACEPOINT, "a_test_of_ours", names_it, "GPL", 0))
    link = bpf_syscall.open_raw_tracepoint(fd, "task_newtask")
    try:
        number = bpf_programs.program_id(fd)
        (facts,) = helper.program_facts([number, (1 << 32) - 1])  # there is none of the last id
        assert [facts] == bpf_objects.programs([number])
        assert helper.map_facts(facts.maps) == bpf_objects.maps(facts.maps)
        assert helper.counts(number - 1)[0].id == number
        (attached,) = [one for one in all_links(helper) if one.program == number]
        assert (attached.type, attached.text) == (1, b"task_newtask")
        holders, after = helper.holders(mine - 1)
        assert number in {held.program for held in holders if held.pid == mine}
        assert after >= 0
    finally:
        for each in (link, fd, map_fd):
            os.close(each)


def all_links(helper: RootHelper) -> Iterator[LinkFacts]:
    than = 0
    while found := helper.link_facts(than):
        yield from found
        than = found[-1].id


def test_it_ends_with_who_asks(helper: RootHelper) -> None:
    pid = helper.helper_pid
    assert pid is not None
    assert os.path.exists(f"/proc/{pid}")
    helper.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_it_opens_what_a_process_has_mapped_and_no_more(helper: RootHelper) -> None:
    found = mappings_of(helper.mappings(os.getpid()))
    libc = next(one for one in found if b"/libc" in one.path)
    with open(helper.mapped_file(os.getpid(), libc.begin, libc.end), "rb") as file:
        assert os.fstat(file.fileno()).st_ino == libc.inode
        assert file.read(4) == b"\x7fELF"
    with pytest.raises(OSError):  # noqa: PT011  # ENOENT
        helper.mapped_file(os.getpid(), libc.begin, libc.end + 1)
    assert helper.mappings((1 << 22) + 1) == b""
    with open(helper.kernel_symbols(), "rb") as file:
        assert len(file.readline().split()) >= 3


def test_a_perf_map_of_another_user_is_refused(helper: RootHelper) -> None:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_text("1000 10 made\n")
    try:
        with open(helper.perf_map(os.getpid()), "rb") as file:
            assert file.read() == b"1000 10 made\n"
        os.chown(path, OTHER_UID, OTHER_UID)
        with pytest.raises(PermissionError):
            helper.perf_map(os.getpid())
        path.unlink()
        path.symlink_to("/etc/shadow")
        with pytest.raises(PermissionError):
            helper.perf_map(os.getpid())
    finally:
        path.unlink()


def test_a_program_is_opened_by_its_id(helper: RootHelper) -> None:
    loaded_fd = bpf_syscall.load_program(Program(17, "opened", bpf_syscall.RETURN_ZERO, "GPL", 0))
    number = bpf_programs.program_id(loaded_fd)
    opened_fd = helper.program_fd(number)
    try:
        assert bpf_programs.program_id(opened_fd) == number
    finally:
        os.close(opened_fd)
        os.close(loaded_fd)
    with pytest.raises(OSError, match="No such file"):
        helper.program_fd(number)
