"""`stream --compress`: whole frames, soon, that everything which reads a pipe recognises."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ebpftop.commands.whole_frames import FrameWriter
from ebpftop.core.record_lines import encode
from ebpftop.recording import zstd_frames
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_file
from ebpftop.sources.pipe import PipeSource
from tests.unit.recording_samples import HEADER, START, drain, key, story, trace_at

LINES = [encode(record) + b"\n" for record in (HEADER, *story(5))]


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("ebpftop.commands.whole_frames.time.monotonic", lambda: self.now)


def test_the_header_goes_at_once_and_all_else_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    read, write = os.pipe()
    writer = FrameWriter(write, 0.25)
    writer.write(LINES[:1])
    assert zstd_frames.zstd.decompress(os.read(read, 1 << 16)) == LINES[0]
    assert writer.written == 1
    clock.now += 10
    writer.write(LINES[1:3])
    clock.now += 0.2
    writer.write(LINES[3:4])
    assert writer.written == 1
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    clock.now += 0.05
    writer.write([])
    assert zstd_frames.zstd.decompress(os.read(read, 1 << 16)) == b"".join(LINES[1:4])
    assert writer.written == 4
    writer.write(LINES[4:6])
    writer.flush()
    writer.flush()
    assert zstd_frames.zstd.decompress(os.read(read, 1 << 16)) == b"".join(LINES[4:6])
    os.close(read)
    with pytest.raises(BrokenPipeError):
        writer.write([*LINES[6:7]] * 10_000)
    assert writer.written == 6
    os.close(write)


@pytest.mark.parametrize("before", [b"", b"Welcome to host\nno newline"], ids=["clean", "messages"])
@pytest.mark.parametrize("at_once", [True, False])
def test_every_reader_of_a_pipe_recognises_it(before: bytes, at_once: bool, tmp_path: Path) -> None:
    def send(fd: int) -> None:
        if before:
            os.write(fd, before)
        writer = FrameWriter(fd, 1e9 if at_once else 0.0)
        for line in LINES:
            writer.write([line])
        writer.flush()
        os.close(fd)

    def sent() -> int:
        read, write = os.pipe()
        threading.Thread(target=send, args=(write,), daemon=True).start()
        return read

    records = sorted(map(key, story(5)))
    source = PipeSource(sent())
    assert sorted(map(key, drain(source, lambda: source.finished))) == records
    source.close()
    passage = Passage(sent(), "stdin")
    assert sorted(map(key, passage.records(whole=True))) == records
    assert source.damage.broken == passage.damage.broken == (2 if before else 0)
    # What is redirected into a file is a recording.
    with open(tmp_path / "r.zst", "wb") as file:
        send(os.dup(file.fileno()))
    passage = Passage(open_file(str(tmp_path / "r.zst")), "r.zst")
    assert sorted(map(key, passage.records(whole=True))) == records


def test_a_stream_that_breaks_off_costs_its_last_frame_alone() -> None:
    read, write = os.pipe()
    writer = FrameWriter(write, 0.0)
    writer.write(LINES[:1])
    writer.write([encode(trace_at(START, 1)) + b"\n"])
    os.write(write, zstd_frames.pack(encode(trace_at(START, 2)) + b"\n", 1)[:-9])
    os.close(write)
    source = PipeSource(read)
    assert drain(source, lambda: source.finished) == [trace_at(START, 1)]
    source.close()
    assert [str(fault) for fault in source.damage.faults] == ["somewhere: cut off inside a zstd frame"]


def test_it_is_not_for_a_terminal() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "ebpftop", "stream", "--compress"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "EBPFTOP_CONFIG": ""},
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(b"a compressed stream is not text, and stdout is a terminal; pipe it: | zstdcat\n")
    os.close(ours)
    os.close(theirs)
