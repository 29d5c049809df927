"""Readings of why processes wait, and calls in flight: made up, in seconds."""

from __future__ import annotations

from ebpftop.core.source import Batch
from ebpftop.core.state_records import CpuStates, MachineStates, ProcessStates, States, ThreadNow
from ebpftop.core.syscall_records import Awaited, InFlight
from ebpftop.models.waits import Waiter, WaitsModel

S = 10**9


def thread(state: str, tid: int = 7, nr: int | None = None, call: str | None = None, since_s: float = 0) -> ThreadNow:
    abi = "x86_64" if nr is not None else None
    return ThreadNow(
        tid=tid,
        comm="a",
        state=state,  # type: ignore[arg-type]  # one of them
        since_ns=round(since_s * S),
        abi=abi,  # type: ignore[arg-type]
        nr=nr,
        syscall=call,
    )


def row(running: float, queued: float, waited: float, *now: ThreadNow, pid: int = 7, **more: object) -> ProcessStates:
    fields: dict[str, object] = {
        **{"pid": pid, "start_ns": 1, "comm": "a", "uid": 0, "threads": 1, "preempted": 0, "wakeups": 0},
        **{"running_ns": round(running * S), "runnable_ns": round(queued * S), "blocked_ns": round(waited * S)},
        **{"now": now},
        **more,
    }
    return ProcessStates(**fields)  # type: ignore[arg-type]  # of any field


def reading(at: float, *rows: ProcessStates, since: float | None = None, busy: float = 0, queued: float = 0) -> States:
    """A reading *at* seconds, of a probe attached for *since* of them; CPUs ran for *busy* seconds."""
    return States(
        time=1000 + at,
        duration_s=at if since is None else since,
        boot_ns=round(at * S),
        cpus=2,
        rows=rows,
        machine=MachineStates(
            cpus=(CpuStates(cpu=0, running_ns=round(busy * S), idle_ns=0, switches=1),),
            runnable_ns=round(queued * S),
            running=1,
            runnable=0,
            blocked=5,
            uninterruptible=0,
        ),
    )


def read(*readings: States) -> WaitsModel:
    model = WaitsModel()
    for one in readings:
        model.feed(Batch("states", one.time, (one,)))
    return model


def only(model: WaitsModel) -> Waiter:
    (waiter,) = model.waiters
    return waiter


def flight(tid: int = 7, name: str = "read", nr: int = 0, **more: object) -> InFlight:
    fields: dict[str, object] = {
        **{"pid": 7, "tid": tid, "comm": "a", "abi": "x86_64", "nr": nr, "name": name, "ns": 9 * S},
        **more,
    }
    return InFlight(**fields)  # type: ignore[arg-type]  # of any field


PEER = flight(fd=3, peer="tcp 10.0.0.7:5432")
HELD = flight(8, "futex", 202, lock="0x10", awaited=(Awaited(pid=9, comm="b"),))
READ_0 = thread("blocked", nr=0, call="read")
DISK = thread("uninterruptible", 9, 1, "write")
LOCK = thread("blocked", 8, 202, "futex")
WRITES = flight(9, "write", 1, path="/mnt/a")
NOBODY_S = flight(8, "futex", 202, lock="0x10")
