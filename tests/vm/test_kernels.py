"""On every kernel, everything that ebpftop can stand on works; what does not is known, with its reason."""

from __future__ import annotations

import re

import msgspec
import pytest

from .conditions import BARE, CONDITIONS, HEADERS_ONLY, NEITHER, WITH_HEADERS
from .conftest import InnerTests, Ran
from .expected import expected_fault
from .faults import FOLLOWERS, LADDERS, NOT_ATTACHED
from .results import Checked, CheckReport, Result, ladder_and_option

pytestmark = pytest.mark.timeout(14500)

HAVE_ENTRY_FUNCTION = ("6.1", "6.12")
"""Kernels whose x64_sys_call can be traced."""


def matrix_of(ran: Ran) -> Result:
    assert ran.matrix is not None, ran.finished.console[-8000:]
    return ran.matrix


def test_the_kernel_boots_and_every_trial_is_made(ran: Ran) -> None:
    assert ran.finished.status == 0, ran.finished.console[-8000:]
    assert matrix_of(ran).release == ran.tree.release


def test_the_kernel_tests_pass_inside(tested: InnerTests) -> None:
    assert tested.finished.status == 0, tested.log[-8000:]


def test_every_attach_option_tells_exactly_what_was_done(ran: Ran) -> None:
    wrong = [
        f"{trial.condition}, {trial.buffer}: {trial.ladder} by {trial.option}: {trial.detail or 'works'}"
        for trial in matrix_of(ran).trials
        if not expected_fault(ran.tree.name, ran.tree.release, trial).holds(trial)
    ]
    assert not wrong, "\n".join(wrong)


def test_each_ladder_was_forced_onto_every_kind_of_attach_option(ran: Ran) -> None:
    kinds: dict[str, set[str]] = {ladder: set() for ladder in LADDERS}
    for trial in matrix_of(ran).trials:
        if trial.forced and trial.option != "-":  # what follows a ladder that came to nothing
            kinds[trial.ladder].add(trial.option.partition(":")[0])
    both = {"raw_tracepoint", "tracepoint"}
    assert kinds == {
        "execs": both,
        "execs.exits": both,
        "execs.failures": both | {"fexit", "kretprobe"},
        "users": both | {"kprobe", "fentry"},
        "trace": both | {"kprobe", "fentry"},
        "trace.lines": {"instance", "raw_tracepoint", "trace_pipe"},
        "opens": {"raw_tracepoint", "fexit", "kretprobe"},
        "syscalls": both | ({"fentry"} if ran.tree.name in HAVE_ENTRY_FUNCTION else set()),
        "syscalls.returns": both,
        "syscalls.io_uring": {"tracepoint"},
        "cgroups": {"raw_tracepoint"},
        "cgroups.returns": {"raw_tracepoint"},
        "states": {"raw_tracepoint"},
    }


def test_each_ladder_was_left_alone_too_and_what_it_chose_was_also_forced(ran: Ran) -> None:
    matrix = matrix_of(ran)
    assert matrix.chosen.keys() == set(LADDERS)
    for forced in (False, True):
        tried = {(trial.ladder, trial.option) for trial in matrix.trials if trial.forced is forced and trial.works}
        assert matrix.chosen.items() <= tried


def test_events_came_through_both_buffers(ran: Ran) -> None:
    through = {trial.buffer for trial in matrix_of(ran).trials if trial.ladder == "execs" and trial.works}
    assert through == {"ring", "perf"}


def test_headers_and_btf_were_there_and_hidden_and_without_headers_every_attach_option_worked(ran: Ran) -> None:
    by_condition = {
        condition: [trial for trial in matrix_of(ran).trials if trial.condition == condition]
        for condition in CONDITIONS
    }
    expected = {BARE, NEITHER}
    if ran.tree.headers.is_dir():
        expected |= {WITH_HEADERS, HEADERS_ONLY} if ran.headers_alone else {WITH_HEADERS}
    assert {condition for condition, tried in by_condition.items() if tried} == expected
    # Linux 7's headers are of no use to released BCC: there it is this that ebpftop stands on.
    assert {trial.ladder for trial in by_condition[BARE]} == set(LADDERS)
    assert all(trial.works for trial in by_condition[BARE])
    assert not any(trial.works for trial in by_condition[NEITHER])
    if HEADERS_ONLY in expected:
        assert all(trial.works for trial in by_condition[HEADERS_ONLY]) is (ran.tree.name != "newest")


def test_check_says_the_same_as_the_trials(ran: Ran, check: Checked | None) -> None:
    matrix = matrix_of(ran)
    assert check is not None
    assert check.status == 0, check.stderr
    report = msgspec.json.decode(check.said, type=CheckReport)
    assert (report.kernel, report.btf, report.buffer) == (ran.tree.release, True, "ring")
    assert (report.headers is not None) is ran.tree.headers.is_dir()
    assert {probe.state for probe in report.probes} == {"on"}

    reasons = {
        ladder_and_option(probe.probe, option.via): option.reason
        for probe in report.probes
        if probe.probe not in NOT_ATTACHED
        for option in probe.attempts
    }
    forced = {(trial.ladder, trial.option): trial for trial in matrix.trials if trial.forced}
    assert reasons.keys() == {trial for trial in forced if trial[0] not in FOLLOWERS} | {
        (follower, matrix.chosen[follower]) for follower in FOLLOWERS
    }
    assert dict(option for option, reason in reasons.items() if reason is None) == matrix.chosen
    for (ladder, option), reason in reasons.items():
        works = forced[ladder, option].works
        if works and option == "fentry:x64_sys_call":
            needed, _, cost = (reason or "").partition(" (")
            assert needed == f"not needed: {matrix.chosen[ladder]} works"
            assert re.fullmatch(r"a program there adds \d+ ns to a call, at the tracepoint \d+\)", cost)
        elif works and option != matrix.chosen[ladder]:
            assert reason == f"not needed: {matrix.chosen[ladder]} works"
        elif not works:
            assert reason is not None
            assert reason in (forced[ladder, option].detail or "")
