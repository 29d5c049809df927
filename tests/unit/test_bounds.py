"""Every bound of what replay keeps holds by itself, piece by piece, whatever a recording has of it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.record_lines import encode
from ebpftop.core.record_memory import weight, weight_of
from ebpftop.core.records import Lost, Record
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.models.bounded import Bounded, keep_newest
from ebpftop.models.processes import ENDED_BYTES, MAX_BYTES, MAX_RUNNING, Processes
from ebpftop.models.syscalls import BUCKETS_MAX, CALLS_MAX, SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.users import ACTIVE_USERS, NAMES, USERS_MAX, UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording import index as index_module
from ebpftop.recording import zstd_frames
from ebpftop.recording.chunks import MAX_CHUNKS, Chunk, FileChunks, Part, ZstChunks
from ebpftop.recording.grouping import MAX_SLICE_BYTES, Grouper
from ebpftop.recording.index import MAX_BUCKETS, MAX_RUNNING_BYTES, Index
from ebpftop.recording.parse import ReadErrors, read_lines, windows
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.queues import MAX_QUEUED_BYTES, MAX_WAITED_BYTES, Channels
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


def add(index: Index, *records: Record) -> None:
    index.add(records, len(records))


def test_events_of_centuries_are_counted_by_more_than_a_second() -> None:
    index = Index()
    for at in range(40):
        begin = 1_000_000_000 + at * 10_000_000
        add(index, *(exit_at(float(second), 1) for second in range(begin, begin + 5_000_000, 1000)))
    add(index, *(exit_at(START + second, 1) for second in range(MAX_BUCKETS)))
    *long, short = index.infos()[1]
    assert all(len(info.seconds) <= MAX_BUCKETS for info in long)
    assert all(sum(info.seconds) == 5000 for info in long)
    assert all(info.second + info.width_s * len(info.seconds) >= info.last for info in long)
    assert (short.second, short.width_s, list(short.seconds)) == (int(START), 1, [1] * MAX_BUCKETS)


def test_lines_that_are_gone_count_where_lines_are_numbered() -> None:
    damage = ReadErrors()
    line = encode(exit_at(START, 1)) + b"\n"
    index = Index()
    for chunk in (
        Chunk((Part(line, 3, "damage"), Part(b"", None, "nobody knows how much"), Part(line + b"bad\n"))),
        Chunk((Part(line + line),)),
        Chunk(),
        Chunk((Part(b"worse"),)),
    ):
        index.add(chunk.records(damage, index.line), chunk.lines)
    assert [info.line for info in index.infos()[1]] == [1, 7, 9, 9]
    assert index.line == 10
    assert [(fault.line, fault.lines) for fault in damage.faults] == [(2, 3), (5, None), (6, 1), (9, 1)]


def pids(lines: Iterable[bytes]) -> list[int]:
    return sorted(msgspec.json.decode(line)["pid"] for line in lines)


def test_who_was_running_is_known_within_a_bound_then_at_fewer_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MAX_PAST_BYTES", 1 << 20)
    index = Index()
    for at in range(200):
        begun = [exec_at(START + at, at * 1000 + n) for n in range(100)]
        ended = [exit_at(START + at, (at - 8) * 1000 + n) for n in range(100)]
        add(index, *begun, exec_at(START + at, 999_999), exit_at(START + at, 999_999), *ended)
        assert index.bytes_used < 5 << 20
    known = [number for number in range(200) if index.may_start(number)]
    assert 1 < len(known) < 60
    for number in known:
        running = [at * 1000 + n for at in range(max(0, number - 8), number) for n in range(100)]
        assert pids(index.lasting_at(number)) == running


def test_who_was_running_is_told_right_after_each_chunk_that_is_dropped() -> None:
    """Whoever looks may come between two chunks that are dropped."""
    index = Index()
    for at in range(6):
        add(index, exec_at(START + at, at), exit_at(START + at, at - 3))
    running = {number: index.lasting_at(number) for number in range(7)}
    assert [pids(lines) for lines in running.values()] == [[], [0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    while index.first < 5:
        index.drop(1)
        assert all(index.lasting_at(number) == running[number] for number in range(index.first, 7))
    assert len(index._past) == 1


def test_lines_of_running_programs_and_states_are_bounded() -> None:
    index = Index()
    add(index, *(msgspec.structs.replace(HUGE, pid=pid) for pid in range(100)))
    assert 0 < sum(map(len, index.lasting_at(1))) <= MAX_RUNNING_BYTES
    add(index, *(exit_at(START, pid) for pid in range(100)))
    assert index.lasting_at(2) == ()
    lost = [Lost(time=START, probe="execs", where="ring", count=count) for count in range(3 * MAX_RUNNING)]
    add(index, *lost)
    assert index.lasting_at(3) == (encode(lost[-1]),)
    add(index, *(msgspec.structs.replace(lost[0], probe=f"p{number}") for number in range(3 * MAX_RUNNING)))
    assert len(index.lasting_at(4)) <= MAX_RUNNING
    assert index_module.MAX_RUNNING == MAX_RUNNING


def test_a_huge_file_has_no_more_chunks_than_are_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    os.truncate(path, 1 << 40)
    chunks = FileChunks(os.open(path, os.O_RDONLY))
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
    assert any("too much" in part.reason for chunk in loaded for part in chunk.parts)
    chunks.close()


def test_marks_and_gaps_cost_the_same_however_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "r.zst"
    path.write_bytes((zstd_frames.pack(b"x\n", 1) + b"no frame") * 60_000 + (zstd_frames.MARK + b"\2\0\0\0") * 300_000)
    began = time.monotonic()
    chunks = ZstChunks(os.open(path, os.O_RDONLY), 8 << 20)
    chunk = chunks.load(0)
    chunks.close()
    assert sum(bool(part.reason) for part in chunk.parts) == 360_000
    damage = ReadErrors()
    broken = Chunk((Part(b"x\n", 1, "gone"),) * 50_000)
    for one in (chunk, broken):
        assert list(one.records(damage)) == []
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


def test_lines_are_read_a_few_at_a_time_and_numbered_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\n" * 300_000 + b"x\n" * 300_000 + b"y" * 1_000_000 + b"\nz"
    parts = [data[begin:end] for begin, end in windows(data)]
    assert b"".join(parts) == data
    assert len(parts) > 5
    assert max(map(len, parts)) <= 1_000_001
    faults: list[int | None] = []
    damage = ReadErrors()
    monkeypatch.setattr(damage, "add", lambda fault: faults.append(fault.line))
    assert list(read_lines(data, damage, 0)) == []
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
