"""A stream from another machine: live while it comes, and remembered."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.record_lines import encode
from ebpftop.core.records import Header, Probe, Record
from ebpftop.core.source import Batch, Source, SourceError
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.probes.registry import registry
from ebpftop.recording import reader, zstd_frames
from ebpftop.recording.chunks import ZstChunks
from ebpftop.recording.lines import LineJoiner
from ebpftop.recording.parse import MAX_LINE_BYTES, ReadErrors, read_lines
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from tests.unit.recording_samples import HEADER, START, drain, exec_at, key, play, story, trace_at

HEAD = encode(HEADER) + b"\n"


def line(record: Record) -> bytes:
    return encode(record) + b"\n"


def next_batch(source: Source) -> Batch:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        batch = source.poll("trace", 0.5)
        if batch is not None:
            return batch
    raise AssertionError("nothing comes")


def test_what_is_sent_comes_at_once_and_it_is_live_until_its_end() -> None:
    read, write = os.pipe()
    os.write(write, HEAD)
    source = PipeSource(read)
    assert source.header.host == "demo"
    for number in range(3):
        os.write(write, line(trace_at(START + number, number)))
        assert next_batch(source).records == (trace_at(START + number, number),)
        assert source.live
    os.close(write)
    drain(source, lambda: source.finished)
    assert not source.live
    source.close()
    assert source.damage.report() == []


def test_half_a_line_waits_for_its_other_half() -> None:
    read, write = os.pipe()
    os.write(write, HEAD[:20])
    os.write(write, HEAD[20:])
    source = PipeSource(read)
    sent = line(trace_at(START, 1))
    os.write(write, sent[:30])
    assert source.poll("trace", 0.3) is None
    os.write(write, sent[30:])
    assert next_batch(source).records == (trace_at(START, 1),)
    os.close(write)
    source.close()


def test_a_stream_that_breaks_off_says_where() -> None:
    read, write = os.pipe()
    os.write(write, HEAD + line(trace_at(START, 1)) + line(trace_at(START, 2))[:30])
    os.close(write)
    source = PipeSource(read)
    assert drain(source, lambda: source.finished) == [trace_at(START, 1)]
    source.close()
    assert [str(fault) for fault in source.damage.faults] == ["line 3: cut off"]


def test_a_compressed_stream_is_unpacked() -> None:
    records = list(story(3))
    lines = [HEAD, *map(line, records)]
    read, write = os.pipe()
    for at in range(0, len(lines), 50):
        os.write(write, zstd_frames.pack(b"".join(lines[at : at + 50]), 50))
    os.close(write)
    source = PipeSource(read)
    assert sorted(map(key, drain(source, lambda: source.finished))) == sorted(map(key, records))
    source.close()
    assert source.damage.report() == []


def test_a_pipe_without_a_record_is_an_error_with_a_remedy() -> None:
    read, write = os.pipe()
    os.write(write, b"sudo: a password is required\n")
    os.close(write)
    with pytest.raises(SourceError, match="ended without a record; look at the messages of the other side"):
        PipeSource(read)


@pytest.mark.parametrize("sent", [bytes(1 << 16), zstd_frames.zstd.compress(bytes(1 << 24))], ids=["plain", "zst"])
def test_a_line_that_never_ends_is_given_up(sent: bytes) -> None:
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb", 0) as pipe, suppress(BrokenPipeError):
            while True:
                pipe.write(sent)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    with pytest.raises(SourceError, match="no recording comes"):
        PipeSource(read)
    sender.join(30)
    assert not sender.is_alive()


def test_a_line_without_an_end_is_held_up_to_a_bound_and_what_follows_is_read() -> None:
    damage = ReadErrors()
    joiner = LineJoiner()
    piece = b"a" * (256 << 10)
    handed = []
    for _ in range(4 * MAX_LINE_BYTES // len(piece)):
        handed.append(joiner.add(piece))
        assert len(joiner._rest) <= MAX_LINE_BYTES
    assert sum(map(len, handed)) <= MAX_LINE_BYTES + len(piece) + 1
    handed.append(joiner.add(b"a\n" + line(trace_at(START, 1))))
    assert list(read_lines(b"".join(handed), damage)) == [trace_at(START, 1)]
    assert damage.broken == 1


def test_a_line_without_an_end_in_somebody_else_s_zstd_is_not_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = b"a" * (1 << 20)
    good = line(trace_at(START, 1))
    pieces = [HEAD, *[piece] * 64, b"a\n" + good]
    monkeypatch.setattr(reader, "_unpacked", lambda fd, damage: iter(pieces))
    damage = ReadErrors()
    tracemalloc.start()
    spool = reader._spool(-1, damage)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MAX_LINE_BYTES
    chunks = ZstChunks(spool)
    loaded = [chunks.load(number) for number in range(chunks.stop)]
    chunks.close()
    kept = b"".join(chunk.data for chunk in loaded)
    assert [record for chunk in loaded for record in chunk.records(damage)] == [HEADER, trace_at(START, 1)]
    assert [fault.reason for fault in damage.faults] == ["longer than 4 MiB"]
    assert kept.startswith(HEAD)
    assert kept.endswith(b"a\n" + good)
    assert len(kept) < 2 * MAX_LINE_BYTES


def test_a_line_in_many_pieces_takes_a_time_that_grows_with_it_and_not_with_its_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 800 GB are copied where each piece copies those before it.
    pieces = [b"a" * 10] * 400_000
    began_s = time.process_time()
    lines = LineJoiner()
    assert not any(map(lines.add, pieces))
    assert lines.add(b"\nb") == b"a" * 4_000_000 + b"\n"
    monkeypatch.setattr(reader, "_unpacked", lambda fd, damage: iter(pieces))
    os.close(reader._spool(-1, ReadErrors()))
    assert time.process_time() - began_s < 20


def test_words_before_the_header_are_passed_over_and_counted() -> None:
    read, write = os.pipe()
    os.write(write, b"Welcome to demo!\n" + HEAD + line(trace_at(START, 1)))
    os.close(write)
    source = PipeSource(read)
    assert source.header == HEADER
    assert drain(source, lambda: source.finished) == [trace_at(START, 1)]
    source.close()
    assert source.damage.broken == 1


def test_a_sender_that_is_too_fast_waits_instead_of_filling_the_memory() -> None:
    read, write = os.pipe()
    os.write(write, HEAD)
    source = PipeSource(read)
    os.set_blocking(write, False)
    sent = 0
    many = b"".join(line(trace_at(START, n)) for n in range(500))
    quiet_until_s = time.monotonic() + 1.0
    while time.monotonic() < quiet_until_s and sent < 200 << 20:
        try:
            sent += os.write(write, many)
            quiet_until_s = time.monotonic() + 1.0
        except BlockingIOError:
            time.sleep(0.01)
    assert sent < 100 << 20
    os.close(write)
    source.close()


def test_the_live_source_is_remembered(tmp_path: Path) -> None:
    read, write = os.pipe()
    records = [exec_at(START + n, n) for n in range(20)]
    os.write(write, HEAD + b"".join(map(line, records)))
    os.close(write)
    pipe = PipeSource(read)
    source = HistorySource(pipe)
    assert source.header == HEADER
    assert source.probes == pipe.probes
    drain(source, lambda: pipe.finished)
    assert not source.live
    assert source.timeline.span == (START, START + 19)
    shown = [record for batch in source.timeline.snapshot_at(START + 9.5).batches for record in batch.records]
    assert shown == records[:10]
    assert 0 < source.history.bytes_used <= source.history.max_bytes
    source.timeline.save(str(tmp_path / "r.jsonl.zst"))
    assert play(tmp_path / "r.jsonl.zst")[0] == records
    with pytest.raises(SourceError, match="on the other machine"):
        source.toggle("execs")
    source.set_interval(3.0)
    source.close()


def test_a_pipe_that_was_held_up_can_be_looked_back_at_whatever_was_polled_first() -> None:
    stream = HEAD + b"".join(map(line, story(40)))
    read, write = os.pipe()
    writer = threading.Thread(target=feed, args=(write, stream))
    writer.start()
    source = HistorySource(PipeSource(read))
    try:
        # One pane is far ahead of the others.
        for probe in registry().names:
            until_s = time.monotonic() + 10
            while time.monotonic() < until_s and (source.poll(probe, 0.2) is not None or writer.is_alive()):
                pass
        writer.join(10)
        for moment in (START + 5.2, START + 33.3):
            shown = [record for batch in source.timeline.snapshot_at(moment).batches for record in batch.records]
            past = [record for record in story(40) if not isinstance(record, Header) and record.time <= moment]
            for kind in (Exec, Exit, Trace, Probe):
                told = [record for record in shown if isinstance(record, kind)]
                assert sorted(map(key, told)) == sorted(key(record) for record in past if isinstance(record, kind))
            assert [r for r in shown if isinstance(r, Users)][-1] == [r for r in past if isinstance(r, Users)][-1]
    finally:
        source.close()


def feed(fd: int, data: bytes) -> None:
    with open(fd, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_after_damage_a_mark_is_found_wherever_what_is_read_is_cut(size: int) -> None:
    packed = b"the rest of a damaged frame" + zstd_frames.pack(b"one\n", 1) + zstd_frames.pack(b"two\n", 1)
    stream = zstd_frames.Stream(skip_to_mark=True)
    pieces = [piece for at in range(0, len(packed), size) for piece in stream.feed(packed[at : at + size])]
    assert b"".join(pieces) == b"one\ntwo\n"
