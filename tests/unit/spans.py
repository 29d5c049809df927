"""Made-up spans of records: a machine that does the same all the time, at random, and what is planted in it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import SCHEMA, Header, Probe, TimedRecord
from ebpftop.core.syscall_records import ProcessCalls, SyscallRow, Syscalls, UserCalls
from ebpftop.core.user_records import UserRow, Users

START = 1795352000.0
HEADER = Header(schema=SCHEMA, version="0.2.0", host="web1", kernel="6.18.0", abi="x86_64", started=START)
UIDS = {"root": 0, "ann": 1000, "bob": 1001}


@dataclass
class Machine:
    """How often a second a machine does what; all of it at random, programs in bursts."""

    programs: Mapping[tuple[str, str], float] = field(
        default_factory=lambda: {("ann", "cc"): 4.0, ("bob", "sh"): 3.0, ("root", "cron"): 0.05, ("ann", "git"): 0.4}
    )
    failures: Mapping[tuple[str, str, str], float] = field(default_factory=lambda: {("ann", "pgdump", "ENOENT"): 0.2})
    calls: Mapping[str, float] = field(
        default_factory=lambda: {"read": 900.0, "openat": 300.0, "futex": 50.0, "getpid": 2.0, "mmap": 0.1}
    )
    errnos: Mapping[tuple[str, str], float] = field(
        default_factory=lambda: {("openat", "ENOENT"): 20.0, ("futex", "EAGAIN"): 0.5, ("read", "EAGAIN"): 0.02}
    )
    octaves: Mapping[str, float] = field(default_factory=dict)
    """By how many doublings a call is slower."""
    user_calls: Mapping[str, float] = field(default_factory=lambda: {"root": 200.0, "ann": 800.0, "bob": 250.0})

    def records(
        self, seconds: float, seed: int, begin: float = START, interval_s: float = 1.0
    ) -> Iterator[TimedRecord]:
        """Yield what is recorded in so many seconds."""
        chance = random.Random(seed)
        for probe in ("execs", "users", "syscalls"):
            yield Probe(time=begin, probe=probe, state="on", via="x", reason=None)
        execs = dict.fromkeys(UIDS, 0)
        failed = dict.fromkeys(UIDS, 0)
        rows = {name: _Row(number, name) for number, name in enumerate(self.calls)}
        users = dict.fromkeys(UIDS, 0)
        pid = 1000
        for step in range(int(seconds / interval_s)):
            at = begin + step * interval_s
            events: list[tuple[str, str, str | None]] = []
            for (user, program), rate in self.programs.items():
                events += [(user, program, None)] * _poisson(chance, rate * interval_s)
            for (user, program, errno), rate in self.failures.items():
                events += [(user, program, errno)] * _poisson(chance, rate * interval_s)
            for number, (user, program, error) in enumerate(events):
                pid += 1
                execs[user] += 1
                failed[user] += error is not None
                yield _exec(at + interval_s * number / len(events), pid, user, program, error)
                if error is None and program == "sh" and chance.random() < 0.1:
                    yield _exit(at + interval_s * number / len(events), pid, program, 1)
            for name, rate in self.calls.items():
                rows[name].make(chance, _poisson(chance, rate * interval_s), self.octaves.get(name, 0.0))
            for (call, error), rate in self.errnos.items():
                rows[call].errnos[error] = rows[call].errnos.get(error, 0) + _poisson(chance, rate * interval_s)
            for user, rate in self.user_calls.items():
                users[user] += _poisson(chance, rate * interval_s)
            now = at + interval_s
            yield Users(
                time=now,
                rows=tuple(UserRow(uid=UIDS[u], user=u, execs=execs[u], failed=failed[u]) for u in UIDS if execs[u]),
            )
            made = tuple(row.record() for row in rows.values() if row.count)
            yield Syscalls(
                time=now,
                rows=made,
                users=tuple(UserCalls(uid=UIDS[u], count=n, errors=0) for u, n in users.items() if n),
                processes=tuple(
                    ProcessCalls(
                        pid=10, comm="php-fpm", abi="x86_64", nr=row.nr, name=row.name, count=row.count,
                        total_ns=row.total_ns, max_ns=row.max_ns, start_ns=5,
                    )
                    for row in made
                ),
                boot_ns=int(now * 1e9),
            )  # fmt: skip


class _Row:
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name, self.count, self.total_ns, self.max_ns = number, name, 0, 0, 0
        self.histogram = [0] * 40
        self.errnos: dict[str, int] = {}

    def make(self, chance: random.Random, calls: int, octaves: float) -> None:
        self.count += calls
        for _ in range(calls):
            ns = int(2 ** min(38.0, max(0.0, chance.gauss(11 + octaves, 1.5))))
            self.histogram[ns.bit_length() - 1] += 1
            self.total_ns += ns
            self.max_ns = max(self.max_ns, ns)

    def record(self) -> SyscallRow:
        return SyscallRow(
            abi="x86_64", nr=self.number, name=self.name, count=self.count, errors=sum(self.errnos.values()),
            histogram_ns=tuple(self.histogram), total_ns=self.total_ns, max_ns=self.max_ns,
            errnos={name: count for name, count in self.errnos.items() if count},
        )  # fmt: skip


def _poisson(chance: random.Random, mean: float) -> int:
    """Return how many independent events happen if *mean* are expected."""
    if mean > 30:
        return max(0, round(chance.gauss(mean, mean**0.5)))
    count, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        count += 1
        passed += chance.expovariate(1.0)
    return count


def _exec(time: float, pid: int, user: str, program: str, error: str | None) -> Exec:
    return Exec(
        time=time, pid=pid, tid=pid, ppid=1, uid=UIDS[user], user=user, comm="sh" if error else program,
        file=f"/usr/bin/{program}", argv=(program,), truncated=False, ret=-2 if error else 0, error=error,
        cgroup="/user.slice", unit=f"{user}.service", start_ns=pid,
    )  # fmt: skip


def _exit(time: float, pid: int, comm: str, code: int) -> Exit:
    return Exit(time=time, pid=pid, uid=0, comm=comm, code=code, signal=None, duration_s=0.1, start_ns=pid)
