"""How often the kernel is asked to load a program: its verifier may take long, so nothing is walked needlessly."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

import pytest

from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.load import programs
from ebpftop.kernel.load.deadline import Deadline, Ended
from ebpftop.kernel.load.programs import Accepted, Program, Refused

PROGRAM = Program("hello", bytes(16), bytes(8), bytes(16), "GPL", 0)
WALKED = "processed 7 insns (limit 1000000) max_states_per_insn 4 total_states 8\n"
TOO_LARGE = "BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns (limit 1000000)\n"


class Kernel:
    """Answers one call after the other: an error with a log, or a descriptor."""

    def __init__(self, *answers: tuple[int, str] | int, then: Callable[[], None] = lambda: None) -> None:
        self._answers = list(answers)
        self._then = then
        self.levels: list[int] = []
        self.with_types: list[bool] = []

    def __call__(self, command: int, attr: bytes) -> int:
        fields = programs._LOAD.unpack_from(attr)
        level, address, btf_fd = fields[4], fields[6], fields[12]
        self.levels.append(level)
        self.with_types.append(bool(btf_fd))
        answer = self._answers.pop(0)
        self._then()
        if isinstance(answer, int):
            return answer
        log = answer[1].encode() + b"\0"
        ctypes.memmove(address, log, len(log))
        raise OSError(answer[0], os.strerror(answer[0]))


def loaded(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, deadline: Deadline | None = None) -> Accepted | Refused:
    monkeypatch.setattr(bpf_syscall, "bpf", kernel)
    deadline = deadline or Deadline()
    try:
        return programs.load(PROGRAM, "kprobe", 0, 9, deadline)
    finally:
        deadline.close()


def test_what_was_walked_is_walked_once_more_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel((errno.EACCES, "R1 invalid\n" + WALKED), (errno.EACCES, "0: (b7) r0 = 0\nR1 invalid\n"))
    found = loaded(monkeypatch, kernel)
    assert found == Refused(errno.EACCES, "0: (b7) r0 = 0\nR1 invalid\n")
    assert (kernel.levels, kernel.with_types) == ([4, 2], [True, True])


def test_what_was_walked_for_a_million_instructions_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel((errno.E2BIG, TOO_LARGE))
    assert loaded(monkeypatch, kernel) == Refused(errno.E2BIG, TOO_LARGE)
    assert kernel.levels == [4]


def test_what_was_not_walked_is_loaded_without_types(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel((errno.EINVAL, "func_info is wrong\n"), 77)
    assert loaded(monkeypatch, kernel) == Accepted(77, "")
    assert kernel.with_types == [True, False]


def test_a_signal_that_is_not_about_it_lets_it_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, Kernel((errno.EAGAIN, ""), (errno.EAGAIN, ""), 77)) == Accepted(77, "")


def test_nothing_more_is_asked_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline()
    kernel = Kernel((errno.EAGAIN, WALKED), then=deadline.abandon)
    with pytest.raises(Ended):
        loaded(monkeypatch, kernel, deadline)
    deadline = Deadline(0.0)
    with pytest.raises(Ended) as ended:
        loaded(monkeypatch, Kernel(), deadline)
    assert not ended.value.has_begun


def test_if_there_is_no_time_for_the_log_what_the_first_walk_said_is_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadline = Deadline()
    said = "R1 invalid\n" + WALKED
    kernel = Kernel((errno.EACCES, said), then=lambda: deadline.scale(0.0))
    assert loaded(monkeypatch, kernel, deadline) == Refused(errno.EACCES, said)
