"""Every bound of what replay keeps holds by itself, piece by piece, whatever a recording has of it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.record_memory import weight, weight_of
from ebpftop.core.records import SyscallRow, Syscalls, UserRow, Users, encode
from ebpftop.core.source import Batch
from ebpftop.models.bounded import Bounded, keep_newest
from ebpftop.models.eventlog import ENDED_BYTES
from ebpftop.models.processes import MAX_BYTES, MAX_RUNNING, Processes
from ebpftop.models.syscalls import BUCKETS_MAX, CALLS_MAX, SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import ACTIVE_USERS, NAMES, USERS_MAX, UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording import index as index_module
from ebpftop.recording import zstd_frames
from ebpftop.recording.chunks import MAX_CHUNKS, Chunk, Gap, PlainChunks, ZstChunks
from ebpftop.recording.grouping import MAX_SLICE_BYTES, Grouper
from ebpftop.recording.index import MAX_KEY_BYTES, MAX_RUNNING_BYTES, MAX_SECONDS, MAX_STATES, Index
from ebpftop.recording.parse import ReadErrors, read_lines, windows
from ebpftop.recording.readings import ReadingDecoder
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.queues import MAX_QUEUED_BYTES, MAX_WAITED_BYTES, Channels
from ebpftop.sources.replay import _ErrorLedger
from tests.unit.recording_samples import HEADER, START, exec_at, exit_at

HUGE = msgspec.structs.replace(exec_at(START, 1), argv=("x" * 100_000,))


def test_records_of_one_moment_come_in_batches_of_a_bounded_size() -> None:
    grouper = Grouper(1.0)
    batches = [batch for pid in range(200) for batch in grouper.add(msgspec.structs.replace(HUGE, pid=pid))]
    assert len(batches) > 3
    assert max(weight_of(batch.records) for batch in batches) <= MAX_SLICE_BYTES + weight(HUGE)
    assert sum(len(batch.records) for batch in (*batches, *grouper.flush())) == 200


@pytest.mark.parametrize("waiting", [False, True])
def test_a_queue_is_bounded_also_while_another_probe_is_waited_for(waiting: bool) -> None:
    channels = Channels(registry().names)
    pollers = [threading.Thread(target=channels.poll, args=("trace", 60))] if waiting else []
    for poller in pollers:
        poller.start()
    put: list[int] = []

    def fill() -> None:
        for number in range(1000):
            if not channels.put(Batch("execs", START, (HUGE,) * 10), lambda: True):
                return
            put.append(number)

    filler = threading.Thread(target=fill)
    filler.start()
    filler.join(2)
    assert filler.is_alive()
    room = MAX_WAITED_BYTES if waiting else MAX_QUEUED_BYTES
    assert len(put) * weight(HUGE) * 10 <= room + 10 * weight(HUGE)
    channels.close()
    for thread in (filler, *pollers):
        thread.join()


def test_what_is_forgotten_takes_no_room_in_a_queue() -> None:
    channels = Channels(registry().names)
    batch = Batch("execs", START, (HUGE,) * (MAX_QUEUED_BYTES // weight(HUGE) + 1))
    done = threading.Event()

    def fill_again_and_again() -> None:
        for _ in range(3):
            channels.put(batch, lambda: True)
            channels.clear()
        channels.put(batch, lambda: True)
        done.set()

    filler = threading.Thread(target=fill_again_and_again)
    filler.start()
    filled = done.wait(30)
    kept = channels.poll("execs", 0)
    channels.close()
    filler.join()
    assert filled
    assert kept is batch


def exits(seconds: range) -> Chunk:
    return Chunk(b"".join(encode(exit_at(float(second), 1)) + b"\n" for second in seconds))


def test_seconds_of_centuries_are_counted_by_more_than_one() -> None:
    index = Index()
    for at in range(40):
        index.add(exits(range(1_000_000_000 + at * 10_000_000, 1_000_000_000 + at * 10_000_000 + 5_000_000, 1000)))
    counts, width_s, unplaced = index.seconds()
    assert len(counts) <= MAX_SECONDS
    assert width_s > 1
    assert sum(counts.values()) + unplaced == 40 * 5000
    assert sum(len(info.seconds) for info in index.infos()[1]) <= MAX_SECONDS
    while index.stop > index.first:
        index.drop()
    assert index.seconds()[0] == {}


def test_events_of_no_known_second_go_with_their_chunk() -> None:
    index = Index()
    lines = [encode(exit_at(START + pid, pid)).replace(b'":', b'" : ') for pid in range(5)]  # as another program writes
    index.add(Chunk(b"\n".join(lines) + b"\n"))
    seconds = range(int(START) + 10, int(START) + 13)
    index.add(exits(seconds))
    assert index.seconds() == (dict.fromkeys(seconds, 1), 1, 5)
    index.drop()
    assert index.seconds() == (dict.fromkeys(seconds, 1), 1, 0)


def test_lines_that_are_gone_count_where_lines_are_numbered() -> None:
    index = Index()
    index.add(Chunk(encode(exit_at(START, 1)) + b"\n", (Gap(1, 3, "damage"), Gap(1, None, "nobody knows how much"))))
    index.add(exits(range(2)))
    index.add(Chunk(b""))
    assert [index.first_line(number) for number in range(4)] == [1, 5, 7, 7]
    index.drop()
    assert [index.first_line(number) for number in range(4)] == [None, 5, 7, 7]


def test_who_was_running_is_noted_within_a_bound_and_told_by_an_older_note() -> None:
    index = Index()
    for at in range(200):
        lines = [encode(exec_at(START + at, at * 1000 + n)) for n in range(100)]
        gone = [encode(exit_at(START + at, (at - 8) * 1000 + n)) for n in range(100)]
        index.add(Chunk(b"\n".join([*lines, *gone]) + b"\n"))
        index._key_bytes += 1 << 20
    noted = [number for number in range(0, 200, 2) if index.running_at(number) is not None]
    assert 0 in noted
    assert 1 < len(noted) < 60
    assert all(index.may_start(number) == (number in noted) for number in range(0, 200, 2))
    index.measure()
    assert index.bytes_used < MAX_KEY_BYTES


def test_who_was_running_is_told_right_after_each_chunk_that_is_dropped() -> None:
    """Whoever looks may come between two chunks that are dropped together."""
    index = Index()
    for at in range(6):
        index.add(Chunk(encode(exec_at(START + at, at)) + b"\n"))
    running = {number: index.running_at(number) for number in range(0, 6, 2)}
    assert [len(lines or ()) for lines in running.values()] == [0, 2, 4]
    while index.first < 5:
        index.drop()
        assert {number: index.running_at(number) for number in running} == {
            number: lines if number >= index.first else None for number, lines in running.items()
        }


def test_lines_of_running_programs_and_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index()
    index.add(Chunk(b"".join(encode(msgspec.structs.replace(HUGE, pid=pid)) + b"\n" for pid in range(100))))
    index.add(Chunk(b""))
    index.add(Chunk(b""))
    assert 0 < sum(map(len, index.running_at(2) or ())) <= MAX_RUNNING_BYTES
    line = b'{"kind":"lost","time":1,"probe":"execs","where":"%s","count":%d}\n'
    index.add(Chunk(b"".join(line % (b"ring", count) for count in range(3 * MAX_STATES))))
    index.add(Chunk(b"".join(line % (b"x" * (n % 16 + 1), n) for n in range(1000))))
    assert len(index._states) <= MAX_STATES
    assert index.states_before(5) == [(line % (b"ring", 3 * MAX_STATES - 1)).rstrip()]
    assert index_module.MAX_RUNNING == MAX_RUNNING


def test_a_huge_file_has_no_more_chunks_than_are_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    os.truncate(path, 1 << 40)
    chunks = PlainChunks(os.open(path, os.O_RDONLY))
    assert chunks.stop <= MAX_CHUNKS
    # A file may end in terabytes of nothing, and the screen asks where it ends.
    span = Timeline(HEADER, chunks, Index()).span
    assert span == (START, START)
    chunks.close()


def test_frames_of_one_chunk_unpack_to_a_bounded_size_together(tmp_path: Path) -> None:
    path = tmp_path / "r.zst"
    blanks = zstd_frames.pack(b"\n" * (4 << 20), 4 << 20)
    path.write_bytes(blanks * 20)
    chunks = ZstChunks(os.open(path, os.O_RDONLY))
    loaded = [chunks.load(number) for number in range(chunks.stop)]
    assert max(len(chunk.data) for chunk in loaded) <= zstd_frames.MAX_FRAME_BYTES
    assert any("too much" in gap.reason for chunk in loaded for gap in chunk.gaps)
    chunks.close()


def test_marks_and_gaps_cost_the_same_however_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "r.zst"
    path.write_bytes((zstd_frames.pack(b"x\n", 1) + b"no frame") * 60_000 + (zstd_frames.MARK + b"\2\0\0\0") * 300_000)
    began = time.monotonic()
    chunks = ZstChunks(os.open(path, os.O_RDONLY), 8 << 20)
    chunk = chunks.load(0)
    chunks.close()
    assert len(chunk.gaps) == 360_000
    damage = ReadErrors()
    broken = Chunk(b"x\n" * 50_000, tuple(Gap(after, 1, "gone") for after in range(50_000)))
    for number, one in enumerate((chunk, broken)):
        assert list(_ErrorLedger(Index(), damage).read(number, one, False, lambda: True, ReadingDecoder())) == []
    assert damage.broken == 2 * 60_000 + 2 * 300_000 + 2 * 50_000
    # Each counted anew for all before it, it would be minutes to hours.
    assert time.monotonic() - began < 60


def test_a_stream_unpacks_a_bomb_in_small_pieces() -> None:
    packed = zstd_frames.pack(b"\0" * (300 << 20), 1)
    assert max(map(len, zstd_frames.Stream().feed(packed))) <= 1 << 20


def test_a_frame_that_asks_for_more_memory_than_any_is_refused() -> None:
    wide = zstd_frames.zstd.ZstdCompressor(options={zstd_frames.zstd.CompressionParameter.window_log: 27})
    packed = wide.compress(random.Random(1).randbytes(1000)) + wide.flush()
    assert zstd_frames.unpack(packed, 0).fault is not None


def test_lines_are_read_a_few_at_a_time_and_numbered_as_ever() -> None:
    data = b"\n" * 300_000 + b"x\n" * 300_000 + b"y" * 1_000_000 + b"\nz"
    parts = [data[begin:end] for begin, end in windows(data)]
    assert b"".join(parts) == data
    assert len(parts) > 5
    assert max(map(len, parts)) <= 1_000_001
    faults: list[int] = []
    assert list(read_lines(data, lambda number, _: faults.append(number), lambda: None)) == []
    assert faults == list(range(300_000, 600_002))


def test_what_is_evicted_costs_the_same_however_much_was_evicted_before() -> None:
    some: Bounded[int, None] = Bounded(65_000, 1 << 40)
    began_s = time.process_time()
    for number in range(300_000):
        some.put(number, None, 1)
    # A quarter of a second; if each eviction looks for the first entry where those before it were, it takes seven.
    assert time.process_time() - began_s < 3


def test_what_is_remembered_under_keys_is_bounded_in_number_and_bytes() -> None:
    some: Bounded[int, str] = Bounded(10, 1000)
    for key in range(100):
        some.put(key, "x", 1)
    assert list(some) == list(range(90, 100))
    assert some.put(7, "big", 995) == ["x"] * 5
    assert some.bytes_used == 1000
    some.resize(7, 5)
    assert some.drop(7) == "big"
    assert some.bytes_used == 5
    recent = deque([5, 6, 7])
    keep_newest(recent, lambda size: size, 13)
    assert list(recent) == [6, 7]


def test_processes_that_never_end_are_forgotten() -> None:
    processes = Processes()
    for pid in range(MAX_RUNNING + 500):
        processes.started(exec_at(START, pid))
    assert len(processes.running) <= MAX_RUNNING
    for pid in range(500):
        processes.started(msgspec.structs.replace(HUGE, pid=pid))
    assert processes.running.bytes_used <= processes.running.max_bytes


def test_names_that_a_recording_makes_up_are_bounded_in_all_models() -> None:
    users, trace = UsersModel(), TraceLog()
    for number in range(0, 60_000, 2000):
        some = tuple(
            msgspec.structs.replace(exec_at(START, n), uid=n % 350, comm=f"c{n}", cgroup="/" + "x" * 2000)
            for n in range(number, number + 2000)
        )
        users.feed(Batch("execs", START, some))
        trace.feed(Batch("execs", START, some))
    assert len(users.activity) <= ACTIVE_USERS
    assert sum(len(one.programs) for one in users.activity.values()) <= NAMES
    assert len(users._counted) <= MAX_RUNNING + 5000
    assert trace.processes.running.bytes_used <= MAX_BYTES
    assert trace.processes._forked.bytes_used <= ENDED_BYTES
    for reading in range(6):
        rows = tuple(UserRow(uid=reading * 10_000 + n, user=None, execs=1, failed=0) for n in range(10_000))
        users.feed(Batch("users", START + reading, (Users(time=START + reading, rows=rows),)))
    assert len(users.users) <= USERS_MAX


def test_calls_that_a_recording_makes_up_and_their_latencies_are_bounded() -> None:
    calls = SyscallsModel()
    for reading in range(60):
        rows = tuple(
            SyscallRow(
                abi="x86_64",
                nr=n + 1000 * max(0, 15 - reading),
                name="x",
                count=reading + 1,
                errors=0,
                histogram_ns=tuple(reading * 1000 + bucket for bucket in range(64)),
            )
            for n in range(1000)
        )
        calls.feed(Batch("syscalls", START + reading, (Syscalls(time=START + reading, rows=rows),)))
    assert len(calls.calls) <= CALLS_MAX
    assert sum(len(tick.ns) for call in calls.calls.values() for tick in call.ticks) <= BUCKETS_MAX
