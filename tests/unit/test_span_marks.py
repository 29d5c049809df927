"""Which two spans are compared, of what is marked."""

from __future__ import annotations

import pytest

from ebpftop.models.span_marks import Marked, SpanMarks

HISTORY = (100.0, 1000.0)


def compared(now: float, *marks: Marked, box: tuple[float, float] | None = None) -> object:
    marked = SpanMarks()
    for mark in marks:
        marked.toggle(mark)
    return marked.compared(HISTORY, now, box)


def test_one_mark_compares_what_follows_with_as_long_before() -> None:
    assert compared(700.0, Marked(500.0)) == ((300.0, 500.0), (500.0, 700.0))
    assert compared(1000.0, Marked(500.0)) == ((100.0, 500.0), (500.0, 1000.0)), "no longer than the history"


def test_two_marks_compare_what_follows_each() -> None:
    assert compared(900.0, Marked(700.0), Marked(400.0)) == ((400.0, 700.0), (700.0, 900.0))


def test_at_a_moment_before_the_mark_it_goes_to_the_end_of_the_history() -> None:
    assert compared(500.0, Marked(500.0)) == ((100.0, 500.0), (500.0, 1000.0))
    assert compared(300.0, Marked(800.0)) == ((600.0, 800.0), (800.0, 1000.0))


def test_spans_are_compared_as_they_are() -> None:
    assert compared(1000.0, Marked(600.0, 700.0), Marked(200.0, 300.0)) == ((200.0, 300.0), (600.0, 700.0))
    assert compared(1000.0, Marked(600.0, 700.0)) == ((500.0, 600.0), (600.0, 700.0))
    assert compared(1000.0, Marked(300.0), Marked(600.0, 700.0)) == ((300.0, 600.0), (600.0, 700.0))


def test_a_span_that_is_shown_need_not_be_marked_if_nothing_is() -> None:
    assert compared(700.0, box=(600.0, 700.0)) == ((500.0, 600.0), (600.0, 700.0))
    assert compared(900.0, Marked(500.0), box=(600.0, 700.0)) == ((100.0, 500.0), (500.0, 900.0))


def test_nothing_marked_is_nothing_compared() -> None:
    assert compared(700.0) is None


@pytest.mark.parametrize(("at", "says"), [(1000.0, "Wait a little"), (100.0, "mark a later moment")])
def test_an_empty_span_says_what_to_do(at: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compared(1000.0, Marked(at))


def test_a_mark_is_removed_by_itself_and_a_third_takes_the_place_of_the_oldest() -> None:
    marks = SpanMarks()
    assert marks.moments() == {}
    assert [marks.toggle(Marked(at)) for at in (500.0, 200.0, 500.4, 600.0, 300.0)] == [True, True, False, True, True]
    assert marks.moments() == {300.0: "Marked: A begins here", 600.0: "Marked: B begins here"}
