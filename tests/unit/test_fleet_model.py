"""The list of hosts: what is wrong first, in an order that holds; and the merged log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ebpftop.fleet.fields import hosts_language, log_language
from ebpftop.fleet.model import ORDER_EVERY_S, FleetModel, Logged
from ebpftop.fleet.rows import SEVERITY, EndRow, HostRow, HostState, LogRow, News


def host(name: str, state: HostState = "up", **fields: Any) -> HostRow:
    known: dict[str, Any] = {"last_s": 0.0, "execs": 1.0, "failures": 0.0}
    return HostRow(name, state, **(known | fields))


def started(number: int, name: str = "web1", pid: int = 7, **fields: Any) -> LogRow:
    row = LogRow(number, name, 1000.0 + number, pid, 70, 0, None, 0, "root", "true", "true x")
    return msgspec.structs.replace(row, **fields)


def order(model: FleetModel) -> list[str]:
    return [row.name for row in sorted(model.rows(), key=model.urgency, reverse=True)]


def test_what_is_wrong_comes_first() -> None:
    model = FleetModel()
    hosts = (
        host("a"),
        host("b", failures=3.0),
        host("c", clock_s=30.0),
        host("d", "stale"),
        host("e", "no root"),
        host("f", "gone"),
        host("g", "connecting"),
    )
    model.take([News(hosts=hosts)], 0.0)
    assert order(model) == ["f", "e", "d", "g", "c", "b", "a"]


def test_each_state_has_its_place() -> None:
    assert min(SEVERITY.values()) == SEVERITY["up"]
    assert max(SEVERITY.values()) == SEVERITY["gone"]


def test_the_order_holds_for_five_seconds_unless_a_state_changes() -> None:
    model = FleetModel()
    model.take([News(hosts=(host("a", failures=1.0), host("b")))], 0.0)
    model.take([News(hosts=(host("b", failures=9.0),))], 1.0)
    assert order(model) == ["a", "b"]
    model.take([], ORDER_EVERY_S)
    assert order(model) == ["b", "a"]
    model.take([News(hosts=(host("a", "stale"),))], ORDER_EVERY_S + 1)
    assert order(model) == ["a", "b"]


def test_a_host_that_is_not_in_the_news_stays_and_ages() -> None:
    model = FleetModel()
    model.take([News(hosts=(host("a", last_s=10.0),))], 11.0)
    model.take([], 31.0)
    assert model.age_s(model.hosts["a"]) == 21.0


def test_processes_of_two_hosts_with_one_pid_are_two() -> None:
    model = FleetModel()
    model.take([News(log=(started(0, "web1"), started(1, "web2")))], 0.0)
    model.take([News(ends=(EndRow(1, 3, None, 0.5),))], 1.0)
    first, second = model.view.rows()
    assert first.key != second.key
    assert first.end is None
    assert second.end is not None
    assert second.end.code == 3


def test_the_end_of_a_row_that_is_not_kept_any_more_is_nothing() -> None:
    model = FleetModel()
    model.ring.capacity = 2
    model.take([News(log=tuple(started(number) for number in range(5)))], 0.0)
    model.take([News(ends=(EndRow(0, 1, None, None), EndRow(4, 1, None, None), EndRow(99, 1, None, None)))], 1.0)
    assert [row.end is not None for row in model.view.rows()] == [False, True]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("host:web*", ["web1", "web2"]),
        ("state:gone", ["web2"]),
        ("!host:web*", ["db1"]),
        ("fail:>2", ["db1"]),
        ("lost:>0", ["db1"]),
        ("clock:>1s", ["web1"]),
        ("age:>5s", ["web2"]),
        ("^db", ["db1"]),
        ("closed", ["web2"]),
    ],
)
def test_hosts_are_filtered_by_the_language_of_all_lists(text: str, names: list[str]) -> None:
    model = FleetModel()
    hosts = (
        host("web1", last_s=99.0, clock_s=-3.0),
        host("web2", "gone", said="the connection was closed", last_s=10.0),
        host("db1", last_s=99.0, failures=5.0, dropped=2),
    )
    model.take([News(hosts=hosts)], 100.0)
    query = hosts_language(model).parse(text)
    assert query is not None
    assert sorted(row.name for row in model.rows() if query.matches(row)) == sorted(names)


@pytest.mark.parametrize(
    ("text", "matches"),
    [("host:web*", True), ("host:db*", False), ("comm:tr*", True), ("user:root pid:7", True), ("exit:1", False)],
)
def test_the_merged_log_is_too(text: str, matches: bool) -> None:
    query = log_language().parse(text)
    assert query is not None
    assert query.matches(Logged(started(0))) is matches
