"""The trace log folds ebpftop's own greetings into one row; nothing is lost by it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.core.printed import GREETING
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import PrintingProgram, Trace
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.tracelog import TraceLog


def line(at: int, message: str = GREETING, task: str = "sh") -> Trace:
    return Trace(time=100.0 + at, cpu=0, pid=50 + at, tid=50 + at, task=task, message=message)


def fed(*lines: Trace, capacity: int = 1000) -> TraceLog:
    log = TraceLog(capacity)
    log.feed(Batch("trace", 200.0, lines))
    return log


def test_greetings_are_one_row_and_other_lines_stand_alone() -> None:
    log = fed(line(0), line(1, "slow io"), line(2, task="cc"), line(3), line(4, "slow io"))
    assert [row.time - 100 for row in log.view.rows()] == [1, 3, 4]
    assert log.view.stands_for(log.view.rows()[1]) == 3
    assert log.view.stands_for(log.view.rows()[0]) == 0
    assert log.view.tasks == {"sh": 2, "cc": 1}
    assert log.view.hidden == 2


def test_one_greeting_is_a_line_like_others() -> None:
    log = fed(line(0))
    assert (log.view.hidden, log.view.stands_for(log.view.rows()[0])) == (0, 0)
    assert not log.view.toggle(log.view.rows()[0])


def test_the_selected_greeting_is_the_row_that_stands_for_it() -> None:
    log = fed(line(0), line(1, "slow io"), line(2))
    assert [log.view.position(sequence) for sequence in range(3)] == [1, 0, 1]


def test_a_line_of_another_program_with_the_same_words_stands_alone() -> None:
    ours, lesson = (PrintingProgram(id=at, name=name) for at, name in ((7, "ebpftop_hello_k"), (9, "hello")))
    greetings = [msgspec.structs.replace(line(at), program=ours) for at in range(2)]
    log = fed(*greetings, msgspec.structs.replace(line(2), program=lesson))
    assert [log.view.stands_for(row) for row in log.view.rows()] == [2, 0]
    assert "hello #9" in log.searchable(log.view.rows()[1])
    log.apply_filter(ViewFilter(), log.language.parse("program:hello*"))
    while log.view.scan(2):
        pass
    assert [row.program for row in log.view.rows()] == [lesson]


lines = st.lists(st.sampled_from([(GREETING, "sh"), (GREETING, "cc"), ("slow io", "sh")]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(lines, st.sampled_from(["", "toggle", "sh", "io", "clear"])), max_size=6), st.integers(2, 9))
def test_rows_shown_and_hidden_are_all_lines(batches: list[tuple[list[tuple[str, str]], str]], capacity: int) -> None:
    log = TraceLog(capacity)
    at = 0
    for given_lines, then in batches:
        records = tuple(line(at + i, *text) for i, text in enumerate(given_lines))
        at += len(records)
        log.feed(Batch("trace", 200.0, records))
        if then == "toggle" and len(log.view):
            log.view.toggle(log.view.rows()[-1])
        elif then:
            log.apply_filter(ViewFilter(), None if then == "clear" else log.language.parse(then))
            while log.view.scan(2):
                pass
        kept = log.ring.slice(log.ring.first, log.ring.end)
        matching = [row for row in kept if log.query is None or log.query.matches(row)]
        assert log.view.all_rows() == matching
        greetings = [row for row in matching if row.message == GREETING]
        others = [row for row in matching if row.message != GREETING]
        shown = matching if log.view.is_opened else sorted((*others, *greetings[-1:]), key=lambda row: row.time)
        assert log.view.rows() == shown
        assert len(log.view) + log.view.hidden == len(matching)
        assert log.view.tasks.total() == len(greetings)
