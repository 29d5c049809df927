"""The pages of a trace buffer: every kind of event, every kind of damage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.kernel.errors import FormatError
from ebpftop.kernel.trace_pages import Line, Page, PageFormat, line_format, page_format, read_page
from tests.unit.trace_page_builder import (
    HEADER_PAGE,
    MISSED,
    PADDING,
    PAGE_SIZE,
    PRINT,
    PRINTK,
    STORED,
    event,
    ftrace_print,
    page,
    printk,
    taken_back,
    time_extend,
    time_stamp,
    word,
)

LAYOUT = page_format(HEADER_PAGE)
EVENTS = dict([line_format(PRINTK, "bpf_string"), line_format(PRINT, "buf")])
HUGE = 1 << 27


def read(raw: bytes, layout: PageFormat = LAYOUT) -> Page:
    return read_page(raw, 3, layout, EVENTS)


def messages(raw: bytes) -> list[bytes]:
    return [line.message for line in read(raw).lines]


def test_the_kernels_own_description_is_understood() -> None:
    assert PageFormat(commit_size=8, data_offset=16, page_size=4096) == LAYOUT
    assert EVENTS.keys() == {550, 5}
    larger = page_format(HEADER_PAGE.replace("4080", "65520"))
    assert larger.page_size == 65536
    narrow = HEADER_PAGE.replace("commit;\toffset:8;\tsize:8", "commit;\toffset:8;\tsize:4")
    assert page_format(narrow.replace("data;\toffset:16", "data;\toffset:12")) == PageFormat(4, 12, 4092)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no fields",
        HEADER_PAGE.replace("commit", "other"),
        HEADER_PAGE.replace("timestamp;\toffset:0", "timestamp;\toffset:4"),
    ],
)
def test_another_page_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        page_format(text)


@pytest.mark.parametrize(
    "text",
    ["", PRINTK.replace("bpf_string", "other"), PRINTK.replace("ID: 550", ""), PRINTK.replace("common_pid", "pid"),
     PRINTK.replace("common_pid;\toffset:4;\tsize:4", "common_pid;\toffset:4;\tsize:8"),
     PRINTK.replace("__data_loc char[] bpf_string", "const char * bpf_string")],
)  # fmt: skip
def test_another_event_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        line_format(text.replace("offset:8;\tsize:4", "offset:8;\tsize:8") if "const" in text else text, "bpf_string")


def test_an_event_is_a_line_with_its_thread_and_time() -> None:
    raw = page(event(printk(b"one", tid=7), 5), event(printk(b"two", tid=8), 6), time=1000)
    assert read(raw) == Page([Line(1005, 3, 7, b"one"), Line(1011, 3, 8, b"two")], until_ns=1011)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 99, 100, 101, 1023, 1024, 4000])
@pytest.mark.parametrize("long", [False, True])
def test_messages_of_every_length(size: int, long: bool) -> None:
    message = bytes(1 + i % 255 for i in range(size))
    raw = page(event(printk(message), 1, long=long), event(printk(b"next"), 1))
    assert messages(raw) == [message, b"next"]


def test_what_a_message_says_is_nothing_but_a_message() -> None:
    hostile = [b"[LOST 5 EVENTS]", b"x\n a-1 [000] d..1 1.0: bpf_trace_printk: y", page(event(printk(b"inner")))[:900]]
    hostile = [message.partition(b"\0")[0] for message in hostile]
    raw = page(*(event(printk(message, tid=5), 1) for message in hostile))
    assert read(raw) == Page([Line(1001 + i, 3, 5, message) for i, message in enumerate(hostile)], until_ns=1003)


def test_steps_in_time_and_absolute_times() -> None:
    late = (1 << 58) + 12345
    raw = page(
        time_extend(HUGE * 50 + 3),
        event(printk(b"a"), 1),
        time_stamp(late),
        event(printk(b"b")),
        event(printk(b"c"), 9),
    )
    assert [line.time_ns for line in read(raw).lines] == [1000 + HUGE * 50 + 4, late, late + 9]


def test_an_absolute_time_gets_the_bits_that_it_leaves_out() -> None:
    high = 1 << 60
    raw = page(time_stamp(500), event(printk(b"a")), time=high + 100)
    assert [line.time_ns for line in read(raw).lines] == [high + 500]
    # The lower bits began anew meanwhile.
    raw = page(time_stamp(500), event(printk(b"a")), time=high + 1000)
    assert [line.time_ns for line in read(raw).lines] == [high + (1 << 59) + 500]
    # A clock that steps back.
    raw = page(time_stamp(500), event(printk(b"a")), time=1000)
    assert [line.time_ns for line in read(raw).lines] == [500]


def test_events_taken_back_and_padding_are_passed_over() -> None:
    raw = page(event(printk(b"a"), 1), taken_back(40), event(printk(b"b"), 1), word(PADDING, 0) + b"\xff" * 60)
    assert read(raw) == Page([Line(1001, 3, 1, b"a"), Line(1002, 3, 1, b"b")], until_ns=1002)


def test_events_of_others_are_passed_over() -> None:
    raw = page(
        event(printk(b"", number=9), 1),
        event(b"\x26", 1),
        event(ftrace_print(b"by a module", ip=0xFFFFFFFF81000000), 1),
        event(ftrace_print(b"before 5.9", tid=4), 1),
        event(ftrace_print(b"before 5.5", tid=4, ip=1), 1),
    )
    assert read(raw).lines == [Line(1004, 3, 4, b"before 5.9"), Line(1005, 3, 4, b"before 5.5")]


def test_losses() -> None:
    assert not read(page(event(printk(b"a")))).missed
    told = read(page(event(printk(b"a")), missed=12345))
    assert (told.missed, told.missed_count, told.damaged) == (True, 12345, False)
    assert [line.message for line in told.lines] == [b"a"]
    untold = read(page(event(printk(b"x" * 4050)), flags=MISSED))
    assert (untold.missed, untold.missed_count) == (True, None)
    # The mark says that the number is there, but there is no room for it.
    assert read(page(event(printk(b"x" * 4050)), flags=MISSED | STORED)[:-4]).missed_count is None


def test_a_page_of_another_size() -> None:
    raw = page(*(event(printk(b"x" * 900)) for _ in range(60)), size=65536)
    assert len(read(raw).lines) == 60


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        page()[:15],
        page(event(printk(b"a")))[:30],
        page(event(printk(b"a")), flags=1 << 20),
        page(word(5, 0) + b"1234"),
        page(word(0, 0)),
        page(word(0, 0) + bytes(4)),
        page(word(0, 0) + b"\x03\0\0\0"),
        page(word(0, 0) + b"\xff\xff\xff\xff"),
        page(word(PADDING, 1) + bytes(4)),
        page(word(PADDING, 1) + bytes(4) + event(printk(b"a"), long=True)[4:]),
        page(event(printk(b"a")), event(printk(b"b")))[:36],
        page(word(30, 1)),
        page(event(printk(b"a", tid=-1))),
        page(event(printk(b"a")), time=1 << 63),
        page(event(b"\x26\x02" + bytes(6))),
        page(event(b"\x26\x02" + bytes(6) + b"\x0c\0\xff\xff" + b"text")),
        page(event(b"\x26\x02" + bytes(6) + b"\xff\xff\x01\0" + b"text")),
        page(event(b"\x05\0" + bytes(6))),
        page(event(b"\x05\0" + bytes(10))),
        page(b"abc"),
    ],
)
def test_damage_is_told_and_makes_no_line(raw: bytes) -> None:
    found = read(raw)
    assert found.damaged
    assert found.lines in ([], [Line(1000, 3, 1, b"a")])


MESSAGES = st.binary(max_size=1024).map(lambda raw: raw.replace(b"\0", b""))
STEPS = st.one_of(
    st.tuples(st.just("line"), MESSAGES, st.integers(0, (1 << 31) - 1), st.integers(0, HUGE - 1)),
    st.tuples(st.just("extend"), st.integers(HUGE, HUGE << 8)),
    st.tuples(st.just("stamp"), st.integers(0, 1 << 30)),
    st.tuples(st.just("back"), st.integers(1, 20)),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(STEPS, max_size=12), st.integers(0, 1 << 50), st.one_of(st.none(), st.integers(0, 1 << 40)), st.booleans()
)
def test_whatever_is_written_is_read(
    steps: list[tuple[object, ...]], time: int, missed: int | None, long: bool
) -> None:
    now, events, lines = time, [], []
    for step in steps:
        match step:
            case ("line", bytes(message), int(tid), int(delta)):
                now += delta
                events.append(event(printk(message, tid), delta, long=long))
                lines.append(Line(now, 3, tid, message))
            case ("extend", int(delta)):
                now += delta
                events.append(time_extend(delta))
            case ("stamp", int(forward)):
                now += forward
                events.append(time_stamp(now))
            case ("back", int(words)):
                events.append(taken_back(4 * words))
    raw = page(*events, time=time, missed=missed, size=PAGE_SIZE * 4)
    assert read(raw) == Page(lines, now, missed is not None, missed)


def is_possible(found: Page) -> bool:
    numbers = all(0 <= line.tid < 1 << 31 and 0 <= line.time_ns < 1 << 63 and line.cpu == 3 for line in found.lines)
    return numbers and all(len(line.message) <= PAGE_SIZE and 0 not in line.message for line in found.lines)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    assert is_possible(read(raw))
    assert is_possible(read(page(raw)))


GOOD = page(
    *(event(printk(b"message %d" % i, tid=i), i + 1) for i in range(30)), taken_back(40), time_extend(HUGE),
    event(ftrace_print(b"y" * 200)), time_stamp(1 << 40), event(printk(b"z" * 1000)), missed=77,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) // 2), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_a_damaged_or_cut_page_is_read_as_far_as_it_makes_sense(changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(GOOD)
    for at, value in changes:
        raw[at] = value
    assert is_possible(read(bytes(raw)))
    whole, part = read(GOOD).lines, read(GOOD[:cut]).lines
    assert part == whole[: len(part)]
