"""Columns of execve calls that the tables of users, units, containers, cgroups and programs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ebpftop.ui.panes.common import number, rate
from ebpftop.ui.widgets.columns import Column, SortKey

Row = TypeVar("Row")


def rate_columns(
    each_second: Callable[[Row], float], failed: Callable[[Row], float], order: Callable[[Row], SortKey]
) -> tuple[Column[Row], Column[Row]]:
    """How many there are a second, and how many of these fail; the first is sorted by *order*."""
    return (
        Column(
            "rate",
            "EXECS/s",
            7,
            lambda row, _: rate(each_second(row)),
            right=True,
            sort=order,
            about="execve calls per second, over the last reading, those that failed included.",
            exported="execs_per_s",
        ),
        Column(
            "failed_rate",
            "FAIL/s",
            6,
            lambda row, _: rate(failed(row), "bad"),
            right=True,
            rank=1,
            sort=failed,
            about="How many of these did not start a program, per second: each attempt of a search in PATH is one.",
            exported="failed_per_s",
        ),
    )


def total_columns(
    execs: Callable[[Row], int], failed: Callable[[Row], int], *, since: str, rank: int
) -> tuple[Column[Row], Column[Row]]:
    """How many there were *since* then, and how many of these failed."""
    return (
        Column(
            "execs",
            "EXECS",
            6,
            lambda row, _: number(execs(row)),
            right=True,
            rank=rank,
            sort=execs,
            about=f"execve calls since {since}, or since the filter was set, those that failed included.",
        ),
        Column(
            "failed",
            "FAILED",
            7,
            lambda row, _: number(failed(row), "bad"),
            right=True,
            rank=rank + 1,
            sort=failed,
            about="How many of these did not start a program.",
        ),
    )
