"""What a hundred thousand rows say again and again is in memory once."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.cgroup_path import container_of, unit_of
from ebpftop.core.escape import c_string, escape
from ebpftop.core.record_memory import weight
from ebpftop.probes.exec_event import cgroup_path, split_argv
from tests.unit.recording_samples import exec_at

LEAF_FIRST = b"docker-" + b"ab" * 32 + b".scope\0ssh.service\0system.slice\0"


def test_an_event_that_says_what_another_said_holds_the_same_texts() -> None:
    for raw in (b"bash", b"--flag=value", b"\x1b[31m", b"/usr/bin/git"):
        assert escape(bytes(bytearray(raw))) is escape(bytes(bytearray(raw)))
        assert c_string(raw + b"\0") is c_string(raw + b"\0\0")
    for one, other in zip(split_argv(b"ls\0-l\0"), split_argv(b"ls\0-l\0"), strict=True):
        assert one is other
    path = cgroup_path(LEAF_FIRST)
    assert container_of(path) is container_of("".join(path))
    assert unit_of(path) is unit_of("".join(path))


def test_where_a_program_runs_weighs_what_it_takes() -> None:
    plain = exec_at(0.0, 7)
    for field in ("exe", "cwd", "root"):
        placed = msgspec.structs.replace(plain, **{"cwd": "/", field: "/" * 5000})
        assert weight(placed) >= weight(plain) + 5000
    placed = msgspec.structs.replace(plain, stdio=("/" * 5000, None, "/" * 5000))
    assert weight(placed) >= weight(plain) + 10_000


@pytest.mark.parametrize("size", [1, 80, 81, 5000])
def test_a_text_of_any_length_is_escaped(size: int) -> None:
    assert escape(b"\x1b" * size) == "\\x1b" * size


def test_bytes_and_text_are_told_apart() -> None:
    assert escape("\xff") == "\xff"
    assert escape(b"\xff") == "\\xff"
