"""Reading lines that anybody may have written."""

from __future__ import annotations

import random

import msgspec
import pytest
from msgspec import inspect

from ebpftop.core.escape import escape
from ebpftop.core.process_records import Exit
from ebpftop.core.record_lines import Foreign, encode
from ebpftop.core.records import Header, Record
from ebpftop.core.trace_records import Trace
from ebpftop.probes.registry import registry
from ebpftop.recording.chunks import Chunk, Part
from ebpftop.recording.parse import MAX_LINE_BYTES, ReadErrors, read_line, read_lines
from ebpftop.recording.reader import header_of
from tests.unit.recording_samples import START, exec_at, exit_at, trace_at

CALLS = (
    b'{"kind":"syscalls","time":1,"rows":'
    b'[{"abi":"x86_64","nr":1,"name":"x","count":%s,"errors":0,"histogram_ns":[%s]}]}'
)
SLOT = b'{"slot":1,"abi":"x86_64","nr":1,"name":"","handler":"count"}'
TABLE = b'{"kind":"syscalls","time":1,"rows":[],"table":[%s]}'
_LOST = b'{"kind":"lost","time":%s,"probe":"execs","where":"ring","count":%s%s}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\0\0\0\0", "malformed"),
        (b"\xff\xfe{", "malformed"),
        (b"5", "Expected `object`"),
        (b"{}", "missing required field `kind`"),
        (b'{"kind":"lost"}', "missing required field"),
        (_LOST % (b"1e999", b"1", b""), "out of range"),
        (_LOST % (b"1e300", b"1", b""), r"<= \d+\.0 - at `\$\.time`"),
        (_LOST % (b"-5", b"1", b""), r">= 0\.0 - at `\$\.time`"),
        (_LOST % (b"1", b"9" * 20, b""), "beyond 64 bits"),
        (_LOST % (b"1", b"-" + b"9" * 20, b""), ">= 0"),
        (_LOST % (b"1", b"9" * 5000, b""), "out of range"),
        (_LOST % (b"1", b"1", b',"x":' + b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
        (b'{"kind":"new","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
        (b'{"kind":"trace","time":1,"cpu":0,"pid":1,"task":"\\ud800","message":""}', "malformed"),
        (b'{"kind":"trace","time":1,"cpu":0,"pid":1,"task":"\xff","message":""}', "(?i)utf-8"),
        (b"x" * (MAX_LINE_BYTES + 1), "longer than 4 MiB"),
        (encode(exit_at(START, 1)).replace(b"0.5", b"1e300"), r"at `\$\.duration_s`"),
        (b'{"kind":"users","time":1,"rows":[{"uid":1,"user":null,"execs":-1,"failed":0}]}', ">= 0"),
        (CALLS % (b"1", b"0,-1"), ">= 0"),
        (CALLS % (b"-1", b"1"), ">= 0"),
        (CALLS % (b"1", b",".join([b"1"] * 65)), "length <= 64"),
        (
            b'{"kind":"syscalls","time":1,"rows":[],"table":[' + b",".join([SLOT] * 20_001) + b"]}",
            "more than 20000 rows",
        ),
        (
            b'{"kind":"trace","time":1,"cpu":0,"pid":1,"task":"' + b"t" * 3000 + b'","message":""}',
            "task: longer than any",
        ),
        (encode(exec_at(START, 1)).replace(b"/user.slice", b"/" + b"c" * 40_000), "cgroup: longer than any"),
        (encode(exec_at(START, 1)).replace(b'"job"', b",".join([b'""'] * 300_001)), "more values than any"),
        (b'{"kind":"cost","time":1,"kernel":1e300,"user":0,"runs":0}', r"<= 65536\.0"),
        (b'{"kind":"cost","time":1,"kernel":1e999,"user":0,"runs":0}', "out of range"),
    ],
)
def test_what_is_no_record_is_refused_with_a_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        read_line(line)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) <= 200


def test_the_reason_never_carries_an_escape_sequence_of_the_line() -> None:
    with pytest.raises(ValueError, match="Invalid") as raised:
        read_line(b'{"kind":"lost","time":1,"probe":"execs","where":"\\u001b[2J","count":1}')
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (b'{"kind":"weather","rain":true}', 0.0),
        (b'{ "time" : 12.5, "kind":"weather", "text":"\\u001b[2J\xe2\x80\xae", "n": 36893488147419103232}', 12.5),
        (b'{"kind":"weather","time":"noon"}', 0.0),
    ],
)
def test_a_line_of_an_unknown_kind_is_kept_to_the_byte(line: bytes, time: float) -> None:
    record = read_line(line)
    assert record == Foreign(time=time, line=line)
    assert encode(record) == line


def test_an_unknown_field_is_passed_over() -> None:
    line = encode(trace_at(START, 1))
    assert read_line(line[:-1] + b',"mood":["good"]}') == trace_at(START, 1)


@pytest.mark.parametrize("text", ["\x1b[2J", "\x7f", "a\nb", "\u202e", "\u2028"])
def test_no_text_comes_out_raw_whoever_wrote_it(text: str) -> None:
    record = Trace(time=1.0, cpu=0, pid=1, task=text, message=text)
    read = read_line(encode(record))
    assert isinstance(read, Trace)
    assert read.task.isprintable()
    assert read.message.isprintable()
    assert read.task != text


HOSTILE = "\x1b[2J\u3164\ufe0f a\u0301\u0301\u202e\x7f"


def filled(kind: inspect.Type, around: tuple[type, ...] = ()) -> object:
    """Return a value of *kind*, as JSON has it, that holds `HOSTILE` wherever any text can stand."""
    match kind:
        case inspect.StructType():
            named = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return named | {field.encode_name: filled(field.type, (*around, kind.cls)) for field in kind.fields}
        case inspect.CustomType():  # a decoded value
            return [HOSTILE, {HOSTILE: HOSTILE}]
        case inspect.VarTupleType(inspect.StructType(cls)) if cls in around:  # rows within themselves
            return []
        case inspect.StrType(pattern=str()):  # hexadecimal digits, say: what else stands there is refused
            return "0"
        case inspect.StrType():
            return HOSTILE
        case inspect.VarTupleType():
            return [filled(kind.item_type, around)]
        case inspect.TupleType():
            return [filled(item, around) for item in kind.item_types]
        case inspect.DictType():
            return {filled(kind.key_type): filled(kind.value_type, around)}
        case inspect.UnionType():
            return filled(next((one for one in kind.types if isinstance(one, inspect.StrType)), kind.types[0]), around)
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.BoolType():
            return True
        case _:
            raise AssertionError(kind)


def texts(value: object) -> list[str]:
    """Return every text in *value*."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in texts(part)]
    return [text for item in value for text in texts(item)] if isinstance(value, (list, tuple)) else []


@pytest.mark.parametrize("kind", registry().kinds.values(), ids=lambda kind: str(kind.__name__))
def test_no_text_of_any_field_of_any_kind_comes_out_raw(kind: type[Record]) -> None:
    line = msgspec.json.encode(filled(inspect.type_info(kind)))
    hostile = texts(msgspec.json.decode(line)).count(HOSTILE)
    read: list[Record | None] = [read_line(line), *read_lines(line), *read_lines(line + b"\n" + line)]
    if kind is Header:
        read.append(header_of(Chunk((Part(line),)), ReadErrors()))
    assert len(read) >= 3
    for record in read:
        shown = texts(msgspec.to_builtins(record))
        assert HOSTILE not in shown
        assert shown.count(escape(HOSTILE)) == hostile
        assert all(map(str.isprintable, shown))


def test_texts_that_are_safe_stay_as_they_are() -> None:
    for message in ("grüße", "\\x1b[2J as escaped already", 'quo"tes', "日本"):
        record = Trace(time=1.0, cpu=0, pid=1, task="t", message=message)
        assert read_line(encode(record)) == record


def test_numbers_of_64_bits_and_long_fractions_stay() -> None:
    record = Exit(
        time=START + 1 / 3, pid=1, uid=0, comm="a", code=0, signal=None, duration_s=1e-7 / 3, start_ns=2**64 - 1
    )
    assert read_line(encode(record)) == record


def test_every_line_is_counted_where_it_stands() -> None:
    good = encode(exec_at(START, 1))
    damage = ReadErrors()
    data = b"\n".join([good, b"broken", b"", b'{"kind":"weather"}', good, good[:20]])
    read = list(read_lines(data, damage, 100))
    assert [encode(record)[:15] for record in read] == [good[:15], b'{"kind":"weather"}'[:15], good[:15]]
    assert [fault.line for fault in damage.faults] == [101, 105]
    assert damage.faults[1].reason == "cut off"
    assert damage.unknown == 1


@pytest.mark.parametrize("seed", range(20))
def test_lines_read_at_once_are_what_they_are_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    easy = [encode(record) for record in (exec_at(START, 1), exit_at(START, 2), trace_at(START, 3))]
    hard = [
        *(encode(msgspec.structs.replace(trace_at(START, 4), message=text)) for text in ("\x1b[2J", "grüße", "\x7f")),
        b"",
        b"   ",
        b"broken",
        encode(exec_at(START, 5))[:40],
        b'{"kind":"weather"}',
        easy[0] + easy[1],
        _LOST % (b"1", b"9" * 20, b""),
        _LOST % (b"1", b"-1", b""),
        encode(msgspec.structs.replace(trace_at(START, 6), task="t" * 3000)),
    ]
    lines = [dice.choice(hard if dice.random() < 0.1 * (seed % 4) else easy) for _ in range(50)]
    expected: list[Record] = []
    faults: list[tuple[int | None, str]] = []
    for number, line in enumerate(lines, start=1):
        try:
            expected += [read_line(line)] if line.strip() else []
        except ValueError as error:
            faults.append((number, str(error)))
    damage = ReadErrors()
    assert list(read_lines(b"\n".join(lines) + b"\n", damage)) == expected
    assert [(fault.line, fault.reason) for fault in damage.faults] == faults
