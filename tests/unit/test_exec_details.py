"""What rows and details of the exec log say of a program, and that nothing of it is kept back."""

from __future__ import annotations

import msgspec

from ebpftop.core.records import Exec, Exit
from ebpftop.core.source import Batch
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.execlog import ExecLog
from ebpftop.models.processes import Lineage
from ebpftop.ui.panes.exec_columns import COLUMNS
from ebpftop.ui.panes.exec_details import exec_details, exit_meaning, process_details
from tests.unit.recording_samples import START, exec_at


def program(**more: object) -> Exec:
    return msgspec.structs.replace(exec_at(START, 7), **more)


def shown(record: Exec, ending: Exit | None = None) -> dict[str, str]:
    """Return the cells of a row by their columns."""
    row = ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))
    if ending is not None:
        row.exit, row.ended = ending, ending.time
    return {column.key: "".join(span.text for span in column.cell(row, START + 100)) for column in COLUMNS}


def details(record: Exec, *more: Exec | Exit) -> str:
    log = ExecLog()
    log.feed(Batch("execs", START, (record, *more)))
    return exec_details(log, log.view[0], START + 100).sheet().content().plain


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
    for field in ("file", "interp", "cgroup"):
        text = details(program(cut=(field,), interp="/bin/sh"))
        (line,) = [line for line in text.splitlines() if line.rstrip().endswith("cut")]
        assert {"interp": "interpreter"}.get(field, field) in line
    assert "[truncated]" in shown(program(cut=("file",)))["command"]
    assert "[truncated]" in shown(program(cut=("argv",), truncated=True))["command"]
    assert "more than ebpftop keeps" in details(program(cut=("argv",), truncated=True))
    assert "truncated" not in shown(program())["command"]


def test_identities_that_differ_are_told() -> None:
    plain = details(program(euid=1000, loginuid=None))
    assert not any(word in plain for word in ("acts as", "thread ", "pid inside", "logged in as"))
    text = details(program(euid=0, loginuid=1001, tid=8, nspid=3, pidns=4026531836))
    for words in ("acts as", "uid 0", "thread 8", "pid inside", "pid namespace 4026531836", "logged in as", "uid 1001"):
        assert words in text


def test_details_say_how_it_ended() -> None:
    one = program()
    assert "core dumped" in details(one, ended(one, None, "SIGSEGV", core=True))
    assert "core dumped" not in details(one, ended(one, None, "SIGSEGV"))
    assert "exit code" in details(one, ended(one, 3))
    unseen = details(one, ended(one, None))
    assert "exited (not seen)" in unseen
    assert "None" not in unseen
    assert "execve returned -13" in details(program(ret=-13, error="EACCES"))
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
        program(exe="/usr/bin/dash", exe_inode=41, cwd="/srv/shop", tty="pts/3", sid=7, stdio=PIPES, root="/jail")
    )
    assert fact(text, "runs") == "/usr/bin/dash  inode 41"
    assert fact(text, "directory") == "/srv/shop"
    assert fact(text, "root") == "/jail  all paths here are below it"
    assert fact(text, "terminal") == "pts/3  session 7, which it leads"
    assert [fact(text, name) for name in ("stdin", "stdout", "stderr")] == ["/dev/pts/3", "pipe:[7]", "closed"]
    same = details(program(cwd="/", stdio=("/dev/null",) * 3, sid=3))
    assert fact(same, "fds 0 1 2") == "/dev/null"
    assert fact(same, "terminal") == "none  session 3"
    cut = details(program(cwd="/.../d", stdio=PIPES, sid=3, cut=("cwd", "stdio")))
    assert fact(cut, "directory") == "/.../d  cut"
    assert fact(cut, "stdout") == "pipe:[7]  cut"


def test_of_an_older_recording_details_do_not_say_where() -> None:
    text = details(program())
    assert "Where" not in text
    assert "terminal" not in text
    assert "\nruns" not in text


def test_details_say_how_the_environment_differs_from_the_parents() -> None:
    parent = program(pid=7, start_ns=7000, env={"PATH": "/bin", "LANG": "C", "OLD": "1"}, cwd="/")
    child = program(
        pid=8, ppid=7, start_ns=8000, env={"PATH": "/sbin", "LANG": "C", "NEW": "a b"}, cwd="/", cut=("env",)
    )
    log = ExecLog()
    log.feed(Batch("execs", START, (parent, child)))
    text = exec_details(log, log.ring[1], START + 100).sheet().content().plain
    assert "Environment (3, cut)" in text
    assert [fact(text, name).split("  ")[0] for name in ("new", "changed", "gone")] == ["NEW", "PATH", "OLD"]
    assert [line for line in text.splitlines() if "=" in line][:3] == ["LANG=C", "NEW=a b", "PATH=/sbin"]
    # Also once the parent has ended.
    log.feed(Batch("execs", START, (ended(parent, 0),)))
    assert fact(exec_details(log, log.ring[1], START + 100).sheet().content().plain, "gone").startswith("OLD")


def test_an_environment_that_was_not_asked_for_is_said_to_be_not_kept() -> None:
    assert fact(details(program(cwd="/")), "environment").startswith("not kept  --env")
    assert "environment" not in details(program(cwd="/", ret=-2, error="ENOENT"))
    # Without its parent's, there is nothing to compare with.
    alone = details(program(cwd="/", env={"A": "1"}))
    assert "A=1" in alone
    assert "\nnew" not in alone
