"""Which paths a traced call was made with."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.syscall_records import Syscall
from ebpftop.models.ring import Ring, View
from ebpftop.models.traced_paths import NEWEST, PathCalls, TracedPaths, has_paths, path_of, traced_paths


def opened(*args: str, error: str | None = None) -> Syscall:
    return Syscall(
        time=1.0, pid=7, tid=7, comm="cc1", abi="x86_64", nr=257, name="openat", args=args, ret=-2 if error else 3,
        ns=900, error=error,
    )  # fmt: skip


def view_of(*calls: Syscall) -> View[Syscall]:
    ring: Ring[Syscall] = Ring(5000)
    for call in calls:
        ring.append(call)
    return View(ring)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (("AT_FDCWD", '"/etc/hosts"', "O_RDONLY"), "/etc/hosts"),
        (('"/old"', '"/new"'), "/old"),
        (("AT_FDCWD", '"/very/lo"...', "O_RDONLY"), "/very/lo…"),
        ((r'"say \"no\""',), r"say \"no\""),
        (('""',), ""),
        (("AT_FDCWD", "0x7ffc0000", "O_RDONLY"), None),
        ((), None),
    ],
)
def test_the_path_is_the_first_argument_in_quotes(args: tuple[str, ...], path: str | None) -> None:
    assert path_of(opened(*args)) == path


def test_a_buffer_is_no_path() -> None:
    write = msgspec.structs.replace(opened("1", '"hello"', "5"), name="write", nr=1)
    assert path_of(write) is None


def test_paths_are_counted_with_their_failures() -> None:
    view = view_of(
        *[opened('"/lib/a.so"', error="ENOENT")] * 3,
        *[opened('"/etc/shadow"', error="EACCES")] * 2,
        opened('"/etc/shadow"'),
        opened('"/lib/b.so"', error="ENOENT"),
        opened("NULL", error="EFAULT"),
    )
    assert traced_paths(view) == TracedPaths(
        8,
        (PathCalls("/lib/a.so", 3, 3), PathCalls("/etc/shadow", 3, 2), PathCalls("/lib/b.so", 1, 1)),
        {"ENOENT": "/lib/a.so", "EACCES": "/etc/shadow"},
    )


def test_only_the_newest_are_counted() -> None:
    view = view_of(*[opened('"/old"')] * 500, *[opened('"/new"')] * NEWEST)
    assert traced_paths(view) == TracedPaths(NEWEST, (PathCalls("/new", NEWEST, 0),), {})


def test_no_calls() -> None:
    assert traced_paths(view_of()) == TracedPaths()


def test_which_calls_have_paths() -> None:
    assert [has_paths("x86_64", name) for name in ("openat", "execve", "read", "syscall_9999")] == [
        *(True, True),
        *(False, False),
    ]
