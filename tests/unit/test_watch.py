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
from ebpftop.core.records import Cost, Header, Record, Trace
from ebpftop.core.source import UsageError
from ebpftop.lifecycle.invoker import User
from ebpftop.lifecycle.run_command import CommandRunner
from ebpftop.models.watch import Match, Watch, Watches, compile_watch, summary_of
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
    return Match(Watch("exit.core", {}), record, 200.0)


def test_only_what_matches_is_found_counted_and_marked() -> None:
    watches = watch_exits()
    found = watches.feed((PROGRAM, END, CRASH))
    assert [match.record for match in found] == [CRASH]
    assert (watches.watches[0].count, watches.watches[0].last) == (1, 200.0)
    assert list(watches.moments) == [200.0]


def test_a_watch_is_added_once_and_goes_without_its_marks() -> None:
    watches = watch_exits()
    watches.add(compile_watch('exit.signal == "SIGSEGV"'))
    assert len(watches.watches) == 1
    watches.feed((CRASH,))
    watches.remove(watches.watches[0])
    assert not watches.feed((CRASH,))
    assert list(watches.moments) == [200.0]


def test_a_reading_that_goes_on_matching_matches_once() -> None:
    watches = Watches([compile_watch("cost.user > 0.1")])
    high = [Cost(time=float(second), kernel=None, user=0.2, runs=None) for second in range(3)]
    low = Cost(time=5.0, kernel=None, user=0.0, runs=None)
    assert [match.time for match in watches.feed((*high, low, high[0]))] == [0.0, 0.0]


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
    from ebpftop.cli import parser

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
