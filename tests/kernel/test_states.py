"""What processes wait for, held against what the kernel counts (/proc/PID/schedstat) and what they were made to do."""

from __future__ import annotations

import json
import os
import platform
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

from ebpftop.core.record_lines import encode
from ebpftop.core.records import Lost, Probe
from ebpftop.core.state_records import BlockedCall, ProcessStates, States
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bpf_syscall
from ebpftop.probes import state_sleepers
from ebpftop.probes import states as probe
from ebpftop.recording.parse import read_line
from ebpftop.syscalls.abi import native_abi
from tests.kernel import own_source
from tests.kernel.state_workloads import COMPAT_C, HAND_OVER, HASH, PING, SLEEPS, SPIN, awaited_page, working
from tests.kernel.support import compile_c, needs_root

pytestmark = [needs_root, pytest.mark.guest]

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def whole_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read all of /proc when the probe is attached, on a machine that is too slow to be done with it in time."""
    monkeypatch.setattr(state_sleepers, "PATIENCE_S", PATIENCE_S)


class Watched(own_source.OwnSource):
    """A source of this process's own that only has this probe."""

    def read(self) -> States:
        """Return the states now."""
        return self.now(States)

    def row(self, pid: int) -> ProcessStates:
        """Return the row of a process."""
        (row,) = [row for row in self.read().rows if row.pid == pid]
        return row

    def wait_for(self, pid: int, holds: Callable[[ProcessStates], object]) -> ProcessStates:
        """Return the row of a process as soon as something holds of it."""
        until_s = time.monotonic() + PATIENCE_S
        while not (rows := [row for row in self.read().rows if row.pid == pid and holds(row)]):
            assert time.monotonic() < until_s, pid
            time.sleep(0.05)
        return rows[0]


def watching(**options: object) -> AbstractContextManager[Watched]:
    return own_source.opened(Watched, **{"probes": ("states",), **options})


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.05)


class Scheduled(NamedTuple):
    """What the kernel says of a process: the sum of its threads, in ns."""

    running_ns: int
    runnable_ns: int

    @classmethod
    def of(cls, pid: int) -> Scheduled:
        """Read it."""
        files = Path(f"/proc/{pid}/task").glob("*/schedstat")
        numbers = [tuple(map(int, file.read_text().split())) for file in files]
        return cls(sum(each[0] for each in numbers), sum(each[1] for each in numbers))


def switches(pid: int) -> tuple[int, int]:
    """Return how often a process of one thread was blocked, and how often it lost its CPU, as the kernel counts."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    counts = dict(line.split(":") for line in lines if "ctxt_switches" in line)
    return int(counts["voluntary_ctxt_switches"]), int(counts["nonvoluntary_ctxt_switches"])


def assert_near(ours_ns: int, theirs_ns: int) -> None:
    """The scheduler's clock leaves out interrupts, and time that another machine took."""
    assert abs(ours_ns - theirs_ns) < 0.08 * theirs_ns + 40e6, (ours_ns / 1e6, theirs_ns / 1e6)


def blocked_in(row: ProcessStates, name: str | None) -> BlockedCall:
    (call,) = [call for call in row.blocked if call.syscall == name]
    return call


def test_two_that_want_one_cpu_run_and_wait_as_the_kernel_says() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    with working(SPIN, cpu) as one, working(SPIN, cpu) as two, watching() as watched:
        before = [(watched.row(work.pid), Scheduled.of(work.pid)) for work in (one, two)]
        one.go()
        two.go()
        until(
            lambda: all(
                Scheduled.of(work.pid).runnable_ns - had.runnable_ns > 250e6
                for work, (_, had) in zip((one, two), before, strict=True)
            )
        )
        one.end()
        two.end()
        assert {one.hear(), two.hear()} == {"done"}
        for work, (was, had) in zip((one, two), before, strict=True):
            row = watched.wait_for(work.pid, lambda row: row.now[0].state == "blocked")
            now = Scheduled.of(work.pid)
            assert_near(row.running_ns - was.running_ns, now.running_ns - had.running_ns)
            assert_near(row.runnable_ns - was.runnable_ns, now.runnable_ns - had.runnable_ns)
            # Whoever had the CPU lost it to another, again and again.
            assert row.preempted - was.preempted > 5


@pytest.mark.newest
def test_threads_sum_to_the_process() -> None:
    with working(HASH) as work, watching() as watched:
        before, had = watched.row(work.pid), Scheduled.of(work.pid)
        work.go()
        assert work.hear() == "done"
        row = watched.wait_for(work.pid, lambda row: all(now.state == "blocked" for now in row.now))
        now = Scheduled.of(work.pid)
        assert row.threads == len(os.listdir(f"/proc/{work.pid}/task")) == 4
        assert_near(row.running_ns - before.running_ns, now.running_ns - had.running_ns)
        assert_near(row.runnable_ns - before.runnable_ns, now.runnable_ns - had.runnable_ns)
        assert now.running_ns - had.running_ns > 200e6
        # Every moment of every thread is in one of the three.
        time.sleep(0.5)
        later = watched.row(work.pid)
        passed_ns = [b.running_ns + b.runnable_ns + b.blocked_ns for b in (row, later)]
        readings = [record for record in watched.records if isinstance(record, States)]
        assert passed_ns[1] - passed_ns[0] == pytest.approx(4 * (readings[-1].boot_ns - readings[-2].boot_ns), rel=0.01)


@pytest.mark.everywhere
def test_who_sleeps_is_blocked_while_it_sleeps_also_if_it_did_before() -> None:
    with (
        subprocess.Popen(["sleep", "1000"]) as early,
        watching() as watched,
        subprocess.Popen(["sleep", "1000"]) as late,
    ):
        try:
            watched.wait_for(late.pid, lambda row: row.now and row.now[0].syscall == "clock_nanosleep")
            first = watched.read()
            time.sleep(1.0)
            second = watched.read()
            passed_ns = second.boot_ns - first.boot_ns
            assert passed_ns >= 1e9
            for pid in (early.pid, late.pid):
                (was,), (row,) = ([row for row in each.rows if row.pid == pid] for each in (first, second))
                assert row.blocked_ns - was.blocked_ns == passed_ns
                call = blocked_in(row, "clock_nanosleep")
                assert (call.abi, call.count, call.threads) == (native_abi(platform.machine()), 1, 1)
                assert call.ns == call.max_ns >= passed_ns
                assert call.since_ns is not None
                assert second.boot_ns - call.since_ns == call.ns
                (now,) = row.now
                assert (now.tid, now.state, now.syscall) == (pid, "blocked", "clock_nanosleep")
            # It slept before: what it did is known since the probe was attached.
            (row,) = [row for row in second.rows if row.pid == early.pid]
            assert (row.running_ns, row.runnable_ns) == (0, 0)
            assert row.blocked_ns == pytest.approx(second.duration_s * 1e9, rel=1e-3)
            early.kill()
            late.kill()
            row = watched.wait_for(early.pid, lambda row: row.ended)
            assert blocked_in(row, "clock_nanosleep").ns >= passed_ns
        finally:
            early.kill()
            late.kill()


@pytest.mark.everywhere
def test_of_two_that_play_ping_pong_each_is_woken_by_the_other() -> None:
    with working(PING) as ping, watching() as watched:
        pong = int(ping.said)
        before = [(watched.row(pid), switches(pid)) for pid in (ping.pid, pong)]
        ping.go()
        assert ping.hear() == "done"
        woken = 0
        for (pid, other), (was, had) in zip(((ping.pid, pong), (pong, ping.pid)), before, strict=True):
            row = watched.wait_for(pid, lambda row: row.now[0].state == "blocked")
            # Exactly as the kernel counts: it was blocked, or it lost its CPU. One that is woken on its way to sleep is
            # blocked to the kernel, and here it is not.
            blocked = sum(call.count for call in row.blocked) - sum(call.count for call in was.blocked)
            preempted = row.preempted - was.preempted
            kernel_blocked, kernel_preempted = (now - then for now, then in zip(switches(pid), had, strict=True))
            assert blocked + preempted == kernel_blocked + kernel_preempted
            assert abs(blocked - kernel_blocked) <= 0.05 * kernel_blocked + 5
            woken += row.wakeups - was.wakeups
            # One that loses its CPU to whom it has just woken need not sleep.
            if row.wakeups - was.wakeups > 100:
                assert row.wakers[0].pid == other
                assert row.wakers[0].comm == watched.row(other).comm
                assert row.wakers[0].count >= 0.7 * row.wakeups
                assert blocked_in(row, "read").count > 100
        assert woken >= 300


def test_threads_that_hand_something_over_wait_for_a_futex_and_wake_each_other() -> None:
    with working(HAND_OVER) as work, watching() as watched:
        work.go()
        assert work.hear() == "done"
        # The other ends a moment after it was joined: the kernel wakes who joins it on its way out.
        row = watched.wait_for(work.pid, lambda row: row.threads == 1)
        assert blocked_in(row, "futex").count >= 100, "what a thread did that has ended is counted"
        assert row.wakers[0].pid == work.pid


def test_who_sleeps_is_found_later_where_the_attach_has_no_time_to_look_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_sleepers, "PATIENCE_S", 0.0)
    monkeypatch.setattr(state_sleepers, "MORE_S", 0.0)
    with subprocess.Popen(["sleep", "1000"]) as early:
        try:
            until(lambda: Path(f"/proc/{early.pid}/comm").read_text() == "sleep\n")
            with watching() as watched:
                first = watched.read()
                assert early.pid not in {row.pid for row in first.rows}
                monkeypatch.setattr(state_sleepers, "MORE_S", 0.01)
                row = watched.wait_for(early.pid, lambda row: row.now[0].syscall == "clock_nanosleep")
                assert row.blocked_ns == pytest.approx(watched.read().duration_s * 1e9, abs=0.5e9)
        finally:
            early.kill()


def test_processes_that_are_not_looked_at_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_sleepers, "_SCANNED_MAX", 1)
    monkeypatch.setattr(state_sleepers, "THREADS_MAX", 1)
    with watching() as watched:
        watched.read()
        lost = [record for record in watched.records if isinstance(record, Lost)]
        assert [(record.probe, record.where) for record in lost] == [("states", "map")]
        assert lost[0].count > 1


@pytest.mark.newest
def test_a_timer_is_no_process() -> None:
    with working(SLEEPS) as work, watching() as watched:
        work.go()
        assert work.hear() == "done"
        row = watched.row(work.pid)
        (state,) = [r for r in watched.records if isinstance(r, Probe) and r.state == "on"]
        sees = probe.INTERRUPTS not in state.blind
        by_interrupts = [waker.count for waker in row.wakers if waker.context in ("irq", "softirq")]
        assert blocked_in(row, "clock_nanosleep").count >= 40
        assert sum(by_interrupts) >= 36 if sees else not by_interrupts, row.wakers


@pytest.mark.newest
def test_who_is_stopped_is_in_no_call() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child, watching() as watched:
        try:
            child.send_signal(signal.SIGSTOP)
            row = watched.wait_for(child.pid, lambda row: row.now[0].state == "stopped")
            assert row.now[0].syscall is None
            assert blocked_in(row, None).threads == 1
        finally:
            child.kill()


def test_who_waits_for_a_page_is_in_no_call() -> None:
    with watching(filter=Filter(hide_self=False)) as watched, awaited_page() as tid:
        row = watched.wait_for(os.getpid(), lambda row: any(call.threads for call in row.blocked if not call.nr))
        assert blocked_in(row, None).threads == 1
        waits = [now for now in row.now if now.tid == tid]
        assert [now.syscall for now in waits] in ([None], [])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int $0x80 is of x86")
def test_a_call_of_another_abi_is_named_by_its_table(tmp_path: Path) -> None:
    program = compile_c(tmp_path, "compat", COMPAT_C)
    with watching() as watched, subprocess.Popen([program]) as child:
        try:
            row = watched.wait_for(child.pid, lambda row: row.now and row.now[0].syscall == "nanosleep")
            assert (row.now[0].abi, row.now[0].nr) == ("i386", 162)
        finally:
            child.kill()


def test_who_has_ended_is_told_once() -> None:
    with watching() as watched:
        child = subprocess.Popen(["sleep", "0.1"])
        child.wait()
        row = watched.row(child.pid)
        assert (row.ended, row.threads, row.now) == (True, 0, ())
        assert row.comm == "sleep"
        # The time to sleep begins while it still runs, and ends before it runs again.
        slept_ns = blocked_in(row, "clock_nanosleep").ns
        assert slept_ns > 0.05e9
        assert slept_ns + row.running_ns + row.runnable_ns >= 0.1e9
        assert row.running_ns > 0
        assert child.pid not in [row.pid for row in watched.read().rows]


@pytest.mark.newest
def test_the_filter_decides_who_is_listed() -> None:
    with (
        subprocess.Popen(["sleep", "1000"]) as early,
        working(SLEEPS) as other,
        watching(filter=Filter(pids=(os.getpid(),), comms=("sleep",))) as watched,
        subprocess.Popen(["sleep", "1000"]) as late,
    ):
        try:
            watched.wait_for(late.pid, lambda row: row.now[0].state == "blocked")
            assert [row.pid for row in watched.read().rows] == sorted([early.pid, late.pid])
            watched.source.set_filter(Filter(pids=(other.pid,)))
            assert [row.pid for row in watched.read().rows] == [other.pid]
            watched.source.set_filter(Filter())
            other.go()
            assert other.hear() == "done"
            pids = {row.pid for row in watched.read().rows}
            assert {early.pid, late.pid, other.pid} <= pids
            assert os.getpid() not in pids
            # The machine is all of it.
            assert watched.read().machine.blocked > len(pids) / 2
        finally:
            late.kill()
            early.kill()


@pytest.mark.oldest
def test_each_cpu_runs_or_is_idle() -> None:
    with watching() as watched:
        time.sleep(0.5)
        states = watched.read()
        assert [cpu.cpu for cpu in states.machine.cpus] == sorted(os.sched_getaffinity(0))
        assert states.cpus == len(states.machine.cpus)
        for cpu in states.machine.cpus:
            assert cpu.running_ns + cpu.idle_ns == pytest.approx(states.duration_s * 1e9, rel=0.02, abs=50e6)
            assert cpu.switches > 0
        assert 0 < states.machine.running <= states.cpus


def test_no_time_is_missing_where_switches_were_not_seen() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    with working(SPIN, cpu) as one, working(SPIN, cpu) as two, watching() as watched:
        (module,) = [each.module for each in watched.source._probes.values() if each.module]
        began = {work.pid: Scheduled.of(work.pid).running_ns for work in (one, two)}
        one.go()
        two.go()
        until_s = time.monotonic() + PATIENCE_S
        while min(Scheduled.of(pid).running_ns - ns for pid, ns in began.items()) < 400e6:
            assert time.monotonic() < until_s
            link = module._links[0]
            module.release(link)
            time.sleep(0.05)
            module.attach("raw_tracepoint", "sched_switch", "states_on_sched_switch")
            module._links.insert(0, module._links.pop())
            time.sleep(0.1)
        states = watched.read()
        for row in states.rows:
            if row.pid in began:
                passed_ns = row.running_ns + row.runnable_ns + row.blocked_ns
                assert passed_ns == pytest.approx(states.duration_s * 1e9, rel=0.01, abs=30e6)
                assert row.running_ns > 100e6


@pytest.mark.oldest
def test_threads_that_have_no_place_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "THREADS_MAX", 4)
    with watching() as watched:
        for _ in range(8):
            subprocess.run(["true"], check=True)
        watched.read()
        lost = [record for record in watched.records if isinstance(record, Lost)]
        assert [(record.probe, record.where) for record in lost][:1] == [("states", "map")]


@pytest.mark.oldest
def test_totals_begin_anew_when_it_is_attached_again() -> None:
    with working(SLEEPS) as work, watching() as watched:
        assert watched.row(work.pid).blocked_ns > 0
        time.sleep(0.3)
        before = watched.read()
        watched.source.toggle("states")
        watched.source.toggle("states")
        after = watched.read()
        assert after.boot_ns - after.duration_s * 1e9 > before.boot_ns
        assert watched.row(work.pid).blocked_ns <= watched.read().duration_s * 1e9


@pytest.mark.newest
def test_records_pass_through_a_stream_as_they_are() -> None:
    with working(SLEEPS) as work, watching() as watched:
        work.go()
        work.hear()
        states = watched.read()
    line = encode(states)
    assert json.loads(line)["rows"]
    assert read_line(line) == states


@pytest.mark.everywhere
def test_the_verifier_is_soon_done_with_each_program() -> None:
    with watching() as watched:
        (module,) = [each.module for each in watched.source._probes.values() if each.module]
        # struct bpf_prog_info: verified_insns is what comes after recursion_misses.
        steps = {
            name: struct.unpack_from("=I", bpf_syscall.info(fd), bpf_syscall._RUN_TIME_OFFSET + 24)[0]
            for name, fd in module.programs.items()
        }
    assert len(steps) == 4
    assert max(steps.values()) < 30_000, steps
