"""Recordings that somebody made to harm, by the real command on a real terminal: as a file, and by a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpftop.recording import zstd_frames
from tests.unit.mutants import LINES, mutant

PEAK_MB = 300
HUNG_S = 90.0
SHOWN_S = 1.5
KEYS = b"[l\r\x1b/a+\r24m"


def peak_mb(pid: int) -> int:
    """The largest memory of a process so far, in MiB; 0 where it has ended, or is still a copy of this one."""
    try:
        if b"replay" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) >> 10 if found else 0


def shown(data: bytes, path: Path, *, by_pipe: bool) -> tuple[int, int, bytes]:
    """Replay *data* on a terminal, press some keys, quit; return its status, its peak in MiB, and what it wrote."""
    path.write_bytes(data)
    read, write = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        if by_pipe:
            os.dup2(read, 0)
        os.environ["TERM"] = "xterm-256color"
        what = ["-"] if by_pipe else [str(path), "--speed", "max"]
        os.execv(sys.executable, [sys.executable, "-m", "ebpftop", "replay", *what])
    os.close(read)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def send() -> None:
        try:
            with os.fdopen(write, "wb") as file:
                file.write(data if by_pipe else b"")
        except BrokenPipeError:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    written, keys, peak = bytearray(), KEYS, 0
    began = time.monotonic()
    on_screen_s: float | None = None
    quit_s = 0.0
    try:
        while True:
            now = time.monotonic()
            assert now - began < HUNG_S, "it hangs"
            peak = max(peak, peak_mb(pid))
            if on_screen_s is None and b"\x1b[?1049h" in written:
                on_screen_s = now
            if on_screen_s is not None and now - on_screen_s > SHOWN_S:
                if keys:
                    os.write(terminal, keys)
                    keys = b""
                elif now - quit_s > 1:
                    # Esc leads out of whatever the keys opened; a q that was typed too early is not the last.
                    os.write(terminal, b"\x1b" if quit_s == 0.0 else b"q")
                    quit_s = now
            if select.select([terminal], [], [], 0.05)[0]:
                written += os.read(terminal, 1 << 16)
    except OSError:
        pass  # the terminal is closed: it has ended
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, ended = os.waitpid(pid, 0)
        os.close(terminal)
        sender.join()
    return os.waitstatus_to_exitcode(ended), peak, bytes(written)


def check(data: bytes, path: Path, *, by_pipe: bool) -> None:
    status, peak, written = shown(data, path, by_pipe=by_pipe)
    assert b"Traceback" not in written
    assert status in (0, 1), written[-500:]
    assert status == 0 or b"ebpftop: " in written
    assert 0 < peak < PEAK_MB


def framed(*contents: bytes) -> bytes:
    """A compressed recording, and behind its good frame one for each of *contents*."""
    good = zstd_frames.pack(b"".join(line + b"\n" for line in LINES), len(LINES))
    return good + b"".join(zstd_frames.pack(content, 1) for content in contents)


def bomb() -> bytes:
    """Two gigabytes of zeros in 60 kB."""
    packed = zstd_frames.zstd.ZstdCompressor()
    zeros = b"\0" * (8 << 20)
    frame: bytes = b"".join(packed.compress(zeros) for _ in range(250)) + packed.flush()
    return framed() + zstd_frames.MARK + b"\1\0\0\0" + frame


def lines(*more: bytes) -> bytes:
    """A plain recording, with *more* lines."""
    return b"".join(line + b"\n" for line in (*LINES, *more))


EXEC = next(line for line in LINES if line.startswith(b'{"kind":"exec"'))
HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb": bomb,
    "marks": lambda: framed() + (zstd_frames.MARK + b"\2\0\0\0") * 300_000,
    "newlines": lambda: lines(b"\n" * 10_000_000),
    "one moment": lambda: lines(*(EXEC.replace(b'"pid":1', b'"pid":%d' % pid, 1) for pid in range(40_000))),
    "arguments": lambda: lines(
        *(
            EXEC.replace(b'"argv":[', b'"argv":[' + b'"aa",' * 200_000).replace(b'"pid":1', b'"pid":%d' % pid, 1)
            for pid in range(15)
        )
    ),
    "years": lambda: lines(
        *(
            b'{"kind":"exit","time":%d,"pid":%d,"uid":0,"comm":"a","code":0,"signal":null,"duration_s":null}'
            % (1_800_000_000 + 1000 * at, at)
            for at in range(50_000)
        )
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("by_pipe", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_recording_made_to_harm_takes_much_memory(name: str, by_pipe: bool, tmp_path: Path) -> None:
    check(HOSTILE[name](), tmp_path / "hostile", by_pipe=by_pipe)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(5000, 5008))
def test_mutants_are_shown_or_refused_in_a_line(seed: int, tmp_path: Path) -> None:
    data, suffix = mutant(seed)
    check(data, tmp_path / f"mutant{suffix}", by_pipe=seed // 2 % 2 == 0)
