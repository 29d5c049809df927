"""Why a program did not start or ended badly, what came of its ancestors, how often it was seen: only what is known."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.clock import time_text
from ebpftop.core.process_records import Exec, Exit, Killer
from ebpftop.core.source import Batch
from ebpftop.models.execlog import ExecLog
from ebpftop.models.program_history import ProgramHistory
from ebpftop.models.why import why
from ebpftop.ui.panes.exec_details import exec_details, process_details
from tests.unit.recording_samples import START, exec_at

RET = {"ENOENT": -2, "E2BIG": -7, "EACCES": -13}


def ran(second: float, pid: int, file: str, error: str | None = None, **more: object) -> Exec:
    name = file.rpartition("/")[2]
    given = {"file": file, "argv": (name, "x"), "comm": name[:15], "error": error, "ret": RET.get(error or "", 0)}
    return msgspec.structs.replace(exec_at(START + second, pid), **given | more)


def ended(second: float, pid: int, code: int | None = 0, signal: str | None = None, **more: object) -> Exit:
    end = Exit(
        time=START + second, pid=pid, uid=1000, comm="x", code=code, signal=signal, duration_s=None, start_ns=pid * 1000
    )
    return msgspec.structs.replace(end, **more)


def fed(*records: Exec | Exit) -> ExecLog:
    log = ExecLog()
    for record in records:
        log.feed(Batch("execs", record.time, (record,)))
    return log


def reason(log: ExecLog, at: int = -1) -> str:
    row = log.ring.rows()[at]
    history = ProgramHistory(log.ring, row)
    history.update()
    return why(log.ring, row, history, log.now)


def searched(second: float, pid: int, name: str, *folders: str, **more: object) -> list[Exec]:
    return [
        ran(second + at / 1000, pid, f"{folder}/{name}", "ENOENT", **more | {"comm": "cron"})
        for at, folder in enumerate(folders)
    ]


def test_a_program_that_is_not_in_path_is_said_to_be_where_another_found_it() -> None:
    elsewhere = ran(0, 5, "/usr/lib/postgresql/15/bin/pg_dump")
    search = searched(9, 7, "pg_dump", "/usr/bin", "/bin")
    not_seen = "not in /usr/bin:/bin (2 tried); what the search in PATH came to was not seen."
    assert reason(fed(*search)) == not_seen
    assert reason(fed(*search, ended(9.1, 7, 127)), 1) == "not in cron's PATH /usr/bin:/bin (2 tried)."
    found = f"where ann ran it at {time_text(START)}."
    assert reason(fed(elsewhere, *search)).endswith(f"{not_seen} It is in /usr/lib/postgresql/15/bin, {found}")
    # Also if that was later. A name that only ends alike, and a start without a path, say nothing.
    later = ran(20, 5, "/opt/pg_dump", container="shop")
    assert "It is in /opt in container shop" in reason(fed(*search, later), 1)
    others = ran(1, 5, "/usr/bin/my_pg_dump"), ran(2, 6, "pg_dump")
    assert "It is" not in reason(fed(*others, *search))


def test_an_attempt_before_the_program_was_found_says_where_that_was() -> None:
    log = fed(*searched(1, 7, "make", "/usr/local/bin"), ran(1.001, 7, "/usr/bin/make", comm="make"))
    assert reason(log, 0) == "not in /usr/local/bin; the search in PATH went on, and found it: /usr/bin/make."
    assert reason(log, 1) == ""


def test_a_file_that_may_not_be_executed_is_named() -> None:
    search = searched(1, 7, "tool", "/usr/bin", "/opt", "/bin")
    search[1] = msgspec.structs.replace(search[1], error="EACCES", ret=-13)
    assert "/opt/tool is there, but ann may not execute it (EACCES)." in reason(fed(*search))


@pytest.mark.parametrize(
    ("error", "words"),
    [("ENOENT", "/x does not exist"), ("EACCES", "/x may not be executed by ann"), ("E2BIG", "larger together")],
)
def test_an_error_of_execve_is_told_in_words(error: str, words: str) -> None:
    assert words in reason(fed(ran(1, 7, "/x", error)))
    assert "execve returned" in reason(fed(ran(1, 7, "/x", "EUSERS", ret=-87)))


def test_where_it_was_run_before_in_the_same_place_is_said() -> None:
    said = reason(fed(ran(0, 5, "/opt/x"), ran(9, 7, "/opt/x", "ENOENT")))
    assert said.endswith(f"ann ran it there at {time_text(START)}.")
    relative = reason(fed(ran(9, 7, "./x", "ENOENT", cwd="/srv")))
    assert relative.endswith("(directory: /srv).")


def test_an_end_by_a_signal_says_who_sent_it_if_that_is_known() -> None:
    one = ran(0, 7, "/bin/x")

    def said(**more: object) -> str:
        return reason(fed(one, ended(1, 7, None, "SIGSEGV", **more)))

    assert said() == "SIGSEGV ended it: it accessed memory that it must not."
    assert said(core=True).endswith("; its core was dumped.")
    assert said(killer=Killer(pid=812, comm="php", uid=33)) == "php, pid 812 of uid 33, sent it SIGSEGV."
    assert said(killer=Killer(pid=7, comm="x", uid=1)) == "it sent itself SIGSEGV."
    assert "memory ran out" in said(oom=True)
    assert reason(fed(one, ended(1, 7, None, "SIGKILL"))) == "SIGKILL ended it."


def test_an_exit_code_is_explained_by_what_its_process_or_its_child_could_not_run() -> None:
    shell = ran(0, 7, "/bin/sh")
    child = ran(1, 8, "/usr/bin/pg_dump", "ENOENT", ppid=7)
    assert "Its child 8 could not execute pg_dump: ENOENT." in reason(fed(shell, child, ended(2, 7, 127)), 0)
    own = ran(1, 7, "/usr/bin/pg_dump", "ENOENT")
    assert "could not execute pg_dump in its place: ENOENT." in reason(fed(shell, own, ended(2, 7, 127)), 0)
    # One that ended otherwise, or later, is not named.
    grep = ran(1, 8, "/bin/grep", ppid=7)
    assert reason(fed(shell, grep, ended(1.5, 8, 1), ended(2, 7, 1)), 0) == (
        "its child 8, grep, ended with the same code before."
    )
    assert reason(fed(shell, grep, ended(1.5, 8, 2), ended(2, 7, 1)), 0) == ""
    assert reason(fed(shell, grep, ended(2, 7, 1), ended(3, 8, 1)), 0) == ""
    killed = fed(shell, grep, ended(1.5, 8, None, "SIGKILL"), ended(2, 7, 137))
    assert "Its child 8, grep, was ended by SIGKILL before." in reason(killed, 0)
    # Nor is the child of another process that has the pid by now.
    assert "child" not in reason(fed(shell, ended(2, 7, 127), ran(9, 8, "/x", "ENOENT", ppid=7)), 0)


@pytest.mark.parametrize("end", [(), (ended(1, 7, 0),), (ended(1, 7, None),)], ids=["running", "exit 0", "not seen"])
def test_what_did_not_go_wrong_has_no_reason(end: tuple[Exit, ...]) -> None:
    log = fed(ran(0, 7, "/bin/x"), *end)
    assert reason(log) == ""
    assert "WHY" not in exec_details(log, log.ring[0], START).sheet().content().plain


def test_then_says_how_the_ancestors_ended_afterwards() -> None:
    family = [ran(0, 5, "/bin/cron"), ran(1, 6, "/bin/sh", ppid=5), ran(2, 7, "/bin/backup", ppid=6)]
    failed = ran(3, 8, "/bin/pg_dump", "ENOENT", ppid=7)
    log = fed(*family, failed)
    text = exec_details(log, log.ring[3], START).sheet().content().plain
    assert "BY        1 (not seen) › 5 cron › 6 sh › 7 backup\n" in text  # noqa: RUF001  # as it is drawn
    assert "then:" not in text
    for end in (ended(3.1, 8, 127, ppid=7), ended(4, 7, 127, ppid=6), ended(5, 6, None, "SIGTERM", ppid=5)):
        log.feed(Batch("execs", end.time, (end,)))
    text = exec_details(log, log.ring[3], START).sheet().content().plain
    assert "then: exit 127 of 7 → SIGTERM of 6 → 5 cron is running\n" in text
    # Of one that did not start: how its process, which only forked, ended.
    assert "\nEND       exit 127 · no signal" in text


def test_what_was_seen_of_a_program_goes_on_as_more_comes() -> None:
    log = fed(ran(0, 5, "/bin/job"), ended(0.5, 5, 0), ran(10, 6, "/bin/job"))
    history = ProgramHistory(log.ring, log.ring[0])
    history.update()
    assert history.seen(log.now)[:4] == (START, 2, 0, START)
    for record in (
        ended(11, 6, 1),
        ran(20, 7, "/bin/job"),
        ended(20.5, 7, 0),
        ran(30, 8, "/bin/job"),
        ran(31, 9, "/j"),
    ):
        log.feed(Batch("execs", record.time, (record,)))
    history.update()
    seen = history.seen(log.now)
    assert seen[:4] == (START, 4, 1, START + 20)
    assert seen.every_s == 10
    assert history.seen(log.now) == seen
    text = exec_details(log, log.ring[0], START).sheet().content(120).plain
    good = time_text(START + 20)
    assert f"SEEN      4 times since {time_text(START)} · every 10.0s · 1 failed · last good one: {good}" in text


def test_a_search_counts_once_and_irregular_starts_have_no_period() -> None:
    searches = [one for at in (0, 1, 7, 9) for one in searched(at * 60, 10 + at, "tool", "/usr/bin", "/bin")]
    log = fed(*searches)
    history = ProgramHistory(log.ring, log.ring[7])
    history.update()
    seen = history.seen(log.now)
    assert (seen.times, seen.failed, seen.good, seen.every_s) == (4, 4, None, None)
    assert "last good one: not seen" in exec_details(log, log.ring[7], START).sheet().content().plain


def test_a_process_has_the_sheet_of_the_program_that_it_runs() -> None:
    log = fed(ran(0, 5, "/bin/sh", cwd="/srv"), ran(1, 5, "/bin/job", cwd="/srv"))
    known = log.processes.get(5)
    assert known is not None
    details = process_details(log, known, START)
    text = details.sheet().content().plain
    assert "2 programs run by this process" in text
    assert "cwd /srv" in text
    assert details.headline is not None
    assert "".join(span.text for span in details.headline()) == "● process 5 job · running 0s"


def test_a_hostile_name_stays_one_text() -> None:
    name = "{user} {file} [bold]\\x1b" + "w" * 300
    log = fed(*searched(1, 7, name, "/" + "p" * 3000, "/bin"), ran(2, 8, f"/opt/{name}"))
    for width in (1, 12, 20, 78):
        text = exec_details(log, log.ring[1], START).sheet().content(width).plain
        if width >= 20:
            assert max(map(len, text.split("\n\n")[0].splitlines())) <= width
    assert "{user} {file} [bold]" in exec_details(log, log.ring[1], START).sheet().content(400).plain


def test_calls_of_a_process_are_shown_if_they_are_known() -> None:
    log = fed(ran(0, 7, "/bin/x"))
    asked: list[tuple[int, int]] = []

    def calls_of(pid: int, start_ns: int) -> str:
        asked.append((pid, start_ns))
        return "12 calls" if len(asked) == 1 else ""

    details = exec_details(log, log.ring[0], START, calls_of)
    assert "CALLS     12 calls\n" in details.sheet().content().plain
    assert asked == [(7, 7000)]
    assert "CALLS" not in details.sheet().content().plain
