"""From a row to its process, its parent and its children: never another process that has the pid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ebpftop.core.records import Record
from ebpftop.core.syscall_records import ProcessTotal, Syscalls
from ebpftop.models import relatives
from ebpftop.models.processes import Processes
from ebpftop.models.relatives import AnotherError, NowhereError
from ebpftop.models.subject import Subject, subject_of_event, subject_of_process
from ebpftop.models.tree import descendants

from ..screens.scene import START, before, ended, ran
from ..screens.syscall_scene import traced

MAKE = ran(1, 500, "make", ppid=1)
CC = ran(2, 501, "cc", ppid=500)
AS = ran(2.5, 502, "as", ppid=501)


def known(*records: Record) -> Processes:
    processes = Processes()
    for record in (before(1, 0, "init"), *records):
        processes.note(record)
    return processes


def of(record: object, **more: object) -> Subject:
    fields = {name: getattr(record, name) for name in ("comm", "pid", "ppid", "start_ns", "time", "uid")}
    return Subject("exec", **{**fields, **more})


def says(go: Callable[[], object], words: str, kind: type[NowhereError] = NowhereError) -> None:
    with pytest.raises(NowhereError, match=words) as raised:
        go()
    assert type(raised.value) is kind


def test_a_process_and_its_parent_running_or_ended() -> None:
    processes = known(MAKE, CC, ended(MAKE, 3))
    assert relatives.process(processes, of(CC)).comm == "cc"
    assert relatives.process(processes, of(MAKE)).ended
    assert relatives.parent(processes, of(CC)).comm == "make"
    assert relatives.parent(processes, of(MAKE)).comm == "init"


def test_a_pid_that_was_used_again_is_not_the_process() -> None:
    processes = known(MAKE, CC, ended(MAKE, 3), ran(9, 500, "vim", ppid=1))
    says(lambda: relatives.process(processes, of(MAKE)), "Pid 500 is vim by now", AnotherError)
    says(lambda: relatives.parent(processes, of(CC)), "Pid 500 is vim by now; the parent", AnotherError)
    assert relatives.process(processes, of(ran(9, 500, "vim"))).comm == "vim"


def test_what_leads_nowhere_says_why() -> None:
    processes = known(CC)
    says(lambda: relatives.process(processes, Subject("call")), "not about a process")
    says(lambda: relatives.process(processes, Subject("trace", pid=0)), "CPU is idle")
    says(lambda: relatives.process(processes, Subject("trace", pid=77)), "Nothing is known of pid 77")
    says(lambda: relatives.parent(processes, of(CC)), "its parent, pid 500")
    says(lambda: relatives.parent(processes, Subject("exec", pid=1)), "init has no parent")


def test_a_row_without_a_start_is_found_by_its_time() -> None:
    processes = known(ran(5, 4104, "server", ppid=1))
    then = subject_of_event("syscall", traced(6, "/etc/hosts", 3, None, 1))
    assert relatives.process(processes, then).comm == "server"
    earlier = subject_of_event("syscall", traced(1, "/etc/hosts", 3, None, 1))
    says(lambda: relatives.process(processes, earlier), "which started later", AnotherError)
    processes.note(ended(ran(5, 4104, "server", ppid=1), 2))
    later = subject_of_event("syscall", traced(20, "/etc/hosts", 3, None, 1))
    says(lambda: relatives.process(processes, later), "which had ended by then", AnotherError)


def test_children_are_those_that_were_born_to_it() -> None:
    processes = known(MAKE, CC, AS, ended(CC, 2), ran(3, 600, "bash", ppid=1))
    make = relatives.process(processes, of(MAKE))
    assert [(b.guide, b.process.comm) for b in descendants(processes, make)] == [
        ("", "make"),
        ("└─ ", "cc"),
        ("   └─ ", "as"),
    ]
    # Another process with the pid of make has not started cc.
    processes = known(MAKE, CC, ended(MAKE, 3), ran(9, 500, "vim", ppid=1), ran(10, 700, "sh", ppid=500))
    vim = relatives.process(processes, of(ran(9, 500, "vim")))
    assert [b.process.comm for b in descendants(processes, vim)] == ["vim", "sh"]


def test_the_counters_are_those_of_this_process() -> None:
    processes = known(MAKE)

    def total(start_ns: int) -> ProcessTotal:
        return ProcessTotal(pid=500, comm="x", count=1, errors=0, start_ns=start_ns)

    reading = Syscalls(time=START, rows=(), in_flight=(), process_totals=(total(7), total(MAKE.start_ns)))
    assert relatives.caller(processes, reading, of(MAKE)) == (500, MAKE.start_ns)
    assert relatives.caller(processes, reading, Subject("in_flight", pid=500)) == (500, MAKE.start_ns)
    # Not those of the other one, if it has made none.
    none = replace(reading, process_totals=(total(7),))
    assert relatives.caller(processes, none, of(MAKE)) == (500, MAKE.start_ns)
    says(lambda: relatives.caller(processes, None, of(MAKE)), "No system calls were counted")


def test_traced_calls_of_another_process_with_the_pid_are_told() -> None:
    processes = known(ran(5, 4104, "server", ppid=1))
    server = subject_of_process(relatives.process(processes, Subject("exec", pid=4104)))
    assert not relatives.others_traced(processes, [traced(6, "/etc/hosts", 3, None, 1)], server)
    said = relatives.others_traced(processes, [traced(1, "/a", 3, None, 1), traced(6, "/b", 3, None, 1)], server)
    assert "another process's" in said
    assert "before server started" in said
