"""The details of a program list the paths that were tried for it, whatever the log folds."""

from __future__ import annotations

from ebpftop.models.exec_row import attempts_of
from ebpftop.models.execlog import ExecLog
from ebpftop.ui.panes.exec_details import exec_details

from .test_folding import log_of, ran, search


def sheet_of(log: ExecLog, at: int = -1) -> str:
    return exec_details(log, log.ring[log.ring.end + at], 300.0).sheet().content().plain


def test_details_list_the_attempts_of_a_search() -> None:
    log = log_of(*search(0, 7, "as"), ran(1, 9, "ls"))
    shown = sheet_of(log, -2)
    assert "Tried before it was found (2)" in shown
    assert "/usr/local/bin/as → ENOENT\n/usr/bin/as       → ENOENT\n" in shown
    assert "Tried" not in sheet_of(log)


def test_nothing_found_lists_the_last_attempt_too() -> None:
    log = log_of(*search(0, 7, "gone", found=False))
    log.view.set_failures("all")
    assert "Tried (2)\n/usr/local/bin/gone → ENOENT\n/usr/bin/gone       → ENOENT\n" in sheet_of(log)


def test_attempts_that_the_log_lost_are_counted() -> None:
    log = log_of(*search(0, 7, "as"), capacity=2)
    assert [row.exec.file for row in attempts_of(log.ring[log.ring.end - 1], log.ring)] == ["/usr/bin/as"]
    assert "and 1 older attempt, which the log does not have any more" in sheet_of(log)
