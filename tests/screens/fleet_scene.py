"""A fleet under test: hosts in all states, programs of the merged log, and panes of a host that are opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ebpftop.core.source import Source, SourceError
from ebpftop.fleet.rows import EndRow, HostRow, HostState, LogRow, News
from ebpftop.settings.store import Settings
from ebpftop.ui.fleet_app import FleetApp

from .scene import START, FakeSource, minute

NOW_S = 1000.0
"""The monotonic clock."""
WALL = START + 60.0


def host(name: str, state: HostState = "up", **fields: Any) -> HostRow:
    known: dict[str, Any] = {"since_s": 100.0, "last_s": 999.5, "opens": True, "version": "0.2.0", "kernel": "6.18.44"}
    if state in ("up", "stale"):
        known |= {"execs": 31.0, "failures": 0.0, "calls": 9_500.0, "errors": 190.0, "cost": 0.031, "clock_s": -0.1}
    return HostRow(name, state, **(known | fields))


HOSTS = (
    host("db2", "gone", since_s=760.0, last_s=760.0, said="the connection was closed", retry_s=1008.0),
    host("ci1", "refused", last_s=None, opens=False, said="nothing listens on its ssh port", remedy="is sshd running?"),
    host(
        "ci3",
        "no root",
        last_s=None,
        opens=False,
        said="sudo does not run ebpftop without a password",
        remedy="log in as root@ci3, or NOPASSWD in its sudoers (docs/fleet.md)",
        retry_s=1030.0,
    ),
    host("web7", "stale", since_s=996.0, last_s=991.0, said="no record for more than 5 s", remedy="the network hangs"),
    host("web8", "connecting", last_s=None, opens=False, since_s=999.0),
    host("web1", failures=2.0, errors=3_400.0, lost=54, clock_s=0.6),
    host("web2", clock_s=30.0),
    host("web3", execs=0.2, calls=40.0, errors=0.0, cost=0.004),
    host("a-host-with-a-very-long-name.of.a.data-centre.example.org", broken=3),
    *(host(f"node{number:02}", execs=float(number)) for number in range(40)),
)


def started(number: int, name: str, command: str, **fields: Any) -> LogRow:
    known: dict[str, Any] = {"ret": 0, "error": None, "uid": 0, "user": "root"}
    known |= fields
    return LogRow(
        id=number,
        host=name,
        time=WALL - 30 + number / 10,
        pid=1000 + number,
        start_ns=number,
        comm=command.split()[0][:15],
        command=command,
        **known,
    )


LOG = (
    *(started(number, f"node{number % 40:02}", f"cc -c file{number}.c", uid=1000, user="ann") for number in range(60)),
    started(60, "web1", "pg_dump shop", ret=-2, error="ENOENT"),
    started(61, "web2", "sh -c /usr/local/bin/backup-db"),
    started(62, "web3", "convert upload.png thumb.webp", uid=33, user="www-data"),
    started(63, "web1", "sleep 600"),
)
ENDS = (
    *(EndRow(number, 0, None, 0.146) for number in range(60)),
    EndRow(61, 127, None, 0.031),
    EndRow(62, None, "SIGKILL", 30.0),
)


class FakeReading:
    """Gives the news that it is given; remembers what it was asked for."""

    def __init__(self, *news: News) -> None:
        self.has_ended = False
        self.waiting = list(news)
        self.asked: list[str] = []

    def news(self) -> list[News]:
        news, self.waiting = self.waiting, []
        return news

    def open(self, name: str) -> int:
        self.asked.append(f"open {name}")
        return os.open(os.devnull, os.O_RDONLY)

    def close_host(self) -> None:
        self.asked.append("close")

    def retry(self, name: str) -> None:
        self.asked.append(f"retry {name}")


def whole_fleet() -> FakeReading:
    return FakeReading(
        News(hosts=HOSTS), News(log=LOG, left_out=1_204, stray=2), News(ends=ENDS, left_out=1_204, stray=2)
    )


class Opened:
    """The sources that were made for the panes of hosts."""

    def __init__(self, refuses: SourceError | None = None) -> None:
        self.sources: dict[str, FakeSource] = {}
        self._refuses = refuses

    def __call__(self, name: str, fd: int) -> Source:
        os.close(fd)
        if self._refuses is not None:
            raise self._refuses
        self.sources[name] = FakeSource(minute())
        return self.sources[name]


def fleet_app(
    reading: FakeReading,
    opened: Callable[[str, int], Source] | None = None,
    settings: Settings | None = None,
) -> FleetApp:
    return FleetApp(reading, opened or Opened(), settings, monotonic=lambda: NOW_S, wall=lambda: WALL)
