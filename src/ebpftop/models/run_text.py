"""The summary of `ebpftop run` as lines for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from ebpftop.core import format
from ebpftop.models.run_missing import missing_lines
from ebpftop.models.run_summary import Call, Row, Summary

ROWS_MAX = 40
"""Rows of the tree that are printed; the rest is counted."""

LINES_MAX = 10
"""Lines of each list beside it."""

_COMMAND_WIDTH = 44


def lines(s: Summary) -> Iterator[str]:
    """Yield the lines of a summary, without line breaks."""
    yield from _head(s)
    yield from _tree(s.tree)
    yield from _section(
        "DID NOT START", [(f"{f.error}", f"{f.file}  by {f.comm}{_times(f.count)}") for f in s.exec_failures]
    )
    yield from _section(
        "ENDED WITH AN ERROR",
        [(e.signal or f"exit {e.code}", f"{e.program}{_times(e.count)}") for e in s.failed_programs],
    )
    if s.calls:
        yield from _calls(s.calls)
    for title, waits in (("SLOWEST CALLS", False), ("LONGEST WAITS", True)):
        slowest = [row for row in s.slowest if row.may_wait is waits]
        yield from _section(
            title,
            [
                (format.nanoseconds(row.ns), "  ".join(filter(None, (row.name, row.path, _in(row.program)))))
                for row in slowest[: LINES_MAX // 2]
            ],
        )
    yield from _section("TOP ERRORS", [(f"{e.count:,}", f"{e.call} {e.error}") for e in s.errnos])
    missing = missing_lines(s.not_found, s.command.cwd)
    yield from _section("FILES NOT FOUND", [(f"{count:,}", text) for count, text in missing])
    for row in s.lost:
        yield f"lost: {row.count:,} {row.probe} ({row.where}): so much is missing above"
    for probe in s.not_attached:
        yield f"{probe.probe} was not attached: {probe.reason}"


def _head(s: Summary) -> Iterator[str]:
    c = s.command
    how = f"was ended by {c.signal}" if c.signal else f"exited {c.status}"
    yield (
        f"{command_text(c.argv)}: {how} after {format.duration(c.wall_s)}; "
        f"CPU {format.duration(c.user_s)} user, {format.duration(c.system_s)} system"
        + (f"; largest process {format.size(c.max_rss_bytes)}" if c.max_rss_bytes is not None else "")
    )
    parts = [f"{format.counted(s.started, 'program', whole=True)} started"]
    parts += [f"{s.not_started:,} did not start"] if s.not_started else []
    parts += [f"{s.bad_ends:,} ended with an error"] if s.bad_ends else []
    parts += [f"{s.running:,} still running"] if s.running else []
    yield ", ".join(parts)


def _tree(rows: Sequence[Row]) -> Iterator[str]:
    found = [*_branches(rows, "", is_top=True)]
    if not found:
        return
    cpu = any(row.user_s is not None for _, row in found)
    memory = any(row.max_rss_bytes is not None for _, row in found)
    heads = ["   WALL", *(["    CPU"] if cpu else []), *(["  MEMORY"] if memory else []), "PROGRAM"]
    yield "  ".join(heads)
    for stem, row in found[:ROWS_MAX]:
        cells = [f"{format.duration(row.wall_s):>7}"]
        if cpu:
            used = None if row.user_s is None else row.user_s + (row.system_s or 0.0)
            cells.append(f"{'·' if used is None else format.duration(used):>7}")
        if memory:
            cells.append(f"{'·' if row.max_rss_bytes is None else format.size(row.max_rss_bytes):>8}")
        marks = _times(row.count)
        marks += f"  {row.failed:,} failed" if row.failed else ""
        marks += f"  {row.running:,} running" if row.running else ""
        cells.append(f"{stem}{command_text(row.command) if row.count == 1 else row.program}{marks}")
        yield "  ".join(cells)
    if len(found) > ROWS_MAX:
        yield f"{'':7}  and {format.counted(len(found) - ROWS_MAX, 'more row', whole=True)}: --json FILE has them"


def _branches(rows: Sequence[Row], stem: str, *, is_top: bool = False) -> Iterator[tuple[str, Row]]:
    for row in rows:
        is_last = row is rows[-1]
        yield stem + ("" if is_top else "└ " if is_last else "├ "), row
        yield from _branches(row.children, stem + ("" if is_top else "  " if is_last else "│ "))


def _calls(calls: Sequence[Call]) -> Iterator[str]:
    yield "   TIME  LONGEST    CALLS  ERRORS  CALL"
    for call in calls[:LINES_MAX]:
        yield (
            f"{format.nanoseconds(call.total_ns):>7}  {format.nanoseconds(call.max_ns):>7}  {call.count:>7,}  "
            f"{call.errors or '·':>6}  {call.name}{'  (may wait)' if call.may_wait else ''}"
        )
    rest = calls[LINES_MAX:]
    if rest:
        made, failed = sum(c.count for c in rest), sum(c.errors for c in rest)
        yield f"{made:>25,}  {failed or '·':>6}  of {format.counted(len(rest), 'other call')}"


def _section(title: str, rows: Sequence[tuple[Any, str]]) -> Iterator[str]:
    if rows:
        yield title
        for figure, text in rows[:LINES_MAX]:
            yield f"{figure:>7}  {text}"
        if len(rows) > LINES_MAX:
            yield f"{'':7}  and {len(rows) - LINES_MAX:,} more"


def _times(count: int) -> str:
    return f"  ×{count:,}" if count > 1 else ""


def _in(program: str | None) -> str:
    return f"in {program}" if program else ""


def command_text(argv: Sequence[str]) -> str:
    """Return a command line, not longer than a line has room for."""
    text = shlex.join(argv)
    return text if len(text) <= _COMMAND_WIDTH else f"{text[: _COMMAND_WIDTH - 2]}.."
