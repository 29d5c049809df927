"""The types of what changed between two spans, as `ebpftop diff --json` writes them (docs/changed.md).

A span A is before, B after.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

SCHEMA = 1

MOVED = 1.2
"""What moved by less than this is the same."""

Mark: TypeAlias = Literal["+", "-", "up", "down", "same"]


class Row(msgspec.Struct, kw_only=True, frozen=True):
    """A figure in both spans. `what` it is: of `program`, `failed`, .. `before` and `after` are per second, of `p50`,
    `p90`, `p99` and `mean` ns, of `value` the number itself; null if it was not there, or is not known.

    `factor`: how many times more it is after, less than 1 if less; null if it appeared or vanished. `at_least`: how
    many times it moved at least, up or down, whatever chance did. `share`: of all of its kind,
    where that is larger; of a latency, of the time in calls.
    """

    mark: Mark
    what: str
    name: str
    before: float | None
    after: float | None
    factor: float | None
    at_least: float
    share: float
    count_before: int
    count_after: int
    program: str | None = None
    user: str | None = None
    uid: int | None = None
    unit: str | None = None
    call: str | None = None
    abi: str | None = None
    nr: int | None = None
    error: str | None = None
    distance: float | None = None
    """Of a latency: how far the histograms are apart, in doublings."""
    slices_before: tuple[float | None, ...] = ()
    slices_after: tuple[float | None, ...] = ()
    """The figure in each slice of the spans, which are of equal lengths but the last; None: not known."""
    histogram_before_ns: tuple[int, ...] = ()
    histogram_after_ns: tuple[int, ...] = ()


class Loss(msgspec.Struct, kw_only=True, frozen=True):
    """What was lost in a span, counted where it was lost."""

    probe: str
    where: str
    count: int


class Span(msgspec.Struct, kw_only=True, frozen=True):
    """One of the two spans: `begin` and `end` in Unix seconds; totals per second, null if not known. `events` and
    `runs` are those of a program of one's own."""

    name: str
    host: str
    kernel: str
    version: str
    begin: float
    end: float
    programs: float | None
    calls: float | None
    failed_calls: float | None
    lost: list[Loss]
    events: float | None = None
    runs: float | None = None


class Changed(msgspec.Struct, kw_only=True, frozen=True):
    """All of it. `rows` are sure, the one first that moved most; `few` were in one span only, too rarely to be sure.

    `same` are the others, within 20 percent or too few to say. `notes`: what makes the spans hard to compare.
    """

    schema: int
    a: Span
    b: Span
    notes: list[str]
    rows: list[Row]
    few: list[Row]
    same: list[Row]
