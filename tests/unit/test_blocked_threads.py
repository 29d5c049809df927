"""Threads that are blocked, by process, as /proc has their states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from ebpftop.probes import blocked_threads
from ebpftop.probes.blocked_threads import BlockedThreads


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A process that waits for its stdin; the pace lets each reading look, and all of /proc is seen."""
    monkeypatch.setattr(blocked_threads, "_PASSES", (0.0, 0.0, float("inf")))
    monkeypatch.setattr(blocked_threads, "sees_all", lambda: True)
    with Popen(["cat"], stdin=PIPE, stdout=DEVNULL) as process:
        while (Path(f"/proc/{process.pid}/stat").read_text().split()[1:3]) != ["(cat)", "S"]:
            pass
        yield process.pid


def read(matches: Callable[[int, int, bytes], bool] | None = None) -> BlockedThreads:
    blocked = BlockedThreads()
    blocked.refresh(matches)
    return blocked


def test_a_process_that_waits_is_blocked(sleeper: int) -> None:
    blocked = read()
    assert blocked.of_processes([sleeper]) == 1
    assert (blocked.of_comm("cat") or 0) >= 1
    assert blocked.of_processes([]) == blocked.of_comm("nothing has this") == 0


def test_what_the_filter_does_not_match_is_left_out(sleeper: int) -> None:
    asked: list[tuple[int, bytes]] = []

    def matches(pid: int, _uid: int, comm: bytes) -> bool:
        asked.append((pid, comm))
        return pid != sleeper

    assert read(matches).of_processes([sleeper]) == 0
    assert (sleeper, b"cat") in asked


def test_ebpftop_itself_is_left_out(monkeypatch: pytest.MonkeyPatch, sleeper: int) -> None:
    monkeypatch.setattr(blocked_threads, "own_pids", lambda: (sleeper,))
    assert read().of_processes([sleeper]) == 0


@pytest.mark.parametrize("name", ["sees_all", "THREADS_MAX"])
def test_where_not_all_are_seen_nothing_is_known(monkeypatch: pytest.MonkeyPatch, sleeper: int, name: str) -> None:
    monkeypatch.setattr(blocked_threads, name, (lambda: False) if name == "sees_all" else 0)
    blocked = read()
    assert blocked.of_processes([sleeper]) is blocked.of_comm("cat") is None


def test_of_a_cgroup_whose_processes_are_not_known_nothing_is_known(sleeper: int) -> None:
    assert read().of_processes(None) is None
    assert read().of_processes([sleeper]) == 1


def test_threads_are_not_looked_at_more_often_than_is_worth_it(monkeypatch: pytest.MonkeyPatch, sleeper: int) -> None:
    monkeypatch.setattr(blocked_threads, "_PASSES", (3600.0, 3600.0, 0.01))
    blocked = BlockedThreads()
    assert [blocked.refresh(None), blocked.refresh(lambda *_: False)] == [True, False]
    assert blocked.of_processes([sleeper]) == 1
