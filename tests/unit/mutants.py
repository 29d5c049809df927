"""Recordings that were changed at random, each by its seed: bytes, values of their records, frames."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

from ebpftop.core.records import Attempt, Cost, End, Lost, Probe, Record
from ebpftop.core.syscall_records import (
    InFlight,
    ProcessCalls,
    ProcessTotal,
    Syscall,
    SyscallRow,
    Syscalls,
    TableSlot,
    UserCalls,
)
from ebpftop.core.user_records import UserRow, Users
from ebpftop.recording import zstd_frames
from ebpftop.recording.readings import ReadingEncoder
from tests.unit.recording_samples import HEADER, START, exit_at, story, trace_at

_TOTAL: dict[type, str] = {SyscallRow: "count", UserRow: "execs"}
SUFFIXES = (".jsonl", ".zst")


def records() -> list[Record]:
    """Three seconds in which every kind of record occurs, with every field filled."""
    found: list[Record] = list(story(3, per_second=5))
    for second in range(3):
        now = START + second + 0.5
        row = SyscallRow(
            abi="x86_64",
            nr=0,
            name="read",
            count=9 * second,
            errors=second,
            histogram_ns=(0, 1, 2, 6),
            errnos={"EAGAIN": second},
        )
        attempt = Attempt(via="a", cost="b", reason="c")
        waiting = InFlight(pid=7, tid=7, comm="cat", abi="x86_64", nr=0, name="read", ns=5_000)
        slot = TableSlot(slot=0, abi="x86_64", nr=0, name="read", handler="count")
        caller = ProcessCalls(pid=7, comm="cat", abi="x86_64", nr=0, name="read", count=9 * second, start_ns=7)
        found += [
            Syscalls(
                time=now,
                rows=(row,),
                in_flight=(waiting,),
                processes=(caller,),
                process_totals=(ProcessTotal(pid=7, comm="cat", count=9 * second, errors=0, start_ns=7),),
                users=(UserCalls(uid=1000, count=9 * second, errors=0),),
                families={"exec": second},
                table=(slot,),
                boot_ns=second,
            ),
            Users(
                time=now, rows=(UserRow(uid=0, user="root", execs=second, failed=0, last="cat", ns_uid=0, userns=7),)
            ),
            Syscall(time=now, pid=7, comm="cat", abi="x86_64", nr=0, name="read", args=("3", '"x"'), ret=1, ns=900),
            Cost(time=now, kernel=0.01, user=0.02, runs=100),
            Lost(time=now, probe="trace", where="pipe", count=second),
            Probe(
                time=now,
                probe="trace",
                state="on",
                via="raw",
                reason=None,
                attempts=(attempt,),
            ),
            trace_at(now, second),
            exit_at(now, 1000 + second),
        ]
    # Without a change of a probe between them these are written as what changed.
    readings = [record for record in found if isinstance(record, (Syscalls, Users))][-2:]
    for at in range(4):
        for reading in readings:
            rows = tuple(
                msgspec.structs.replace(row, **{_TOTAL[type(row)]: 100 + at}) for row in reading.rows[at == 2 :]
            )
            found.append(msgspec.structs.replace(reading, time=START + 2.6 + at / 10, rows=rows))
    return [*found, End(time=START + 3, records=len(found), reason="")]


LINES = list(map(ReadingEncoder().encode, [HEADER, *records()]))
"""The lines of a recording that nobody changed, without their newlines."""

_NUMBERS = (b"-1", b"0", b"1e308", b"-1e308", b"1e999", b"5e-324", b"1" * 30, b"18446744073709551616", b"4294967295")
_OTHERS = (b"null", b"true", b'""', b"[]", b"{}", b"NaN", b"Infinity", b'[[""]]', b'{"a":{"b":[1]}}', b"[1,2,3]")
_TEXTS = (b'"\\u001b[2J"', b'"\\ud800"', '"\u3164\u202ea\u0301\u0301"'.encode(), b'"\xff"', b'"[@click=app.quit]q"')


def _value(dice: random.Random) -> bytes:
    match dice.randrange(9):
        case 0 | 1 | 2:
            return dice.choice(_NUMBERS)
        case 3 | 4:
            return dice.choice(_OTHERS)
        case 5:
            return dice.choice(_TEXTS)
        case 6:
            return b"[" * 5000 + b"]" * 5000
        case 7:
            return (
                b"["
                + b",".join([dice.choice((b"0", b'"aa"', b"-5", b"99999"))] * dice.choice((70, 3000, 60_000)))
                + b"]"
            )
        case _:
            return b'"' + dice.choice((b"x", b"\\n", "é".encode(), b"\\u0301")) * dice.choice((40, 3000, 50_000)) + b'"'


def _change_value(line: bytes, dice: random.Random) -> bytes:
    """Put something else in the place of one value of a record, however deep it lies; of a time a time mostly."""
    holes: list[Callable[[object], None]] = []
    whole = msgspec.json.decode(line)

    def look(value: object) -> None:
        if isinstance(value, dict):
            for key in value:
                holes.append(lambda new, value=value, key=key: value.__setitem__(key, new))  # type: ignore[misc]
                look(value[key])
        elif isinstance(value, list):
            for at in range(len(value)):
                holes.append(lambda new, value=value, at=at: value.__setitem__(at, new))  # type: ignore[misc]
                look(value[at])

    look(whole)
    if dice.random() < 0.15 and "time" in whole:
        whole["time"] = dice.choice((0, 1e-300, 1.0, START - 1e6, START + 1e8, 2.534e11, 253402214399.0))
        return msgspec.json.encode(whole)
    dice.choice(holes)(msgspec.Raw(_value(dice)))
    return msgspec.json.encode(whole)


def _change_bytes(data: bytes, dice: random.Random) -> bytes:
    at, length = dice.randrange(len(data) + 1), dice.choice((1, 1, 2, 8, 100, 1000))
    match dice.randrange(6):
        case 0:
            return (
                data[:at]
                + bytes(byte ^ 1 << dice.randrange(8) for byte in data[at : at + length])
                + data[at + length :]
            )
        case 1:
            return data[:at] + data[at + length :]
        case 2:
            return data[:at] + data[at : at + length] * dice.choice((2, 50)) + data[at + length :]
        case 3:
            other = dice.randrange(len(data) + 1)
            return data[:at] + data[other : other + length] + data[at:]
        case 4:
            return data[:at] + dice.randbytes(length) + data[at:]
        case _:
            return data[:at]


def _change_lines(lines: list[bytes], dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 3, 10))):
        at = dice.randrange(len(lines))
        match dice.randrange(6):
            case 0 | 1 | 2 | 3 if lines[at].startswith(b"{"):
                try:
                    lines[at] = _change_value(lines[at], dice)
                except (ValueError, RecursionError):  # changed before, and not JSON any more
                    lines[at] = _change_bytes(lines[at], dice)
            case 4:
                lines[at] = _change_bytes(lines[at], dice)
            case _:
                lines[at : at + 1] = [lines[at]] * dice.choice((0, 2, 200))
                if not lines:
                    lines.append(b"")


def _frames(lines: Sequence[bytes], dice: random.Random) -> list[bytes]:
    per_frame = dice.choice((1, 7, 40, 1000))
    groups = [lines[at : at + per_frame] for at in range(0, len(lines), per_frame)]
    return [zstd_frames.pack(b"".join(line + b"\n" for line in group), len(group)) for group in groups]


def _change_frames(frames: list[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(frames))
    match dice.randrange(7):
        case 0 | 1:
            frames[at] = _change_bytes(frames[at], dice)
        case 2:
            frames[at] = zstd_frames.MARK + dice.randbytes(4) + frames[at][zstd_frames.MARK_BYTES :]
        case 3:
            frames[at] = frames[at][zstd_frames.MARK_BYTES :]
        case 4:
            what, size = dice.choice(((b"\0", 12 << 20), (b'"', 12 << 20), (b"\n", 400_000), (b"{}\n", 50_000)))
            frames.insert(at, zstd_frames.pack(what * size, 1))
        case 5:
            frames[at : at + 1] = [zstd_frames.MARK + dice.randbytes(dice.randrange(5))] * dice.choice((3, 3000))
        case _:
            dice.shuffle(frames)


def mutant(seed: int) -> tuple[bytes, str]:
    """Return a recording that was changed as *seed* says, and the suffix of its file."""
    dice = random.Random(seed)
    suffix = SUFFIXES[seed % 2]
    lines = list(LINES)
    if dice.random() < 0.7:
        _change_lines(lines, dice)
    if suffix == ".zst":
        frames = _frames(lines, dice)
        if dice.random() < 0.7:
            _change_frames(frames, dice)
        data = b"".join(frames)
    else:
        data = b"".join(line + b"\n" for line in lines)
    while dice.random() < 0.4:
        data = _change_bytes(data, dice)
    return data, suffix
