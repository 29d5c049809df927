"""A minute of system calls on a small server, with everything that the kernel tells of them."""

from __future__ import annotations

from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import (
    Abi,
    Awaited,
    Handler,
    InFlight,
    ProcessCalls,
    ProcessTotal,
    Syscall,
    SyscallRow,
    Syscalls,
    TableSlot,
)

from .scene import START, batch, probe_state

CALLS: tuple[tuple[Abi, int, str, int, int, int], ...] = (
    # abi, nr, name, calls a second, failures a second, usual log2 of its ns
    ("x86_64", 0, "read", 800, 20, 10),
    ("x86_64", 1, "write", 500, 0, 11),
    ("x86_64", 257, "openat", 150, 37, 12),
    ("x86_64", 202, "futex", 100, 13, 19),
    ("x86_64", 13, "rt_sigaction", 40, 0, 7),
    ("x86_64", 59, "execve", 4, 1, 18),
    ("x86_64", 223, "timer_settime", 2, 0, 9),
    ("i386", 20, "getpid", 3, 0, 8),
    ("x86_64", 9999, "syscall_9999", 1, 0, 0),
)
HANDLERS: dict[str, Handler] = {"execve": "exec", "timer_settime": "timer", "rt_sigaction": "ignore", "openat": "trace"}
PROCESSES = ((4104, "server", 60), (640, "cron", 25), (900, "bash", 10))
"""Process id, name and how many of a hundred calls are its own; five of a hundred fell out of the map."""


def _even(count: int, parts: int) -> list[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def row(abi: Abi, nr: int, name: str, calls: int, failures: int, usual: int, seconds: int) -> SyscallRow:
    """The counters of one call after some seconds: every twentieth second it is sixteen times as slow."""
    ns = [0] * 44
    for second in range(1, seconds + 1):
        middle = usual + (4 if second % 20 > 16 else 0)
        for i, n in ((-2, calls // 20), (-1, calls // 4), (0, calls // 2), (1, calls // 6), (4, int(calls > 100))):
            ns[max(0, middle + i)] += n
    top = max((i for i, n in enumerate(ns) if n), default=0)
    timed = nr < 1600
    return SyscallRow(
        abi=abi,
        nr=nr,
        name=name,
        count=calls * seconds,
        errors=failures * seconds,
        histogram_ns=tuple(ns[: top + 1]) if timed else (),
        failed_histogram_ns=(*(0,) * (usual - 1), *_even(failures * seconds, 3)) if timed and failures else (),
        total_ns=calls * seconds << usual if timed else 0,
        max_ns=(2 << top) - 7 if timed else 0,
        errnos={"ENOENT": failures * seconds - seconds, "EAGAIN": seconds} if failures > 1 else {},
        handler=HANDLERS.get(name, "count"),
        slot=nr + (512 if abi == "i386" else 0) if timed else None,
    )


def reading(seconds: int) -> Batch:
    """What the probe says after some seconds."""
    pairs = [
        ProcessCalls(
            pid=pid,
            start_ns=pid * 1000,
            comm=comm,
            abi=abi,
            nr=nr,
            name=name,
            count=(made := calls * seconds * of_hundred // 100),
            errors=failures * seconds * of_hundred // 100,
            total_ns=(made << usual) * 50 // of_hundred,
            max_ns=(32 << usual) - pid % 7,
        )
        for pid, comm, of_hundred in PROCESSES
        for abi, nr, name, calls, failures, usual in CALLS
        if nr < 1600
    ]
    return batch(
        "syscalls",
        seconds,
        Syscalls(
            time=START + seconds,
            rows=tuple(row(*call, seconds) for call in CALLS),
            in_flight=(
                InFlight(
                    pid=4104,
                    tid=4120,
                    comm="server",
                    abi="x86_64",
                    nr=0,
                    name="read",
                    ns=seconds * 10**9,
                    fd=7,
                    path="socket:[9911]",
                    peer="tcp 10.0.0.7:5432",
                    kernel_stack=("schedule_timeout", "sk_wait_data", "tcp_recvmsg", "sock_recvmsg", "ksys_read"),
                ),
                InFlight(
                    pid=640,
                    tid=640,
                    comm="cron",
                    abi="x86_64",
                    nr=318,
                    name="getrandom",
                    ns=1_400_000_000,
                    running=True,
                ),
                InFlight(
                    pid=900,
                    tid=900,
                    comm="bash",
                    abi="x86_64",
                    nr=61,
                    name="wait4",
                    ns=2_500_000_000,
                    before=True,
                    awaited=(Awaited(pid=18710, comm="sleep"),),
                ),
            ),
            processes=tuple(pairs),
            process_totals=tuple(
                ProcessTotal(
                    pid=pid,
                    start_ns=pid * 1000,
                    comm=comm,
                    count=sum(pair.count for pair in pairs if pair.pid == pid) + 12,
                    errors=sum(pair.errors for pair in pairs if pair.pid == pid),
                    total_ns=sum(pair.total_ns or 0 for pair in pairs if pair.pid == pid) + 12_000_000,
                    max_ns=max(pair.max_ns or 0 for pair in pairs if pair.pid == pid),
                )
                for pid, comm, _ in PROCESSES
            ),
            families={"exec": 4 * seconds, "timer_create": 3, "timer_delete": 2, "timer_other": 2 * seconds},
            table=(
                TableSlot(slot=13, abi="x86_64", nr=13, name="rt_sigaction", handler="ignore"),
                TableSlot(slot=59, abi="x86_64", nr=59, name="execve", handler="exec"),
                TableSlot(slot=222, abi="x86_64", nr=222, name="timer_create", handler="timer"),
                TableSlot(slot=223, abi="x86_64", nr=223, name="timer_settime", handler="timer"),
                TableSlot(slot=257, abi="x86_64", nr=257, name="openat", handler="trace"),
            ),
        ),
    )


def traced(at: float, path: str, ret: int | None, error: str | None, ns: int | None) -> Syscall:
    """A traced openat."""
    return Syscall(
        time=START + at,
        pid=4104,
        tid=4104,
        comm="server",
        abi="x86_64",
        nr=257,
        name="openat",
        args=("AT_FDCWD", f'"{path}"', "O_RDONLY|O_CLOEXEC"),
        ret=ret,
        ns=ns,
        error=error,
    )


def minute_of_calls(seconds: int = 60) -> list[Batch]:
    """A reading every second, and some traced calls."""
    return [
        batch("syscalls", 0, probe_state("syscalls", "on")),
        *(reading(second) for second in range(1, seconds + 1)),
        batch(
            "syscalls",
            seconds,
            traced(58.5, "/etc/hosts", 7, None, 3120),
            traced(58.75, "/etc/nonexistent", -2, "ENOENT", 2040),
            traced(59.25, "/run/fifo", None, None, None),
        ),
    ]
