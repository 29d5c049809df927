"""The columns of the tree of processes."""

from __future__ import annotations

import math

from ebpftop.core import format
from ebpftop.models.tree import Branch
from ebpftop.ui.panes.common import user
from ebpftop.ui.panes.exec_columns import LONGEST, command
from ebpftop.ui.widgets.columns import Cell, Column, Span


def _ending(b: Branch, now: float) -> Cell:
    p = b.process
    if p.ended is not None:
        known = p.ending is not None and (p.ending.signal is not None or p.ending.code is not None)
        how = p.ending.signal or f"exit {p.ending.code}" if p.ending and known else "exited ?"
        return (Span(how, "dim"),)
    return (Span("" if p.since is None else format.age(now - p.since), "good"),)


def _branch(b: Branch, _: float, longest: float = LONGEST) -> Cell:
    p = b.process
    look = "strong" if p.since is not None else "accent"
    return (Span(b.guide, "dim"), *command(p.argv, p.file or p.comm, look, longest=longest))


TREE_COLUMNS: tuple[Column[Branch], ...] = (
    Column("pid", "PID", 7, lambda b, _: (Span(str(b.process.pid)),), right=True, rank=1, about="Process id."),
    Column(
        "user",
        "USER",
        8,
        lambda b, _: user(b.process.user or str(b.process.uid), b.process.uid),
        rank=2,
        about="The user that it runs as.",
    ),
    Column(
        "ending",
        "OUTCOME",
        8,
        _ending,
        right=True,
        rank=3,
        about="How it ended; for how long it has been running (green) if it has not.",
    ),
    Column(
        "execs",
        "EXECS",
        5,
        lambda b, _: (Span(str(b.process.execs or "·"), "dim"),),
        right=True,
        rank=4,
        about="Programs that it has run one after the other under this pid; a dot: none was seen.",
    ),
    Column(
        "command",
        "PROCESS",
        20,
        _branch,
        flexible=True,
        about="Its last program, below the process that started it.",
        whole=lambda b, now: _branch(b, now, math.inf),
    ),
)
