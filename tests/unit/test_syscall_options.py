"""Where the programs of system calls are reached from one that other probes need too."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from ebpftop.kernel import attach
from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.dispatch import SYSCALLS
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes.base import Context
from ebpftop.probes.syscall_options import enter_option, returns_option, shared_tracepoints
from ebpftop.probes.user_names import UserNames
from tests.unit.test_blind_doc import DEFINES

BEFORE_6_10 = {name: value for name, value in DEFINES.items() if name != "HAVE_PREPARE_EXEC"}
NO_FENTRY = KernelFeatures(tracefs=None, no_fentry="refused")
ALL = frozenset({"execs", "users", "syscalls", "trace"})


@pytest.fixture(autouse=True)
def no_kprobes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "KPROBE_TYPE", Path("/nowhere"))


def shared(defines: dict[str, str | int] = DEFINES, **fields: object) -> set[str]:
    known: dict[str, object] = {
        "defines": defines,
        "shared": {},
        "features": NO_FENTRY,
        "root": cast(RootWork, None),
        "users": UserNames(),
        "buffer": "ring",
        "probes": ALL,
        **fields,
    }
    return set(shared_tracepoints(Context(**known)))  # type: ignore[arg-type]  # of any field


def test_where_others_need_a_program_at_every_call() -> None:
    assert shared() == {"sys_exit"}
    assert shared(BEFORE_6_10) == {"sys_enter", "sys_exit"}
    assert shared(probes=frozenset({"users", "syscalls"})) == {"sys_exit"}
    assert shared(probes=frozenset({"execs", "syscalls"})) == {"sys_exit"}


def test_nowhere_if_nobody_else_needs_one() -> None:
    assert shared(probes=frozenset({"syscalls", "trace"})) == set()
    assert shared(probes=frozenset({"execs", "syscalls"}), failures=False) == set()


def test_nowhere_if_they_have_cheaper_places_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for features in (KernelFeatures(tracefs=None, no_fentry=None), NO_FENTRY):
        monkeypatch.setattr(attach, "KPROBE_TYPE", Path("/"))
        assert shared(features=features) == set()
        assert shared(features=features, attach={"users": "raw_tracepoint"}) == {"sys_exit"}
        assert shared(features=features, attach={"execs.failures": "raw_tracepoint"}) == {"sys_exit"}


def test_a_tracepoint_that_skips_calls_needs_programs_at_every_call_too(tmp_path: Path) -> None:
    for call in ("execve", "execveat"):
        for end in ("enter", "exit"):
            (tmp_path / "events/syscalls" / f"sys_{end}_{call}").mkdir(parents=True)
    features = KernelFeatures(tracefs=tmp_path, no_fentry="refused")
    assert shared(features=features, attach={"users": "tracepoint"}) == {"sys_enter", "sys_exit"}


def test_nowhere_if_the_program_of_system_calls_may_be_preempted_in_it() -> None:
    assert shared(preempts=True) == set()


def test_only_raw_tracepoints_are_shared() -> None:
    both = {"sys_enter", "sys_exit"}
    slots = {attach.target: attach.slot for attach in returns_option("raw_tracepoint", both).attaches}
    assert slots == {"sys_exit": SYSCALLS, "sched_switch": None, "sched_process_exit": None}
    assert enter_option("raw_tracepoint", both).attaches[0].slot == SYSCALLS
    for option in (
        enter_option("tracepoint", both),
        returns_option("tracepoint", both),
        enter_option("raw_tracepoint"),
    ):
        assert not any(attach.slot is not None for attach in option.attaches)
