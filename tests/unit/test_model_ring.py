"""Rings of rows, and filtered views of them."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.models.ring import Ring, View

Row = TypeVar("Row")


def rows(view: View[Row]) -> list[Row]:
    return [view[position] for position in range(view.first, view.end)]


def even(n: int) -> bool:
    return n % 2 == 0


def test_rows_keep_their_sequence_numbers_when_old_ones_go() -> None:
    ring: Ring[int] = Ring(capacity=3)
    assert [ring.append(n) for n in (10, 11, 12, 13)] == [0, 1, 2, 3]
    assert (ring.first, ring.end, len(ring)) == (1, 4, 3)
    assert ring[3] == 13
    with pytest.raises(IndexError):
        ring[0]
    with pytest.raises(IndexError):
        ring[4]


def test_heavy_rows_push_out_more_than_one_but_never_themselves() -> None:
    ring: Ring[str] = Ring(capacity=100, budget=10)
    for name in "abcd":
        ring.append(name, 3)
    assert ring.slice(0, 9) == ["b", "c", "d"]
    ring.append("heavy", 50)
    assert ring.slice(0, 9) == ["heavy"]
    assert ring.weight == 50


def test_slice_takes_what_is_still_there() -> None:
    ring: Ring[int] = Ring(capacity=3)
    for n in range(5):
        ring.append(n)
    assert ring.slice(0, 4) == [2, 3]
    assert ring.slice(4, 2) == []


def test_view_without_filter_is_the_ring() -> None:
    ring: Ring[int] = Ring(capacity=3)
    view = View(ring)
    for n in range(5):
        ring.append(n)
    view.advance()
    assert (view.first, view.end) == (2, 5)
    assert view[4] == 4
    assert view.position(0) == 2


def test_a_new_filter_searches_newest_first_in_steps() -> None:
    ring: Ring[int] = Ring()
    for n in range(10):
        ring.append(n)
    view = View(ring)
    view.set_filter(even)
    assert len(view) == 0
    assert view.scan(4)
    assert rows(view) == [6, 8]
    assert view.scan(4)
    assert not view.scan(4)
    assert rows(view) == [0, 2, 4, 6, 8]


def test_positions_stay_while_older_rows_are_found_and_newer_come() -> None:
    ring: Ring[int] = Ring()
    for n in range(10):
        ring.append(n)
    view = View(ring)
    view.set_filter(even)
    view.scan(4)
    position = view.position(8)
    ring.append(10)
    view.advance()
    view.scan(100)
    assert view[position] == 8


def test_a_changed_row_goes_in_or_out() -> None:
    ring: Ring[list[int]] = Ring()
    for n in range(4):
        ring.append([n])
    view = View(ring)
    view.set_filter(lambda row: row[0] > 1)
    view.scan(100)
    ring[0][0] = 9
    view.recheck(0)
    ring[3][0] = 0
    view.recheck(3)
    assert rows(view) == [[9], [2]]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12),
    st.lists(st.one_of(st.integers(0, 99), st.just("scan"), st.just("filter"), st.just("all")), max_size=60),
)
def test_a_view_always_shows_exactly_what_the_filter_accepts(capacity: int, steps: list[int | str]) -> None:
    ring: Ring[int] = Ring(capacity)
    view = View(ring)
    for step in steps:
        if isinstance(step, int):
            ring.append(step)
            view.advance()
        elif step == "scan":
            view.scan(3)
        else:
            view.set_filter(even if step == "filter" else None)
    while view.scan(2):
        pass
    kept = ring.slice(ring.first, ring.end)
    assert rows(view) == [n for n in kept if even(n) or not view.filtered]


def test_rows_that_fall_out_of_the_ring_are_gone_from_a_filtered_view_before_it_advances() -> None:
    ring: Ring[int] = Ring(capacity=10)
    view = View(ring)
    view.set_filter(even)
    for n in range(10):
        ring.append(n)
    view.advance()
    for n in range(10, 17):
        ring.append(n)
    assert rows(view) == [8]
    view.advance()
    assert rows(view) == [8, 10, 12, 14, 16]
    for n in range(17, 40):
        ring.append(n)
    assert rows(view) == []
    assert len(view) == 0
