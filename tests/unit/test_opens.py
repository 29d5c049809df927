"""Opens in user space: what is read from a recording, what it weighs, and how it is filtered and counted."""

from __future__ import annotations

import json

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import Foreign, encode
from ebpftop.core.record_memory import weight
from ebpftop.core.snapshot import EventCounts
from ebpftop.core.source import Batch
from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.opens import Open, OpenLog
from ebpftop.models.overview import Overview
from ebpftop.probes.registry import registry
from ebpftop.recording.index import Index
from ebpftop.recording.parse import read_line
from tests.unit.recording_samples import START, exec_at


def opened(at: float, path: str | None = "/etc/passwd", **more: object) -> Open:
    fields: dict[str, object] = {
        **{"time": START + at, "pid": 41, "tid": 41, "uid": 7, "user": "ada", "comm": "cat", "call": "openat"},
        **{"dirfd": None, "path": path, "flags": "O_RDONLY", "ret": 3, "error": None, "ns": 900, **more},
    }
    return Open(**fields)  # type: ignore[arg-type]  # of any field


def test_it_is_read_as_it_was_written() -> None:
    event = opened(1, "/with\\x1b[2J", ret=-2, error="ENOENT", cut=("path",))
    assert read_line(encode(event)) == event
    assert registry().probe_of(event) == "opens"


def test_a_path_may_be_long_and_a_name_may_not() -> None:
    assert read_line(encode(opened(1, "p" * 30_000))) == opened(1, "p" * 30_000)
    for broken in (opened(1, "p" * 40_000), opened(1, "p" * 1000, comm="c" * 3000)):
        with pytest.raises(ValueError, match="longer than any"):
            read_line(encode(broken))


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="a negative duration"):
        read_line(encode(opened(1, ns=-1)))


def test_its_texts_are_escaped_whoever_wrote_it() -> None:
    line = json.dumps(json.loads(encode(opened(1))) | {"path": "\x1b[2J", "comm": "\u202e"}).encode()
    read = read_line(line)
    assert isinstance(read, Open)
    assert (read.path, read.comm) == ("\\x1b[2J", "\\u202e")


def test_it_weighs_what_its_texts_take() -> None:
    assert weight(opened(1, "p" * 30_000)) - weight(opened(1, "")) == 30_000
    assert weight(Foreign(time=1.0, line=b"x" * 5000)) > 5000


def test_it_is_filtered_by_what_it_says_and_by_its_process() -> None:
    log = OpenLog()
    program = exec_at(START, 41)
    assert isinstance(program, Exec)
    log.feed(Batch("execs", START, (program,)))
    log.feed(Batch("opens", START + 9, (opened(1), opened(2, "/b", uid=8, pid=42, tid=42), opened(3, "/c", comm="sh"))))

    def shown(view_filter: ViewFilter = ViewFilter(), pattern: str = "") -> list[str | None]:  # noqa: B008  # frozen
        log.apply_filter(view_filter, log.language.parse(pattern))
        while log.view.scan(100):
            pass
        return [event.path for event in log.view.rows()]

    assert shown() == ["/etc/passwd", "/b", "/c"]
    assert shown(ViewFilter(Filter(uids=(8,)))) == ["/b"]
    assert shown(ViewFilter(Filter(pids=(41,)))) == ["/etc/passwd", "/c"]
    assert shown(ViewFilter(Filter(comms=("s*",)))) == ["/c"]
    assert shown(ViewFilter(Filter(comms=("nothing",)), START + 2)) == ["/b", "/c"], "the kernel matched these"
    assert shown(pattern="passwd|/c") == ["/etc/passwd", "/c"]
    assert shown(ViewFilter(Filter(pids=(41,))), "!passwd") == ["/c"]


def test_it_is_counted_as_an_event_wherever_events_are() -> None:
    overview = Overview()
    overview.feed(Batch("opens", START + 1, tuple(opened(0.5) for _ in range(30))))
    overview.feed(Batch("opens", START + 2, (opened(2),)))
    assert overview.events_per_second > 0
    index = Index()
    index.add(map(opened, range(5)), 5)
    assert index.before(1) == EventCounts({"open": 5})
    log = OpenLog()
    log.begin_after(EventCounts({"open": 12}))
    log.feed(Batch("opens", START, (opened(1),)))
    assert (log.ring.first, log.ring.end) == (12, 13)
