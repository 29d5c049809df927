"""The cgroups, programs and users of a small server, over a minute."""

from __future__ import annotations

from ebpftop.core.group_records import OTHER_COMM, CgroupRow, Cgroups, CommRow, Comms, UidRow, Uids
from ebpftop.core.source import Batch

from .scene import START, FakeSource, batch, minute, probe_state

WEB = "0f3a0c11d2e4" + "a" * 52
OLD = "77aa0c11d2e4" + "b" * 52
SEEN = "1f03"
"""read, write, and 8 to 12: lseek to brk."""


def _figures(
    at: float, execs: float, failed: float, calls: float, errors: float, ns: int, **more: object
) -> dict[str, object]:
    return {
        "execs": int(execs * at),
        "failed": int(failed * at),
        "calls": int(calls * at),
        "errors": int(errors * at),
        "total_ns": int(calls * at) * ns,
        "max_ns": 40 * ns,
        "histogram_ns": (0,) * 10 + (int(calls * at), int(calls * at) // 50),
        "seen": SEEN,
        **more,
    }


def cgroups(at: float) -> Cgroups:
    """A reading, so many seconds after the start."""
    rows = (
        ("/", 1, _figures(at, 0, 0, 4, 0, 900, running=80, blocked=61)),
        ("/init.scope", 2, _figures(at, 0, 0, 12, 0, 2000, unit="init.scope", running=1)),
        (
            "/system.slice/php8.2-fpm.service",
            3,
            _figures(at, 4, 0, 3600, 70, 5_000_000, unit="php8.2-fpm.service", running=9, blocked=9, last="convert"),
        ),
        (
            "/user.slice/user-1000.slice/session-4.scope",
            4,
            _figures(at, 27, 1.9, 5600, 3300, 14_000, unit="session-4.scope", running=3, blocked=2, last="cc1"),
        ),
        (
            "/system.slice/cron.service",
            5,
            _figures(
                at, 0.1, 0.1, 240, 19, 50_000, unit="cron.service", running=1, blocked=0, last="sh", seen_other=True
            ),
        ),
        (
            f"/system.slice/docker-{WEB}.scope",
            6,
            _figures(
                at, 1, 0, 900, 9, 3000, unit=f"docker-{WEB}.scope", container=WEB[:12], container_name="shop_web_1",
                state="running", running=6, blocked=8, last="curl",
            ),
        ),
        (
            f"/system.slice/docker-{WEB}.scope/\\x1b[31m",
            7,
            _figures(
                at, 0, 0, 100, 0, 3000, unit=f"docker-{WEB}.scope", container=WEB[:12], container_name="shop_web_1",
                state="running", running=1, blocked=1,
            ),
        ),
        (
            f"/system.slice/docker-{OLD}.scope",
            8,
            _figures(
                30, 2, 1, 50, 9, 3000, unit=f"docker-{OLD}.scope", container=OLD[:12], state="exited", gone=True,
                running=0, last="true",
            ),
        ),
    )  # fmt: skip
    return Cgroups(
        time=START + at,
        rows=tuple(CgroupRow(hierarchy="v2", id=number, path=path, **more) for path, number, more in rows),  # type: ignore[arg-type]
    )


def comms(at: float) -> Comms:
    """The same by program."""
    rows = (
        (OTHER_COMM, _figures(at, 0, 0, 3, 0, 1000)),
        ("cc1", _figures(at, 9, 0, 4100, 2800, 9000, blocked=0)),
        ("convert", _figures(at, 4, 0, 3000, 60, 5_000_000, blocked=2)),
        ("php-fpm", _figures(at, 0, 0, 600, 10, 900_000, blocked=9)),
        ("sh", _figures(at, 19, 2, 2700, 500, 20_000, blocked=1)),
    )
    return Comms(time=START + at, rows=tuple(CommRow(comm=comm, **more) for comm, more in rows))  # type: ignore[arg-type]


def uids(at: float) -> Uids:
    """The same by user."""
    rows = ((0, _figures(at, 1, 0, 240, 8, 9000)), (1000, _figures(at, 27, 2, 5600, 3300, 9000)))
    return Uids(time=START + at, rows=tuple(UidRow(uid=uid, **more) for uid, more in rows))  # type: ignore[arg-type]


def reading(at: float) -> Batch:
    """All three, as the probe reads them."""
    return batch("cgroups", at, cgroups(at), comms(at), uids(at))


def readings(last: int = 60) -> list[Batch]:
    """A reading each second."""
    return [batch("cgroups", 0, probe_state("cgroups", "on")), *(reading(at) for at in range(1, last + 1))]


def with_groups(last: int = 60) -> FakeSource:
    """A server on which the probe is on from the start."""
    return FakeSource([*minute(), *readings(last)])
