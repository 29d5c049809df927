"""Arguments, results, errors and signals in words: what strace on one machine cannot show, other ABIs above all."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.syscall_records import Abi
from ebpftop.syscalls import abi, constants, decode, signatures
from ebpftop.syscalls.errno_names import error_name, signal_name
from ebpftop.syscalls.flag_names import choice, flags
from tests.prototypes import argument_count

ABIS: tuple[Abi, ...] = get_args(Abi)
ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF


def words(which: Abi, name: str, *args: int, paths: Sequence[bytes | None] = ()) -> tuple[str, ...]:
    number = abi.number(which, name)
    assert number is not None
    return decode.decode(which, number, [arg & ALL_ONES for arg in args] + [0] * (6 - len(args)), paths)


@pytest.mark.parametrize(
    ("which", "value", "expected"),
    [
        ("x86_64", 0o200000, "O_RDONLY|O_DIRECTORY"),
        ("arm64", 0o200000, "O_RDONLY|O_DIRECT"),
        ("arm64", 0o40000, "O_RDONLY|O_DIRECTORY"),
        ("arm", 0o100001, "O_WRONLY|O_NOFOLLOW"),
        ("i386", 0o100000, "O_RDONLY|O_LARGEFILE"),
    ],
)
def test_open_flags_are_those_of_the_abi(which: Abi, value: int, expected: str) -> None:
    assert words(which, "openat", -100, 0, value, paths=[b"/tmp"]) == ("AT_FDCWD", '"/tmp"', expected)


def test_a_temporary_file_is_told_from_a_directory_on_arm_too() -> None:
    assert words("arm64", "openat", 3, 0, 0o20040002, 0o600, paths=[b"."]) == ("3", '"."', "O_RDWR|O_TMPFILE", "0600")


def test_a_64_bit_number_is_put_together_from_two_registers() -> None:
    assert words("x86_64", "pread64", 3, 0x1000, 16, 0x1_0000_0010)[3] == "4294967312"
    assert words("i386", "pread64", 3, 0x1000, 16, 0x10, 1)[3] == "4294967312"
    # The EABI leaves a register out, so that the pair starts at an even one.
    assert words("arm", "pread64", 3, 0x1000, 16, 0xBAD, 0x10, 1)[3] == "4294967312"


def test_an_offset_in_two_halves_is_one_number_on_every_abi() -> None:
    assert words("x86_64", "preadv", 3, 0x1000, 1, 77, 0)[3] == "77"
    assert words("i386", "preadv", 3, 0x1000, 1, 1, 1)[3] == "4294967297"
    assert words("x86_64", "preadv2", 3, 0x1000, 1, 77, 0, 8) == ("3", "0x1000", "1", "77", "RWF_NOWAIT")


def test_what_a_32_bit_program_cannot_say_is_not_shown() -> None:
    assert words("i386", "read", 0xDEAD_0000_0003, 0xDEAD_0000_1000, 0xDEAD_0000_0010) == ("3", "0x1000", "16")
    assert words("i386", "lseek", 3, 0xFFFF_FFFF, 1) == ("3", "-1", "SEEK_CUR")


def test_mmap2_counts_in_pages_and_old_mmap_takes_a_structure() -> None:
    assert words("i386", "mmap2", 0, 4096, 1, 2, 3, 2) == ("NULL", "4096", "PROT_READ", "MAP_PRIVATE", "3", "0x2000")
    assert words("i386", "mmap", 0xBF00) == ("0xbf00",)


def test_calls_of_32_bit_abis_read_as_the_calls_they_replace() -> None:
    assert words("i386", "fcntl64", 3, 4, 0o4000) == ("3", "F_SETFL", "O_RDONLY|O_NONBLOCK")
    assert words("arm", "futex_time64", 0x1000, 129, 1, 0, 0, 0) == ("0x1000", "FUTEX_WAKE_PRIVATE", "1")
    assert words("i386", "setuid32", 0xFFFF_FFFF) == ("-1",)


def test_the_same_register_value_reads_by_the_call_that_the_abi_means() -> None:
    assert decode.decode("x86_64", 222, [1, 0, 0x1000, 0, 0, 0]) == ("CLOCK_MONOTONIC", "NULL", "0x1000")
    assert decode.decode("arm64", 222, [0, 8192, 3, 0x22, ALL_ONES, 0])[2:] == (
        "PROT_READ|PROT_WRITE",
        "MAP_PRIVATE|MAP_ANONYMOUS",
        "-1",
        "0",
    )


def test_threads_and_forks_show_what_they_share() -> None:
    assert words("x86_64", "clone", 0x1200011, 0, 0, 0x10) == (
        "child_stack=NULL",
        "flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD",
        "child_tidptr=0x10",
    )
    assert words("x86_64", "clone", 0x10F00)[1] == "flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD"
    thread = [0x180000, 0x7000, 0x20, 0x30, 0x40, 0]
    shared = ("child_stack=0x7000", "flags=CLONE_SETTLS|CLONE_PARENT_SETTID", "parent_tid=[9]")
    assert decode.decode("x86_64", 56, thread, ret=9) == (*shared, "tls=0x40")
    assert decode.decode("arm64", 220, thread, ret=9) == (*shared, "tls=0x30")
    assert decode.decode("x86_64", 56, thread, ret=-11)[2] == "parent_tid=0x20"


def test_capabilities_have_names_and_unknown_ones_are_said_to_be_unknown() -> None:
    assert words("x86_64", "prctl", 23, 21) == ("PR_CAPBSET_READ", "CAP_SYS_ADMIN")
    assert words("x86_64", "prctl", 23, 48) == ("PR_CAPBSET_READ", "0x30 /* CAP_??? */")
    assert words("x86_64", "prctl", 47, 2, 13, 0, 0)[1:3] == ("PR_CAP_AMBIENT_RAISE", "CAP_NET_RAW")
    assert words("x86_64", "prctl", 47, 4, 0, 0, 0)[1:] == ("PR_CAP_AMBIENT_CLEAR_ALL", "0", "0")


def test_flags_that_strace_is_too_old_for() -> None:
    assert words("x86_64", "name_to_handle_at", 3, 0, 0x1000, 0x2000, 0x203, paths=[b"a"])[4] == (
        "AT_HANDLE_MNT_ID_UNIQUE|AT_HANDLE_CONNECTABLE|AT_HANDLE_FID"
    )
    assert words("x86_64", "unlinkat", 3, 0, 0x200, paths=[b"a"])[2] == "AT_REMOVEDIR"
    assert words("x86_64", "fsmount", 3, 0, 0x300010)[2] == "MOUNT_ATTR_NOATIME|MOUNT_ATTR_IDMAP|MOUNT_ATTR_NOSYMFOLLOW"
    assert words("x86_64", "fsconfig", 3, 6, 0, 0, 0)[1] == "FSCONFIG_CMD_CREATE"
    assert words("x86_64", "io_uring_register", 3, 1 << 31 | 33, 0, 1)[1] == (
        "IORING_REGISTER_RESIZE_RINGS|IORING_REGISTER_USE_REGISTERED_RING"
    )
    assert words("x86_64", "fanotify_mark", 3, 0x110, 0x3000000, 4, 0)[1:3] == (
        "FAN_MARK_MNTNS",
        "FAN_MNT_ATTACH|FAN_MNT_DETACH",
    )


def test_a_64_bit_mask_is_whole_on_every_abi() -> None:
    assert words("x86_64", "fanotify_mark", 3, 1, 1 << 40 | 1, 4, 0)[2] == "FAN_ACCESS|0x10000000000"
    assert words("i386", "fanotify_mark", 3, 1, 1, 1 << 8, 4, 0) == (
        "3",
        "FAN_MARK_ADD",
        "FAN_ACCESS|0x10000000000",
        "4",
        "NULL",
    )


def test_the_ioctl_that_clones_a_file_takes_another() -> None:
    assert words("x86_64", "ioctl", 3, 0x40049409, 7) == ("3", "FICLONE", "7")
    assert words("x86_64", "ioctl", 3, 0x4020940D, 0x1000) == ("3", "FICLONERANGE", "0x1000")


@pytest.mark.parametrize("which", ["i386", "arm"])
def test_the_oldest_calls_have_ids_of_16_bits(which: Abi) -> None:
    for name in ("chown", "lchown", "fchown", "setuid", "setfsgid", "setreuid", "setresgid"):
        count = argument_count(which, name)
        assert count is not None
        ids = words(which, name, *([0x1FFFF] * 6), paths=[b"/"])[count - 1 :]
        assert ids == ("-1",), name
        assert words(which, name, *([0x103E8] * 6), paths=[b"/"])[count - 1 :] == ("1000",), name
    assert words(which, "chown32", 0, 0x103E8, 0xFFFF, paths=[b"/"])[1:] == ("66536", "65535")
    assert words("x86_64", "chown", 0, 0x103E8, 0xFFFF, paths=[b"/"])[1:] == ("66536", "65535")


def test_a_call_without_arguments_shows_none() -> None:
    assert words("x86_64", "getpid", 1, 2, 3) == ()
    assert argument_count("x86_64", "getpid") == 0


def test_an_unknown_call_shows_six_numbers() -> None:
    assert decode.decode("x86_64", 9999, [1, 0, ALL_ONES, 3, 4, 5]) == ("0x1", "0", hex(ALL_ONES), "0x3", "0x4", "0x5")
    assert argument_count("x86_64", "syscall_9999") is None
    assert decode.path_args("x86_64", "syscall_9999") == ()


@pytest.mark.parametrize("which", ABIS)
def test_every_call_of_every_abi_has_its_arguments(which: Abi) -> None:
    assert [name for name in abi.numbers(which) if argument_count(which, name) is None] == []


@pytest.mark.parametrize("which", ABIS)
@pytest.mark.parametrize("value", [0, 1, 0x7FFF_FFFF, ALL_ONES])
def test_any_registers_can_be_read_and_printed(which: Abi, value: int) -> None:
    for name, number in abi.numbers(which).items():
        said = decode.decode(which, number, [value] * 6, [b"\x1b[2J\xff", None])
        assert len(said) <= 6, name
        assert all(word and word.isprintable() for word in said), name


def test_every_case_of_a_call_is_a_value_that_its_argument_can_have() -> None:
    lines = signatures.TEXT.splitlines()
    plain = {line.split()[0]: line.split()[1:] for line in reversed(lines) if line and "=" not in line}
    cases = [line.split()[:2] for line in lines if "=" in line]
    assert len(cases) > 20
    for name, condition in cases:
        at, _, values = condition.partition("=")
        kind = next(kinds for names, kinds in plain.items() if name in names.split(","))[int(at)]
        table = constants.WORDS[kind]
        known = {*table.choices.values(), table.zero, *table.flags.values()}
        assert set(values.split(",")) <= known, (name, condition)


def test_every_table_of_words_is_the_table_of_an_argument() -> None:
    used = {kind.rstrip("?") for line in signatures.TEXT.splitlines() for kind in line.split()[1:]}
    # The bits beside the mode of semget, msgget and shmget are said by the kind "ipc_mode".
    assert set(constants.WORDS) - used == {"ipc_flags"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openat", (1,)),
        ("open", (0,)),
        ("execve", (0,)),
        ("execveat", (1,)),
        ("renameat2", (1, 3)),
        ("symlinkat", (0, 2)),
        ("setxattr", (0, 1)),
        ("mount", (0, 1)),
        ("read", ()),
        ("getcwd", ()),
        ("readlink", (0,)),
    ],
)
def test_the_kernel_side_is_told_which_arguments_are_strings(name: str, expected: tuple[int, ...]) -> None:
    assert decode.path_args("x86_64", name) == expected


def test_a_string_behind_a_64_bit_number_moves_with_the_abi() -> None:
    assert decode.path_args("x86_64", "fanotify_mark") == (4,)
    assert decode.path_args("i386", "fanotify_mark") == (5,)


def test_strings_go_to_their_own_arguments_and_an_unread_one_is_a_pointer() -> None:
    assert words("x86_64", "renameat", -100, 0x10, 7, 0x20, paths=[b"a", b"b"]) == ("AT_FDCWD", '"a"', "7", '"b"')
    assert words("x86_64", "rename", 0x10, 0x20, paths=[None, b"b"]) == ("0x10", '"b"')
    assert words("x86_64", "rename", 0x10, 0) == ("0x10", "NULL")


def test_a_string_ends_at_its_nul_and_says_when_it_was_cut() -> None:
    assert decode.quote(b"/tmp\0rubbish") == '"/tmp"'
    assert decode.quote(b"12345678", longest=7) == '"1234567"...'
    assert decode.quote(b"1234567\0", longest=7) == '"1234567"'
    assert decode.quote(b"\0", longest=7) == '""'
    assert words("x86_64", "newfstatat", 3, 0x1234, 0x5678, 0x1000, paths=[b""])[1] == '""'
    assert words("x86_64", "newfstatat", 3, 0x1234, 0x5678, 0x1000, paths=[None])[1] == "0x1234"


def test_quotes_backslashes_and_controls_are_escaped_and_letters_are_not() -> None:
    assert decode.quote(b'a"b\\c\n\t\r') == r'"a\"b\\c\n\t\r"'
    assert decode.quote("größe 漢字".encode()) == '"größe 漢字"'
    assert decode.quote(b"\x1b[31m\xff") == r'"\x1b[31m\xff"'


@given(st.binary())
def test_no_string_reaches_a_terminal_raw(raw: bytes) -> None:
    quoted = decode.quote(raw)
    assert quoted.isprintable()
    # The closing quote is the only one that is not escaped.
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', quoted)


def test_errors_are_named_as_the_man_pages_name_them() -> None:
    assert [error_name(code) for code in (1, 2, 11, 35, 38, 95, 110, 133)] == [
        "EPERM",
        "ENOENT",
        "EAGAIN",
        "EDEADLK",
        "ENOSYS",
        "EOPNOTSUPP",
        "ETIMEDOUT",
        "EHWPOISON",
    ]
    assert [error_name(code) for code in (512, 514, 524)] == ["ERESTARTSYS", "ERESTARTNOHAND", "ENOTSUPP"]
    assert error_name(4000) == "errno 4000"
    assert all(getattr(errno, error_name(code), code) == code for code in range(1, 134))


def test_signals_are_named_as_kill_names_them() -> None:
    assert [signal_name(n) for n in (1, 9, 11, 16, 17, 29)] == [
        "SIGHUP",
        "SIGKILL",
        "SIGSEGV",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGIO",
    ]
    assert [signal_name(n) for n in (34, 36, 63, 64)] == ["SIGRTMIN", "SIGRTMIN+2", "SIGRTMIN+29", "SIGRTMAX"]
    assert [signal_name(n) for n in (32, 99)] == ["SIG32", "SIG99"]
    assert int(signal.SIGRTMIN) == 34


def test_flags_that_have_no_name_stand_in_hexadecimal() -> None:
    seen = flags("F_", "NONE=0 A=1 B=2 AB=3")
    assert [seen(value) for value in (0, 1, 3, 0x13, 0x10)] == ["F_NONE", "F_A", "F_A|F_B", "F_A|F_B|0x10", "0x10"]
    assert [choice("C_", "ZERO ONE FOUR=4 FIVE")(value) for value in (0, 1, 5, 6)] == [
        "C_ZERO",
        "C_ONE",
        "C_FIVE",
        "0x6",
    ]
