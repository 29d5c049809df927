"""Totals that `serve` hands out: they are those of the records, and none ever falls."""

from __future__ import annotations

import random
from collections import Counter

import msgspec

from ebpftop.core.ending_records import EndingRow, Endings
from ebpftop.core.group_records import OTHER_ID, CgroupRow, Cgroups
from ebpftop.core.records import SCHEMA, Cost, Header, Lost, Probe
from ebpftop.core.syscall_records import Abi, SyscallRow, Syscalls
from ebpftop.core.user_records import OTHER_UID, UserRow, Users
from ebpftop.serving import call_totals
from ebpftop.serving.group_totals import GROUPS_MAX
from ebpftop.serving.reading import NO_GROUP, OTHER, TotalsReading
from ebpftop.serving.totals import ENDING_SIGNALS, EXEC_ERRORS, USERS_MAX, Totals
from ebpftop.syscalls.errno_names import error_names, signal_numbers

PROBES = ("execs", "users", "syscalls")


def totals(**more: object) -> Totals:
    header = Header(schema=SCHEMA, version="1.2", host="h", kernel="6.1", abi="x86_64", started=100.0)
    return Totals(header, PROBES, **more)  # type: ignore[arg-type]  # what a test passes


def users(*rows: tuple[int, int, int], time: float = 101.0) -> Users:
    return Users(
        time=time,
        rows=tuple(UserRow(uid=uid, user=f"u{uid}", execs=execs, failed=failed) for uid, execs, failed in rows),
    )


def call(name: str, count: int, nr: int = 0, *, abi: Abi = "x86_64", slot: int | None = 0, **errnos: int) -> SyscallRow:
    return SyscallRow(
        abi=abi,
        nr=nr,
        name=name,
        count=count,
        errors=sum(errnos.values()),
        histogram_ns=(0, count),
        total_ns=3 * count,
        errnos=errnos,
        slot=slot,
    )


def syscalls(*rows: SyscallRow) -> Syscalls:
    return Syscalls(time=101.0, rows=rows)


def by_uid(reading: TotalsReading) -> dict[str, tuple[int, int]]:
    return {user.uid: (user.execs, user.failed) for user in reading.users}


def test_users_are_counted_one_by_one_then_together() -> None:
    whole = totals()
    whole.update([users(*((uid, 10, 1) for uid in range(USERS_MAX + 3)), (OTHER_UID, 5, 2))])
    found = by_uid(whole.reading())
    assert len(found) == USERS_MAX + 1
    assert found["0"] == (10, 1)
    assert found[OTHER] == (3 * 10 + 5, 3 * 1 + 2)


def test_a_user_keeps_the_row_and_the_name_that_it_has() -> None:
    whole = totals()
    unnamed = UserRow(uid=7, user=None, execs=1, failed=0)
    whole.update([Users(time=101.0, rows=(unnamed,))])
    assert whole.reading().users[0].user == ""
    whole.update([users((7, 2, 0))])
    renamed = UserRow(uid=7, user="else", execs=3, failed=0)
    whole.update([Users(time=102.0, rows=(renamed,)), users(*((uid, 1, 0) for uid in range(1000, 1400)))])
    assert whole.reading().users[0][:3] == ("7", "u7", 3)


def figures(reading: TotalsReading) -> dict[object, float]:
    """Return every counter by its labels."""
    found: dict[object, float] = {("exec error", errno): count for errno, count in reading.exec_errors}
    for user in reading.users:
        found |= {("execs", user.uid): user.execs, ("failed", user.uid): user.failed}
    found |= {("ended", *end[:2]): end.total for end in reading.ends}
    found |= {("lost", *lost[:2]): lost.total for lost in reading.lost}
    found |= {("error", *one[:3]): one.total for one in reading.call_errors}
    for one in reading.calls:
        found |= {("calls", *one[:2]): one.total, ("ns", *one[:2]): one.total_ns}
        found |= {("ns", *one[:2], bucket): count for bucket, count in enumerate(one.histogram_ns)}
    for group in reading.groups:
        found |= {(group.name, figure): group[figure] for figure in range(1, 6)}
    found["kernel"] = reading.own.kernel_s or 0.0
    return found


def test_no_total_ever_falls() -> None:
    """Rows that vanish, fall, come back, are folded into others, at random: what a probe that is toggled may bring."""
    drawn = random.Random(19)
    whole = totals(by="unit")
    before: dict[object, float] = {}
    counts: Counter[object] = Counter()

    def next_of(key: object) -> int:
        counts[key] += drawn.randrange(5)
        return max(0, counts[key] - (drawn.randrange(9) if drawn.random() < 0.1 else 0))

    for step in range(200):
        whole.update(
            [
                users(*((uid, next_of(uid), next_of(-uid)) for uid in drawn.sample(range(400), 50))),
                syscalls(
                    *(
                        call(f"c{nr}", next_of(("c", nr)), nr, slot=nr if nr < 20 else None, EPERM=next_of(("e", nr)))
                        for nr in drawn.sample(range(30), 10)
                    )
                ),
                Endings(time=101.0, rows=(EndingRow(reason="ok", signal="", count=next_of("ok")),)),
                Lost(time=101.0, probe="execs", where="map", count=next_of("lost")),
                Cost(time=101.0 + step, kernel=drawn.random(), user=0.0, runs=1),
                Cgroups(
                    time=101.0,
                    rows=tuple(
                        CgroupRow(
                            hierarchy="v2", id=one, path="/", unit=f"{one % 150}.service", gone=drawn.random() < 0.3,
                            calls=next_of(("g", one)), execs=next_of(("x", one)),
                        )
                        for one in (OTHER_ID, *drawn.sample(range(1, 300), 60))
                    ),
                ),
            ]
        )  # fmt: skip
        now = figures(whole.reading())
        fallen = {key: (total, now.get(key)) for key, total in before.items() if total > now.get(key, -1)}
        assert not fallen
        before = now


def test_failed_execs_are_by_error_whatever_their_abi() -> None:
    whole = totals()
    whole.update(
        [
            syscalls(
                call("execve", 9, 59, ENOENT=4, EACCES=1),
                call("execveat", 1, 322, ENOENT=1),
                call("execve", 2, 11, abi="i386", ENOENT=2),
                call("openat", 50, 257, ENOENT=50),
            )
        ]
    )
    reading = whole.reading()
    errors = dict(reading.exec_errors)
    assert {errno: count for errno, count in errors.items() if count} == {"ENOENT": 7, "EACCES": 1}
    assert set(EXEC_ERRORS) <= errors.keys()
    assert ("x86_64", "openat", "ENOENT", 50) in reading.call_errors


def test_numbers_that_no_kernel_knows_are_counted_together() -> None:
    whole = totals()
    rows = [call(f"syscall_{nr}", 2, nr, slot=None, ENOSYS=1) for nr in range(5000, 5100)]
    whole.update([syscalls(call("read", 3), *rows)])
    whole.update([syscalls(call("read", 3), call("syscall_5000", 7, 5000, slot=None, ENOSYS=6), *rows[1:])])
    reading = whole.reading()
    assert [(one.call, one.total, one.total_ns, one.histogram_ns) for one in reading.calls] == [
        ("read", 3, 9, (0, 3)),
        (OTHER, 205, 615, (0, 205)),
    ]
    assert reading.call_errors == ((OTHER, OTHER, "ENOSYS", 105),)


def test_there_are_only_so_many_calls_and_errors() -> None:
    whole = totals()
    errnos = dict.fromkeys(error_names()[:20], 1)
    whole.update([syscalls(*(msgspec.structs.replace(call(f"c{nr}", 1, nr), errnos=errnos) for nr in range(1000)))])
    reading = whole.reading()
    assert len(reading.calls) == call_totals.CALLS_MAX + 1
    assert len(reading.call_errors) == call_totals.ERRORS_MAX + 1
    assert sum(one.total for one in reading.call_errors) == 20_000


def test_what_may_happen_is_there_from_the_start() -> None:
    """An engine sees no increase of a counter that begins with another number than 0."""
    reading = totals().reading()
    lost = {(one.probe, one.where) for one in reading.lost}
    assert {(probe, where) for probe in PROBES for where in ("ring", "map", "exits", "recursion", "rate")} <= lost
    assert {(end.reason, end.signal): end.total for end in reading.ends} == {
        ("ok", ""): 0,
        ("error", ""): 0,
        **{("signal", name): 0 for name in ENDING_SIGNALS},
    }
    assert set(ENDING_SIGNALS) <= signal_numbers().keys()
    assert set(EXEC_ERRORS) <= set(error_names())
    assert [(probe.probe, probe.up) for probe in reading.probes] == [(probe, False) for probe in PROBES]


def test_what_no_probe_counts_is_not_there() -> None:
    header = Header(schema=SCHEMA, version="1", started=1.0)
    assert not Totals(header, ("users", "syscalls"), timed=False).reading().exec_errors
    assert not Totals(header, ("users",)).reading().exec_errors
    assert Totals(header, ("execs",)).reading().ends
    assert not Totals(header, ("users",)).reading().ends


def test_the_state_of_a_probe_and_where_it_was_last() -> None:
    whole = totals()
    whole.update([Probe(time=101.0, probe="users", state="on", via="raw_tracepoint:sys_exit", reason=None)])
    assert whole.reading().probes[1] == ("users", True, "raw_tracepoint:sys_exit")
    whole.update([Probe(time=102.0, probe="users", state="off", via=None, reason=None)])
    assert whole.reading().probes[1] == ("users", False, "raw_tracepoint:sys_exit")


def test_the_time_in_the_kernel_is_what_its_samples_come_to() -> None:
    whole = totals()
    assert whole.reading().own.kernel_s is None
    whole.update([Cost(time=110.0, kernel=0.5, user=0.1, runs=1), Cost(time=112.0, kernel=0.25, user=0.1, runs=1)])
    assert whole.reading().own.kernel_s == 0.5
    whole.update([Cost(time=114.0, kernel=None, user=0.1, runs=None)])
    assert whole.reading().own.kernel_s == 0.5


def cgroup(one: int, unit: str | None, calls: int, *, gone: bool = False) -> CgroupRow:
    return CgroupRow(hierarchy="v2", id=one, path="/a", unit=unit, calls=calls, gone=gone)


def calls_by_group(whole: Totals) -> dict[str, int]:
    return {group.name: group.calls for group in whole.reading().groups}


def test_a_unit_keeps_what_its_cgroups_did_that_are_gone() -> None:
    """The source adds a cgroup that was removed to the row of all others, sooner or later."""
    whole = totals(by="unit")
    whole.update([Cgroups(time=101.0, rows=(cgroup(1, "a.service", 5), cgroup(2, None, 7)))])
    whole.update([Cgroups(time=102.0, rows=(cgroup(1, "a.service", 6, gone=True), cgroup(2, None, 7)))])
    rest = cgroup(OTHER_ID, None, 6 + 4)
    whole.update([Cgroups(time=103.0, rows=(rest, cgroup(2, None, 8), cgroup(3, "a.service", 1)))])
    assert calls_by_group(whole) == {"a.service": 7, NO_GROUP: 8, OTHER: 4}


def test_there_are_only_so_many_containers() -> None:
    whole = totals(by="container")
    rows = [
        CgroupRow(hierarchy="v2", id=one, path="/", container=f"{one:012x}{one:052}", calls=1)
        for one in range(1, GROUPS_MAX + 9)
    ]
    rows.append(CgroupRow(hierarchy="v2", id=999, path="/", container="f" * 64, container_name="web", calls=3))
    whole.update([Cgroups(time=101.0, rows=tuple(rows[-1:] + rows[:-1]))])
    found = calls_by_group(whole)
    assert len(found) == GROUPS_MAX + 1
    assert (found["web"], found["000000000001"]) == (3, 1)
    assert found[OTHER] == 9
