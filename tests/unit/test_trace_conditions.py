"""What `--trace` means, and the conditions as the kernel gets them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Abi
from ebpftop.probes.trace_conditions import TraceConditions, kinds, packed
from ebpftop.syscalls import abi
from ebpftop.syscalls.sets import SETS, is_in
from ebpftop.syscalls.tracing import (
    CONDITIONS_MAX,
    PATH_MAX,
    Condition,
    TracedCall,
    parse_condition,
    parse_trace,
    spelled,
)

X86: tuple[Abi, ...] = ("x86_64", "i386", "x32")


def names(text: str) -> set[str]:
    return {abi.name(call.abi, call.nr) for call in parse_trace(text, X86)}


def test_names_patterns_sets_and_all() -> None:
    assert parse_trace("x86_64:openat", X86) == (TracedCall("x86_64", 257),)
    assert names("open*") == {"open", "openat", "openat2", "open_by_handle_at", "open_tree", "open_tree_attr"}
    assert {"connect", "accept4", "socket"} <= names("%net") == names("%network")
    assert {"execve", "openat", "unlink"} <= names("%file")
    assert "read" not in names("%file")
    assert {call.abi for call in parse_trace("i386:%file", X86)} == {"i386"}
    assert len(parse_trace("all", X86)) == sum(len(abi.numbers(one)) for one in X86)
    assert "recvmmsg_time64" in names("%net"), "strace has it too"


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_only_calls_that_exist(name: str) -> None:
    known = {call for one in (*X86, "arm64", "arm") for call in abi.numbers(one)}
    gone = {"fstatat64", "getpmsg", "putpmsg", "memfd_secret", "oldfstat", "oldlstat", "oldstat", "open_tree_attr"}
    gone |= {"file_getattr", "file_setattr", "break", "uselib"}
    assert SETS[name] <= known | gone
    assert any(is_in(call, SETS[name]) for call in abi.numbers("x86_64"))


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("failed", Condition(failed=True)),
        ("EACCES", Condition(error=13)),
        ("ERESTARTSYS", Condition(error=512)),
        (">10ms", Condition(slower_ns=10_000_000)),
        (">1.5us", Condition(slower_ns=1500)),
        ("> 2 s", Condition(slower_ns=2_000_000_000)),
        ("/etc/*", Condition(path="/etc/*")),
        ("*/passwd", Condition(path="*/passwd")),
        ("./x", Condition(path="./x")),
        ("pid=812", Condition(pid=812)),
        ("failed:>1m:pid=1", Condition(failed=True, slower_ns=60_000_000_000, pid=1)),
    ],
)
def test_a_condition_means_what_it_says_and_says_what_it_means(text: str, condition: Condition) -> None:
    assert parse_trace(f"openat:{text}", ("x86_64",)) == (TracedCall("x86_64", 257, condition),)
    assert parse_condition(text) == condition
    assert parse_condition(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no system call named"),
        (" , ", "no system call named"),
        ("opnat", "did you mean"),
        ("%files", "unknown set"),
        ("zz*", "no system call matches"),
        ("arm:read", "no ABI"),
        ("openat:", "expected CALLS:CONDITION|expected CALLS or"),
        (":failed", "expected CALLS or"),
        ("openat::failed", "expected CALLS or"),
        ("openat:fails", "unknown condition 'fails'"),
        ("openat:ENOSUCH", "unknown condition"),
        ("openat:>10", "with its unit"),
        ("openat:>-1s", "with its unit"),
        ("openat:>9999999999999m", "longer than"),
        ("openat:*", "one \\* in front or behind"),
        ("openat:/a*b", "one \\* in front or behind"),
        ("openat:*/a*", "one \\* in front or behind"),
        (f"openat:/{'x' * PATH_MAX}", "at most 63 bytes"),
        ("openat:pid=0", "not a process id"),
        ("openat:pid=x", "not a process id"),
        ("openat:pid=99999999", "not a process id"),
        ("openat:>1s:>2s", "one condition of each kind"),
        (",".join(f"read:>{n}s" for n in range(1, CONDITIONS_MAX + 2)), "9 different conditions"),
    ],
)
def test_what_it_cannot_mean_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse_trace(text, X86)
    assert "\n" not in str(refused.value)


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        calls = parse_trace(text, X86)
    except ValueError:
        return
    assert calls


def test_the_same_calls_are_asked_for_again_by_what_is_spelled() -> None:
    for text in ("all:failed", "openat", "i386:read,openat:ENOENT,openat:>1s", "%net:>10ms", "all,"):
        calls = parse_trace(text, X86)
        asked: dict[tuple[Abi, int], tuple[str, ...]] = {}
        for call in calls:
            said = () if call.condition is None else (str(call.condition),)
            asked[call.abi, call.nr] = (*asked.get((call.abi, call.nr), ()), *said)
        assert set(parse_trace(spelled(asked, X86), X86)) == set(calls)
    assert spelled(dict.fromkeys(((one, nr) for one in X86 for nr in abi.numbers(one).values()), ("failed",)), X86) == (
        "all:failed"
    )
    assert spelled({}, X86) == ""


def test_what_the_kernel_compares_of_a_path() -> None:
    flags, _, _, _, length, path, mask = struct.unpack("=IIQII64s64s", packed(Condition(path="/etc/*")))
    assert (flags, length, path.rstrip(b"\0"), mask.count(0xFF)) == (8, 0, b"/etc/", 5)
    flags, _, _, _, length, path, mask = struct.unpack("=IIQII64s64s", packed(Condition(path="/etc")))
    assert (flags, path.rstrip(b"\0"), mask.count(0xFF)) == (8, b"/etc", 5), "with its NUL"
    flags, _, _, _, length, path, mask = struct.unpack("=IIQII64s64s", packed(Condition(path="*.so")))
    assert (flags, length, path.rstrip(b"\0"), mask.count(0xFF)) == (16, 4, b".so", 4)
    longest = "/" + "x" * (PATH_MAX - 1)
    assert struct.unpack("=IIQII64s64s", packed(Condition(path=longest)))[6] == b"\xff" * 64
    assert parse_condition(longest) == Condition(path=longest)


class Bits:
    """Follows processes on paper."""

    def __init__(self) -> None:
        self.followed: dict[int, int] = {}
        self._next: Iterator[int] = iter(range(2, 8))

    def follow(self, pid: int) -> int:
        if pid == 404:
            raise SourceError("no such process")
        bit = next(self._next)
        self.followed[bit] = pid
        return bit

    def unfollow(self, bit: int) -> None:
        del self.followed[bit]


def test_places_are_given_and_freed() -> None:
    conditions = TraceConditions(Bits())
    eight = [Condition(slower_ns=n) for n in range(CONDITIONS_MAX)]
    conditions.add(eight)
    assert conditions.mask(eight) == 0xFF
    with pytest.raises(SourceError, match="8 different conditions"):
        conditions.add([Condition(failed=True)])
    conditions.keep(eight[1:], None)
    conditions.add([Condition(failed=True)])
    assert conditions.mask([Condition(failed=True)]) == 1
    assert conditions.mask(()) == 0


def test_the_entry_knows_what_only_the_return_decides_and_whose_calls_are_meant() -> None:
    slow, mine = Condition(slower_ns=1), Condition(pid=7)
    at_return, by_process, *of_followed = struct.unpack("=II8I", kinds({slow: 0, mine: 3}, {mine: 2}))
    assert (at_return, by_process) == (1, 8)
    assert of_followed == [0, 0, 8, 0, 0, 0, 0, 0]
