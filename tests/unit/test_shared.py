"""What is equal in many records is kept once."""

from __future__ import annotations

from ebpftop.core import shared
from ebpftop.core.shared import Shared
from ebpftop.models.ring import Ring
from ebpftop.probes.exec_event import SHORT_ARGV, known_cgroup_path, split_argv


def number(text: str) -> int:
    """Return a new object, which the compiler did not make."""
    return int(text)


def test_equal_values_are_one_object() -> None:
    same: Shared[int] = Shared()
    first, second = number("1000"), number("1000")
    assert first is not second
    assert same[first] is same[second] is first


def test_values_that_are_all_different_do_not_stay() -> None:
    same: Shared[int] = Shared()
    for value in range(3 * shared._VALUES_MAX):
        assert same[value] == value
    assert len(same) <= shared._VALUES_MAX


def test_a_ring_keeps_equal_weights_once() -> None:
    ring: Ring[str] = Ring()
    for _ in range(2):
        ring.append("row", number("1474"))
    first, second = ring._weights
    assert first is second
    assert ring.weight == 2 * 1474


def test_the_same_command_line_is_one_object_unless_it_is_long() -> None:
    def line() -> bytes:
        return b"grep\0-r\0" + b"x" * number("100") + b"\0"

    assert split_argv(line()) is split_argv(line())
    assert split_argv(line()) == ("grep", "-r", "x" * 100)
    long = b"y" * SHORT_ARGV + b"\0"
    assert split_argv(long) == ("y" * SHORT_ARGV,)
    assert split_argv(long) is not split_argv(long)


def test_the_same_cgroup_is_one_object() -> None:
    def names() -> bytes:
        return b"ssh-%d.service\0system.slice\0" % number("1000")

    assert known_cgroup_path(names()) is known_cgroup_path(names())
