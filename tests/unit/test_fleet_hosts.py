"""One host of a fleet: what is counted, in which state it is, what its panes begin with."""

from __future__ import annotations

import time

import pytest

from ebpftop.fleet.figures import Clock, Pace
from ebpftop.fleet.host import PENDING_MAX, Host
from ebpftop.fleet.kept import Kept
from ebpftop.fleet.merged import ROWS_A_TICK, MergedLog
from ebpftop.fleet.rows import GONE_S, STALE_S, EndRow
from ebpftop.fleet.trouble import Trouble, trouble_of
from tests.fleet_samples import calls_line, cost_line, exec_line, exit_line, header, line

GONE = Trouble("gone", "the connection was closed", "")


def host_with(*lines: bytes, now_s: float = 0.0) -> Host:
    host = Host("web1", 0.0)
    host.take(b"".join(lines), now_s)
    return host


def test_it_is_connecting_until_the_first_record() -> None:
    host = Host("web1", 0.0)
    assert host.row.state == "connecting"
    assert not host.row.opens
    host.take(header(), 1.0)
    assert (host.row.state, host.row.kernel, host.row.opens) == ("up", "6.18.44", True)


def test_execs_and_failures_are_counted_each_second() -> None:
    host = host_with(header())
    host.tick(0.0)
    for second in range(1, 4):
        host.take(exec_line(1) + exec_line(2) + exec_line(3, ret=-2), float(second))
        host.tick(float(second))
    assert (host.row.execs, host.row.failures) == (2.0, 1.0)


def test_a_rate_is_that_of_the_last_three_seconds() -> None:
    pace = Pace()
    for second, total in enumerate((0, 100, 100, 100, 100)):
        pace.sample(float(second), total)
    assert pace.rate == 0.0


def test_calls_each_second_are_those_between_two_readings_whole_or_not() -> None:
    host = host_with(header(), calls_line([(0, 100, 10), (1, 50, 0)], time=10.0))
    host.take(calls_line([(0, 300, 50)], time=12.0, whole=False), 1.0)
    assert (host.row.calls, host.row.errors) == (100.0, 20.0)
    host.take(calls_line([(0, 300, 50), (1, 150, 0)], time=14.0), 2.0)
    assert (host.row.calls, host.row.errors) == (50.0, 0.0)


def test_a_new_run_of_ebpftop_is_not_subtracted_from_the_old_one() -> None:
    host = host_with(header(), calls_line([(0, 900, 0)], time=10.0))
    host.take(header() + calls_line([(0, 5, 0)], time=12.0), 1.0)
    assert host.row.calls is None


def test_losses_are_summed_over_probes_and_places_and_cost_over_its_parts() -> None:
    lost = [
        line("lost", time=1.0, probe=p, where=w, count=c) for p, w, c in (("execs", "ring", 3), ("users", "map", 4))
    ]
    host = host_with(header(), *lost, lost[0], cost_line())
    assert host.row.lost == 7
    assert host.row.cost == pytest.approx(0.03)


def test_it_is_stale_then_gone_and_up_again_with_the_next_record() -> None:
    host = host_with(header(), now_s=10.0)
    states: list[str] = []
    for now_s in (10.0 + STALE_S, 10.1 + STALE_S, 10.2 + STALE_S + GONE_S):
        host.tick(now_s)
        states.append(host.row.state)
    assert host.row.since_s == 10.0
    host.take(cost_line(), 100.0)
    assert [*states, host.row.state] == ["up", "stale", "gone", "up"]


def test_of_a_host_that_is_gone_no_rate_is_shown() -> None:
    host = host_with(header(), calls_line([(0, 1, 0)], time=1.0), calls_line([(0, 2, 0)], time=2.0), cost_line())
    assert host.row.calls == 1.0
    host.ended(GONE, 5.0, 6.0)
    row = host.row
    assert (row.state, row.execs, row.cost, row.retry_s) == ("gone", None, None, 6.0)
    assert row.calls is None


def test_what_never_was_there_is_not_gone() -> None:
    host = Host("web1", 0.0)
    host.ended(GONE, 5.0, None)
    assert host.row.state == "failed"


def test_a_trouble_stays_while_it_is_tried_again_and_its_time_is_that_of_the_first() -> None:
    host = Host("web1", 0.0)
    refused = trouble_of("web1", 255, b"ssh: connect to host web1 port 22: Connection refused\r\n")
    host.ended(refused, 5.0, 6.0)
    host.connecting()
    assert (host.row.state, host.row.since_s) == ("refused", 5.0)
    host.ended(refused, 9.0, 11.0)
    assert host.row.since_s == 5.0


def test_the_record_that_came_soonest_tells_the_clock() -> None:
    clock = Clock()
    for delay in (0.8, 0.1, 2.0):
        clock.take(1000.0 + 30.0, 0.0, 1000.0 + delay)
    assert clock.ahead_s == pytest.approx(29.9)
    assert Clock().ahead_s is None


def test_a_clock_that_was_set_right_is_right_after_a_minute() -> None:
    clock = Clock()
    clock.take(1030.0, 100.0, 1000.0)
    for second in range(131, 200, 10):
        clock.take(1000.0 + second, float(second), 1000.0 + second)
    assert clock.ahead_s == 0.0


def test_a_probe_that_failed_is_said_until_it_is_on() -> None:
    failed = line("probe", time=1.0, probe="syscalls", state="failed", via=None, reason="EPERM", remedy="be root")
    host = host_with(header(), failed)
    assert (host.row.said, host.row.remedy) == ("probe syscalls failed: EPERM", "be root")
    host.take(line("probe", time=2.0, probe="syscalls", state="on", via="raw_tp", reason=None), 1.0)
    assert host.row.said == ""


# What is hostile.


def test_lines_that_are_no_records_are_counted_and_hide_no_other() -> None:
    host = host_with(header(), b"garbage\n", b'{"kind":"nothing that is known"}\n', exec_line(1), b"{\n", b"\xff\xfe\n")
    assert host.figures.execs == 1
    assert host.row.broken == 4


def test_a_host_that_sends_something_else_is_not_about_to_come() -> None:
    host = Host("web1", 0.0)
    for _ in range(20):
        host.take(b"Welcome to web1\n", 1.0)
    host.tick(2.0)
    assert host.row.state == "connecting", "a greeting"
    for _ in range(200):
        host.take(b"y\n", 2.0)
    host.tick(3.0)
    assert (host.row.state, host.row.said) == ("failed", "what comes is no record of ebpftop")
    host.take(header(), 4.0)
    host.tick(4.0)
    assert (host.row.state, host.row.said) == ("up", "")


@pytest.mark.parametrize(
    "bad",
    [
        b'{"kind":"cost","time":1,"user":1e400}\n',
        b'{"kind":"cost","time":1,"user":-1}\n',
        b'{"kind":"exec","time":1e300,"pid":1}\n',
        b'{"kind":"exec","time":1,"pid":' + b"9" * 4000 + b"}\n",
        b'{"kind":"lost","time":1,"probe":"x","where":"y","count":' + b"9" * 30 + b"}\n",
        b'{"kind":"exec","time":"now"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_values_that_no_record_has_are_refused(bad: bytes) -> None:
    host = host_with(header(), bad)
    assert host.row.broken == 1
    assert host.row.state == "up"


def test_many_totals_near_the_end_of_integers_still_fit_into_a_message() -> None:
    lost = [line("lost", time=1.0, probe=str(at), where="ring", count=(1 << 63) - 1) for at in range(300)]
    assert host_with(header(), *lost).row.lost == (1 << 63) - 1


def test_escapes_in_what_a_host_says_are_shown_and_never_drawn() -> None:
    host = host_with(
        header(kernel="6\x1b[31m", version="\x07"), exec_line(1, "\x1b]0;title\x07", "a\nb", user="\x1b[2J")
    )
    rows = MergedLog().rows([host])
    assert "\\x1b[31m" in host.row.kernel
    for text in (rows[0].command, rows[0].user, rows[0].comm, host.row.kernel, host.row.version):
        assert text is not None
        assert text.isprintable()


def test_the_log_has_room_for_each_host_whatever_one_of_them_sends() -> None:
    flood, quiet = Host("flood", 0.0), Host("quiet", 0.0)
    flood.take(header() + b"".join(exec_line(pid) for pid in range(1000)), 0.0)
    quiet.take(header() + exec_line(7, "rare"), 0.0)
    log = MergedLog()
    rows = log.rows([flood, quiet])
    assert [row.command for row in rows if row.host == "quiet"] == ["rare"]
    assert len(rows) <= ROWS_A_TICK
    assert len(rows) + log.left_out == 1001
    assert flood.figures.execs == 1000
    assert len(flood.started) + len(flood.failed) <= PENDING_MAX


def test_two_floods_share_the_log() -> None:
    floods = [Host(name, 0.0) for name in ("a", "b")]
    for host in floods:
        host.take(header() + b"".join(exec_line(pid) for pid in range(1000)), 0.0)
    rows = MergedLog().rows(floods)
    assert [sum(row.host == name for row in rows) for name in ("a", "b")] == [ROWS_A_TICK // 2] * 2


def test_programs_that_failed_come_into_the_log_before_others() -> None:
    flood = Host("flood", 0.0)
    flood.take(header() + exec_line(1, "lost", ret=-2) + b"".join(exec_line(pid) for pid in range(2, 1000)), 0.0)
    assert "lost" in [row.command for row in MergedLog().rows([flood])]


def test_how_a_program_ends_is_told_whether_it_ends_before_its_row_is_made_or_after() -> None:
    host = host_with(header(), exec_line(1), exec_line(2), exit_line(1, 3))
    log = MergedLog()
    first, second = log.rows([host])
    assert [(end.id, end.code) for end in log.ends([host])] == [(first.id, 3)]
    host.take(exit_line(2, None, signal="SIGKILL"), 1.0)
    assert [(end.id, end.signal) for end in log.ends([host])] == [(second.id, "SIGKILL")]


def test_what_ran_before_a_host_came_back_runs_on_only_if_it_says_so() -> None:
    host = host_with(header(), exec_line(1, "server"), exec_line(2, "job"), exec_line(3, "lost"))
    log = MergedLog()
    numbers = {row.command: row.id for row in log.rows([host])}
    again = [line("process", pid=1, start_ns=1000), line("process", pid=2, start_ns=99)]  # 2 is another one now
    host.take(header() + b"".join(again), 1.0)
    assert log.ends([host]) == []
    host.take(cost_line(), 2.0)
    assert sorted(log.ends([host]), key=lambda end: end.id) == [
        EndRow(numbers["job"], None, None, None),
        EndRow(numbers["lost"], None, None, None),
    ]
    host.take(exit_line(1, 0), 3.0)
    assert [(end.id, end.code) for end in log.ends([host])] == [(numbers["server"], 0)]


# What its panes begin with.


def kept_lines(host: Host) -> list[bytes]:
    return b"".join(host.kept.lines()).splitlines(keepends=True)


def test_its_panes_begin_with_the_header_and_all_that_came() -> None:
    came = [header(), exec_line(1), exec_line(2), calls_line([(0, 1, 0)]), exit_line(1)]
    host = Host("web1", 0.0)
    for one in came:
        host.take(one, 0.0)
    assert kept_lines(host) == came


def test_a_program_that_still_runs_is_kept_however_much_came_since() -> None:
    host = Host("web1", 0.0, recent_bytes=2_000)
    host.take(header(), 0.0)
    host.take(exec_line(1, "daemon"), 0.0)
    for pid in range(2, 200):
        host.take(exec_line(pid) + exit_line(pid), 0.0)
    kept = kept_lines(host)
    assert kept[1] == exec_line(1, "daemon")
    assert sum(map(len, kept)) < 6_000


def test_a_partial_reading_is_kept_with_all_since_the_whole_one_before_it() -> None:
    host = host_with(header(), calls_line([(0, 1, 0), (1, 1, 0)]))
    parts = [calls_line([(0, count, 0)], time=5.0, whole=False) for count in (2, 3)]
    for part in parts:
        host.take(part, 0.0)
    assert [one for one in kept_lines(host) if b"syscalls" in one] == [calls_line([(0, 1, 0), (1, 1, 0)]), *parts]
    host.take(calls_line([(0, 9, 0)]), 0.0)
    assert [one for one in kept_lines(host) if b"syscalls" in one] == [calls_line([(0, 9, 0)])]


def test_what_is_kept_is_bounded_whatever_comes() -> None:
    kept = Kept(10_000)
    kept.begin(b"{}")
    for number in range(20_000):
        kept.next()
        kept.started(number, 0, b"x" * 1_000)
        kept.named("lost", str(number), line=b"y" * 10)
        kept.reading("syscalls", b"z" * 1_000, whole=not number)
        kept.add(b"e" * 100)
    assert sum(map(len, kept.lines())) < 6 << 20


def test_taking_a_flood_of_records_takes_microseconds_each() -> None:
    """Not a benchmark: a loop over all that was kept, at each record, would take minutes."""
    host = host_with(header())
    lines = b"".join(exec_line(pid) + exit_line(pid) for pid in range(500))
    began_s = time.process_time()
    for _ in range(40):
        host.take(lines, 0.0)
    assert time.process_time() - began_s < 30.0
