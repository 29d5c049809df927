"""Units, containers, cgroups and programs, put together of what the kernel counts; and errors by errno."""

from __future__ import annotations

import pytest

from ebpftop.core.group_records import OTHER_COMM, OTHER_ID, CgroupRow, Cgroups, CommRow, Comms
from ebpftop.core.process_records import Process
from ebpftop.core.records import Probe, Record
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.filters.query import Language
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import comm_level, group_level
from ebpftop.models.errnos import by_errno
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.group_fields import ERRNOS, groups_language
from ebpftop.models.groups import By, Group, GroupsModel
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.panes.group_details import group_sheet

T = 1_795_352_400.0
ID = "06c200bb1487" + "e" * 52


def cgroup(number: int, path: str | None, **more: object) -> CgroupRow:
    return CgroupRow(hierarchy="v2", id=number, path=path, **more)  # type: ignore[arg-type]  # of any field


def fed(model: GroupsModel, at: float, *rows: CgroupRow | CommRow) -> GroupsModel:
    cgroups = tuple(row for row in rows if isinstance(row, CgroupRow))
    comms = tuple(row for row in rows if isinstance(row, CommRow))
    time = T + at
    records: tuple[Record, ...] = (Cgroups(time=time, rows=cgroups), Comms(time=time, rows=comms))
    model.feed(Batch("cgroups", time, records))
    return model


def names(model: GroupsModel, by: By) -> list[str]:
    return [group.name for group in model.groups(by)]


def only(model: GroupsModel, by: By) -> Group:
    (group,) = model.groups(by)
    return group


def test_a_unit_has_the_sums_of_its_cgroups() -> None:
    unit = {"unit": "web.service"}
    one = cgroup(1, "/system.slice/web.service", execs=5, calls=100, errors=10, total_ns=1000, running=1, **unit)
    two = cgroup(2, "/system.slice/web.service/worker", execs=1, failed=1, calls=50, running=2, **unit)
    other = cgroup(3, "/user.slice", calls=7)
    group = only(fed(GroupsModel(), 0, one, two, other), "units")
    assert (group.name, group.path, group.running) == ("web.service", "/system.slice/web.service", 3)
    assert (group.total.execs, group.total.failed, group.total.calls, group.total.errors) == (6, 1, 150, 10)
    assert group.members == ["/system.slice/web.service", "/system.slice/web.service/worker"]


def test_blocked_threads_are_summed_up_as_far_as_they_are_known() -> None:
    unit = {"unit": "web.service", "calls": 1}
    paths = "/system.slice/web.service", "/system.slice/web.service/worker"
    known = only(fed(GroupsModel(), 0, cgroup(1, paths[0], blocked=2, **unit), cgroup(2, paths[1], **unit)), "units")
    unknown = only(fed(GroupsModel(), 0, cgroup(1, paths[0], **unit)), "units")
    assert (known.blocked, unknown.blocked) == (2, None)
    program = only(fed(GroupsModel(), 0, CommRow(comm="sh", calls=1, blocked=0)), "programs")
    assert program.blocked == 0
    language = groups_language("units")
    assert [matching(language, [known, unknown], text) for text in ("blocked:>1", "blocked:<1")] == [[known.name], []]


def test_its_sheet_says_how_many_processes_the_exec_log_does_not_know() -> None:
    group = only(fed(GroupsModel(), 0, cgroup(1, "/a.service", unit="a.service", calls=1, running=3)), "units")
    assert "3 that the exec log did not see start" in group_sheet(group, [], None, T).content().plain
    process = ProcessInfo(Process(time=T, pid=7, ppid=1, uid=0, user="root", comm="sh", argv=("sh",), start_ns=1))
    assert "2 more that the exec log did not see start" in group_sheet(group, [process], None, T).content().plain


def test_the_same_unit_of_two_users_is_two() -> None:
    rows = [cgroup(uid, f"/user.slice/user-{uid}.slice/app.service", calls=1, unit="app.service") for uid in (1, 2)]
    assert names(fed(GroupsModel(), 0, *rows), "units") == ["app.service", "app.service"]


def test_a_container_is_called_by_its_name_and_filtered_by_its_id() -> None:
    path = f"/system.slice/docker-{ID}.scope"
    own = {"container": ID[:12], "container_name": "shop_web", "state": "paused", "calls": 1}
    group = only(fed(GroupsModel(), 0, cgroup(1, path + "/init", **own), cgroup(2, path, **own)), "containers")
    assert (group.name, group.container, group.path, group.state) == ("shop_web", ID[:12], path, "paused")


def test_rates_are_over_the_last_reading() -> None:
    model = fed(GroupsModel(), 0, CommRow(comm="sh", execs=10, calls=100, errors=50, total_ns=10))
    assert only(model, "programs").calls_rate == 0, "one reading is no rate"
    fed(model, 2, CommRow(comm="sh", execs=14, failed=2, calls=300, errors=150, total_ns=4010))
    group = only(model, "programs")
    assert (group.rate, group.failed_rate, group.calls_rate, group.calls_failed, group.calls_ns) == (
        2,
        1,
        100,
        0.5,
        2000,
    )
    assert (group.history, group.active) == ([2.0], T + 2)
    fed(
        model,
        3,
        CommRow(comm="sh", execs=14, failed=2, calls=300, errors=150, total_ns=4010),
        CommRow(comm="ls", execs=1),
    )
    sh, ls = model.groups("programs")
    assert (sh.rate, sh.history, sh.total.execs) == (0, [2.0, 0.0], 14)
    assert (ls.rate, ls.history) == (1, [0.0, 1.0]), "what appears after the first reading had nothing before it"


def test_counters_that_shrank_were_reset() -> None:
    model = fed(GroupsModel(), 0, CommRow(comm="sh", calls=100))
    assert only(fed(model, 1, CommRow(comm="sh", calls=30)), "programs").calls_rate == 30


def test_counting_begins_anew_where_the_kernel_applied_the_filter() -> None:
    model = fed(GroupsModel(), 0, CommRow(comm="sh", calls=100, histogram_ns=(0, 100)))
    model.apply_filter(ViewFilter(Filter(uids=(1,)), T + 0.5))
    assert only(model, "programs").total.calls == 100, "no reading has it yet"
    fed(model, 1, CommRow(comm="sh", calls=120, histogram_ns=(0, 120)))
    assert not model.groups("programs")
    fed(model, 2, CommRow(comm="sh", calls=125, histogram_ns=(0, 120, 5)))
    group = only(model, "programs")
    assert (group.total.calls, group.calls_rate) == (5, 5)
    assert group.p99_ns == pytest.approx(8, rel=0.1)


def test_a_filter_leaves_its_own_rows() -> None:
    rows = (
        cgroup(1, "/a", calls=1),
        cgroup(2, "/a/b", calls=1),
        cgroup(3, "/ab", calls=1),
        CommRow(comm="sh", calls=1),
    )
    model = fed(GroupsModel(), 0, *rows, CommRow(comm="ls", calls=1))
    model.apply_filter(ViewFilter(Filter(cgroups=("/a",))))
    assert names(model, "cgroups") == ["/a", "/a/b"]
    model.apply_filter(ViewFilter(Filter(comms=("l*",))))
    assert names(model, "programs") == ["ls"]


def test_what_is_not_counted_one_by_one_is_no_group() -> None:
    model = fed(GroupsModel(), 0, cgroup(OTHER_ID, None, calls=1), CommRow(comm=OTHER_COMM, calls=1))
    assert [only(model, by).is_one for by in ("cgroups", "programs")] == [False, False]
    assert model.groups("units") == model.groups("containers") == []


def test_a_probe_that_was_off_makes_no_rate_of_what_it_missed() -> None:
    def probe(at: float, state: str) -> Batch:
        found = Probe(time=T + at, probe="cgroups", state=state, via=None, reason=None)  # type: ignore[arg-type]
        return Batch("cgroups", T + at, (found,))

    model = fed(GroupsModel(), 0, CommRow(comm="sh", calls=100))
    model.feed(probe(0.1, "on"))
    assert not model.was_off
    model.feed(probe(1, "off"))
    model.feed(probe(60, "on"))
    assert model.was_off
    assert only(fed(model, 61, CommRow(comm="sh", calls=200)), "programs").calls_rate == 0


def test_a_cgroup_is_gone_with_all_of_its_unit() -> None:
    def model(*gone: bool) -> GroupsModel:
        rows = (
            cgroup(n, f"/u.service/{n}", unit="u.service", calls=1, gone=is_gone) for n, is_gone in enumerate(gone, 1)
        )
        return fed(GroupsModel(), 0, *rows)

    assert [only(model(*gone), "units").gone for gone in ((True, True), (True, False), (False,))] == [
        True,
        False,
        False,
    ]


def test_levels_name_exactly_what_a_row_is() -> None:
    assert group_level("x", "/") is None, "everything is below the root"
    assert group_level("x", "/../y") is None
    assert group_level("x", "/a\\x1b[31m") is group_level("x", "/a\\xff") is group_level("x", "/\\u202e") is None
    escaped = group_level("x", "/a\\x2db.service")
    assert escaped is not None
    assert escaped.filter == Filter(cgroups=("/a\\x2db.service",)), "systemd writes names like that"
    assert comm_level("sh") is not None
    assert [comm_level(name) for name in ("", "a*", "\\x1b[m", OTHER_COMM)] == [None] * 4


def matching(language: Language[Group], groups: list[Group], text: str) -> list[str]:
    query = language.parse(text)
    assert query is not None
    return [group.name for group in groups if query.matches(group, T)]


def test_fields_of_groups() -> None:
    path = f"/m.slice/docker-{ID}.scope"
    web = cgroup(1, path, unit=f"docker-{ID}.scope", container=ID[:12], container_name="web", calls=9, state="paused")
    model = fed(
        GroupsModel(),
        0,
        web,
        cgroup(2, "/a.service", unit="a.service", calls=1, gone=True),
        CommRow(comm="sh", calls=5),
    )
    units, containers = model.groups("units"), model.groups("containers")
    assert matching(groups_language("units"), units, "unit:a*") == ["a.service"]
    assert matching(groups_language("units"), units, "state:gone") == ["a.service"]
    assert matching(groups_language("units"), units, "cgroup:/m.slice/*") == [f"docker-{ID}.scope"]
    for text in ("container:web", f"container:{ID[:12]}", "state:paused", "web", "calls:<1"):
        assert matching(groups_language("containers"), containers, text) == ["web"], text
    assert matching(groups_language("cgroups"), model.groups("cgroups"), "unit:a.service") == ["/a.service"]
    assert matching(groups_language("programs"), model.groups("programs"), "comm:s?") == ["sh"]


def call(name: str, nr: int, count: int, **errnos: int) -> SyscallRow:
    errors = sum(errnos.values())
    return SyscallRow(abi="x86_64", nr=nr, name=name, count=count, errors=errors, histogram_ns=(), errnos=errnos)


def test_errors_by_errno() -> None:
    model = SyscallsModel()
    for at, rows in enumerate(
        (
            (call("openat", 257, 10, ENOENT=4), call("read", 0, 9, EAGAIN=3)),
            (call("openat", 257, 20, ENOENT=10, EACCES=1), call("read", 0, 9, EAGAIN=3), call("stat", 4, 1, ENOENT=1)),
        )
    ):
        model.feed(Batch("syscalls", T + 2 * at, (Syscalls(time=T + 2 * at, rows=rows),)))
    found = {errno.name: errno for errno in by_errno(model.calls.values())}
    assert list(found) == ["ENOENT", "EACCES", "EAGAIN"]
    enoent = found["ENOENT"]
    assert (enoent.count, enoent.rate, enoent.code, enoent.meaning) == (11, 3.5, 2, "No such file or directory")
    assert [(one.name, one.count, one.rate) for one in enoent.calls] == [("openat", 10, 3.0), ("stat", 1, 0.5)]
    assert enoent.share == pytest.approx(11 / 15)
    assert (found["EACCES"].rate, found["EAGAIN"].rate) == (0.5, 0)
    query = ERRNOS.parse("errno:enoent call:stat")
    assert query is not None
    assert [errno.name for errno in found.values() if query.matches(errno, T)] == ["ENOENT"]


def test_an_errno_of_the_kernel_alone_has_a_meaning() -> None:
    model = SyscallsModel()
    rows = (call("futex", 202, 1, ERESTARTSYS=1, **{"errno 999": 1}),)
    model.feed(Batch("syscalls", T, (Syscalls(time=T, rows=rows),)))
    found = {errno.name: errno for errno in by_errno(model.calls.values())}
    assert found["ERESTARTSYS"].meaning.startswith("interrupted")
    assert (found["errno 999"].code, found["errno 999"].meaning) == (None, "")
