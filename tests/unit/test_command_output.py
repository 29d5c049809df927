"""What a command prints on a terminal of its own: read as it comes, within bounds, to its end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ebpftop.core.records import Lost, Probe, Record
from ebpftop.core.source import Batch
from ebpftop.lifecycle.started import NotStarted, StartedCommand
from ebpftop.models.output import Output, OutputLog
from ebpftop.sources import command_output
from ebpftop.sources.command_output import OUTPUT, CommandOutput
from ebpftop.ui.panes.output import COLUMNS

PATIENCE_S = 60.0


@pytest.fixture
def begin() -> Iterator[Callable[[str], CommandOutput]]:
    """Start a shell's command; whatever is left of it is killed at the end."""
    begun: list[tuple[StartedCommand, CommandOutput]] = []

    def start(script: str) -> CommandOutput:
        command = StartedCommand(("sh", "-c", script), (72, 13))
        ended = threading.Event()
        output = CommandOutput(command, ended.set)
        begun.append((command, output))
        command.go()
        output.start()
        return output

    yield start
    for command, output in begun:
        output.close()
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.wait(None)


def read_until(output: CommandOutput, done: Callable[[list[Record]], object]) -> list[Record]:
    records: list[Record] = []
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        batch = output.poll(1.0)
        records += batch.records if batch is not None else ()
        if done(records):
            return records
    raise AssertionError(records[-5:])


def has_ended(records: list[Record]) -> bool:
    return any(isinstance(record, Output) and record.part == "end" for record in records)


def outputs(records: list[Record]) -> list[tuple[str, int, str]]:
    return [(record.part, record.line, record.text) for record in records if isinstance(record, Output)]


def test_lines_come_as_they_are_printed_and_the_end_says_how(begin: Callable[[str], CommandOutput]) -> None:
    records = read_until(begin("echo one; echo two >&2; printf three; exit 3"), has_ended)
    assert isinstance(records[0], Probe)
    *lines, (part, number, text) = [one for one in outputs(records) if one[0] != "open"]
    assert lines == [("line", 1, "one"), ("line", 2, "two"), ("line", 3, "three")]
    assert (part, number, text.partition(" after ")[0]) == ("end", 3, "exit 3")


def test_it_has_a_terminal_that_prints_lines_no_stdin_and_no_keyboard(begin: Callable[[str], CommandOutput]) -> None:
    script = "test -t 1 && test -t 2 && ! test -t 0 && stty size <&1; echo $TERM $PAGER; cat; (: </dev/tty) 2>&1"
    records = read_until(begin(script.replace("stty size <&1", f"python3 -c '{_SIZE}'")), has_ended)
    lines = [text for part, _, text in outputs(records) if part == "line"]
    assert lines[:2] == ["os.terminal_size(columns=72, lines=13)", "dumb cat"]
    assert "/dev/tty" in lines[2]


_SIZE = "import os; print(os.get_terminal_size(1))"


def test_a_line_that_has_no_end_is_there_and_changes(begin: Callable[[str], CommandOutput]) -> None:
    output = begin("printf 50%%; sleep 600")
    records = read_until(output, lambda records: ("open", 1, "50%") in outputs(records))
    assert not has_ended(records)


def test_a_flood_is_bounded_and_what_is_left_out_is_counted(
    begin: Callable[[str], CommandOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_output, "KEPT_LINES", 1000)
    output = begin("seq 200000; exit 0")
    while output._command.code is None:  # nobody reads meanwhile
        assert output._ends <= 1000 + 4096
    # The end of the command may be known before the last of what it wrote has been read.
    records = read_until(output, lambda all: has_ended(all) and any(each[2] == "200000" for each in outputs(all)))
    lines = [text for part, _, text in outputs(records) if part == "line"]
    lost = sum(line for part, line, _ in outputs(records) if part == "lost")
    assert lines[-1] == "200000"
    assert all(text.isdecimal() for text in lines)
    # The rest of a line whose beginning was lost is not shown.
    assert 200_000 - len(lines) - 1 <= lost <= 200_000 - len(lines)
    assert lost > 0
    assert [record.count for record in records if isinstance(record, Lost)][-1] == lost


def test_what_the_command_left_behind_goes_on_and_keeps_nobody_waiting(begin: Callable[[str], CommandOutput]) -> None:
    output = begin("(sleep 0.5; echo late; exec sleep 600) & echo first")
    records = read_until(output, lambda records: ("line", 2, "late") in outputs(records))
    assert [part for part, _, _ in outputs(records) if part != "open"] == ["line", "end", "line"]
    output.close()


@pytest.mark.parametrize("to_group", [False, True])
def test_stopped_it_ends_when_it_is_asked_to(begin: Callable[[str], CommandOutput], to_group: bool) -> None:
    output = begin("kill -STOP $$; sleep 60")
    command = output._command
    os.waitid(os.P_PID, command.pid, os.WSTOPPED | os.WNOWAIT)
    (command.send_to_group if to_group else command.send)(signal.SIGTERM)
    records = read_until(output, has_ended)
    assert outputs(records)[-1][2].startswith("ended by SIGTERM after ")


def test_a_poll_that_waits_returns_when_it_is_interrupted(begin: Callable[[str], CommandOutput]) -> None:
    output = begin("sleep 600")
    assert output.poll(PATIENCE_S) is not None  # the state
    threading.Timer(0.05, output.interrupt).start()
    assert output.poll(PATIENCE_S) is None


def test_left_running_it_can_go_on_printing(begin: Callable[[str], CommandOutput], tmp_path: Path) -> None:
    output = begin(f"for i in 1 2 3 4 5 6; do sleep 0.1; echo x || exit 9; done; echo whole >{tmp_path}/end")
    command = output._command
    command.leave_running()
    assert command.output_fd is not None
    output.close()
    os.close(command.output_fd)
    assert command.wait(PATIENCE_S)
    assert (command.code, (tmp_path / "end").read_text()) == (0, "whole\n")


def test_a_command_that_does_not_exist_is_told_before_it_is_forked() -> None:
    with pytest.raises(NotStarted, match="No such file"):
        StartedCommand(("/nowhere/x/y", "a"), (80, 24)).go()


def row(line: int, text: str = "", part: str = "line") -> Output:
    return Output(time=1.0, line=line, text=text, part=part)  # type: ignore[arg-type]  # one of the four


def test_an_open_line_is_replaced_also_in_a_filtered_view() -> None:
    log = OutputLog()
    log.feed(Batch(OUTPUT, 1.0, (row(1, "first"), row(2, "10%", "open"))))
    log.apply_filter(log.view_filter, log.language.parse("done"))
    while log.view.scan(100):
        pass
    assert log.view.rows() == []
    log.feed(Batch(OUTPUT, 1.0, (row(2, "done", "open"), row(2, "done"), row(2, "exit 0 after 1s", "end"))))
    assert [one.text for one in log.view.rows()] == ["done"]
    assert (log.lines, log.ended, len(log.ring)) == (2, "exit 0 after 1s", 3)
    log.apply_filter(log.view_filter, None)
    assert [one.text for one in log.view.rows()] == ["first", "done", "exit 0 after 1s"]


@pytest.mark.parametrize(
    ("how", "words"),
    [("exit 3 after 1s", "ended, exit 3 after 1s"), ("ended by SIGKILL after 1s", "ended by SIGKILL after 1s")],
)
def test_the_end_is_said_once(how: str, words: str) -> None:
    (span,) = COLUMNS[-1].cell(row(1, how, "end"), 1.0)
    assert span.text == words
