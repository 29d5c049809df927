"""The child processes of ebpftop are all known, and the programs in the kernel have room for them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import ebpftop
from ebpftop import helpers
from ebpftop.kernel import threads

PACKAGE = Path(ebpftop.__file__).parent
HEADER = PACKAGE.parents[1] / "bpf/ebpftop.h"
STARTS_A_PROCESS = re.compile(
    r"\bos\.(?:fork|forkpty|posix_spawnp?|spawn\w+|system|popen)\b|\bpty\.fork\b|\b(?:subprocess|multiprocessing)\b"
)


def test_no_other_module_starts_a_process() -> None:
    found = [
        str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if STARTS_A_PROCESS.search(file.read_text())
    ]
    assert found == ["helpers.py"]


def test_the_kernel_has_room_for_ebpftop_and_all_its_helpers() -> None:
    (room,) = re.findall(r"^#define OWN_PROCESSES (\d+)$", HEADER.read_text(), re.MULTILINE)
    assert int(room) == 1 + helpers.HELPERS_MAX


def test_a_helper_is_known_from_its_fork_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "pids", [])
    for _ in range(helpers.HELPERS_MAX):
        if (pid := helpers.fork()) == 0:
            os._exit(0)
        assert helpers.pids[-1] == pid
    with pytest.raises(RuntimeError, match="more than 3 helpers"):
        helpers.fork()
    for pid in list(helpers.pids):
        os.waitpid(pid, 0)
        helpers.forget(pid)
    assert helpers.pids == []


def test_in_another_pid_namespace_no_number_of_ours_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.getpid() in threads.own_pids()
    monkeypatch.setattr(threads, "in_first_pid_namespace", lambda: False)
    assert threads.own_pids() == ()
