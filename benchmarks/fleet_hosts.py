"""Simulated hosts: what `ebpftop stream --host-field` writes of a busy machine, at a chosen rate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

TICK_S = 0.25
_ROWS = 60
_PLACE = b"TIME_AS_DIGITS.00"


def _line(kind: str, host: str, **fields: object) -> bytes:
    return json.dumps({"kind": kind, "host": host, **fields}, separators=(",", ":")).encode() + b"\n"


def _exec(host: str, pid: int, *, failed: bool) -> bytes:
    return _line(
        "exec",
        host,
        time="T",
        pid=pid,
        tid=pid,
        ppid=812,
        uid=1000,
        user="ann",
        comm="cc1",
        file="/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
        argv=["cc1", "-quiet", "-imultiarch", "x86_64-linux-gnu", f"src/file{pid % 100}.c", "-O2", "-o", "/tmp/ccX.s"],
        truncated=False,
        ret=-2 if failed else 0,
        error="ENOENT" if failed else None,
        cgroup="/user.slice/user-1000.slice/session-4.scope",
        start_ns=pid * 1_000_003,
        pcomm="cc",
        euid=1000,
        loginuid=1000,
        interp=None,
        pidns=4026531836,
        nspid=pid,
        container=None,
        unit="session-4.scope",
        cut=[],
        exe="/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
        exe_inode=123456,
        cwd="/home/ann/project",
        root=None,
        tty="pts/0",
        sid=700,
        stdio=["/dev/pts/0", "/dev/pts/0", "/dev/pts/0"],
    )


def _exit(host: str, pid: int) -> bytes:
    return _line(
        "exit",
        host,
        time="T",
        pid=pid,
        uid=1000,
        comm="cc1",
        code=0,
        signal=None,
        duration_s=0.146,
        start_ns=pid * 1_000_003,
        ppid=812,
        core=False,
        user_s=0.1,
        system_s=0.02,
        max_rss_bytes=31_000_000,
        threads=1,
        forked=False,
        killer=None,
        oom=False,
    )


def _calls(host: str, count: int) -> bytes:
    rows = [
        {"abi": "x86_64", "nr": nr, "name": f"call{nr}", "count": count * (nr + 1), "errors": count}
        | {"total_ns": count * 9000, "max_ns": 10**7, "histogram_ns": [count * bucket for bucket in range(30)]}
        for nr in range(_ROWS)
    ]
    return _line("syscalls", host, time="T", whole=False, rows=rows)


class Host:
    """One host: `tick` returns the lines of a quarter of a second."""

    def __init__(self, name: str, rate: int) -> None:
        self.name = name
        self._events = [
            one
            for pid in range(1000, 1000 + max(1, int(rate * TICK_S) // 2))
            for one in (_exec(name, pid, failed=pid % 20 == 0), _exit(name, pid))
        ]
        self._events = [line.replace(b'"time":"T"', b'"time":' + _PLACE) for line in self._events]
        self._ticks = 0

    def header(self) -> bytes:
        """Return the first line."""
        known = {"schema": 2, "version": "0.2.0", "kernel": "6.18.44", "abi": "x86_64", "started": time.time()}
        return _line("header", self.name, **known)

    def tick(self, now: float) -> list[bytes]:
        """Return lines of *now*."""
        digits = b"%.6f" % now
        lines = [line.replace(_PLACE, digits, 1) for line in self._events]
        if self._ticks % 4 == 0:
            lines.append(_calls(self.name, self._ticks).replace(b'"T"', digits, 1))
            lines.append(_line("cost", self.name, time=now, kernel=0.01, user=0.02, runs=9))
        self._ticks += 1
        return lines


def paced(hosts: list[Host]) -> Iterator[tuple[Host, list[bytes]]]:
    """Yield the lines of each host, spread over each quarter of a second, as real time passes."""
    step = TICK_S / len(hosts)
    due_s = time.monotonic()
    while True:
        for host in hosts:
            due_s += step
            if (wait_s := due_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            yield host, host.tick(time.time())
