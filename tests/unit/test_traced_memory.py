"""The memory behind the arguments of traced calls in words, whatever a program left there."""

from __future__ import annotations

import struct
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.syscall_records import Abi
from ebpftop.probes import traced_files
from ebpftop.probes.traced_files import files_of
from ebpftop.syscalls import abi
from ebpftop.syscalls.decode import decode
from ebpftop.syscalls.memory import (
    FDS_MAX,
    KINDS,
    TEXT,
    VALUES_MAX,
    Pieces,
    packed_plans,
    pieces_by_argument,
    plans,
    result,
    words,
)

_HEAD = struct.Struct("=BBHIQ")
_SOME = st.dictionaries(
    st.integers(0, 8), st.tuples(st.binary(max_size=64), st.integers(0, 2**64 - 1)), min_size=1, max_size=5
)


def of(data: bytes, whole: int | None = None) -> Pieces:
    return {0: (data, len(data) if whole is None else whole)}


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
        assert len(plans(which, name)) <= VALUES_MAX
        assert all(0 <= plan.arg < 6 and 0 <= plan.of < 6 and plan.kind.most <= 512 for plan in plans(which, name))
    assert FDS_MAX == 2


def test_every_call_of_the_table_exists_and_has_room() -> None:
    names = {name for line in TEXT.split("\n") if line for name in line.split()[0].split(",")}
    known = {call for one in get_args(Abi) for call in abi.numbers(one)}
    assert names <= known
    assert all(sum(name in line.split()[0].split(",") for line in TEXT.split("\n") if line) < 4 for name in names)


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
        ("two_times", of(struct.pack("=qqqq", 1, 5, 0, (1 << 30) - 1)), "[{tv_sec=1, tv_nsec=5}, UTIME_NOW]"),
        ("window", of(struct.pack("=HHHH", 24, 80, 0, 0)), "{ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}"),
        ("pollfds", of(struct.pack("=ihhihh", 3, 5, 0, -1, 0, 0)), "[{fd=3, events=POLLIN|POLLOUT}, {fd=-1}]"),
    ],
)
def test_words_are_those_of_strace(kind: str, pieces: Pieces, expected: str) -> None:
    assert KINDS[kind].words(pieces) == expected


def _read(arg: int, data: bytes) -> dict[int, Pieces]:
    return dict(pieces_by_argument(_HEAD.pack(arg, 0, len(data), 0, len(data)) + data))


@pytest.mark.parametrize(
    ("name", "args", "memory", "expected"),
    [
        ("futex", (0x1000, 128, 2, 0x2000, 0, 0), (3, struct.pack("=qq", 1, 5)), "{tv_sec=1, tv_nsec=5}"),
        ("futex", (0x1000, 131, 2, 0x2000, 0, 0), (3, struct.pack("=qq", 1, 5)), None),
        ("ioctl", (3, 0x541B, 0x1000, 0, 0, 0), (2, struct.pack("=i", 7)), "[7]"),
        ("ioctl", (3, 0x1234, 0x1000, 0, 0, 0), (2, struct.pack("=i", 7)), None),
        ("prctl", (15, 0x1000, 0, 0, 0, 0), (1, b"newname\0"), '"newname"'),
        ("prctl", (16, 0x1000, 0, 0, 0, 0), (1, b"newname\0"), None),
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
    ],
)
def test_a_result_may_be_more_than_a_number(
    name: str, args: tuple[int, ...], ret: int, memory: bytes, expected: str | None
) -> None:
    assert result("x86_64", name, args, ret, _read(0, memory) if memory else {}) == expected
