"""Which columns each list has on a screen of some width: what matters most stays longest."""

from __future__ import annotations

from typing import Any

import pytest

from ebpftop.ui.panes import exec_columns, trace, user_columns
from ebpftop.ui.panes.syscall_columns import call_columns
from ebpftop.ui.widgets.columns import Column, fit, on_screen, without_middle
from ebpftop.ui.widgets.row_drawing import GUTTER

CALLS = call_columns(lambda _call, _now: (), lambda: False, lambda: 0, lambda: 0.0)


def shown(columns: tuple[Column[Any], ...], screen: int, pane: int | None = None, sorted_by: str = "") -> list[str]:
    hidden = frozenset(column.key for column in columns if column.hidden)
    fitting = fit(on_screen(columns, screen, {}, sorted_by), (pane or screen) - GUTTER, hidden, sorted_by=sorted_by)
    return [f"{slot.column.title} {slot.width}" for slot in fitting]


@pytest.mark.parametrize(
    ("screen", "pane", "expected"),
    [
        (60, 60, "DUR 6, OUTCOME 8, COMMAND 42"),
        (70, 70, "TIME 8, DUR 6, OUTCOME 8, USER 8, COMMAND 34"),
        (100, 100, "TIME 8, DUR 6, OUTCOME 8, USER 8, PID 7, COMMAND 56"),
        (110, 110, "TIME 12, DURATION 8, OUTCOME 8, USER 8, PID 7, PARENT 9, COMMAND 50"),
        (149, 149, "TIME 12, DURATION 8, OUTCOME 8, USER 8, PID 7, PARENT 9, COMMAND 89"),
        (150, 150, "TIME 12, DURATION 8, OUTCOME 8, USER 8, PID 7, PARENT 9, UNIT 11, COMMAND 78"),
        (160, 80, "TIME 12, DURATION 8, OUTCOME 8, USER 8, PID 7, COMMAND 30"),
    ],
)
def test_the_exec_log(screen: int, pane: int, expected: str) -> None:
    assert ", ".join(shown(exec_columns.COLUMNS, screen, pane)) == expected


def test_a_width_that_was_chosen_says_whether_there_is_room_for_milliseconds() -> None:
    (time, *_) = on_screen(exec_columns.COLUMNS, 80, {"time": 12})
    assert time is exec_columns.COLUMNS[0]
    (time, *_) = on_screen(exec_columns.COLUMNS, 200, {"time": 9})
    assert time.cell is not exec_columns.COLUMNS[0].cell


def test_what_a_list_is_sorted_by_is_shown_on_any_screen() -> None:
    assert "UNIT 11" in shown(exec_columns.COLUMNS, 80, sorted_by="unit")


@pytest.mark.parametrize(
    ("pane", "expected"),
    [
        (17, "USER"),
        (18, "USER, EXECS/s"),
        (20, "USER, EXECS/s"),
        (34, "USER, EXECS/s, FAIL/s, CALLS/s"),
        (40, "USER, EXECS/s, FAIL/s, CALLS/s, ERR%"),
        (49, "USER, EXECS/s, FAIL/s, TREND, CALLS/s, ERR%"),
        (56, "USER, EXECS/s, FAIL/s, TREND, CALLS/s, ERR%, TIME/s"),
        (61, "USER, EXECS/s, FAIL/s, TREND, RUNS, CALLS/s, ERR%, TIME/s"),
        (72, "USER, EXECS/s, FAIL/s, TREND, RUNS, CALLS/s, ERR%, TIME/s, LAST"),
        (87, "USER, EXECS/s, FAIL/s, TREND, RUNS, CALLS/s, ERR%, TIME/s, EXECS, FAILED, LAST"),
    ],
)
def test_users(pane: int, expected: str) -> None:
    assert ", ".join(title.rsplit(" ", 1)[0] for title in shown(user_columns.COLUMNS, 120, pane)) == expected


@pytest.mark.parametrize(
    ("pane", "expected"),
    [
        (26, "SYSCALL, CALLS/s, ERR%"),
        (43, "SYSCALL, CALLS/s, SHARE, ERR%, p99"),
        (67, "SYSCALL, CALLS/s, TREND, SHARE, ERR%, p50, p99, MAX"),
        (80, "SYSCALL, CALLS/s, TREND, TIME, SHARE, ERR%, p50, p90, p99, MAX"),
    ],
)
def test_system_calls(pane: int, expected: str) -> None:
    assert ", ".join(title.rsplit(" ", 1)[0] for title in shown(CALLS, 120, pane)) == expected


@pytest.mark.parametrize(
    ("screen", "expected"),
    [
        (40, "MESSAGE"),
        (60, "TIME 8, MESSAGE"),
        (80, "TIME 8, BY, MESSAGE"),
        (84, "TIME 8, BY, TASK, MESSAGE"),
        (92, "TIME 8, BY, TASK, PID, MESSAGE"),
        (120, "TIME 12, BY, TASK, PID, CPU, MESSAGE"),
    ],
)
def test_the_trace_log(screen: int, expected: str) -> None:
    titles = [title if title.startswith("TIME") else title.split()[0] for title in shown(trace.COLUMNS, screen)]
    assert ", ".join(titles) == expected


@pytest.mark.parametrize(
    ("path", "width", "expected"),
    [
        ("/usr/lib/libc.so.6", 18, "/usr/lib/libc.so.6"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", 18, "/usr/…u/libc.so.6"),
        ("/usr/lib/libc.so.6", 11, "/usr/lib/libc.so.6"),
    ],
)
def test_a_long_path_loses_its_middle(path: str, width: int, expected: str) -> None:
    assert without_middle(path, width) == expected
