"""What the exec log folds: attempts of a PATH search, and repeats; nothing is lost by it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.core.process_records import Exec, Exit, Killer
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.models.exec_row import ExecRow, repeats_shown, search_text
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.folded_view import FAILURES
from ebpftop.models.folding import GAP_S, SPAN_S
from ebpftop.models.program_fields import EXECS

SHELL = 7
FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")


def ran(at: float, pid: int, *argv: str, folder: str = "/bin", error: str | None = None, ppid: int = SHELL) -> Exec:
    return Exec(
        time=100.0 + at,
        pid=pid,
        tid=pid,
        ppid=ppid,
        uid=0,
        user="root",
        comm=argv[0],
        file=f"{folder}/{argv[0]}",
        argv=argv,
        truncated=False,
        ret=0 if error is None else {"ENOENT": -2, "EACCES": -13, "ENOEXEC": -8}[error],
        error=error,
        cgroup="/",
        start_ns=pid * 1000 + 1,
    )


def end(program: Exec, after: float = 0.001, code: int = 0) -> Exit:
    return Exit(
        time=program.time + after,
        pid=program.pid,
        uid=0,
        comm=program.comm,
        code=code,
        signal=None,
        duration_s=after,
        start_ns=program.start_ns,
    )


def search(at: float, pid: int, *argv: str, found: bool = True, tried: tuple[str, ...] = FOLDERS[:2]) -> list[Record]:
    """A search in PATH by one thread, and the end of its process."""
    attempts: list[Record] = [ran(at, pid, *argv, folder=folder, error="ENOENT") for folder in tried]
    program = ran(at, pid, *argv)
    return [*attempts, *((program, end(program)) if found else (end(program, code=127),))]


def repeated(
    at: float, count: int, *argv: str, apart: float = 0.01, first_pid: int = 1000, code: int = 0
) -> list[Record]:
    programs = [ran(at + apart * i, first_pid + i, *argv) for i in range(count)]
    return [record for program in programs for record in (program, end(program, code=code))]


def log_of(*records: Record, capacity: int = 100_000, size: int = 1000) -> ExecLog:
    log = ExecLog(capacity)
    for start in range(0, len(records), size):
        log.feed(Batch("execs", 200.0, records[start : start + size]))
    return log


def described(log: ExecLog) -> list[str]:
    """Return what is shown, one text a row."""
    texts = []
    for row in log.view.rows():
        times = f"×{n} " if (n := repeats_shown(row)) else ""
        texts.append(f"{times}{row.exec.file} {search_text(row)}".rstrip())
    return texts


def sums(log: ExecLog) -> tuple[int, int, int, int]:
    view = log.view
    return len(view), view.repeats, view.attempts, view.searches


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_path_search_is_one_row(size: int) -> None:
    log = log_of(*search(0, 50, "tmux"), *search(1, 51, "pg_dump", "shop", found=False), size=size)
    assert described(log) == ["/bin/tmux ✗2 in PATH", "/usr/bin/pg_dump ✗2 in PATH, not found"]
    assert sums(log) == (2, 0, 3, 2)
    assert (log.view.failed, log.failed) == (1, 4)


@pytest.mark.parametrize(
    "second",
    [
        ran(0.1, 50, "tmux", "-V", folder="/usr/bin", error="ENOENT"),
        ran(0.1, 50, "screen", folder="/usr/bin", error="ENOENT"),
        ran(0.1, 51, "tmux", folder="/usr/bin", error="ENOENT"),
        ran(0.1, 50, "tmux", folder="/usr/local/bin", error="ENOENT"),
        ran(GAP_S + 1, 50, "tmux", folder="/usr/bin", error="ENOENT"),
    ],
    ids=["other arguments", "other program", "other process", "the same directory", "much later"],
)
def test_what_is_not_the_next_attempt_of_a_search_is_a_row_of_its_own(second: Exec) -> None:
    log = log_of(ran(0, 50, "tmux", folder="/usr/local/bin", error="ENOENT"), second)
    assert sums(log) == (2, 0, 0, 0)


def test_a_directory_may_be_in_path_twice_and_retries_are_no_search() -> None:
    twice = search(0, 50, "tmux", tried=("/opt/bin", "/opt/bin", "/usr/bin", "/bin"))
    assert described(log_of(*twice)) == ["/bin/tmux ✗4 in PATH"]
    tries = [ran(at, 50, "tmux", folder="/opt", error="ENOENT") for at in (0, 0.001, 0.002)]
    assert described(log_of(*tries)) == ["/opt/tmux ✗3 times"]


def test_a_search_ends_with_an_error_after_which_none_goes_on() -> None:
    log = log_of(ran(0, 50, "tmux", folder="/usr/bin", error="ENOEXEC"), ran(0, 50, "tmux"))
    assert sums(log) == (2, 0, 0, 0)


def test_a_script_that_a_search_found_has_its_interpreters_arguments() -> None:
    found = msgspec.structs.replace(
        ran(0, 50, "deploy", "now"), argv=("/bin/sh", "/bin/deploy", "now"), interp="/bin/sh"
    )
    log = log_of(ran(0, 50, "deploy", "now", folder="/usr/bin", error="ENOENT"), found)
    assert described(log) == ["/bin/deploy ✗1 in PATH"]


def test_a_search_of_which_the_end_was_not_seen_is_not_said_to_have_found_nothing() -> None:
    # What it finds has another name: with --comm the kernel may leave it out.
    attempts = search(0.0, 5, "pg_dump", found=False)
    assert [search_text(row) for row in log_of(*attempts[:-1]).view.rows()] == ["✗2 in PATH"]
    assert [search_text(row) for row in log_of(*attempts).view.rows()] == ["✗2 in PATH, not found"]


def cut(program: Exec, *argv: str) -> Exec:
    return msgspec.structs.replace(program, argv=argv, truncated=True, cut=("argv",))


@pytest.mark.parametrize(
    "read",
    [
        ("wc", "-c", "a", "b"),
        ("wc", "-c", "a", "bb"),  # the last one is cut, too
        ("wc", "-c", "a", "bbbé"[:3] + r"\xc3"),  # in the middle of a character
        (),  # not one of them could be read
    ],
)
def test_of_attempts_fewer_arguments_are_read_than_of_the_program_that_was_found(read: tuple[str, ...]) -> None:
    argv = ("wc", "-c", "a", "b" if read[-1:] == ("b",) else "bbbé", "c", "d")
    tried = [cut(ran(0.0, 5, *argv, folder=folder, error="ENOENT"), *read) for folder in FOLDERS[:2]]
    log = log_of(*tried, ran(0.0, 5, *argv))
    assert [search_text(row) for row in log.view.rows()] == ["✗2 in PATH"]


def test_a_script_with_many_arguments_is_found_by_the_search_of_which_fewer_were_read() -> None:
    argv = ("tidy", *map(str, range(400)))
    tried = cut(ran(0.0, 5, *argv, folder="/usr/bin", error="ENOENT"), *argv[:256])
    script = ran(0.0, 5, "/bin/sh", "-e", "/bin/tidy", *argv[1:])
    found = msgspec.structs.replace(script, interp="/bin/sh", file="/bin/tidy")
    assert [search_text(row) for row in log_of(tried, found).view.rows()] == ["✗1 in PATH"]


def test_other_arguments_are_another_command_though_they_were_cut() -> None:
    tried = cut(ran(0.0, 5, "wc", "-l", "a", folder="/usr/bin", error="ENOENT"), "wc", "-l")
    log = log_of(tried, ran(0.0, 5, "wc", "-c", "a", "b"))
    assert [search_text(row) for row in log.view.rows()] == ["", ""]


def test_a_file_that_must_not_be_run_is_not_said_to_be_missing() -> None:
    attempts = [ran(0, 50, "tmux", folder=folder, error="EACCES") for folder in FOLDERS]
    log = log_of(*attempts, end(attempts[-1], code=126))
    assert described(log) == ["/bin/tmux ✗3 in PATH, not permitted"]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_repeats_of_one_parent_program_and_outcome_are_one_row(size: int) -> None:
    log = log_of(*repeated(0, 214, "true", "--case"), size=size)
    assert described(log) == ["×214 /bin/true"]
    assert sums(log) == (1, 213, 0, 0)
    (row,) = log.view.rows()
    assert row.repeats is not None
    assert row.repeats.median_s == pytest.approx(0.001)


def test_repeats_that_had_to_be_searched_fold_too() -> None:
    log = log_of(*(record for i in range(5) for record in search(i * 0.1, 50 + i, "true")))
    assert described(log) == ["×5 /bin/true ✗2 in PATH"]
    assert sums(log) == (1, 4, 10, 5)


def test_searches_that_find_nothing_repeat_too() -> None:
    log = log_of(*(record for i in range(5) for record in search(i * 0.1, 50 + i, "pg_dump", found=False)))
    assert described(log) == ["×5 /usr/bin/pg_dump ✗2 in PATH, not found"]
    assert sums(log) == (1, 4, 5, 5)
    assert log.view.failed == 5


def test_another_parent_outcome_or_program_is_another_row() -> None:
    other_parent = ran(0.03, 70, "true", ppid=8)
    log = log_of(
        *repeated(0, 3, "true"),
        other_parent,
        end(other_parent),
        *repeated(0.1, 2, "true", first_pid=60, code=1),
        *repeated(0.2, 1, "false", first_pid=80),
        *repeated(0.3, 2, "true", first_pid=90),
    )
    assert described(log) == ["×5 /bin/true", "/bin/true", "×2 /bin/true", "/bin/false"]


def test_a_fold_ends_after_a_pause_and_after_a_while() -> None:
    assert described(log_of(*repeated(0, 4, "true", apart=GAP_S + 0.5))) == ["/bin/true"] * 4
    going_on = log_of(*repeated(0, 40, "true", apart=0.5))
    assert described(going_on) == ["×21 /bin/true", "×19 /bin/true"]
    assert SPAN_S == 10.0


def test_what_started_first_is_shown_first_though_it_ended_last() -> None:
    first, second = ran(0, 50, "cc"), ran(0.1, 51, "cc")
    log = log_of(first, second, end(second), size=1)
    assert described(log) == ["/bin/cc", "/bin/cc"]
    log.feed(Batch("execs", 200.0, (end(first, 2.0),)))
    assert described(log) == ["×2 /bin/cc"]
    assert log.view.rows()[0].exec is first


def test_arguments_that_differ_are_not_said_to_be_the_same() -> None:
    log = log_of(*(r for i in range(3) for r in repeated(i * 0.1, 1, "cc", "-c", f"{i}.c", first_pid=50 + i)))
    (row,) = log.view.rows()
    assert row.repeats is not None
    assert (row.repeats.same, row.repeats.shares_all) == (2, False)


def test_opened_all_of_it_is_shown_and_folded_again_nothing_has_changed() -> None:
    log = log_of(*repeated(0, 3, "true"), *search(0.5, 50, "tmux"), *repeated(0.6, 2, "true", first_pid=60))
    true, tmux = log.view.rows()
    assert log.view.toggle(true)
    assert sums(log) == (6, 0, 2, 1)
    assert log.view.toggle(tmux)
    assert sums(log) == (8, 0, 0, 0)
    log.feed(Batch("execs", 200.0, tuple(repeated(0.7, 1, "true", first_pid=70))))
    assert len(log.view) == 9
    for row in (log.view.rows()[2], log.view.rows()[3]):
        assert log.view.toggle(row)
    assert described(log) == ["×6 /bin/true", "/bin/tmux ✗2 in PATH"]
    assert not log.view.toggle(ExecRow(ran(0, 1, "x"), true.lineage))


def test_failures_are_shown_folded_all_alone_or_not_at_all() -> None:
    log = log_of(*repeated(0, 3, "true"), *search(0.5, 50, "tmux"), *search(0.6, 51, "nano", found=False))
    counted = {}
    for failures in FAILURES:
        log.view.set_failures(failures)
        while log.view.scan(2):
            pass
        counted[failures] = len(log.view), log.view.failed
    assert counted == {"folded": (3, 1), "all": (8, 4), "only": (4, 4), "none": (2, 0)}


def test_a_filter_finds_what_is_folded() -> None:
    records = [r for i in range(20) for r in repeated(i * 0.01, 1, "test", f"case={i}", first_pid=50 + i)]
    log = log_of(*records, *search(0.5, 10, "tmux"))
    for text, rows, repeats in (("case=7", 1, 0), ("case=1", 1, 10), ("/usr/local/bin/tmux", 1, 0), ("ENOENT", 2, 0)):
        log.apply_filter(ViewFilter(), EXECS.parse(text))
        while log.view.scan(3):
            pass
        assert (len(log.view), log.view.repeats) == (rows, repeats), text


def test_the_selected_row_is_found_though_it_is_hidden_now() -> None:
    log = log_of(*repeated(0, 3, "true"), *search(0.5, 50, "tmux"), size=1)
    assert [log.view.position(sequence) for sequence in range(6)] == [0, 0, 0, 1, 1, 1]


# Whatever comes in whatever pieces.


def matching(log: ExecLog) -> list[ExecRow]:
    failures = log.view.failures
    rows = log.ring.slice(log.ring.first, log.ring.end)
    return [
        row
        for row in rows
        if log.matches(row) and not (failures == "only" and not row.failed) and not (failures == "none" and row.failed)
    ]


def check(log: ExecLog) -> None:
    view = log.view
    rows = view.rows()
    expected = matching(log)
    assert len(rows) + view.repeats + view.attempts == len(expected)
    assert [row.sequence for row in rows] == sorted(row.sequence for row in rows)
    assert set(map(id, rows)) <= set(map(id, expected))
    assert view.failed == sum(row.failed for row in expected) - view.attempts
    assert len(view) == len(rows)
    assert view.all_rows() == expected
    # Each matching row is shown, or behind one that is shown.
    stands_for = {id(row): max(1, repeats_shown(row)) for row in rows}
    assert sum(stands_for.values()) + view.attempts == len(expected)
    for row in expected:
        assert any(row is shown or view.shown_for(row) is shown for shown in rows)


def killed(
    program: Exec, signal: str = "SIGKILL", *, by: Killer | None = None, core: bool = False, oom: bool = False
) -> Exit:
    return msgspec.structs.replace(end(program), code=None, signal=signal, killer=by, core=core, oom=oom)


def test_what_ended_otherwise_is_no_repeat() -> None:
    ends: list[dict[str, Any]] = [
        {"by": Killer(pid=7, comm="timeout", uid=0)},
        {"by": Killer(pid=8, comm="timeout", uid=0)},  # another process of the same program
        {"by": Killer(pid=9, comm="php-fpm", uid=0)},
        {"oom": True},
        {},
        {"core": True},
        {"core": True},
        {"signal": "SIGSEGV", "core": True},
    ]
    programs = [ran(0.01 * at, 100 + at, "work") for at in range(len(ends))]
    log = log_of(*(r for program, how in zip(programs, ends, strict=True) for r in (program, killed(program, **how))))
    assert [repeats_shown(row) for row in log.view.rows()] == [2, 0, 0, 0, 2, 0]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("search"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("run"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("start"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("open"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("mode"), st.sampled_from(FAILURES), st.just(0)),
        st.tuples(st.just("filter"), st.sampled_from(["", "ENOENT", "prog1", "/bin/prog0", "x1"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps, st.sampled_from([3, 8, 1000]), st.integers(1, 7))
def test_rows_shown_and_rows_hidden_are_all_rows(
    given_steps: list[tuple[str, object, int]], capacity: int, size: int
) -> None:
    log = ExecLog(capacity)
    pid, at = 100, 0.0
    waiting: list[Record] = []
    running: list[Exec] = []
    for what, which, more in given_steps:
        pid += 1
        at += 0.01
        if what == "search":
            tried = FOLDERS[: int(str(which))]
            waiting += search(at, pid, f"prog{len(tried) % 2}", f"x{pid % 3}", found=bool(more), tried=tried)
        elif what == "run":
            waiting += repeated(at, 1, f"prog{which}", f"x{pid % 3}", first_pid=pid, code=more)
        elif what == "start":
            running.append(ran(at, pid, f"prog{which}"))
            waiting.append(running[-1])
        elif what == "end" and running:
            waiting.append(end(running.pop(int(str(which)) % len(running)), at))
        elif what == "wait":
            at += int(str(which))
        elif what == "open" and len(log.view):
            log.view.toggle(log.view.rows()[int(str(which)) % len(log.view)])
        elif what == "mode":
            log.view.set_failures(which)  # type: ignore[arg-type]  # one of them
            while log.view.scan(2):
                pass
        elif what == "filter":
            log.apply_filter(ViewFilter(), EXECS.parse(str(which)) if which else None)
            while log.view.scan(2):
                pass
        while len(waiting) >= size:
            log.feed(Batch("execs", 200.0, tuple(waiting[:size])))
            del waiting[:size]
        check(log)
    shown = [row.sequence for row in log.view.rows()]
    log.apply_filter(ViewFilter(), log.query)
    while log.view.scan(3):
        pass
    check(log)
    assert [row.sequence for row in log.view.rows()] == shown
