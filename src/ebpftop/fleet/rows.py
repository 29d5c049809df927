"""What the process that reads the hosts sends to the screen: a row a host, and rows of the merged log."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

HostState: TypeAlias = Literal[
    "connecting",
    "up",
    "stale",
    "gone",
    "no root",
    "no ebpftop",
    "no login",
    "unknown key",
    "no such host",
    "refused",
    "unreachable",
    "failed",
]

SEVERITY: dict[HostState, int] = {
    "up": 0,
    "connecting": 1,
    "stale": 2,
    "failed": 3,
    "no root": 3,
    "no ebpftop": 3,
    "no login": 3,
    "unknown key": 3,
    "no such host": 3,
    "refused": 4,
    "unreachable": 4,
    "gone": 4,
}
"""How bad a state is. The worst: what was there, or should be, does not answer."""

STALE_S = 5.0
"""Seconds without a record after which a host is stale, if it is read every second: its cost comes as often."""
GONE_S = 60.0
"""Seconds without a record after which a host is gone; by ssh it is connected anew."""


HOSTS_MAX = 512
"""Hosts at most: beyond, ask an engine that keeps what hosts tell it (docs/fleet.md)."""


class HostRow(msgspec.Struct, frozen=True, gc=False):
    """One host. Texts are safe to show. Times that end in ``_s`` and are moments are of the monotonic clock.

    Rates are per second; None: not known. `lost` is what the host lost itself; `dropped` what its panes did not take,
    `broken` how many lines of it are not records. `cost` is a share of one CPU there. `clock_s` is how much its clock
    is ahead of the one here. `opens`: its panes can be shown.
    """

    name: str
    state: HostState = "connecting"
    since_s: float = 0.0
    said: str = ""
    remedy: str = ""
    retry_s: float | None = None
    last_s: float | None = None
    execs: float | None = None
    failures: float | None = None
    calls: float | None = None
    errors: float | None = None
    lost: int = 0
    dropped: int = 0
    broken: int = 0
    cost: float | None = None
    clock_s: float | None = None
    kernel: str = ""
    version: str = ""
    opens: bool = False


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """A program that started on a host, or failed to. (`host`, `pid`, `start_ns`) identifies the process."""

    id: int
    host: str
    time: float
    pid: int
    start_ns: int
    ret: int
    error: str | None
    uid: int
    user: str | None
    comm: str
    command: str


class EndRow(msgspec.Struct, frozen=True, gc=False):
    """How the process of a `LogRow` ended."""

    id: int
    code: int | None
    signal: str | None
    duration_s: float | None


class News(msgspec.Struct, frozen=True, gc=False):
    """What is new since the last one. `hosts` are those whose row changed; the other figures are totals."""

    hosts: tuple[HostRow, ...] = ()
    log: tuple[LogRow, ...] = ()
    ends: tuple[EndRow, ...] = ()
    left_out: int = 0
    """Programs that are counted but not in the log: more came than it can show."""
    stray: int = 0
    """Lines of the pipe that are of no host."""
    input_ended: bool = False
    """The pipe has ended: nothing more comes."""
    trouble: str = ""
    """Why nothing new is known just now, and what helps."""
    failed: str = ""
    """Why the process that reads the hosts ends: an error in it."""
