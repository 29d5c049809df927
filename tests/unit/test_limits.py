"""What a limit forbids is told before the screen opens; what only happens in the middle is one line too."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading

import pytest

from ebpftop.cli.main import main
from ebpftop.core.source import SourceError
from ebpftop.lifecycle import limits
from ebpftop.lifecycle.limit_errors import explain
from tests.unit.test_stdio import assert_one_safe_line, run_in_terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("ulimit -v 300000", ("480 MiB of address space", "ulimit -v 491520")),
        ("ulimit -d 100000", ("370 MiB of memory", "ulimit -d 378880")),
        ("ulimit -n 47", ("48 open files, and the limit is 47", "ulimit -n 48")),
    ],
)
def test_a_limit_is_told_with_what_is_needed(limit: str, words: tuple[str, ...]) -> None:
    status, said = run_in_terminal("demo", first=limit)
    assert status == 1
    assert_one_safe_line(said, "the screen needs ", *words)


def test_what_the_line_asks_for_is_enough() -> None:
    """Nothing is replayed, and nothing is refused for a limit."""
    status, said = run_in_terminal("replay", "/nonexistent", first="ulimit -v 491520; ulimit -d 378880; ulimit -n 48")
    assert status == 1
    assert_one_safe_line(said, "cannot open /nonexistent")


def test_a_soft_limit_on_files_is_raised() -> None:
    program = (
        "import resource; from ebpftop.lifecycle.process import process; process.arm();"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE), flush=True); process.end(0)"
    )
    done = subprocess.run(
        ["bash", "-c", f'ulimit -Sn 20; ulimit -Hn 1000; exec "$0" -c "{program}"', sys.executable],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "1000 1000\n"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("ulimit -n 10", "Too many open files"),
        ("ulimit -n 8", "Too many open files"),
        ("ulimit -n 5", "limit"),
        ("ulimit -v 60000", "limit"),
    ],
)
def test_a_limit_that_forbids_even_the_start_is_one_line(limit: str, words: str) -> None:
    status, said = run_in_terminal("demo", first=limit)
    assert status == 1
    assert_one_safe_line(said, words, "ulimit -")


def test_threads_that_cannot_be_started_are_told_and_those_started_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) == 5:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(SourceError, match=r"needs 16 threads, and a limit allows no more than 5; .*ulimit -u"):
        limits.require(limits.REPLAY_SCREEN)
    assert threading.active_count() == before


_USER = 1_000_000_000 + os.getpid()  # of nobody else: the limit counts all threads of a user


@pytest.mark.parametrize(
    "first",
    [
        f'set -- setpriv --reuid={_USER} --regid={_USER} --clear-groups bash -c \'ulimit -u 6; exec "$@"\' bash "$@"',
        # Root's threads are bounded by no limit, but it becomes this user.
        f"export SUDO_UID={_USER} SUDO_GID={_USER}; ulimit -u 6",
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="the limit is another user's")
def test_where_processes_are_short_no_screen_opens(first: str) -> None:
    status, said = run_in_terminal("demo", first=first)
    assert status == 1
    assert_one_safe_line(said, "the screen needs 16 threads", "ulimit -u")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "there is no memory left; raise the limit (ulimit -v"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory; raise the limit (ulimit -v"),
        (RuntimeError("can't start new thread"), "no further thread can be started; raise the limit (ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "/x: Too many open files; raise the limit (ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), "raise fs.file-max"),
        (OSError(errno.ENOSPC, "No space left on device", "/x\x1b"), "/x\\x1b: No space left on device; make room"),
        (OSError(errno.EROFS, "Read-only file system"), "TMPDIR, EBPFTOP_CACHE"),
    ],
)
def test_a_limit_met_in_the_middle_is_one_line_with_its_remedy(error: Exception, words: str) -> None:
    assert words in str(explain(error))


def test_a_command_that_meets_a_limit_fails_with_that_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files", "/x\x1b\n")

    monkeypatch.setattr("ebpftop.commands.demo.run", run)
    assert main(["demo"]) == 1
    assert_one_safe_line(
        capsys.readouterr().err.encode(), "/x\\x1b\\x0a: Too many open files; raise the limit (ulimit -n"
    )


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EINVAL, "Invalid argument"), RuntimeError("other")])
def test_any_other_error_is_a_crash_that_is_reported_as_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr("ebpftop.commands.demo.run", run)
    with pytest.raises(type(error)):
        main(["demo"])


def test_limits_of_this_process_are_as_they_were() -> None:
    """Nothing of a test that asks for them stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits.require(limits.REPLAY_SCREEN)
    assert resource.getrlimit(resource.RLIMIT_AS) == (soft, hard)
