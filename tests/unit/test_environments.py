"""Environments without their values, and how they differ from that of the parent."""

from __future__ import annotations

import msgspec

from ebpftop.core.process_records import EnvDifference, Exec
from ebpftop.core.record_memory import weight
from ebpftop.core.shared import SharedNames
from ebpftop.probes import environments
from ebpftop.probes.environments import Environments, difference, environment_in
from ebpftop.recording.parse import read_line
from tests.unit.test_model_execlog import PROGRAM

PARENT = b"PATH=/bin\0LANG=C\0OLD=1\0"
CHILD = b"PATH=/sbin\0LANG=C\0NEW=a secret\0"
GONE = 4_200_000  # no process of this machine: beyond the highest pid


def test_names_are_new_changed_or_gone() -> None:
    known = Environments()
    own, parents = known.of_exec(CHILD), known.of_exec(PARENT)
    assert own.names == ("PATH", "LANG", "NEW")
    assert difference(own, parents) == EnvDifference(new=("NEW",), changed=("PATH",), gone=("OLD",))
    assert difference(own, own) == EnvDifference(new=(), changed=(), gone=())


def test_no_value_is_kept() -> None:
    known = Environments()
    known.started(7, 0, known.of_exec(CHILD))
    assert "secret" not in repr(known.__dict__)
    assert known.of_exec(CHILD) is known.of_exec(CHILD)
    assert known.of_exec(b"PATH=/else\0LANG=C\0NEW=\0").names is known.of_exec(CHILD).names


def test_a_parent_is_known_until_it_ends() -> None:
    known = Environments()
    known.started(GONE, 5_000_000_000, environment_in(PARENT))
    assert known.of_process(GONE, 5_000_000_000) == environment_in(PARENT)
    # Another process that has this pid later.
    assert known.of_process(GONE, 9_000_000_000) is None
    known.started(GONE, 9_000_000_000, environment_in(CHILD))
    known.ended(GONE, 5_000_000_000)
    assert known.of_process(GONE, 9_000_000_000) == environment_in(CHILD)
    known.ended(GONE, 9_000_000_000)
    assert known.of_process(GONE, 9_000_000_000) is None


def test_what_was_parsed_is_forgotten_if_it_is_too_much() -> None:
    known = Environments()
    for number in range(environments._PARSED_MAX + 2):
        known.of_exec(b"A=%d\0" % number)
    assert len(known._parsed) <= environments._PARSED_MAX


def test_names_of_living_processes_are_bounded() -> None:
    known = Environments(names_max=7)
    for pid in range(GONE, GONE + 4):
        known.started(pid, 0, environment_in(PARENT))
    assert [known.of_process(pid, 0) is not None for pid in range(GONE, GONE + 4)] == [False, False, True, True]
    # One that starts another program, and one that ended, make room.
    known.started(GONE + 3, 0, environment_in(b"A=\0"))
    known.ended(GONE + 2, 0)
    known.started(GONE, 0, environment_in(PARENT))
    known.started(GONE + 1, 0, environment_in(PARENT))
    assert [known.of_process(pid, 0) is not None for pid in range(GONE, GONE + 4)] == [True, True, False, True]


def test_a_huge_environment_stays_in_no_cache() -> None:
    known = Environments()
    cached = environments._known_difference.cache_info().currsize
    huge = b"".join(b"%d=\0" % number for number in range(2 * environments._CACHED_NAMES + 1))
    own = known.of_exec(huge)
    assert not known._parsed
    assert difference(own, known.of_exec(huge)) == EnvDifference(new=(), changed=(), gone=())
    assert difference(own, environment_in(PARENT)).gone == ("PATH", "LANG", "OLD")
    assert environments._known_difference.cache_info().currsize == cached


def test_names_are_shared_until_there_is_no_room() -> None:
    shared = SharedNames(room=2 * 60 + 4 * 4)
    first = shared[tuple("AB")]
    assert shared[tuple("AB")] is first
    assert shared.has(first)
    other = tuple("CD")
    assert shared[other] is other
    assert not shared.has(other)


def test_a_record_has_no_memory_of_its_own_for_names_that_are_shared() -> None:
    names = tuple(f"NAME_{number}_OF_A_VARIABLE" for number in range(40))
    one = msgspec.structs.replace(PROGRAM, env_names=names)
    assert weight(one) > weight(PROGRAM) + 40 * len(names[0])
    read = read_line(msgspec.json.encode(one))
    assert isinstance(read, Exec)
    again = read_line(msgspec.json.encode(one))
    assert isinstance(again, Exec)
    assert read == again == one
    assert read.env_names is again.env_names
    assert weight(read) == weight(PROGRAM)
    differs = EnvDifference(new=("X" * 1000,), changed=(), gone=())
    assert weight(msgspec.structs.replace(read, env_differs=differs)) > weight(read) + 1000
