"""A small server on which some processes hang, one waits for a CPU, and most only wait for something to do."""

from __future__ import annotations

from ebpftop.core.source import Batch
from ebpftop.core.state_records import (
    BlockedCall,
    CpuStates,
    MachineStates,
    ProcessStates,
    States,
    ThreadNow,
    Waker,
)
from ebpftop.core.syscall_records import Awaited, InFlight, Syscalls

from .scene import START, FakeSource, batch, minute, probe_state

S = 10**9
BOOT_NS = 5000 * S
"""When the scene starts, in ns since boot."""

IN_FLIGHT = (
    InFlight(
        pid=812,
        tid=812,
        comm="php-fpm",
        abi="x86_64",
        nr=0,
        name="read",
        ns=4_200_000_000,
        fd=7,
        path="socket:[9911]",
        peer="tcp 10.0.0.7:5432",
        kernel_stack=("schedule_timeout", "sk_wait_data", "tcp_recvmsg", "sock_recvmsg", "ksys_read"),
    ),
    InFlight(
        pid=815,
        tid=815,
        comm="php-fpm",
        abi="x86_64",
        nr=202,
        name="futex",
        ns=3 * S,
        lock="0x7f2c10",
        awaited=(Awaited(pid=812, comm="php-fpm"),),
        kernel_stack=("futex_do_wait", "futex_wait", "do_futex"),
    ),
    InFlight(
        pid=18687,
        tid=18687,
        comm="make",
        abi="x86_64",
        nr=61,
        name="wait4",
        ns=2 * S,
        before=True,
        awaited=(Awaited(pid=18690, comm="cc1"),),
    ),
)


def process(
    at: float, pid: int, comm: str, shares: tuple[float, float, float], now: ThreadNow, **more: object
) -> ProcessStates:
    """A process of one thread that has spent its time in these shares."""
    running, queued, blocked = (round(share * at * S) for share in shares)
    call = BlockedCall(
        abi=now.abi,
        nr=now.nr,
        syscall=now.syscall,
        ns=blocked,
        max_ns=blocked,
        count=3,
        threads=1,
        since_ns=BOOT_NS,
    )
    fields: dict[str, object] = {
        **{"pid": pid, "start_ns": pid * S, "comm": comm, "uid": 33, "threads": 1, "running_ns": running},
        **{"runnable_ns": queued, "blocked_ns": blocked, "preempted": 7, "wakeups": 0},
        **{"blocked": (call,) if blocked else (), "now": (now,)},
        **more,
    }
    return ProcessStates(**fields)  # type: ignore[arg-type]  # of any field


def thread(
    at: float, tid: int, comm: str, state: str, for_s: float, nr: int | None = None, call: str = ""
) -> ThreadNow:
    """What a thread has done for so long."""
    since_ns = BOOT_NS + round((at - for_s) * S)
    if nr is None:
        return ThreadNow(tid=tid, comm=comm, state=state, since_ns=since_ns)  # type: ignore[arg-type]  # one of them
    return ThreadNow(
        tid=tid,
        comm=comm,
        state=state,  # type: ignore[arg-type]
        since_ns=since_ns,
        abi="x86_64",
        nr=nr,
        syscall=call,
    )


def reading(at: float) -> States:
    """What is there *at* so many seconds after the start."""
    softirq = (Waker(pid=None, comm=None, context="softirq", count=3),)
    make = (Waker(pid=18690, comm="cc1", context=None, count=12),)
    nfs = thread(at, 900, "rsync", "uninterruptible", 31, 1, "write")
    return States(
        time=START + at,
        duration_s=at,
        boot_ns=BOOT_NS + round(at * S),
        cpus=2,
        rows=(
            process(at, 1, "systemd", (0.0, 0.0, 1.0), thread(at, 1, "systemd", "blocked", 9, 232, "epoll_wait")),
            process(at, 640, "日本語\\x1b[31m", (0.0, 0.0, 1.0), thread(at, 640, "x", "blocked", at)),
            process(
                at,
                812,
                "php-fpm",
                (0.02, 0.0, 0.98),
                thread(at, 812, "php-fpm", "blocked", 4.2, 0, "read"),
                wakers=softirq,
                wakeups=3,
            ),
            process(at, 815, "php-fpm", (0.04, 0.01, 0.95), thread(at, 815, "php-fpm", "blocked", 3, 202, "futex")),
            process(at, 900, "rsync", (0.0, 0.0, 1.0), nfs),
            process(
                at,
                18687,
                "make",
                (0.01, 0.0, 0.99),
                thread(at, 18687, "make", "blocked", 2, 61, "wait4"),
                wakers=make,
                wakeups=12,
            ),
            process(at, 18690, "cc1", (0.6, 0.39, 0.01), thread(at, 18690, "cc1", "runnable", 0.02)),
        ),
        machine=MachineStates(
            cpus=tuple(CpuStates(cpu=n, running_ns=round(0.8 * at * S), idle_ns=0, switches=9) for n in range(2)),
            runnable_ns=round(1.2 * at * S),
            running=2,
            runnable=1,
            blocked=212,
            uninterruptible=1,
        ),
    )


def readings(last: int = 60, first: int = 40) -> list[Batch]:
    """A reading each second, and what calls wait for."""
    return [
        batch("syscalls", 0, probe_state("syscalls", "on")),
        batch("syscalls", last - 0.5, Syscalls(time=START + last - 0.5, rows=(), in_flight=IN_FLIGHT)),
        batch("states", first, probe_state("states", "on")),
        *(batch("states", at, reading(at)) for at in range(first + 1, last + 1)),
    ]


def with_waits(last: int = 60) -> FakeSource:
    """A server on which the probe is on for the last twenty seconds."""
    return FakeSource([*minute(), *readings(last)])
