"""The child processes of ebpftop are all known, and the programs in the kernel have room for them."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

import ebpftop
from ebpftop.kernel import threads
from ebpftop.lifecycle import helpers

PACKAGE = Path(ebpftop.__file__).parent
HEADER = PACKAGE.parents[1] / "bpf/filter.h"
STARTS_A_PROCESS = re.compile(
    r"\bos\.(?:fork|forkpty|posix_spawnp?|spawn\w+|system|popen)\b|\bpty\.fork\b|\b(?:subprocess|multiprocessing)\b"
)


def test_no_other_module_starts_a_process() -> None:
    found = [
        str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if STARTS_A_PROCESS.search(file.read_text())
    ]
    # What --when-run names is the user's program, and so is that of `ebpftop run`: seen like any other. `fleet` starts
    # ssh, and has no program in the kernel that could see it.
    seen = ["fleet/connection.py", "lifecycle/run_command.py", "lifecycle/started.py"]
    assert sorted(found) == sorted([*seen, "lifecycle/helpers.py"])


def test_the_kernel_has_room_for_ebpftop_and_all_its_helpers() -> None:
    (room,) = re.findall(r"^#define OWN_PROCESSES (\d+)$", HEADER.read_text(), re.MULTILINE)
    assert int(room) == 1 + helpers.HELPERS_MAX


def test_a_helper_is_known_from_its_fork_until_it_is_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "pids", [])
    for _ in range(helpers.HELPERS_MAX):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            if (pid := helpers.fork(ours, theirs)) == 0:
                os._exit(0)
        assert helpers.pids[-1] == pid
    with pytest.raises(RuntimeError, match="more than 5 helpers"):
        helpers.fork(socket.socket(), socket.socket())
    for pid in list(helpers.pids):
        helpers.reap(pid)
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    assert helpers.pids == []


def status_of(pid: int) -> int:
    until_s = time.monotonic() + 20
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > until_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("it stays stopped")
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(ended[1])


@pytest.mark.parametrize("how", ["told", "left"])
def test_a_helper_that_is_stopped_before_it_does_anything_goes_on(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(helpers, "pids", [])
    ours, theirs = socket.socketpair()
    pid = helpers.fork(ours, theirs)
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(7)
    os.waitpid(pid, os.WUNTRACED)
    if how == "told":
        ours.send(b"x")
    ours.close()
    theirs.close()
    assert status_of(pid) == 7


def test_a_helper_that_is_stopped_while_it_waits_ends_with_ebpftop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "pids", [])
    cpus = os.sched_getaffinity(0)
    ours, theirs = socket.socketpair()
    try:
        # On one processor, and with no right to it while we run: it is stopped when ebpftop has ended already.
        os.sched_setaffinity(0, {min(cpus)})
        if (pid := helpers.fork(ours, theirs)) == 0:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os._exit(len(helpers.receive(theirs, 100)))
        theirs.close()
        stat = Path(f"/proc/{pid}/stat")
        until_s = time.monotonic() + 20
        while ") S " not in stat.read_text() and time.monotonic() < until_s:
            time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        ours.close()
    finally:
        os.sched_setaffinity(0, cpus)
    assert status_of(pid) == 0


def test_in_another_pid_namespace_no_number_of_ours_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.getpid() in threads.own_pids()
    monkeypatch.setattr(threads, "in_first_pid_namespace", lambda: False)
    assert threads.own_pids() == ()
