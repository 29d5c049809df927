"""Watches, and what is done about a match: a command, a saved minute."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest

from ebpftop.commands.when import runner_of
from ebpftop.core.records import Cost, Header, Record
from ebpftop.core.source import UsageError
from ebpftop.core.syscall_records import InFlight, SyscallRow, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import UserRow, Users
from ebpftop.lifecycle.invoker import User
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.match_words import summary_of
from ebpftop.models.watch import Match, Watch, Watches, compile_watch
from ebpftop.recording import zstd_frames
from ebpftop.recording.parse import read_lines
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import History
from ebpftop.sources.when import WhenActions
from tests.unit.test_model_execlog import END, PROGRAM

CRASH = msgspec.structs.replace(END, code=None, signal="SIGSEGV", core=True, time=200.0)


def watch_exits() -> Watches:
    return Watches([compile_watch('exit.signal == "SIGSEGV"')])


def match_of(record: Record) -> Match:
    return Match(Watch("exit.core", {}), record, 200.0, summary_of(record))


def test_only_what_matches_is_found_counted_and_marked() -> None:
    watches = watch_exits()
    found = watches.feed((PROGRAM, END, CRASH))
    assert [match.record for match in found] == [CRASH]
    assert (watches.watches[0].count, watches.watches[0].last) == (1, 200.0)
    assert watches.moments == {200.0: "sleep[50] ended: SIGSEGV, core dumped after 3.00s"}


def test_a_watch_is_added_once_and_goes_without_its_marks() -> None:
    watches = watch_exits()
    watches.add(compile_watch('exit.signal == "SIGSEGV"'))
    assert len(watches.watches) == 1
    watches.feed((CRASH,))
    watches.remove(watches.watches[0])
    assert not watches.feed((CRASH,))
    assert watches.moments == {200.0: "sleep[50] ended: SIGSEGV, core dumped after 3.00s"}


def test_a_reading_that_goes_on_matching_matches_once() -> None:
    watches = Watches([compile_watch("cost.user > 0.1")])
    high = [Cost(time=float(second), kernel=None, user=0.2, runs=None) for second in range(3)]
    low = Cost(time=5.0, kernel=None, user=0.0, runs=None)
    assert [match.time for match in watches.feed((*high, low, high[0]))] == [0.0, 0.0]


def users(time: float, **failed: int) -> Users:
    rows = (UserRow(uid=uid, user=user, execs=9_000, failed=count) for uid, (user, count) in enumerate(failed.items()))
    return Users(time=time, rows=tuple(rows))


def summaries(watches: Watches, *records: Record) -> list[str]:
    return [match.summary for match in watches.feed(records)]


def test_a_match_says_which_rows_of_a_reading_matched_and_their_figures() -> None:
    watches = Watches([compile_watch("users.rows.exists(u, u.failed > 1000 && u.execs > 5 && u.user != null)")])
    first = users(1.0, root=1001, ada=4, bob=2_000)
    assert summaries(watches, first) == ["users: root: failed 1,001, execs 9,000; bob: failed 2,000, execs 9,000"]
    # The same rows match no more, another one does.
    assert summaries(watches, first, users(2.0, root=1002, ada=1003, bob=2_000)) == [
        "users: ada: failed 1,003, execs 9,000"
    ]
    # Once a row did not match, it may again.
    assert summaries(watches, users(3.0, root=0, ada=1003, bob=0), users(4.0, root=1001, ada=1003, bob=0)) == [
        "users: root: failed 1,001, execs 9,000"
    ]
    assert watches.moments == {
        1.0: "users: root: failed 1,001, execs 9,000; bob: failed 2,000, execs 9,000",
        2.0: "users: ada: failed 1,003, execs 9,000",
        4.0: "users: root: failed 1,001, execs 9,000",
    }


def test_many_rows_are_counted() -> None:
    watches = Watches([compile_watch("users.rows.exists(u, u.failed > 0)")])
    (words,) = summaries(watches, users(1.0, **{f"user{number}": 7 for number in range(50)}))
    assert words == "users: user0: failed 7; user1: failed 7; user2: failed 7; 47 rows more"
    (words,) = summaries(watches, users(2.0), users(3.0, **{"long" * 300: 7, **{f"u{n}": 7 for n in range(50)}}))
    assert len(words) == 200
    assert words.endswith("…; 48 rows more")


WAITING = InFlight(pid=9, tid=9, comm="db", abi="x86_64", nr=0, name="read", ns=12_000_000_000)
ROW = SyscallRow(
    abi="x86_64", nr=0, name="read", count=9, errors=2, max_ns=3_400_000, errnos={"EIO": 2}, histogram_ns=()
)
COST = Cost(time=1.0, kernel=None, user=0.25, runs=7)
CALLS = Syscalls(time=3.0, rows=(ROW,), in_flight=(WAITING,), families={"exec": 4})


@pytest.mark.parametrize(
    ("record", "text", "words"),
    [
        (Cost(time=1.0, kernel=None, user=0.25, runs=None), "cost.user > 0.2", "cost: user 0.25"),
        (
            Cost(time=1.0, kernel=None, user=0.25, runs=7),
            "cost.kernel == null && cost.runs < 9",
            "cost: kernel null, runs 7",
        ),
        (CALLS, "syscalls.in_flight.exists(c, c.ns > 10s)", "syscalls: in flight: read of db[9]: 12.0s"),
        (CALLS, 'syscalls.rows.exists(c, c.max_ns > 1ms && c.name == "read")', "syscalls: read: max 3.4ms"),
        (CALLS, 'syscalls.rows.exists(c, c.errnos["EIO"] > 0)', "syscalls: read: errnos[EIO] 2"),
        (CALLS, 'syscalls.rows.exists(c, c.name == "read")', "syscalls: read"),
        (CALLS, "syscalls.rows.all(c, c.errors < 3)", "a reading of syscalls"),
        (CALLS, "syscalls.families.exec > 3", "syscalls: families.exec 4"),
        (CALLS, "syscalls.rows[0].errors > 1 || lost.count > 0", "syscalls: rows[0].errors 2"),
        (CALLS, "syscalls.rows.size() > 0", "syscalls: size(rows) 1"),
        (
            CALLS,
            "syscalls.rows.exists(c, c.errors > 9) || syscalls.in_flight.exists(c, !c.running)",
            "syscalls: in flight: read of db[9]: running false",
        ),
    ],
)
def test_a_match_says_which_figures_of_a_reading_matched(record: Record, text: str, words: str) -> None:
    assert summaries(Watches([compile_watch(text)]), record) == [words]


def test_a_watch_that_is_added_lets_the_others_say_nothing_again() -> None:
    watches = Watches([compile_watch("users.rows.exists(u, u.failed > 0)")])
    assert len(summaries(watches, users(1.0, root=1))) == 1
    watches.add(compile_watch("cost.user > 5"))
    assert summaries(watches, users(2.0, root=1)) == []


def test_another_call_that_hangs_is_another_match() -> None:
    watches = Watches([compile_watch("syscalls.in_flight.exists(c, c.ns > 10s)")])
    other = msgspec.structs.replace(WAITING, tid=10, name="futex")
    both = msgspec.structs.replace(CALLS, in_flight=(WAITING, other))
    assert summaries(watches, CALLS, CALLS, both, both) == [
        "syscalls: in flight: read of db[9]: 12.0s",
        "syscalls: in flight: futex of db[9]: 12.0s",
    ]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (PROGRAM, "sleep[50] started: sleep 9"),
        (msgspec.structs.replace(PROGRAM, ret=-2, error="ENOENT"), "sleep[50] could not start /usr/bin/sleep: ENOENT"),
        (CRASH, "sleep[50] ended: SIGSEGV, core dumped after 3.00s"),
        (Trace(time=1.0, cpu=0, pid=3, task="sh", message="hello"), "sh[3] printed: hello"),
    ],
)
def test_a_match_is_summed_up_in_a_line(record: Record, words: str) -> None:
    assert summary_of(record) == words


def test_a_summary_is_short_however_long_a_command_line_is() -> None:
    assert len(summary_of(msgspec.structs.replace(PROGRAM, argv=("x" * 100_000,)))) == 200


# The command.


def run_and_read(tmp_path: Path, record: Record, user: User | None = None) -> dict[str, str]:
    out = tmp_path / "out"
    program = "import json,os,sys; print(json.dumps(dict(os.environ, stdin=sys.stdin.read())))"
    with out.open("wb") as file:
        runner = CommandRunner(f"{sys.executable} -c '{program}'", 10.0, output_fd=file.fileno(), user=user)
        actions = WhenActions(lambda _: None, runner)
        actions.matched((match_of(record),))
        actions.finish(20.0)
    found: dict[str, str] = json.loads(out.read_text())
    return found


def test_a_command_gets_the_record_on_stdin_and_in_variables(tmp_path: Path) -> None:
    found = run_and_read(tmp_path, CRASH)
    assert json.loads(found["stdin"])["signal"] == "SIGSEGV"
    assert found["EBPFTOP_SIGNAL"] == "SIGSEGV"
    assert found["EBPFTOP_CODE"] == ""
    assert found["EBPFTOP_CORE"] == "true"
    assert found["EBPFTOP_KIND"] == "exit"
    assert found["EBPFTOP_WHEN"] == "exit.core"
    assert found["EBPFTOP_SKIPPED"] == "0"


def test_a_record_cannot_run_anything_or_fill_the_environment(tmp_path: Path) -> None:
    hostile = msgspec.structs.replace(CRASH, comm="$(touch /tmp/x); `id`\n'\"")
    found = run_and_read(tmp_path, hostile)
    assert found["EBPFTOP_COMM"] == hostile.comm
    long = msgspec.structs.replace(CRASH, comm="x" * (1 << 20))
    assert len(run_and_read(tmp_path, long)["EBPFTOP_COMM"]) == 4096


def test_the_home_of_the_command_is_that_of_the_user_behind_sudo(tmp_path: Path) -> None:
    found = run_and_read(tmp_path, CRASH, User(65534, 65534, (), "nobody"))
    assert (found["USER"], found["HOME"]) == ("nobody", os.path.expanduser("~nobody"))


def test_matches_in_quick_succession_run_it_once_and_are_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as file:
        runner = CommandRunner("sh -c 'echo $EBPFTOP_SKIPPED'", 0.05, output_fd=file.fileno())
        actions = WhenActions(lambda _: None, runner)
        actions.matched([match_of(CRASH)] * 500)
        actions.finish(20.0)
        while not runner.is_ready:
            time.sleep(0.01)
        actions.matched((match_of(CRASH),))
        actions.finish(20.0)
    assert out.read_text().split() == ["0", "499"]


@pytest.mark.parametrize("command", ["no-such-program-anywhere", "", "sh 'unclosed"])
def test_a_command_that_cannot_be_run_is_wrong_usage(command: str) -> None:
    with pytest.raises(UsageError, match="--when-run"):
        CommandRunner(command, 1.0, output_fd=None)


def test_that_a_command_failed_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    actions = WhenActions(said.append, CommandRunner("sh -c 'exit 3'", 1.0, output_fd=None))
    actions.matched((match_of(CRASH),))
    actions.finish(20.0)
    assert said == ["--when-run: sh returned 3"]


def test_an_action_without_a_watch_is_wrong_usage() -> None:
    from ebpftop.cli.commands import parser

    args = parser("stream").parse_args(["stream", "--when-exit"])
    assert args.when_exit == 4
    with pytest.raises(UsageError, match="no --when"):
        runner_of(args)


# The saved minute.


def test_the_minute_around_a_match_is_saved(tmp_path: Path) -> None:
    history = History(keep_s=1000.0)
    header = Header(schema=2, host="web1", started=100.0)
    for second in range(100, 300):
        line = Trace(time=float(second), cpu=0, pid=3, task="sh", message="x" * 100)
        history.add((line,))
    said: list[str] = []
    timeline = Timeline(header, history, history.index)
    actions = WhenActions(said.append, folder=str(tmp_path), timeline=timeline)
    actions.matched((match_of(CRASH), match_of(CRASH)))
    actions.pulse()
    assert not said  # its second half is still to come
    actions.finish(0.0)
    (file,) = tmp_path.iterdir()
    assert said == [f"saved the minute around it: {file}"]
    assert file.name.startswith("ebpftop-web1-")
    times = [
        record.time
        for record in read_lines(zstd_frames.zstd.decompress(file.read_bytes()))
        if isinstance(record, Trace)
    ]
    assert min(times) in (169.0, 170.0)
    assert 230.0 <= max(times) <= 232.0


def test_a_minute_that_cannot_be_saved_is_reported(tmp_path: Path) -> None:
    history = History()
    history.add((CRASH,))
    said: list[str] = []
    timeline = Timeline(Header(), history, history.index)
    actions = WhenActions(said.append, folder=str(tmp_path / "gone"), timeline=timeline)
    actions.matched((match_of(CRASH),))
    actions.finish(0.0)
    assert "cannot create" in said[0]
