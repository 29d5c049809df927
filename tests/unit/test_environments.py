"""Environments without their values, and how they differ from that of the parent."""

from __future__ import annotations

from ebpftop.core.process_records import EnvDifference
from ebpftop.probes import environments
from ebpftop.probes.environments import Environments, difference, environment_in

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
