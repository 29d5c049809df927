"""The exec log in other orders than that of time."""

from __future__ import annotations

from ebpftop.core.process_records import Exec, Exit
from ebpftop.models.exec_row import ExecRow, Search
from ebpftop.models.processes import Lineage
from ebpftop.models.ranking import RANKED_MAX, RankedView, Ranking, rank
from ebpftop.models.ring import Ring

NOW = 1000.0


def row(sequence: int, name: str, *, ran_s: float | None = 0.0, failed: bool = False) -> ExecRow:
    record = Exec(
        time=NOW - 100 + sequence,
        pid=sequence,
        tid=sequence,
        ppid=1,
        uid=0,
        user="root",
        comm=name,
        file=f"/bin/{name}",
        argv=(name,),
        truncated=False,
        ret=-2 if failed else 0,
        error="ENOENT" if failed else None,
        cgroup="/",
    )
    made = ExecRow(record, Lineage(sequence, 0, 1))
    made.sequence = sequence
    if ran_s is not None:
        made.ended = record.time + ran_s
    return made


ROWS = [
    row(0, "cc", ran_s=3),
    row(1, "as", ran_s=1),
    row(2, "cc", failed=True),
    row(3, "sleep", ran_s=None),
    row(4, "cc", ran_s=3),
    row(5, "git", failed=True),
    row(6, "cc", failed=True),
]


def test_the_longest_first_and_of_equals_the_newest() -> None:
    assert [r.sequence for r in rank(ROWS, "longest", NOW).rows] == [3, 4, 0, 1]
    assert [r.sequence for r in rank(ROWS, "longest", NOW, ascending=True).rows] == [1, 4, 0, 3]


def test_programs_that_fail_most_by_their_newest_failure() -> None:
    ranking = rank(ROWS, "failing", NOW)
    assert [(r.sequence, ranking.times[r.sequence]) for r in ranking.rows] == [(6, 2), (5, 1)]


def test_a_search_in_path_counts_once() -> None:
    attempts = [row(i, "as", failed=True) for i in range(3)]
    found = row(3, "as")
    missing = [row(i, "git", failed=True) for i in (4, 5)]
    rows = [*attempts, found, *missing, row(6, "sh"), row(7, "sh")]
    for group in ([*attempts, found], missing):
        search = Search(group[-1])
        search.is_shown = True
        for one in group:
            one.search = search
    assert {r.exec.comm: n for r, n in times(rank(rows, "often", NOW))} == {"sh": 2, "as": 1, "git": 1}
    assert {r.exec.comm: n for r, n in times(rank(rows, "failing", NOW))} == {"git": 1}


def times(ranking: Ranking) -> list[tuple[ExecRow, int]]:
    return [(r, ranking.times[r.sequence]) for r in ranking.rows]


def ends(made: ExecRow, *, code: int | None = None, signal: str | None = None) -> ExecRow:
    made.exit = Exit(time=NOW, pid=made.exec.pid, uid=0, comm=made.exec.comm, code=code, signal=signal, duration_s=None)
    return made


def test_a_crash_and_an_exit_code_are_failures_and_a_path_search_that_found_its_program_is_none() -> None:
    attempt, found = row(4, "as", failed=True), row(5, "as")
    attempt.search = found.search = Search(found)
    missing = row(6, "git", failed=True)
    missing.search = Search(missing)
    rows = [
        ends(row(0, "sh"), signal="SIGSEGV"),
        ends(row(1, "bash"), code=127),
        ends(row(2, "bash"), code=1),
        ends(row(3, "true"), code=0),
        attempt,
        ends(found, code=0),
        missing,
    ]
    ranking = rank(rows, "failing", NOW)
    assert [(r.sequence, ranking.times[r.sequence]) for r in ranking.rows] == [(2, 2), (6, 1), (0, 1)]


def test_programs_that_start_most_often_by_their_newest_row() -> None:
    ranking = rank(ROWS, "often", NOW)
    assert [(r.sequence, ranking.times[r.sequence]) for r in ranking.rows] == [(6, 4), (5, 1), (3, 1), (1, 1)]


def test_a_ranking_is_bounded() -> None:
    rows = [row(i, f"p{i}", ran_s=i) for i in range(RANKED_MAX + 10)]
    assert len(rank(rows, "often", NOW).rows) == len(rank(rows, "longest", NOW).rows) == RANKED_MAX


def test_a_row_is_found_at_its_rank() -> None:
    view = RankedView(Ring())
    assert (view.first, view.end, view.find(ROWS[3])) == (0, 0, None)
    view.show(rank(ROWS, "longest", NOW))
    assert view.rows() == [ROWS[3], ROWS[4], ROWS[0], ROWS[1]]
    assert [view.position(view.sequence(at)) for at in range(view.end)] == [0, 1, 2, 3]
    assert (view.find(ROWS[0]), view.find(ROWS[2])) == (2, None)
    assert view.times(ROWS[0]) == 0
