"""The summary of `ebpftop run`: what is added up from records, and how it reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ebpftop.cli.main import main
from ebpftop.core.cpu_time import CpuTime
from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.records import Lost, Probe
from ebpftop.core.syscall_records import ProcessCalls, Syscall, SyscallRow, Syscalls
from ebpftop.models import run_text, run_totals, run_tree
from ebpftop.models.opens import Open
from ebpftop.models.run_missing import missing_lines
from ebpftop.models.run_summary import Command, NotFound, Summary
from ebpftop.models.run_totals import RunTotals

CMD = 100
COMMAND = Command(
    argv=("make", "all"),
    cwd="/src",
    pid=CMD,
    started=10.0,
    status=2,
    signal=None,
    wall_s=5.0,
    user_s=1.0,
    system_s=0.5,
    max_rss_bytes=1 << 30,
)


def started(pid: int, ppid: int, file: str, time: float = 10.0, *, error: str | None = None, **more: Any) -> Exec:
    values: dict[str, Any] = {
        **{"time": time, "pid": pid, "tid": pid, "ppid": ppid, "uid": 0, "user": "root", "comm": file[-15:]},
        **{"file": file, "argv": (file.rpartition("/")[2], "-x"), "truncated": False, "cgroup": "/"},
        **{"ret": -2 if error else 0, "error": error, "start_ns": pid},
    }
    return Exec(**{**values, **more})


def ended(pid: int, time: float, code: int | None = 0, signal: str | None = None, **used: Any) -> Exit:
    return Exit(time=time, pid=pid, uid=0, comm="x", code=code, signal=signal, duration_s=None, start_ns=pid, **used)


def opened(path: str, ns: int, error: str | None = None) -> Open:
    values: dict[str, Any] = {
        **{"time": 11.0, "pid": 101, "tid": 101, "uid": 0, "user": None, "comm": "cc", "call": "openat"},
        **{"dirfd": None, "path": path, "flags": "O_RDONLY", "ret": -2 if error else 3, "error": error, "ns": ns},
    }
    return Open(**values)


def calls(**counts: int) -> Syscalls:
    rows = tuple(
        SyscallRow(
            abi="x86_64",
            nr=nr,
            name=name,
            count=count,
            errors=count // 2,
            histogram_ns=(),
            total_ns=count * 1000,
            max_ns=count * 500,
            errnos={"ENOENT": count // 2},
        )
        for nr, (name, count) in enumerate(counts.items())
    )
    return Syscalls(time=12.0, rows=rows)


def summed(*records: Any) -> Summary:
    summary = RunTotals(CMD)
    summary.feed(records)
    return summary.summary(COMMAND, 15.0)


def test_programs_of_one_name_and_place_are_one_row_with_their_sums() -> None:
    s = summed(
        started(CMD, 1, "/bin/make"),
        *(started(pid, CMD, "/bin/cc", 11.0) for pid in (101, 102, 103)),
        ended(101, 12.0),
        ended(102, 13.0, code=1),
        ended(CMD, 15.0, code=2),
    )
    (make,) = s.tree
    assert (make.program, make.count, make.wall_s, make.failed) == ("make", 1, 5.0, 1)
    (cc,) = make.children
    assert (cc.program, cc.count, cc.failed, cc.running) == ("cc", 3, 1, 1)
    assert cc.wall_s == pytest.approx(1 + 2 + 4)
    assert (s.started, s.bad_ends, s.running) == (4, 2, 1)


def test_a_program_that_a_process_becomes_stands_below_the_one_that_it_was() -> None:
    s = summed(started(CMD, 1, "/bin/env"), started(CMD, 1, "/bin/ls", 12.0), ended(CMD, 15.0))
    (env,) = s.tree
    assert (env.wall_s, env.children[0].program, env.children[0].wall_s) == (2.0, "ls", 3.0)


def test_a_fork_is_no_row_but_its_programs_stand_where_it_was_forked() -> None:
    # The program "a" forks a process that starts "b", without being a program itself.
    fork = Process(time=11.0, pid=103, ppid=102, uid=0, user=None, comm="a", argv=(), start_ns=1)
    s = summed(started(CMD, 1, "/bin/sh"), started(102, CMD, "/bin/a"), fork, started(104, 103, "/bin/b"))
    assert [row.program for row in s.tree[0].children[0].children] == ["b"]


def test_what_a_fork_used_is_that_of_the_program_that_forked() -> None:
    (make,) = summed(
        started(CMD, 1, "/usr/bin/make"),
        ended(101, 11.0, user_s=0.5, system_s=0.25, max_rss_bytes=9000, forked=True, ppid=CMD),
        ended(102, 11.0, user_s=9.0, system_s=9.0, ppid=CMD),  # its start was not seen: whose it is is not known
        ended(CMD, 12.0, user_s=1.0, system_s=1.0, max_rss_bytes=4000),
    ).tree
    assert (make.user_s, make.system_s, make.max_rss_bytes, make.count) == (1.5, 1.25, 9000, 1)


def test_what_the_copy_of_ebpftop_used_is_not_the_commands() -> None:
    summary = RunTotals(CMD)
    summary.tree.own_cpu = CpuTime(0.5, 0.25)
    used: dict[str, Any] = {"user_s": 2.0, "system_s": 1.0}
    summary.feed([started(CMD, 1, "/bin/a"), started(101, CMD, "/bin/b"), ended(101, 11.0, **used)])
    summary.feed([ended(CMD, 12.0, **used)])
    (a,) = summary.summary(COMMAND, 12.0).tree
    assert (a.user_s, a.system_s) == (1.5, 0.75)
    assert (a.children[0].user_s, a.children[0].system_s) == (2.0, 1.0)


def test_time_that_the_kernel_divides_anew_is_counted_once() -> None:
    """The kernel says another ratio of user and system time later: cputime_adjust, which has it of the ticks so far."""
    summary = RunTotals(CMD)
    summary.tree.own_cpu = CpuTime(0.75, 0.25)
    summary.feed([started(CMD, 1, "/bin/a"), ended(CMD, 12.0, user_s=0.0, system_s=1.5)])
    (a,) = summary.summary(COMMAND, 12.0).tree
    assert (a.user_s, a.system_s) == (0.0, 0.5)
    assert CpuTime(2.0, 0.0).since(CpuTime(0.5, 0.5)) == (1.0, 0.0)
    assert CpuTime(0.5, 0.5).since(CpuTime(1.0, 0.5)) == (0.0, 0.0)


def test_traced_calls_and_environments_are_in_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_totals, "TRACED_MAX", 2)
    call = Syscall(time=11.0, pid=CMD, comm="a", abi="x86_64", nr=1, name="write", args=("1",), ret=1, ns=5)
    s = summed(started(CMD, 1, "/bin/a", env={"HOME": "/root"}), call, call, call)
    assert (s.traced, s.traced_count) == ([call, call], 3)
    assert s.tree[0].env == {"HOME": "/root"}
    assert summed(started(CMD, 1, "/bin/a")).tree[0].env is None


def missing(path: str, by: str = "open", comm: str = "cc", count: int = 1) -> NotFound:
    return NotFound(path=path, by=by, comm=comm, count=count)


def test_files_not_found_are_few_lines_those_first_that_matter() -> None:
    found = [
        *(missing(f"/usr/lib/locale/{name}/LC_{n}", count=2) for name in ("C", "de") for n in range(9)),
        missing("/etc/ld.so.preload", count=7),
        missing("/usr/lib/locale/de/LC_1", comm="ls", count=5),
        *(missing(f"/{folder}/nosuch", "exec", "sh", 3) for folder in ("bin", "usr/bin", "sbin")),
        missing("/opt/x", "exec", "sh"),
        missing("config.toml", count=2),
        *(missing(f"/src/include/{n}.h") for n in range(4)),
    ]
    assert missing_lines(found, "/src") == [
        (3, "nosuch  exec by sh, tried in 3 folders"),
        (1, "/opt/x  exec by sh"),
        (4, "/src/include/… ×4 files  open by cc"),
        (2, "config.toml  open by cc"),
        (41, "/usr/lib/locale/… ×18 files  open by cc and 1 other"),
        (7, "/etc/ld.so.preload  open by cc"),
    ]


def test_files_of_the_root_folder_and_unknown_paths_are_lines_too() -> None:
    found = [*(missing(f"/{name}") for name in "abc"), missing("?"), missing("", count=2)]
    assert missing_lines(found, "/") == [
        (2, '""  open by cc'),
        (1, "?  open by cc"),
        (3, "/… ×3 files  open by cc"),
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--env", "HOME"], "--env: the text does not have it; --json FILE has"),
        (["--trace", "openat"], "--trace: the text does not have it; --json FILE has"),
        (["--printk"], "run: --printk has no effect: a summary has no trace log"),
        (["--probes", "execs,users"], "run: --probes execs,users has no effect: a summary has nothing of users"),
        (["--interval", "2"], "run: --interval has no effect"),
        (["--theme", "dark"], "run: --theme has no effect: it is for the screen"),
        (["--memory", "64"], "run: --memory has no effect: it is for the screen"),
        (["--when-exit"], "--when-exit: there is no --when"),
    ],
)
def test_an_option_without_effect_is_refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.setattr("ebpftop.commands.run.refused", lambda: False)
    monkeypatch.setattr("ebpftop.commands.run.require_host_pids", lambda: None)
    monkeypatch.setattr("ebpftop.commands.run.StartedCommand", lambda *_: pytest.fail("it began"))
    assert main(["run", "--summary", *words, "--", "true"]) == 2
    assert says in capfd.readouterr().err


def test_a_program_whose_parent_is_not_known_stands_below_the_command() -> None:
    s = summed(started(CMD, 1, "/bin/sh"), started(101, 1, "/bin/daemon"))
    assert [row.program for row in s.tree[0].children] == ["daemon"]


def test_an_attempt_of_a_search_that_found_its_program_is_no_failure() -> None:
    s = summed(
        started(CMD, 1, "/sbin/ls", error="ENOENT"),
        started(CMD, 1, "/bin/ls"),
        started(101, CMD, "/sbin/nosuch", error="ENOENT"),
        started(101, CMD, "/bin/nosuch", error="ENOENT"),
        ended(101, 12.0, code=127),
    )
    assert [(f.file, f.count) for f in s.exec_failures] == [("/sbin/nosuch", 1), ("/bin/nosuch", 1)]
    assert s.not_started == 2
    assert [(n.path, n.by) for n in s.not_found] == [("/sbin/nosuch", "exec"), ("/bin/nosuch", "exec")]


def test_slowest_calls_name_what_is_certain_and_put_waits_last() -> None:
    s = summed(
        started(CMD, 1, "/bin/make"),
        opened("/etc/slow", 9_000),
        opened("/nope", 5, "ENOENT"),
        calls(openat=20, wait4=90),
    )
    assert [(c.name, c.path, c.program) for c in s.slowest] == [("openat", "/etc/slow", "cc"), ("wait4", None, None)]
    assert [(e.call, e.error, e.count) for e in s.errnos] == [("wait4", "ENOENT", 45), ("openat", "ENOENT", 10)]
    assert [(n.path, n.by, n.comm) for n in s.not_found] == [("/nope", "open", "cc")]


def test_the_process_that_made_the_longest_call_is_named() -> None:
    reading = calls(read=20)
    made = [
        ProcessCalls(pid=pid, comm=comm, abi="x86_64", nr=0, name="read", count=5, max_ns=max_ns)
        for pid, comm, max_ns in ((101, "cc", 400), (102, "as", 10_000))
    ]
    s = summed(started(CMD, 1, "/bin/make"), msgspec.structs.replace(reading, processes=tuple(made)))
    assert [(c.name, c.program) for c in s.slowest] == [("read", "as")]


def test_what_was_lost_and_what_was_not_attached_is_said() -> None:
    lost = [Lost(time=11.0, probe="execs", where="ring", count=n) for n in (1, 4)]
    failed = Probe(time=11.0, probe="opens", state="failed", via=None, reason="no place")
    s = summed(*lost, failed)
    assert [(row.probe, row.where, row.count) for row in s.lost] == [("execs", "ring", 4)]
    text = "\n".join(run_text.lines(s))
    assert "lost: 4 execs (ring)" in text
    assert "opens was not attached: no place" in text


def test_a_program_that_starts_itself_for_ever_takes_no_more_rows_than_the_bound() -> None:
    s = summed(*(started(CMD, 1, f"/bin/p{n % 7}", 10.0 + n / 1e4) for n in range(9000)))
    assert s.started == 9000
    row, depth = s.tree[0], 1
    total = row.count
    while row.children:
        (row,) = row.children
        total, depth = total + row.count, depth + 1
    assert (total, depth) == (9000, run_tree.DEPTH_MAX)
    assert msgspec.json.decode(msgspec.json.encode(s))["started"] == 9000


def test_a_wide_tree_is_cut_where_it_is_printed_and_counted_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tree, "NODES_MAX", 60)
    s = summed(started(CMD, 1, "/bin/make"), *(started(200 + n, CMD, f"/bin/p{n}") for n in range(100)))
    (make,) = s.tree
    assert len(make.children) == 59
    assert make.count + sum(row.count for row in make.children) == 101
    assert any("and 20 more rows" in line for line in run_text.lines(s))


def test_the_text_says_how_it_ended_and_shows_the_tree() -> None:
    s = summed(
        started(CMD, 1, "/bin/make"),
        started(101, CMD, "/bin/cc"),
        started(102, CMD, "/bin/ld"),
        ended(101, 12.0, None, "SIGSEGV"),
    )
    text = [*run_text.lines(s)]
    assert text[:2] == [
        "make all: exited 2 after 5.00s; CPU 1.00s user, 500ms system; largest process 1.07 GB",
        "3 programs started, 1 ended with an error, 2 still running",
    ]
    assert text[2:6] == [
        "   WALL  PROGRAM",
        "  5.00s  make -x  1 running",
        "  2.00s  ├ cc -x  1 failed",
        "  5.00s  └ ld -x  1 running",
    ]
    assert "SIGSEGV  cc" in "\n".join(text)


@pytest.mark.parametrize(
    ("words", "cmd", "json"),
    [
        (["--", "make", "-j4"], ["make", "-j4"], None),
        (["make", "-j4"], ["make", "-j4"], None),
        (["--json", "f", "--", "make", "--json", "--", "x"], ["make", "--json", "--", "x"], "f"),
        (["--summary", "ls", "--", "-x"], ["ls", "--", "-x"], None),
        (["--", "--", "x"], ["--", "x"], None),
    ],
)
def test_what_is_behind_the_dashes_is_the_commands(
    monkeypatch: pytest.MonkeyPatch, words: list[str], cmd: list[str], json: str | None
) -> None:
    from ebpftop.commands import run

    seen: list[Any] = []

    def note(args: Any) -> int:
        seen.append(args)
        return 0

    monkeypatch.setattr(run, "run", note)
    assert main(["run", *words]) == 0
    assert (seen[0].cmd, seen[0].json_file) == (cmd, json)


def test_a_run_without_a_command_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--summary"]) == 2
    assert "run: there is no command" in capfd.readouterr().err
