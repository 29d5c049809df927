"""The memory behind the arguments of traced calls in words, whatever a program left there."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.syscall_records import Abi
from ebpftop.probes import traced_files
from ebpftop.probes.traced_files import files_of
from ebpftop.syscalls import abi, memory
from ebpftop.syscalls.constants import WORDS
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.memory import (
    FDS_MAX,
    TEXT,
    is_looked_at_before,
    packed_plans,
    pieces_by_argument,
    plans,
    result,
    words,
)
from ebpftop.syscalls.memory_kinds import KINDS, Lists, Pieces, Shape

_HEAD = struct.Struct("=BBHIQ")
_SOME = st.dictionaries(
    st.integers(0, 8), st.tuples(st.binary(max_size=64), st.integers(0, 2**64 - 1)), min_size=1, max_size=5
)


def of(data: bytes, whole: int | None = None) -> Pieces:
    return {0: (data, len(data) if whole is None else whole)}


_GOES_ON, _UNREADABLE = 1, 2  # enum array_flag


def end(count: int, flags: int = 0) -> tuple[bytes, int]:
    return struct.pack("=II", count, flags), 8


@given(st.sampled_from(sorted(KINDS)), _SOME)
def test_no_memory_is_too_strange_for_words(kind: str, pieces: Pieces) -> None:
    expected = KINDS[kind].words({0: (b"", 0), **pieces})
    assert expected
    assert expected.isprintable()


@given(st.binary(max_size=300))
def test_pieces_that_do_not_fit_are_left_out(raw: bytes) -> None:
    for pieces in pieces_by_argument(raw).values():
        for data, _ in pieces.values():
            assert data in raw


@given(st.binary(min_size=traced_files.SIZE, max_size=traced_files.SIZE), st.binary(max_size=200))
def test_any_files_read_as_text(raw: bytes, names: bytes) -> None:
    assert all(text.isprintable() for text in files_of(raw, names).values())


@pytest.mark.parametrize("which", get_args(Abi))
def test_every_plan_fits_the_kernel_s_structure(which: Abi) -> None:
    size = len(packed_plans(which, "read"))
    for name in abi.numbers(which):
        assert len(packed_plans(which, name)) == size
        assert all(0 <= plan.arg < 6 and 0 <= plan.of < 6 and plan.kind.most <= 512 for plan in plans(which, name))
    assert FDS_MAX == 2


def test_every_call_of_the_table_exists() -> None:
    names = {name for line in TEXT.split("\n") if line for name in line.split()[0].split(",")}
    known = {call for one in get_args(Abi) for call in abi.numbers(one)}
    assert names <= known


@pytest.mark.parametrize(
    ("kind", "pieces", "expected"),
    [
        ("bytes", of(b'a"\\\n\0' + b"1\xff"), r'"a\"\\\n\0001\377"'),
        ("bytes", of(b"x" * 33, 100), f'"{"x" * 32}"...'),
        ("bytes", of(b""), '""'),
        ("sockaddr", of(struct.pack("=H", 1) + b"\0name"), '{sa_family=AF_UNIX, sun_path=@"name"}'),
        ("sockaddr", of(struct.pack("=H", 1) + b"/run/x\0junk"), '{sa_family=AF_UNIX, sun_path="/run/x"}'),
        ("sockaddr", of(struct.pack("=H", 1)), "{sa_family=AF_UNIX}"),
        ("status", of(struct.pack("=I", 0x8B)), "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}]"),
        ("status", of(struct.pack("=I", 0x137F)), "[{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}]"),
        ("sigset", of(struct.pack("=Q", 2**64 - 1)), "~[]"),
        ("rlimit", of(struct.pack("=QQ", 8 << 20, 2**64 - 1)), "{rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}"),
        ("two_times", of(struct.pack("=qqqq", 0, 0, 0, (1 << 30) - 1)), "[{tv_sec=0, tv_nsec=0}, UTIME_NOW]"),
        ("strings", {0: end(2), 1: (b"ls", 2), 2: (b"x" * 33, 33)}, f'["ls", "{"x" * 32}"...]'),
        ("strings", {0: end(2, _UNREADABLE), 1: (b"", 0), 2: (b"", 0x7F00)}, '["", 0x7f00, ...]'),
        ("strings", {0: end(33, _GOES_ON), 1: (b"a", 1)}, '["a", ...]'),
        ("strings", {0: end(0)}, "[]"),
        ("pointers", {0: end(1)}, "/* 1 var */"),
        ("pointers", {0: end(4096, _GOES_ON)}, "/* more than 4096 vars */"),
        ("pointers", {0: end(3, _UNREADABLE)}, "/* 3 vars, unterminated */"),
        ("entries64", {0: end(0)}, "/* 0 entries */"),
        ("set", of(struct.pack("=Q", 0b101000)), "[3 5]"),
        (
            "masked",
            {0: (struct.pack("=QQ", 0x1000, 8), 16), 1: (struct.pack("=Q", 2), 8)},
            "{sigmask=[INT], sigsetsize=8}",
        ),
        ("masked", of(struct.pack("=QQ", 0, 8)), "{sigmask=NULL, sigsetsize=8}"),
        ("sigset", of(struct.pack("=Q", 0b11 << 31)), "[RTMIN RT_1]"),
        ("offset", of(struct.pack("=q", -1)), "[-1]"),
        (
            "lock",
            of(struct.pack("=hh4xqqi", 1, 2, -5, 0, 7)),
            "{l_type=F_WRLCK, l_whence=SEEK_END, l_start=-5, l_len=0}",
        ),
        ("cap_header", of(struct.pack("=Ii", 0x20080522, 7)), "{version=_LINUX_CAPABILITY_VERSION_3, pid=7}"),
        (
            "cap_sets",
            of(struct.pack("=6I", 3, 1 << 31, 0, 1 << 8, 0, 1 << 31)),
            "{effective=1<<CAP_CHOWN|1<<CAP_DAC_OVERRIDE|1<<CAP_CHECKPOINT_RESTORE, permitted=1<<CAP_SETFCAP, "
            "inheritable=0x8000000000000000}",
        ),
        (
            "statfs",
            of(struct.pack("=7q2Iqqq32x", 0xEF53, 4096, 9, 8, 7, 6, 5, 0xA, 0, 255, 4096, 0x1021)),
            "{f_type=EXT2_SUPER_MAGIC, f_bsize=4096, f_blocks=9, f_bfree=8, f_bavail=7, f_files=6, f_ffree=5, "
            "f_fsid={val=[0xa, 0]}, f_namelen=255, f_frsize=4096, f_flags=ST_VALID|ST_RDONLY|ST_RELATIME}",
        ),
        (
            "termios",
            of(struct.pack("=4I20x", 0o2400, 5, 0o277, 0x8A3B)),
            "{c_iflag=ICRNL|IXON, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST|ONLCR, c_cflag=B38400|CS8|CREAD, "
            "c_lflag=ISIG|ICANON|ECHO|ECHOE|ECHOK|IEXTEN|ECHOCTL|ECHOKE, ...}",
        ),
        (
            "clone_args",
            of(struct.pack("=11Q", 0x4100 | 1 << 33, 0, 0, 0, 17, 0x7000, 0x9000, 0, 0, 0, 5)),
            "{flags=CLONE_VM|CLONE_VFORK|CLONE_INTO_CGROUP, exit_signal=SIGCHLD, stack=0x7000, stack_size=0x9000, "
            "cgroup=5}",
        ),
        ("window", of(struct.pack("=HHHH", 24, 80, 0, 0)), "{ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}"),
        ("pollfds", of(struct.pack("=ihhihh", 3, 5, 0, -1, 0, 0)), "[{fd=3, events=POLLIN|POLLOUT}, {fd=-1}]"),
    ],
)
def test_words_are_those_of_strace(kind: str, pieces: Pieces, expected: str) -> None:
    assert KINDS[kind].words(pieces) == expected


def test_a_time_that_a_file_gets_is_also_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    set_to = KINDS["two_times"].words(of(struct.pack("=qqqq", 1, 5, 2**62, 0)))
    assert set_to == (
        "[{tv_sec=1, tv_nsec=5} /* 1970-01-01T00:00:01.000000005+0000 */, {tv_sec=4611686018427387904, tv_nsec=0}]"
    )


@pytest.mark.parametrize(
    ("name", "pieces", "ret", "expected"),
    [
        ("getsockname", {10: of(struct.pack("=i", 128)), 2: of(struct.pack("=i", 16))}, 0, {2: "[128 => 16]"}),
        ("getsockname", {10: of(struct.pack("=i", 16)), 2: of(struct.pack("=i", 16))}, 0, {2: "[16]"}),
        ("accept4", {10: of(struct.pack("=i", 16))}, -11, {2: "[16]"}),
        ("ppoll", {10: of(struct.pack("=qq", 5, 0)), 2: of(struct.pack("=qq", 4, 9))}, 1, {2: "{tv_sec=5, tv_nsec=0}"}),
        ("sendfile", {10: of(struct.pack("=q", 3)), 2: of(struct.pack("=q", 8))}, 5, {2: "[3] => [8]"}),
        ("recvmsg", {9: of(struct.pack("=QII", 1, 110, 0))}, -11, {1: "{msg_namelen=110}"}),
        ("ioctl", {2: of(bytes(36))}, -25, {}),
        ("interface", {2: of(b"nope".ljust(40, b"\0"))}, -19, {2: '{ifr_name="nope"}'}),
        ("getsockopt", {3: of(struct.pack("=i", 111))}, 0, {3: "[ECONNREFUSED]"}),
        ("rt_sigreturn", {8: of(struct.pack("=Q", 2))}, 0, {0: "{mask=[INT]}"}),
        ("execve", {9: {0: end(1), 1: (b"ls", 2)}, 10: {0: end(2)}}, 0, {1: '["ls"]', 2: "0x3000 /* 2 vars */"}),
        ("clone3", {0: of(struct.pack("=11Q", 0x100000, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0))}, 77, {0: (
            "{flags=CLONE_PARENT_SETTID, parent_tid=0x8, exit_signal=0, stack=NULL, stack_size=0} => {parent_tid=[77]}"
        )}),
    ],
)  # fmt: skip
def test_what_was_before_a_call_and_what_is_after_it(
    name: str, pieces: dict[int, Pieces], ret: int, expected: dict[int, str]
) -> None:
    request = 0x8913 if name == "interface" else 0x5401
    name = "ioctl" if name == "interface" else name
    others = {"ioctl": (1, request, 0x3000, 4, 5, 6), "getsockopt": (1, 1, 4, 4, 5, 6)}
    args = others.get(name, (1, 0x2000, 0x3000, 4, 5, 6))
    assert words("x86_64", name, args, pieces, ret=ret) == expected


def test_a_message_shows_its_control_data_and_how_long_its_address_was() -> None:
    rights = struct.pack("=Qii2i", 24, 1, 1, 4, 5) + struct.pack("=Qii3I4x", 28, 1, 2, 9, 0, 0)
    pieces = {
        0: (struct.pack("=QI4xQQQQi4x", 0x10, 0, 0x20, 1, 0x30, len(rights), 0), 56),
        2: (rights, len(rights)),
        3: (struct.pack("=QQ", 0x40, 2), 16),
        4: (b"hi", 2),
    }
    memory = {1: pieces, 9: of(struct.pack("=QII", 0x10, 110, 0))}
    text = words("x86_64", "recvmsg", (3, 0x1000, 0, 0, 0, 0), memory, {4: "<pipe:[7]>"}, 2)[1]
    assert text == (
        '{msg_name=0x10, msg_namelen=110 => 0, msg_iov=[{iov_base="hi", iov_len=2}], msg_iovlen=1, '
        "msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[4<pipe:[7]>, 5]}, "
        "{cmsg_len=28, cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=9, uid=0, gid=0}}], "
        "msg_controllen=56, msg_flags=0}"
    )


def test_lists_say_what_their_descriptors_are() -> None:
    fds = {3: "<pipe:[7]>"}
    args = (0x1000, 1, 0, 0, 0, 0)
    assert words("x86_64", "poll", args, _read(0, struct.pack("=ihh", 3, 1, 0)), fds, 0)[0] == (
        "[{fd=3<pipe:[7]>, events=POLLIN}]"
    )
    assert words("x86_64", "pipe2", args, _read(0, struct.pack("=ii", 3, 4)), fds, 0)[0] == "[3<pipe:[7]>, 4]"
    before = {9: of(struct.pack("=Q", 8))}
    assert words("x86_64", "select", (4, 1, 0, 0, 0, 0), before, fds, 0)[1] == "[3<pipe:[7]>]"


@given(st.binary(max_size=150))
def test_any_descriptor_of_a_list_reads_as_text(raw: bytes) -> None:
    assert traced_files.file_of(raw).isprintable()


def test_files_without_a_directory_read_as_in_proc() -> None:
    def listed(flags: int, names: bytes, inode: int = 0) -> str:
        return traced_files.file_of(struct.pack("=HHI", len(names), flags, inode) + bytes(48) + names)

    assert listed(1 | 16, b"memfd:x\0") == "</memfd:x>(deleted)"
    assert listed(1 | 16, b"/\0") == "", "a pidfd, which has no name"
    assert listed(1 | 16 | 128, b"[eventfd]\0") == "<anon_inode:[eventfd]>"
    assert listed(1 | 4, b"x\0tmp\0") == "</tmp/x>(deleted)"


def test_what_the_call_changes_is_looked_at_before_it() -> None:
    changing = {name for name in abi.numbers("x86_64") if is_looked_at_before("x86_64", name)}
    assert changing >= {
        "close",
        "dup2",
        "connect",
        "bind",
        "execve",
        "execveat",
        "select",
        "ppoll",
        "accept4",
        "recvfrom",
    }
    assert not changing & {"read", "write", "openat", "mmap", "futex", "newfstatat", "poll", "epoll_wait", "sendto"}


def _read(arg: int, data: bytes) -> dict[int, Pieces]:
    return dict(pieces_by_argument(_HEAD.pack(arg, 0, len(data), 0, len(data)) + data))


LO = b"lo".ljust(16, b"\0")


@pytest.mark.parametrize(
    ("name", "args", "memory", "expected"),
    [
        ("futex", (0x1000, 128, 2, 0x2000, 0, 0), (3, struct.pack("=qq", 1, 5)), "{tv_sec=1, tv_nsec=5}"),
        ("futex", (0x1000, 131, 2, 0x2000, 0, 0), (3, struct.pack("=qq", 1, 5)), None),
        ("ioctl", (3, 0x541B, 0x1000, 0, 0, 0), (2, struct.pack("=i", 7)), "[7]"),
        (
            "ioctl",
            (3, 0x8913, 0x1000, 0, 0, 0),
            (2, LO + struct.pack("=H", 0x49)),
            '{ifr_name="lo", ifr_flags=IFF_UP|IFF_LOOPBACK|IFF_RUNNING}',
        ),
        (
            "ioctl",
            (3, 0x8915, 0x1000, 0, 0, 0),
            (2, LO + bytes((2, 0, 0, 0, 127, 0, 0, 1)).ljust(24, b"\0")),
            '{ifr_name="lo", ifr_addr={sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}}',
        ),
        (
            "ioctl",
            (3, 0x8927, 0x1000, 0, 0, 0),
            (2, LO + struct.pack("=H6s", 1, b"\x02BCDEF")),
            '{ifr_name="lo", ifr_hwaddr={sa_family=ARPHRD_ETHER, sa_data=02:42:43:44:45:46}}',
        ),
        ("ioctl", (3, 0x8910, 0x1000, 0, 0, 0), (2, LO + struct.pack("=i", 1)), '{ifr_ifindex=1, ifr_name="lo"}'),
        ("ioctl", (3, 0x80086601, 0x1000, 0, 0, 0), (2, struct.pack("=Q", 0x80010)), "[FS_IMMUTABLE_FL|FS_EXTENT_FL]"),
        ("fcntl", (3, 16, 0x1000, 0, 0, 0), (2, struct.pack("=Ii", 1, 9)), "{type=F_OWNER_PID, pid=9}"),
        ("fcntl", (3, 15, 0x1000, 0, 0, 0), (2, struct.pack("=Ii", 7, 9)), "{type=0x7 /* F_OWNER_??? */, pid=9}"),
        ("ioctl", (3, 0x1234, 0x1000, 0, 0, 0), (2, struct.pack("=i", 7)), None),
        ("prctl", (15, 0x1000, 0, 0, 0, 0), (1, b"newname\0"), '"newname"'),
        ("prctl", (16, 0x1000, 0, 0, 0, 0), (1, b"newname\0"), '"newname"'),
        ("prctl", (8, 0x1000, 0, 0, 0, 0), (1, b"newname\0"), None),
    ],
)
def test_what_an_argument_points_to_may_depend_on_another(
    name: str, args: tuple[int, ...], memory: tuple[int, bytes], expected: str | None
) -> None:
    assert words("x86_64", name, args, _read(*memory)).get(memory[0]) == expected


def test_a_number_is_no_pointer_though_memory_is_there() -> None:
    args = (0x1000, 131, 2, 0x2000, 0x3000, 0)
    number = abi.number("x86_64", "futex")
    assert number is not None
    assert decode("x86_64", number, args, memory={3: "{...}"})[3] == str(0x2000)


@pytest.mark.parametrize(
    ("name", "args", "ret", "memory", "expected"),
    [
        ("poll", (1, 2, 5, 0, 0, 0), 0, struct.pack("=ihh", 3, 1, 0), "0 (Timeout)"),
        ("poll", (1, 2, 5, 0, 0, 0), 1, struct.pack("=ihh", 3, 1, 1), "1 ([{fd=3, revents=POLLIN}])"),
        ("fcntl", (3, 1, 0, 0, 0, 0), 1, b"", "0x1 (flags FD_CLOEXEC)"),
        ("fcntl", (3, 1, 0, 0, 0, 0), 0, b"", None),
        ("fcntl", (3, 3, 0, 0, 0, 0), 0o4001, b"", "0x801 (flags O_WRONLY|O_NONBLOCK)"),
        ("fcntl", (3, 3, 0, 0, 0, 0), -9, b"", None),
        ("read", (3, 1, 0, 0, 0, 0), 5, b"", None),
        ("ppoll", (1, 2, 0, 0, 0, 0), 1, struct.pack("=ihh", 3, 1, 1), "1 ([{fd=3, revents=POLLIN}])"),
        ("select", (5, 0, 0, 0, 0, 0), 0, b"", "0 (Timeout)"),
    ],
)
def test_a_result_may_be_more_than_a_number(
    name: str, args: tuple[int, ...], ret: int, memory: bytes, expected: str | None
) -> None:
    assert result("x86_64", name, args, ret, _read(0, memory) if memory else {}) == expected


def test_a_result_says_which_sets_and_what_time_are_left() -> None:
    memory = {1: of(struct.pack("=Q", 8)), 2: of(bytes(8)), 4: of(struct.pack("=qq", 1, 7))}
    assert result("x86_64", "select", (5, 1, 2, 0, 3, 0), 1, memory) == "1 (in [3], left {tv_sec=1, tv_usec=7})"
    assert result("x86_64", "pselect6", (5, 1, 2, 0, 3, 0), 1, memory) == "1 (in [3], left {tv_sec=1, tv_nsec=7})"
    polled = {0: of(struct.pack("=ihh", 3, 1, 1)), 2: of(struct.pack("=qq", 0, 9))}
    assert result("x86_64", "ppoll", (5, 1, 2, 0, 3, 0), 1, polled) == (
        "1 ([{fd=3, revents=POLLIN}], left {tv_sec=0, tv_nsec=9})"
    )


def test_shapes_and_lists_are_those_of_the_kernel_side() -> None:
    header = (Path(__file__).parents[2] / "bpf/syscalls_values.h").read_text()
    for name, prefix, ours in (("value_size", "VALUE_", Shape), ("value_lists", "LISTS_", Lists)):
        body = re.sub(r"/\*.*?\*/", "", header.partition(f"enum {name} {{")[2].partition("}")[0], flags=re.DOTALL)
        assert re.findall(rf"{prefix}(\w+)", body) == [member.name for member in ours]


def test_the_documents_have_the_right_numbers_of_calls_and_requests() -> None:
    docs = Path(__file__).parents[2] / "docs/syscalls.md"
    text = docs.read_text()
    assert re.findall(r"arguments of (\d+) calls", text) == [str(len(memory._table()))]
    assert re.findall(r"(\d+) requests have names", text) == [str(len(WORDS["ioctl"].choices))]
