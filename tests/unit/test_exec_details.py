"""What rows and details of the exec log say of a program, and that nothing of it is kept back."""

from __future__ import annotations

import msgspec
import pytest

from ebpftop.core.process_records import EnvDifference, Exec, Exit, Killer
from ebpftop.core.source import Batch
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.execlog import ExecLog
from ebpftop.models.match_words import summary_of
from ebpftop.models.processes import Lineage
from ebpftop.models.program_fields import EXECS
from ebpftop.models.why import exit_meaning
from ebpftop.ui.panes.exec_columns import COLUMNS
from ebpftop.ui.panes.exec_details import exec_details, process_details
from tests.unit.recording_samples import START, exec_at


def program(**more: object) -> Exec:
    return msgspec.structs.replace(exec_at(START, 7), **more)


def shown(record: Exec, ending: Exit | None = None) -> dict[str, str]:
    """Return the cells of a row by their columns."""
    row = ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))
    if ending is not None:
        row.exit, row.ended = ending, ending.time
    return {column.key: "".join(span.text for span in column.cell(row, START + 100)) for column in COLUMNS}


def details(record: Exec, *more: Exec | Exit, width: int = 78) -> str:
    log = ExecLog()
    log.feed(Batch("execs", START, (record, *more)))
    return exec_details(log, log.ring[0], START + 100).sheet().content(width).plain


def ended(record: Exec, code: int | None, signal: str | None = None, core: bool = False) -> Exit:
    return Exit(
        time=START + 5, pid=record.pid, uid=record.uid, comm=record.comm, code=code, signal=signal, duration_s=5,
        start_ns=record.start_ns, core=core,
    )  # fmt: skip


def test_a_program_that_did_not_start_goes_by_the_path_that_was_tried() -> None:
    failed = program(ret=-2, error="ENOENT", file="/opt/missing", argv=("not-its-name", "x"))
    assert shown(failed)["command"] == "/opt/missing x"
    assert shown(failed)["outcome"] == "ENOENT"
    assert shown(failed)["duration"] == "·"
    assert shown(program(file="/opt/there", argv=("its-name", "x")))["command"] == "its-name x"


def test_how_it_ended() -> None:
    one = program()
    assert shown(one)["outcome"] == "running"
    assert [shown(one, ended(one, code))["outcome"] for code in (0, 3)] == ["exit 0", "exit 3"]
    assert shown(one, ended(one, None, "SIGSEGV", core=True))["outcome"] == "SIGSEGV core"
    assert shown(one, ended(one, None, "SIGKILL"))["outcome"] == "SIGKILL"
    assert shown(one, ended(one, None))["outcome"] == "exited ?"


def test_what_was_cut_is_marked_in_the_row_and_in_the_details() -> None:
    for field, words in (("file", "/usr/bin/job cut"), ("interp", "/bin/sh cut"), ("cgroup", "/user.slice cut")):
        text = details(program(cut=(field,), interp="/bin/sh"))
        assert words in text
        assert text.count(" cut") == 1
    assert "[truncated]" in shown(program(cut=("file",)))["command"]
    assert "[truncated]" in shown(program(cut=("argv",), truncated=True))["command"]
    assert "more than ebpftop keeps" in details(program(cut=("argv",), truncated=True))
    assert "truncated" not in shown(program())["command"]


def test_identities_that_differ_are_told() -> None:
    plain = details(program(euid=1000, loginuid=None))
    assert not any(word in plain for word in ("acts as", "thread ", "ns pid", "logged in as"))
    text = details(program(euid=0, loginuid=1001, tid=8, nspid=3, pidns=4026531836))
    for words in ("acts as uid 0", "thread 8", "ns pid 3 (pid namespace 4026531836)", "logged in as uid 1001"):
        assert words in text
    assert "logged in" not in details(program(loginuid=1000))  # the same user


def test_details_say_how_it_ended() -> None:
    one = program()
    assert "core dumped" in details(one, ended(one, None, "SIGSEGV", core=True))
    assert "core dumped" not in details(one, ended(one, None, "SIGSEGV"))
    assert fact(details(one, ended(one, 3)), "END") == "exit 3 · no signal"
    unseen = details(one, ended(one, None))
    assert "exited (not seen)" in unseen
    assert "None" not in unseen
    assert "execve returned -200" in details(program(ret=-200, error=None))
    log = ExecLog()
    log.feed(Batch("execs", START, (one, ended(one, None))))
    known = log.processes.get(one.pid)
    assert known is not None
    assert "exited (not seen)" in process_details(log, known, START).sheet().content().plain


def test_an_exit_code_of_a_shell_says_what_it_usually_means() -> None:
    one = program()
    meanings = {
        126: "could not execute",
        127: "did not find the command",
        137: "SIGKILL",
        139: "SIGSEGV",
        143: "SIGTERM",
    }
    for code, words in meanings.items():
        assert words in details(one, ended(one, code))
        assert words in exit_meaning(code)
    assert [exit_meaning(code) for code in (None, 0, 1, 128, 255)] == [""] * 5


def test_a_command_line_that_may_stand_for_bytes_is_not_offered_to_be_run() -> None:
    log = ExecLog()
    for argv, exact in ((("printf", r"\x1b[31m"), False), (("printf", "a b"), True)):
        log.feed(Batch("execs", START, (program(argv=argv),)))
        found = exec_details(log, log.view[len(log.view) - 1], START)
        assert ("not to be run" in found.copies_what) is not exact
        assert ("may stand for bytes" in found.sheet().content().plain) is not exact


PIPES = ("/dev/pts/3", "pipe:[7]", None)


def fact(text: str, label: str) -> str:
    """Return what stands behind *label*; raises StopIteration if it is not there."""
    return next(line for line in text.splitlines() if line.startswith(f"{label} ")).removeprefix(label).strip()


def test_details_say_where_a_program_runs() -> None:
    text = details(
        program(exe="/usr/bin/dash", exe_inode=41, cwd="/srv/shop", tty="pts/3", sid=7, stdio=PIPES, root="/jail"),
        width=200,
    )
    assert "runs /usr/bin/dash inode 41" in fact(text, "FILE")
    assert fact(text, "WHERE") == (
        "cwd /srv/shop   root /jail (all paths are below it)   stdin /dev/pts/3   stdout pipe:[7]   stderr closed"
    )
    assert fact(text, "WHO") == "ann uid 1000 · acts as uid 0 · pts/3 · session 7, which it leads"
    same = details(program(cwd="/", stdio=("/dev/null",) * 3, sid=3))
    assert fact(same, "WHERE") == "cwd /   fds 0 1 2 /dev/null"
    assert fact(same, "WHO").endswith("no tty · session 3")
    cut = details(program(cwd="(cut)/d", stdio=PIPES, sid=3, cut=("cwd", "stdio")), width=200)
    assert "cwd (cut)/d cut" in cut
    assert "stdout pipe:[7] cut" in cut


def test_of_an_older_recording_details_do_not_say_where() -> None:
    text = details(program())
    assert "WHERE" not in text
    assert "tty" not in text
    assert "runs" not in text


def test_details_say_how_the_environment_differs_from_the_parents() -> None:
    differs = EnvDifference(new=("NEW",), changed=("PATH",), gone=("OLD",))
    names = ("PATH", "LANG", "NEW")
    values = {"PATH": "/sbin", "LANG": "C", "NEW": "a b"}
    text = details(program(cwd="/", env=values, env_names=names, env_differs=differs, cut=("env",)), width=120)
    assert "Environment (3, cut)" in text
    against = "against its parent's start: new NEW; changed PATH; gone OLD"
    assert fact(text, "ENV") == f"3 names cut · {against}"
    assert text[text.index("Environment (3") :].splitlines()[1:4] == ["LANG=C", "NEW=a b", "PATH=/sbin"]
    # Without --env: no values.
    text = details(program(cwd="/", env_names=names, env_differs=differs, cut=("env_names",)), width=120)
    assert fact(text, "ENV") == f"3 names cut · {against} · values: --env NAMES or all"
    assert "Environment (3, cut)\nLANG NEW PATH\n" in text
    nothing = EnvDifference(new=(), changed=(), gone=())
    same = details(program(cwd="/", env_names=names, env_differs=nothing), width=120)
    assert fact(same, "ENV").startswith("3 names · against its parent's start: the same")


def test_new_names_do_not_hide_what_is_changed_or_gone() -> None:
    new = tuple(f"NAME_{number:04}" for number in range(500))
    differs = EnvDifference(new=new, changed=("PATH",), gone=("LAST",))
    text = details(program(cwd="/", env_names=("A",), env_differs=differs), width=120)
    assert "…; changed PATH; gone LAST" in " ".join(text.split())
    assert new[-1] not in text


def test_an_environment_that_was_not_asked_for_is_said_to_be_not_kept() -> None:
    assert fact(details(program(cwd="/")), "ENV").startswith("not kept · --env")
    assert "ENV" not in details(program(cwd="/", ret=-2, error="ENOENT"))
    # Without its parent's, there is nothing to compare with.
    alone = details(program(cwd="/", env={"A": "1"}))
    assert "A=1" in alone
    assert "against" not in alone


def used(record: Exec, **more: object) -> Exit:
    """Return the end of a program that a worker was killed in."""
    ending = msgspec.structs.replace(
        ended(record, None, "SIGKILL"), user_s=1.5, system_s=0.25, max_rss_bytes=3_000_000_000, major_faults=2,
        minor_faults=1310, read_bytes=12_000, written_bytes=0, storage_read_bytes=4096, storage_written_bytes=0,
        threads=4, killer=Killer(pid=812, comm="php-fpm", uid=33),
    )  # fmt: skip
    return msgspec.structs.replace(ending, **more)


def command_of(record: Exec, ending: Exit) -> str:
    row = ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))
    row.exit, row.ended = ending, ending.time
    (column,) = [column for column in COLUMNS if column.key == "command"]
    return "".join(span.text for span in column.cell(row, START + 100))


def test_a_killed_program_says_by_whom_where_it_ran() -> None:
    one = program(argv=("convert", "upload.png"))
    assert command_of(one, used(one)) == "convert upload.png by php-fpm 812"
    assert (
        command_of(one, used(one, killer=Killer(pid=one.pid, comm="convert", uid=1))) == "convert upload.png by itself"
    )
    assert command_of(one, used(one, killer=None, oom=True)) == "convert upload.png out of memory"
    assert command_of(one, used(one, killer=None)) == "convert upload.png"
    assert summary_of(used(one)).endswith(" ended: SIGKILL by php-fpm 812 after 5.00s")


def test_details_say_what_it_used_and_how_it_ended() -> None:
    one = program()
    text = details(one, used(one), width=120)
    lines = text.splitlines()
    head = next(at for at, line in enumerate(lines) if "STARTED" in line)
    assert " ".join(lines[head].split()) == "STARTED ENDED WALL CPU MEMORY FAULTS READ WRITE"
    assert lines[head + 1].split()[:2] == ["process", str(one.pid)]
    assert lines[head + 1].split()[4:] == ["5.00s", "1.75s", "3.00", "GB", "2+1310", "12.0", "kB", "·"]
    assert fact(text, "USED") == "CPU since its fork: 1.50s user, 250ms system; 4 threads; 4.10 kB read from storage"
    assert fact(text, "END") == "no exit code · SIGKILL · killer php-fpm 812 (uid 33) · no core · not out of memory"
    well = used(one, code=127, signal=None, killer=None)
    assert "exit 127 · no signal · no killer · no core · not out of memory" in details(one, well)


def test_columns_of_the_table_go_where_there_is_no_room() -> None:
    parent, child = program(pid=4194303, start_ns=1), program(pid=4194304, ppid=4194303, start_ns=2)
    endings = used(parent, time=START + 6), used(child)
    columns_at = {120: 8, 77: 8, 71: 8, 70: 5, 57: 5, 40: 3}
    for width, columns in columns_at.items():
        log = ExecLog()
        log.feed(Batch("execs", START, (parent, child, *endings)))
        lines = exec_details(log, log.ring[1], START + 100).sheet().content(width).plain.splitlines()
        head = next(at for at, line in enumerate(lines) if "STARTED" in line)
        table = lines[head : head + 3]
        assert [line.split()[0] for line in table] == ["STARTED", "process", "parent"]
        assert len(table[0].split()) == columns
        assert ("." in table[1].split()[2]) is (width == 120)
        assert max(map(len, table)) <= width


def test_of_a_running_process_the_table_has_the_times() -> None:
    text = details(program())
    line = next(line for line in text.splitlines() if line.startswith("process "))
    assert line.split()[3:] == ["running", "100s", *"–––––"]
    assert "END" not in [line.split(" ")[0] for line in text.splitlines()]


def test_an_end_without_figures_claims_none() -> None:
    one = program()
    text = details(one, ended(one, 0))
    line = next(line for line in text.splitlines() if line.startswith("process "))
    assert line.split()[-5:] == [*"–––––"]
    assert "killer" not in text
    assert "memory" not in text
    row = shown(one, ended(one, 0))
    assert (row["cpu"], row["memory"], row["killer"]) == ("·", "·", "")


@pytest.mark.parametrize(
    "typed",
    [
        *("killer:php-fpm", "killer:812", "killer:php*", "killer:*", "oom:no", "core:no", "cpu:>1s", "cpu:<=1750ms"),
        *("rss:>2g", "rss:>2.5GB", "rss:<3GiB", "rss:3000000000", "read:>10k", "written:0", "threads:4"),
    ],
)
def test_a_filter_asks_what_it_used_and_who_ended_it(typed: str) -> None:
    query = EXECS.parse(typed)
    assert query is not None
    assert query.at_end
    record = program()
    row = ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))
    assert not query.matches(row, START)
    row.exit = used(record)
    row.ended = row.exit.time
    assert query.matches(row, START)
    row.exit = used(
        record, killer=None, oom=True, core=True, user_s=60.0 if "<" in typed else 0.1, system_s=0.0, threads=1,
        max_rss_bytes=9_000_000_000 if "<" in typed else 1, read_bytes=1, written_bytes=7,
    )  # fmt: skip
    assert not query.matches(row, START)
