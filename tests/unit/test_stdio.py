"""Whatever the three descriptors are, and whatever a name holds: one safe line, and the right status."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ebpftop
from ebpftop.commands.whole_lines import LineWriter
from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.lifecycle import stdio
from ebpftop.recording import reader

EBPFTOP = (sys.executable, "-m", "ebpftop")
HOSTILE = b"x\x1b]0;A\x07\r\n\xff\xc2\x9b\xe2\x80\xae.jsonl"
HOSTILE_SHOWN = "x\\x1b]0;A\\x07\\x0d\\x0a\\xff\\x9b\\u202e.jsonl"


def run(*arguments: str | bytes, redirected: str = "") -> tuple[int, bytes, bytes]:
    """Run ebpftop by a shell that redirects as asked; return status, stdout, stderr."""
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirected}', "bash", *EBPFTOP, *arguments],
        check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def run_in_terminal(
    *arguments: str | bytes, redirected: str = "", first: str = "", on_line: Callable[[], None] | None = None
) -> tuple[int, bytes]:
    """Run ebpftop in a terminal, after the shell's command *first*; return status and what the terminal got.

    *on_line* is called when the first line is there.
    """
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "-c", f'{first}\nexec "$@" {redirected}', "bash", *EBPFTOP, *arguments])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 35, 120, 0, 0))
    said = b""
    try:
        while select.select([fd], [], [], 60)[0]:
            said += os.read(fd, 1 << 16)
            if on_line is not None and b"\n" in said:
                on_line()
                on_line = None
    except OSError:  # EIO: it has ended
        pass
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def assert_one_safe_line(said: bytes, *words: str) -> None:
    lines = said.decode().replace("\r\n", "\n").splitlines()
    assert len(lines) == 1, lines
    assert lines[0].isprintable(), lines
    assert lines[0].startswith("ebpftop: ")
    for word in words:
        assert word in lines[0]


def test_only_one_module_writes_to_the_standard_files() -> None:
    """All text goes through one escape, as nothing else writes any."""
    package = Path(ebpftop.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("write", "writelines", "buffer"):
                text = ast.unparse(node.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                text = "sys.print"
            else:
                continue
            if text.startswith("sys."):
                found.append(path.relative_to(package).name)
    assert set(found) == {"stdio.py", "process.py"}  # which reports a crash, and may not need anything for that


CLOSED = {
    "none": "",
    "stdin": "<&-",
    "stdout": ">&-",
    "stderr": "2>&-",
    "stdin and stdout": "<&- >&-",
    "all": "<&- >&- 2>&-",
}
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "version": (("--version",), 0),
    "help": (("record", "--help"), 0),
    "wrong usage": (("stream", "--interval", "0"), 2),
    "unknown command": (("nonsense",), 2),
    "no terminal": (("replay", "/nonexistent"), 1),
    "wrong speed": (("replay", "--speed", "x", "/nonexistent"), 2),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("closed", CLOSED)
def test_with_closed_descriptors_every_command_ends_with_the_right_status_and_says_why(
    closed: str, command: str
) -> None:
    arguments, expected = COMMANDS[command]
    writes_to_stdout = expected == 0
    if writes_to_stdout and ">&-" in CLOSED[closed].split():
        expected = 1
    status, out, err = run(*arguments, redirected=CLOSED[closed])
    assert status == expected
    assert b"Traceback" not in err
    assert bool(out) == (writes_to_stdout and expected == 0)
    assert bool(err) == (expected != 0 and "2>&-" not in CLOSED[closed])
    if err and expected == 1:
        assert_one_safe_line(err, "; ")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("stream", "--help")])
@pytest.mark.parametrize(
    ("redirected", "words"),
    [
        (">/dev/full", ("stdout: No space left on device", "make room")),
        ("1</dev/null", ("stdout is closed", "give it a file or a pipe")),
    ],
)
def test_stdout_that_takes_nothing_is_an_error(
    arguments: tuple[str, ...], redirected: str, words: tuple[str, ...]
) -> None:
    status, _, err = run(*arguments, redirected=redirected)
    assert status == 1
    assert_one_safe_line(err, *words)
    assert b"record FILE" not in err  # which would write no version


def test_stderr_that_takes_nothing_changes_no_status() -> None:
    assert run("nonsense", redirected="2>/dev/full")[0] == 2
    assert run("replay", "/nonexistent", redirected="2>/dev/full")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (HOSTILE,),
        ("stream", HOSTILE),
        ("stream", b"--" + HOSTILE),
        ("stream", "--interval", HOSTILE),
        ("stream", "--duration", HOSTILE),
        ("stream", "--probes", HOSTILE),
        ("stream", "--buffer", HOSTILE),
        ("stream", "--comm", HOSTILE),
        ("stream", "--pid", HOSTILE),
        ("stream", "--uid", HOSTILE),
        ("stream", "--container", b"/" + HOSTILE),
        ("stream", "--attach", HOSTILE),
        ("replay", "--speed", HOSTILE, "x"),
        ("live", "--keep", HOSTILE),
        ("live", "--history", HOSTILE),
    ],
)
def test_arguments_are_repeated_without_their_control_characters(arguments: tuple[str | bytes, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, b"")
    lines = err.decode().split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() for line in lines)
    assert "x\\x1b]0;A\\x07" in lines[-1]
    assert "\\x0d\\x0a" in lines[-1] or "\\r\\n" in lines[-1]


def broken(folder: Path, kind: str) -> bytes:
    """Make a file that cannot be replayed, with a hostile name; return its path."""
    path = os.fsencode(folder) + b"/" + HOSTILE
    if kind == "folder":
        os.mkdir(path)
    elif kind == "link to itself":
        os.symlink(path, path)
    elif kind == "device":
        return b"/dev/full"
    elif kind != "missing":
        contents = {"empty": b"", "gzip": b"\x1f\x8b\x08", "text": b"hello\n", "zeros": bytes(5000)}
        with open(path, "wb") as file:
            file.write(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "link to itself", "device", "empty", "gzip", "text", "zeros"])
def test_what_cannot_be_replayed_is_told_in_one_safe_line(tmp_path: Path, kind: str) -> None:
    path = broken(tmp_path, kind)
    status, said = run_in_terminal("replay", path)
    assert status == 1
    assert_one_safe_line(said, "/dev/full" if kind == "device" else HOSTILE_SHOWN, "; ")


def test_a_file_is_as_unwritable_in_an_ascii_locale(tmp_path: Path) -> None:
    first = "export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii"
    status, said = run_in_terminal("replay", str(tmp_path / "grüße"), first=first)
    assert status == 1
    assert_one_safe_line(said, "gr\\xfc\\xdfe")


@pytest.mark.parametrize("redirected", ["</dev/null", "<&-", ">/dev/null", ">&-"])
def test_no_screen_opens_without_a_terminal(redirected: str) -> None:
    status, said = run_in_terminal("demo", redirected=redirected)
    assert status == 1
    assert_one_safe_line(said, "the screen needs a terminal; ")


def test_a_pipe_that_says_nothing_is_waited_for_with_a_word(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def come_and_go() -> None:
        os.close(os.open(fifo, os.O_WRONLY))

    # No `tee` in between: its session ends with ebpftop, and the last line with it.
    status, said = run_in_terminal("replay", str(fifo), on_line=come_and_go)
    assert status == 1
    lines = said.decode().split("\r\n")
    assert lines[0] == "ebpftop: waiting for the first record; Ctrl-C ends it"
    assert lines[1].startswith("ebpftop: the pipe ended without a record; ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\r\n\t", "\\x1b[2J\\x0d\\x0a\\x09"),
        (os.fsdecode(b"\xff"), "\\xff"),
        ("grüße 日本", "grüße 日本"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_name_becomes_one_line(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert str(SourceError(name, name)) == f"{shown}; {shown}"


def test_a_report_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    stdio.report("\x1b[31mone\r\ntwo")
    assert capsys.readouterr().err == "ebpftop: \\x1b[31mone\\x0d\\x0atwo\n"


def test_what_other_programs_print_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stdio.report_lines("one\n\x1b[31mtwo\r\n\tthree\n")
    assert capsys.readouterr().err == "one\n\\x1b[31mtwo\\x0d\n        three\n"


def test_a_device_is_refused_and_a_terminal_is_not() -> None:
    with pytest.raises(SourceError, match="/dev/zero is a device; "):
        reader.open_file("/dev/zero")
    ours, its = pty.openpty()
    reader.require_no_device(its, "terminal")
    os.close(ours)
    os.close(its)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """As ssh leaves it to those that share it."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    lines = [b"%0999d\n" % number for number in range(300)]  # more than the pipe holds
    got: list[bytes] = []

    def read_late() -> None:
        time.sleep(0.5)
        with open(read_fd, "rb") as pipe:
            got.append(pipe.read())

    reader = threading.Thread(target=read_late)
    reader.start()
    try:
        LineWriter(write_fd).write(lines)
    finally:
        os.close(write_fd)
        reader.join()
    assert got == [b"".join(lines)]


@pytest.mark.parametrize(("term", "words"), [("TERM=dumb", "TERM=dumb"), ("TERM=", "not set"), ("-uTERM", "not set")])
def test_a_terminal_that_only_prints_gets_one_line(term: str, words: str) -> None:
    status, said = run_in_terminal("replay", "/nonexistent", first=f'set -- env {term} "$@"')
    assert status == 1
    assert_one_safe_line(said, words, "set TERM")


def test_the_demo_has_no_file_to_name() -> None:
    status, said = run_in_terminal("demo", first='set -- env TERM=dumb "$@"')
    assert status == 1
    assert b"FILE" not in said
    assert b"ebpftop stream" in said
