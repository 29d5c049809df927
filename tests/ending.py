"""ebpftop in a terminal, ended at a moment and in a manner that are drawn by chance, and what must hold then.

A draw is made of a seed alone: what it does is in `Draw`, and in the message of each assertion.
"""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import orphans

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GONE_WITHIN_S = 2.0
"""What is promised. The tests allow for a machine that does other things too: for ever is what they look for."""
SLACK_S = 20.0

_LEADER = Path(__file__).with_name("leader.py")
_MODES = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
# What a screen may set, and what a terminal is like without it.
_NORMAL = {1049: False, 1000: False, 1002: False, 1003: False, 1006: False, 1015: False, 1016: False, 2004: False,
           1004: False, 2026: False, 2048: False, 25: True, 7: True}  # fmt: skip

_KEYS = ("q", "ctrl-c")
"""Enders that are read from the terminal."""
_OPEN_DIALOG = (b"?", b"!", b"\r", b"t", b"/", b"/abc", b"E", b"\x13", b"c", b"m", b"\x10", b" ")


@dataclass(frozen=True)
class Draw:
    """When and how a program is ended: (seconds to wait, what to do) one after the other."""

    seed: int
    shape: str  # "job" of a shell, or "alone" in a terminal
    when: str  # "start": from its start on; "screen": from the first frame on
    steps: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, seed: int, *, screen: bool, terminal: bool = True) -> Draw:
        """Draw. *screen*: the program has one, and takes keys; *terminal*: it has a terminal that can be closed."""
        chance = random.Random(seed)
        when = chance.choice(("start", "screen")) if screen else "start"
        steps: list[tuple[float, str]] = [(chance.uniform(0, 2.5) if when == "start" else chance.uniform(0, 1), "wait")]
        for _ in range(chance.randrange(3)):
            steps.append((chance.uniform(0, 0.3), chance.choice(["TSTP", "CONT", "stall", "WINCH", "dialog"])))
        enders = [number.name for number in END_SIGNALS]
        enders += ["ctrl-c", "close", "close"] if terminal else []
        if screen and not {"TSTP", "dialog"} & {step for _, step in steps} and when == "screen":
            enders += ["q"] * 4
        for _ in range(chance.randrange(1, 4)):
            steps.append((chance.uniform(0, 0.5), chance.choice(enders)))
            steps += [(chance.uniform(0, 0.5), chance.choice(["TSTP", "CONT", "stall"]))] * chance.randrange(2)
        return cls(seed, chance.choice(("job", "alone")), when, tuple(steps))


@dataclass
class Outcome:
    """What became of one draw."""

    draw: Draw
    pid: int
    status: int | None = None  # None: it did not end
    took_s: float = 0.0  # from the first step that had to end it
    armed: bool = False  # it had come as far as to handle signals by then
    queued_s: float = 0.0  # that its threads were ready to run since then, and had no CPU
    output: bytes = b""
    programs: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    left: str = ""  # in the kernel

    def __str__(self) -> str:
        steps = ", ".join(f"{wait_s:.3f} s {step}" for wait_s, step in self.draw.steps)
        return (
            f"seed {self.draw.seed} ({self.draw.shape}, from its {self.draw.when} on: {steps}): status {self.status} "
            f"after {self.took_s:.2f} s, queued {self.queued_s:.2f} s, armed {self.armed}: "
            f"{'; '.join(self.wrong) or 'fine'}"
        )


class Session:
    """A program in a terminal of its own."""

    def __init__(
        self, command: Sequence[str], shape: str, *, stdout_fd: int | None = None, stdin_fd: int | None = None
    ):
        self.fd, self._slave_fd = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.attributes = termios.tcgetattr(self._slave_fd)
        self.output = b""
        report_fd, its_fd = os.pipe()
        given = ("" if stdin_fd is None else "0") + ("" if stdout_fd is None else "1") or "-"

        self._leader = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEADER), os.ttyname(self._slave_fd), str(its_fd), shape, given, *command],
            stdin=stdin_fd,
            stdout=stdout_fd,
            pass_fds=(its_fd,),
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(its_fd)
        with os.fdopen(report_fd) as report:
            self.pid = int(report.readline())
        self.began_s = time.monotonic()
        self.stalled = False
        self.closed = False
        self._status: int | None = None
        self._slave_attributes: list[object] | None = None
        orphans.adopt()  # a program that a shell has started, when the shell is gone
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()

    def _read_on(self) -> None:
        while not self.stalled and not self.closed:
            self._read()

    def _read(self) -> None:
        import select

        with suppress(OSError, ValueError):
            if select.select([self.fd], [], [], 0.05)[0]:
                # Read first: what is added to may be emptied meanwhile by whoever waits.
                data = os.read(self.fd, 1 << 16)
                self.output += data

    def wait_for(self, text: bytes, timeout_s: float = 60.0) -> bool:
        """Wait until *text* is drawn; False if the program ends before."""
        until_s = time.monotonic() + timeout_s
        while text not in self.output and not self.is_gone():
            assert time.monotonic() < until_s, self.output[-1000:]
            time.sleep(0.01)
        return text in self.output

    def press(self, keys: bytes) -> None:
        if not self.closed:
            with suppress(OSError):
                os.write(self.fd, keys)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Close the terminal, as a window is closed."""
        if not self.closed:
            self.closed = True
            self._reader.join()
            os.close(self.fd)

    def go_on(self) -> None:
        """Let a stalled terminal take something again."""
        self._reader.join()
        self.stalled = False
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()

    def state(self) -> str:
        """The letter that ps shows: T stopped, Z ended; "" where there is no such process any more."""
        return self.state_of(self.pid)

    @staticmethod
    def state_of(pid: int) -> str:
        with suppress(OSError):
            return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
        return ""

    def is_gone(self) -> bool:
        return self.state() in ("", "Z")

    def is_armed(self) -> bool:
        """Tell whether it handles SIGTERM: Python itself does not."""
        with suppress(OSError):
            caught = re.search(r"^SigCgt:\s*(\w+)", Path("/proc", str(self.pid), "status").read_text(), re.MULTILINE)
            return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    def queued_s(self) -> float:
        """How long its threads were ready to run and had no CPU, added up; 0 where the kernel does not count that."""
        queued_ns = 0
        with suppress(OSError):
            for task in Path("/proc", str(self.pid), "task").iterdir():
                queued_ns += int((task / "schedstat").read_text().split()[1])
        return queued_ns / 1e9

    def children(self) -> list[int]:
        with suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def wait_for_end(self, timeout_s: float = GONE_WITHIN_S + SLACK_S) -> int:
        """Return the exit status."""
        until_s = time.monotonic() + timeout_s
        while not self.is_gone():
            assert time.monotonic() < until_s, f"it is still there: {self.output[-1000:]!r}"
            time.sleep(0.01)
        return self.finish()

    def finish(self) -> int:
        """Return the exit status of a program that is gone, and what is left to read from its terminal."""
        if self._status is None and self._leader.pid == self.pid:
            self._status = self._leader.wait()
        elif self._status is None:
            self._leader.kill()
            self._leader.wait()
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def read_rest(self) -> None:
        self.stalled = True
        self._reader.join()
        self._slave_attributes = termios.tcgetattr(self._slave_fd)
        before = -1
        while before != len(self.output):
            before = len(self.output)
            self._read()

    def modes_left(self) -> list[str]:
        """Return what is wrong with the terminal after the end: settings, and modes that are still set."""
        modes = dict(_NORMAL)
        keyboards = 0
        for match in re.finditer(rb"\x1b\[\?([0-9;]+)([hl])|\x1b\[([<>])\d*u", self.output):
            if match[3]:
                keyboards += 1 if match[3] == b">" else -1
            else:
                for mode in match[1].split(b";"):
                    modes[int(mode)] = match[2] == b"h"
        wrong = [f"mode {mode} is {on}" for mode, on in modes.items() if _NORMAL.get(mode, on) != on]
        if keyboards > 0:
            wrong.append("the keyboard protocol is still on")
        if self._slave_attributes not in (None, self.attributes):
            wrong.append("the terminal's settings are not what they were")
        return wrong

    def throw_away(self) -> None:
        """End whatever is left."""
        try:
            if not self.is_gone():
                self.signal(signal.SIGKILL)
                until_s = time.monotonic() + 20
                while not self.is_gone() and time.monotonic() < until_s:
                    time.sleep(0.01)
            self.finish()
            self.close()
            os.close(self._slave_fd)
        finally:
            orphans.leave()


_QUEUED_S = 0.5
"""What ends by itself has a second and a half for it: if it waited so long for a CPU, that may not have been enough."""


def unless_late(end: Callable[[int], Outcome], seed: int) -> Outcome:
    """Return how the draw of *seed* ended; again if the guard ended what had waited for a CPU meanwhile."""
    for _ in range(2):
        outcome = end(seed)
        if outcome.status != -signal.SIGKILL or outcome.queued_s < _QUEUED_S:
            return outcome
    return end(seed)


def run(
    draw: Draw,
    command: Sequence[str],
    *,
    first_frame: bytes = b"Exec log",
    programs_of: Callable[[int], set[int]] = lambda _pid: set(),
    stdout_fd: int | None = None,
    stdin_fd: int | None = None,
) -> Outcome:
    """Do what *draw* says to *command*; say what is wrong afterwards."""
    session = Session(command, draw.shape, stdout_fd=stdout_fd, stdin_fd=stdin_fd)
    outcome = Outcome(draw, session.pid)
    children: list[int] = []
    asked_s: float | None = None
    queued_s = 0.0
    ender = ""
    try:
        if draw.when == "screen":
            session.wait_for(first_frame)
        for wait_s, step in draw.steps:
            until_s = time.monotonic() + wait_s
            while time.monotonic() < until_s and not session.is_gone():
                time.sleep(min(0.01, max(0.0, until_s - time.monotonic())))
            if session.is_gone():
                break
            if step == "wait":
                continue
            ends = step in (*_KEYS, "close") or step in signal.Signals.__members__
            if ends and asked_s is None:
                outcome.armed = session.is_armed()
                with suppress(OSError):
                    outcome.programs = programs_of(session.pid)
                children = session.children()
                asked_s, ender = time.monotonic(), step
                queued_s = session.queued_s()
            if step == "q":
                session.press(b"q")
            elif step == "ctrl-c":
                session.press(b"\x03")
            elif step == "close":
                session.close()
            elif step == "stall":
                session.stalled = True
            elif step == "dialog":
                session.press(random.Random(draw.seed).choice(_OPEN_DIALOG))
            else:
                session.signal(signal.Signals["SIG" + step.removeprefix("SIG")])
        if asked_s is None:
            outcome.wrong.append(f"it ended by itself: {session.output[-500:]!r}")
            return outcome
        while not session.is_gone() and time.monotonic() < asked_s + GONE_WITHIN_S + SLACK_S:
            if ender in _KEYS and session.state() == "T":
                # Stopped before it had read the key: it reads it once it is continued.
                session.signal(signal.SIGCONT)
            outcome.queued_s = max(outcome.queued_s, session.queued_s() - queued_s)
            time.sleep(0.01)
        if not outcome.armed and session.state() == "T":
            # Stopped while nothing but the interpreter ran: the kernel keeps its signals until it is continued.
            session.signal(signal.SIGCONT)
            session.wait_for_end()
        outcome.took_s = time.monotonic() - asked_s
        if not session.is_gone():
            outcome.wrong.append(f"it is still there, in state {session.state()}")
            return outcome
        outcome.status = session.finish()
        _check(outcome, session, ender, children)
        outcome.output = session.output
        return outcome
    finally:
        session.throw_away()


def _check(outcome: Outcome, session: Session, ender: str, children: list[int]) -> None:
    enders = {step for _, step in outcome.draw.steps if step in (*_KEYS, "close") or step.startswith("SIG")}
    interrupts = {"ctrl-c", "SIGINT"}
    allowed = {130} if ender in interrupts else {0}
    if enders & interrupts and not enders <= interrupts:
        allowed = {0, 130}  # two wishes at nearly the same time: which is first is up to the kernel
    if outcome.armed and outcome.status not in allowed:
        outcome.wrong.append(f"status {outcome.status}, not one of {allowed}")
    if outcome.armed and b"Traceback" in session.output:
        outcome.wrong.append(f"a traceback: {session.output[-2000:]!r}")
    if not session.closed:
        session.read_rest()
        outcome.wrong += session.modes_left()
    until_s = time.monotonic() + 10
    for child in children:
        while Path(f"/proc/{child}").exists():
            with suppress(ChildProcessError):  # whose parent has ended is ours
                os.waitpid(child, os.WNOHANG)
            if time.monotonic() > until_s:
                outcome.wrong.append(f"its child {child} is still there")
                break
            time.sleep(0.01)
