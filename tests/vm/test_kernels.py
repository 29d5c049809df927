"""On every kernel, everything that ebpftop can stand on works; what does not is known, with its reason."""

from __future__ import annotations

import pytest

from .conftest import Ran
from .expected import expected_fault

pytestmark = pytest.mark.timeout(1500)


def test_the_kernel_boots_and_every_trial_is_made(ran: Ran) -> None:
    assert ran.finished.status == 0, ran.finished.console[-8000:]
    assert ran.matrix is not None
    assert ran.matrix.release == ran.tree.release


def test_the_kernel_tests_pass_inside(ran: Ran) -> None:
    assert ran.tests_status == 0, ran.tests_log[-8000:]


def test_every_rung_tells_exactly_what_was_done(ran: Ran) -> None:
    assert ran.matrix is not None, ran.finished.console[-8000:]
    wrong = [
        f"{trial.condition}, {trial.buffer}: {trial.ladder} by {trial.rung}: {trial.detail or 'works'}"
        for trial in ran.matrix.trials
        if not expected_fault(ran.tree.name, trial).holds(trial)
    ]
    assert not wrong, "\n".join(wrong)


def test_each_ladder_was_tried_on_every_kind_of_rung(ran: Ran) -> None:
    assert ran.matrix is not None, ran.finished.console[-8000:]
    kinds: dict[str, set[str]] = {}
    for trial in ran.matrix.trials:
        kinds.setdefault(trial.ladder, set()).add(trial.rung.partition(":")[0])
    both = {"raw_tracepoint", "tracepoint"}
    assert {ladder: found - {"-"} for ladder, found in kinds.items()} == {
        "execs": both,
        "execs.exits": both,
        "execs.failures": both | {"fexit", "kretprobe"},
        "users": both | {"kprobe", "fentry"},
        "trace": both | {"kprobe", "fentry"},
        "syscalls": both,
        "syscalls.returns": both,
    }
