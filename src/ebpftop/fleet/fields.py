"""What may be typed behind / in the list of hosts and in the merged log."""

from __future__ import annotations

from ebpftop.filters.kinds import Choice, Number, duration, share
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.fleet.model import FleetModel, Logged
from ebpftop.fleet.rows import SEVERITY, HostRow
from ebpftop.models.program_fields import ERRNO, SIGNAL, USER, signal_pair

_RATE = Number(hint=">10")
_COUNT = Number(hint=">0")


def hosts_language(model: FleetModel) -> Language[HostRow]:
    """Return the language of the list of hosts of *model*."""
    return Language(
        [
            text_field("host", lambda row: row.name, "its name, or a pattern: web*"),
            Field("state", Choice(tuple(SEVERITY)), lambda row, _: row.state, "up, stale, gone .."),
            Field("execs", _RATE, lambda row, _: row.execs, "programs that start each second"),
            Field("fail", _RATE, lambda row, _: row.failures, "programs that do not start each second"),
            Field("calls", _RATE, lambda row, _: row.calls, "system calls each second"),
            Field("errors", _RATE, lambda row, _: row.errors, "system calls that return an error each second"),
            Field("lost", _COUNT, lambda row, _: row.lost + row.dropped, "what was lost there and here"),
            Field("cost", share(), lambda row, _: row.cost, "CPU of ebpftop there"),
            Field("age", duration(), lambda row, _: model.age_s(row), "of its last record", varies=True),
            Field(
                "clock",
                duration(),
                lambda row, _: None if row.clock_s is None else abs(row.clock_s),
                "how far its clock is from this one",
            ),
        ],
        lambda row: f"{row.name} {row.state} {row.said} {row.remedy} {row.kernel}",
        lambda row: row.name,
    )


def log_language() -> Language[Logged]:
    """Return the language of the merged log."""
    return Language(
        [
            text_field("host", lambda row: row.started.host, "its name, or a pattern: web*"),
            text_field("comm", lambda row: row.started.comm, "command name"),
            Field("pid", _COUNT, lambda row, _: row.started.pid, "process id"),
            Field("user", USER, lambda row, _: (row.started.uid, row.started.user), "name or uid", ("uid",)),
            Field("ret", ERRNO, lambda row, _: (row.started.ret, row.started.error), "0, or why it did not start"),
            Field("exit", _COUNT, lambda row, _: None if row.end is None else row.end.code, "exit code", at_end=True),
            Field(
                "signal",
                SIGNAL,
                lambda row, _: None if row.end is None else signal_pair(row.end.signal),
                "the signal that ended it",
                at_end=True,
            ),
            Field(
                "duration",
                duration(),
                lambda row, _: None if row.end is None else row.end.duration_s,
                "from start to end",
                at_end=True,
            ),
        ],
        lambda row: " ".join(
            filter(None, (row.started.host, row.started.command, row.started.comm, row.started.user, row.started.error))
        ),
        lambda row: row.started.command,
    )
