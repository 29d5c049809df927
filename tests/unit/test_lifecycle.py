"""How it ends where it cannot end in order, what a crash tells, and Ctrl-Z in a real shell; no kernel is needed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ebpftop.lifecycle import guard, leftovers
from ebpftop.lifecycle.leftovers import FIRST_PID_NAMESPACE, Owner
from ebpftop.lifecycle.terminal import Terminal
from ebpftop.ui.textual_fixes.terminal_driver import _Output
from tests.ending import Session

_RUN_DEMO = "import sys; from ebpftop.__main__ import main; sys.argv = ['ebpftop', 'demo']"


@contextmanager
def session_of(*command: str, shape: str = "job") -> Iterator[Session]:
    session = Session(command, shape)
    try:
        yield session
    finally:
        session.throw_away()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# ---- ending although nothing of it can run ----

_HELD = """
import re
from ebpftop.lifecycle.process import process
process.arm()
process.end_by(lambda: None)
process.terminal.take_screen(lambda: None)
print("\\x1b[?1049hheld", flush=True)
re.match("(a+)+$", "a" * 60 + "!")  # holds Python's lock for years, in C
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_although_no_python_code_can_run(number: int) -> None:
    with session_of(*python(_HELD)) as session:
        assert session.wait_for(b"held")
        time.sleep(0.2)
        session.signal(number)
        assert session.wait_for_end() == -signal.SIGKILL
        session.read_rest()
        assert session.modes_left() == []


def test_it_ends_in_order_although_a_thread_never_does() -> None:
    code = """
import threading, time
from ebpftop.lifecycle.process import process
process.arm()
threading.Thread(target=time.sleep, args=(1000,)).start()
process.run(lambda: 3)
"""
    with session_of(*python(code)) as session:
        assert session.wait_for_end() == 3


def test_a_wish_to_end_is_met_although_what_runs_does_not_end() -> None:
    code = """
import time
from ebpftop.lifecycle.process import process
process.arm()
process.end_by(lambda: None)
print("runs", flush=True)
while True:
    time.sleep(1000)
"""
    with session_of(*python(code)) as session:
        assert session.wait_for(b"runs")
        session.signal(signal.SIGINT)
        assert session.wait_for_end() == 130


_HANGS = """
import threading
import ebpftop.ui.screens.save_dialog as asking
import ebpftop.ui.screens.save_actions as saving

def hang(*_, **__):
    threading.Event().wait()

%s
main()
"""


@pytest.mark.parametrize("where", ["saving.UnfinishedFile", "asking.writable_folder", "asking.expand_home"])
def test_it_ends_although_the_file_system_never_answers(where: str) -> None:
    """Where a save itself hangs its thread is one that asyncio waits for; then `leave` ends it."""
    with session_of(*python(_RUN_DEMO + _HANGS % f"{where} = hang")) as session:
        assert session.wait_for(b"Exec log")
        session.press(b"E")
        if where == "asking.writable_folder":
            assert session.wait_for(b"does not answer")
        else:
            assert session.wait_for(b"Enter saves it")
            session.press(b"\r")
            assert session.wait_for(b"does not answer" if where == "asking.expand_home" else b"saving")
        session.press(b"\x1b")
        time.sleep(0.5)
        session.press(b"q")
        assert session.wait_for_end() == 0
        session.read_rest()
        assert session.modes_left() == []


@pytest.mark.parametrize("end", ["process.end(0)", "process.leave(0)"])
def test_nothing_stays_open_although_the_kernel_lets_a_thread_not_go(end: str) -> None:
    """As one that waits for a FUSE file system, even if killed: programs and links would stay with it."""
    code = f"""
import os, sys, time
from ebpftop.lifecycle.process import process
process.arm()
os._exit = lambda status: time.sleep(1000)
fd = os.dup(1)
os.dup2(2, 1)
{end}
"""
    env = {**os.environ, "EBPFTOP_END_S": "60"}  # or the thread that waits for the end would close it
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env) as child:
        assert child.stdout is not None
        try:
            assert select.select([child.stdout], [], [], 20)[0]
            assert child.stdout.read() == b""
            assert child.poll() is None
        finally:
            child.kill()


def test_a_hang_up_that_is_ignored_at_the_start_stays_ignored() -> None:
    code = """
import time
from ebpftop.lifecycle.process import process
process.arm()
print("runs", flush=True)
time.sleep(1000)
"""
    with session_of("/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *python(code)) as session:
        assert session.wait_for(b"runs")
        session.signal(signal.SIGHUP)
        time.sleep(0.5)
        assert not session.is_gone()
        session.signal(signal.SIGTERM)
        assert session.wait_for_end() == 0


# ---- crashes ----

_CRASHES = {
    "before the screen": "import ebpftop.sources.replay; ebpftop.sources.replay.ReplaySource.__init__ = broken",
    "when the driver starts": (
        "from ebpftop.ui.textual_fixes.terminal_driver import LinuxDriver; LinuxDriver.start_application_mode = broken"
    ),
    "composing": "from ebpftop.ui.screens.main import MainScreen; MainScreen.compose = broken",
    "mounting": "from ebpftop.ui.panes.execs import ExecsPane; ExecsPane.on_mount = broken",
    "the style sheet": "import ebpftop.ui.app; ebpftop.ui.app.EbpftopApp.CSS = 'nonsense {'",
    "closing": "from ebpftop.sources.replay import ReplaySource; ReplaySource.close = broken",
}


@pytest.mark.parametrize("where", _CRASHES)
def test_a_crash_restores_the_terminal_and_tells_one_line_that_names_its_log(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    broken = "\ndef broken(*_, **__): raise RuntimeError('bro\\x1b]0;ken')\n"
    with session_of(*python(f"{_RUN_DEMO}{broken}{_CRASHES[where]}\nmain()")) as session:
        if where == "closing":
            assert session.wait_for(b"Exec log")
            session.press(b"q")
        assert session.wait_for_end(60) == 1
        session.read_rest()
        assert session.modes_left() == []
    said = session.output.rpartition(b"\x1b[?1004l\x1b[0m")[2].decode()
    assert said.count("\n") == 1
    found = re.search(r"^\r?ebpftop: crashed: (.*); log: (/\S+)\r+\n$", said, re.MULTILINE)
    assert found, said
    assert "\x1b" not in found[1]
    log = Path(found[2])
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in log.read_text() or where == "the style sheet"
    assert where == "the style sheet" or "bro\\x1b]0;ken" in found[1]


_SLOW_REPORT = """
import time
from ebpftop.lifecycle import crash
write = crash.report
def write_slowly(error):
    time.sleep({seconds})
    return write(error)
crash.report = write_slowly
def broken(*_, **__):
    raise RuntimeError("broken")
"""
_SLOW_END = """
import time
from ebpftop.sources.replay import ReplaySource
ReplaySource.close = lambda self: time.sleep(3)
def broken(*_, **__):
    raise RuntimeError("broken")
"""


@pytest.mark.parametrize("slow", [_SLOW_REPORT.format(seconds=3), _SLOW_END], ids=["the report", "the end"])
def test_a_crash_is_told_although_it_takes_long(slow: str) -> None:
    """As on an overloaded machine: nobody asked for an end, so nothing needs to be over in two seconds."""
    with session_of(*python(f"{_RUN_DEMO}{slow}\n{_CRASHES['composing']}\nmain()")) as session:
        assert session.wait_for_end(60) == 1
        session.read_rest()
        assert session.modes_left() == []
    assert session.output.count(b"ebpftop: crashed: RuntimeError: broken") == 1


def test_a_crash_that_is_never_told_ends_when_somebody_asks_for_it() -> None:
    endless = _SLOW_REPORT.format(seconds=1000)
    with session_of(*python(f"{_RUN_DEMO}{endless}\n{_CRASHES['composing']}\nmain()")) as session:
        assert session.wait_for(b"\x1b[?1004l\x1b[0m", 60)  # the terminal is restored
        session.signal(signal.SIGTERM)
        asked_s = time.monotonic()
        assert session.wait_for_end(60) == -signal.SIGKILL
        assert time.monotonic() - asked_s < 0.8 * guard.CRASH_S
        session.read_rest()
        assert session.modes_left() == []


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_in_a_library_restores_the_terminal_and_names_its_log(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with session_of(sys.executable, "-m", "ebpftop", "demo") as session:
        assert session.wait_for(b"Exec log")
        session.signal(number)
        assert session.wait_for_end() == -number
        until_s = time.monotonic() + 20  # the guard tells it, a moment later
        while b".log\r\n" not in session.output:
            assert time.monotonic() < until_s, session.output[-1000:]
            time.sleep(0.02)
        session.read_rest()
        assert session.modes_left() == []
    (log,) = tmp_path.glob("ebpftop-crash-*.log")
    assert f"log: {log}".encode() in session.output
    assert "Fatal Python error" in log.read_text()


# ---- a terminal that takes nothing for a while ----


def test_all_is_drawn_again_when_a_stalled_terminal_goes_on() -> None:
    with session_of(sys.executable, "-m", "ebpftop", "demo") as session:
        assert session.wait_for(b"Exec log")
        session.stalled = True
        for _ in range(40):  # more frames than the terminal's buffer takes
            session.press(b"?")
            time.sleep(0.05)
            session.press(b"\x1b")
            time.sleep(0.05)
        session.output = b""
        session.go_on()
        assert session.wait_for(b"Exec log", 20)
        for title in (b"ebpftop", b"Users", b"Syscalls", b"Trace log", b"Quit"):
            assert session.wait_for(title, 20)
        session.press(b"\x03")
        assert session.wait_for_end() == 130


async def test_writing_never_waits_and_what_was_dropped_is_asked_for_again() -> None:
    reading_fd, fd = os.openpty()
    tty.setraw(fd)
    os.set_blocking(fd, False)
    os.set_blocking(reading_fd, False)
    ready = asyncio.Event()
    output = _Output(fd, asyncio.get_running_loop(), ready.set)
    for _ in range(100):
        output.write("x" * 10_000)
    assert not ready.is_set()
    until_s = time.monotonic() + 20
    while not ready.is_set():
        assert time.monotonic() < until_s
        with suppress(BlockingIOError):
            os.read(reading_fd, 1 << 16)
        await asyncio.sleep(0.001)
    output.write("again")
    text = b""
    while not text.endswith(b"again"):
        assert time.monotonic() < until_s
        with suppress(BlockingIOError):
            text += os.read(reading_fd, 1 << 16)
    output.close()
    os.close(fd)
    os.close(reading_fd)


# ---- Ctrl-Z, in a shell ----


class Shell:
    """bash in a terminal, with `ebpftop demo` running in its foreground."""

    def __init__(self, session: Session) -> None:
        self.session = session
        assert session.wait_for(b"$ ")
        self.type(f"{sys.executable} -m ebpftop demo")
        assert session.wait_for(b"Exec log")
        # Else what is drawn of the first picture after a stop could pass for all.
        self.draws_all()

    def type(self, line: str) -> None:
        self.session.output = b""
        self.session.press(line.encode() + b"\r")

    @property
    def job_pid(self) -> int:
        return self.session.children()[0]

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.session.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_stopped(self) -> None:
        """Wait for the shell's word, and see that the terminal is the shell's."""
        assert self.session.wait_for(b"Stopped", 20)
        time.sleep(0.2)
        # Bracketed paste is the shell's own.
        assert [mode for mode in self.session.modes_left() if "2004" not in mode] == []
        self.type("stty -a")
        assert self.session.wait_for(b"echoke", 20)
        for setting in (b"icanon", b"echo", b"isig", b"iexten", b"icrnl"):
            assert re.search(rb"(?<![-\w])" + setting + rb"\b", self.session.output), (setting, self.session.output)

    def draws_all(self) -> None:
        for text in (b"ebpftop", b"Exec log", b"Users", b"Syscalls", b"Trace log", b"Quit"):
            assert self.session.wait_for(text, 20), text


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv("PS1", "$ ")
    with session_of("/bin/bash", "--norc", "--noprofile", "-i", shape="alone") as session:
        yield Shell(session)


@pytest.mark.parametrize("size", [(100, 30), (80, 24), (200, 50)])
def test_ctrl_z_stops_the_job_and_fg_draws_all_at_the_size_of_then(shell: Shell, size: tuple[int, int]) -> None:
    shell.session.press(b"\x1a")
    shell.is_stopped()
    assert shell.session.state_of(shell.job_pid) == "T"
    shell.resize(*size)
    shell.type("fg")
    shell.draws_all()
    assert shell.session.wait_for(b"\x1b[%d;1H" % size[1], 20)  # the last line
    shell.session.output = b""
    shell.session.press(b"q")
    assert shell.session.wait_for(b"$ ", 20)
    shell.type("echo status $?")
    assert shell.session.wait_for(b"status 0", 20)


@pytest.mark.parametrize(
    ("keys", "shown"), [(b"?", b"Keys"), (b"/sh abc", b"sh abc"), (b"\x13", b"Save"), (b"E", b"Save")]
)
def test_ctrl_z_works_in_dialogs_and_inputs(shell: Shell, keys: bytes, shown: bytes) -> None:
    shell.session.press(keys)
    time.sleep(1)
    shell.session.press(b"\x1a")
    shell.is_stopped()
    shell.type("fg")
    assert shell.session.wait_for(shown, 20)
    shell.session.press(b"\x1b[1;2H")  # what is selected in an input, Ctrl-C would copy
    time.sleep(0.5)
    shell.session.output = b""
    shell.session.press(b"\x03")
    assert shell.session.wait_for(b"$ ", 20)
    shell.type("echo status $?")
    assert shell.session.wait_for(b"status 130", 20)


def test_a_stop_from_outside_and_one_that_cannot_be_handled_are_redrawn_too(shell: Shell) -> None:
    pid = shell.job_pid
    os.kill(pid, signal.SIGTSTP)
    shell.is_stopped()
    shell.type("fg")
    shell.draws_all()
    os.kill(pid, signal.SIGSTOP)
    assert shell.session.wait_for(b"Stopped", 20)
    shell.type("fg")
    assert shell.session.wait_for(b"\x1b[?1049h", 20)
    shell.draws_all()


def test_continued_in_the_background_it_stops_again(shell: Shell) -> None:
    shell.session.press(b"\x1a")
    shell.is_stopped()
    shell.type("bg")
    until_s = time.monotonic() + 20
    while shell.session.state_of(shell.job_pid) != "T":
        assert time.monotonic() < until_s
        time.sleep(0.05)
    time.sleep(0.5)
    assert shell.session.state_of(shell.job_pid) == "T"
    assert b"\x1b[?1049h" not in shell.session.output
    shell.type("fg")
    shell.draws_all()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_while_it_is_stopped(shell: Shell, number: int) -> None:
    shell.session.press(b"\x1a")
    shell.is_stopped()
    pid = shell.job_pid
    os.kill(pid, number)
    until_s = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and shell.session.state_of(pid) != "Z":
        assert time.monotonic() < until_s
        time.sleep(0.02)
    shell.type("stty -a")
    assert shell.session.wait_for(b"echoke", 20)


# ---- what has a name in tracefs ----


@pytest.fixture
def tracefs(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder that looks like tracefs."""
    (tmp_path / "instances").mkdir()
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield tmp_path, fd
    os.close(fd)


def test_instances_of_one_process_are_found_and_removed(tracefs: tuple[Path, int]) -> None:
    place, fd = tracefs
    for name in ("ebpftop-12", "ebpftop-12n4026532200", "ebpftop-123", "ebpftop-x", "other-12"):
        (place / "instances" / name).mkdir()
    first, elsewhere = Owner(12, FIRST_PID_NAMESPACE), Owner(12, 4026532200)
    assert leftovers.owners(fd) == {first, elsewhere, Owner(123, FIRST_PID_NAMESPACE)}
    assert leftovers.remove(fd, first)
    left = ["ebpftop-123", "ebpftop-12n4026532200", "ebpftop-x", "other-12"]
    assert sorted(path.name for path in (place / "instances").iterdir()) == left
    assert leftovers.remove(fd, elsewhere)
    assert (place / "instances/ebpftop-12").exists() is (place / "instances" / elsewhere.instance).exists() is False


@pytest.mark.parametrize("owner", [Owner(12, FIRST_PID_NAMESPACE), Owner(12, 4026532200)])
def test_an_owner_is_read_from_what_is_named_after_it(tracefs: tuple[Path, int], owner: Owner) -> None:
    place, fd = tracefs
    (place / "instances" / owner.instance).mkdir()
    assert leftovers.owners(fd) == {owner}


def test_a_kernel_without_instances_leaves_nothing_to_remove(tracefs: tuple[Path, int]) -> None:
    place, fd = tracefs
    (place / "instances").rmdir()
    assert leftovers.owners(fd) == set()
    assert leftovers.remove(fd, Owner(12, FIRST_PID_NAMESPACE))


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("60", 60), ("2.5", 2.5), ("1e9", 3600), ("inf", 3600), *((no, 2) for no in ("", "1", "-5", "nan", "-inf", "a"))],
)
def test_more_time_to_end_is_given_by_a_number_of_seconds_and_by_nothing_else(
    monkeypatch: pytest.MonkeyPatch, given: str, seconds: float
) -> None:
    monkeypatch.setenv("EBPFTOP_END_S", given)
    assert guard._end_s() == seconds


def test_with_more_time_given_the_guard_kills_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the test of a process in which no Python code can run, which has the two seconds."""
    monkeypatch.setenv("EBPFTOP_END_S", "6")
    with session_of(*python(_HELD)) as session:
        assert session.wait_for(b"held")
        time.sleep(0.2)
        began_s = time.monotonic()
        session.signal(signal.SIGTERM)
        assert session.wait_for_end(60) == -signal.SIGKILL
        assert time.monotonic() - began_s > 4


@pytest.mark.parametrize(("undo_s", "status"), [(5.2, 0), (60, -signal.SIGKILL)], ids=["late", "never"])
def test_what_is_cleaning_up_itself_is_killed_only_at_the_very_last(
    monkeypatch: pytest.MonkeyPatch, undo_s: float, status: int
) -> None:
    """A kill at 4.8 of 6 seconds would take its exit status away; at 5.7 there must be an end."""
    monkeypatch.setenv("EBPFTOP_END_S", "6")
    code = f"""
import time
from ebpftop.lifecycle.process import process
process.arm()
with process.undone_at_last(lambda: time.sleep({undo_s})):
    print("runs", flush=True)
    time.sleep(60)
"""
    with session_of(*python(code)) as session:
        assert session.wait_for(b"runs")
        session.signal(signal.SIGTERM)
        assert session.wait_for_end(20) == status


def test_an_interrupt_before_it_is_armed_ends_it_without_a_traceback() -> None:
    code = (
        "import os, signal\n"
        "from ebpftop.__main__ import main\n"
        "from ebpftop.lifecycle.process import process\n"
        "process.arm = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "main()"
    )
    # A shell without job control starts a background command with SIGINT ignored, and this test may be in one.
    command = [sys.executable, "-c", f"import signal; signal.signal(2, signal.default_int_handler)\n{code}"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_signal_that_was_taken_but_not_yet_reported_still_ends_what_is_stopped_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process is continued for a pending SIGHUP, and stops again between taking it and doing anything about it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watching = guard._Guard(os.getppid(), (0, None), theirs, Terminal())
        watching.stopping = True
        sent: list[int] = []
        monkeypatch.setattr(watching, "_send", sent.append)
        for pending in ("1", "0", "0"):
            status = {b"State": b"\tT (stopped)", b"ShdPnd": b"\t" + pending.encode()}
            monkeypatch.setattr(watching, "_status", lambda status=status: status)
            if watching._is_to_end() and watching._is_stopped():
                watching._send(signal.SIGCONT)
        assert sent == [signal.SIGCONT] * 3
