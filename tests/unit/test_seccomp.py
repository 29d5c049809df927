"""A seccomp profile of the calls that were seen: what it allows, and that it says what may be missing."""

from __future__ import annotations

import json
from typing import Any

from ebpftop.core.records import Attempt, Header, Lost, Probe, Record
from ebpftop.core.syscall_records import (
    Abi,
    Handler,
    InFlight,
    ProcessCalls,
    ProcessTotal,
    SyscallRow,
    Syscalls,
    TableSlot,
)
from ebpftop.models.seccomp import EPERM, MOMENTARY, RUNTIME, AllSeen, CallsSeen, Losses, of_process, profile
from ebpftop.syscalls import abi as abis

T = 1_795_352_400.0
HEADER = Header(2, "1", "web1", "6.18", "x86_64", T)


def row(name: str, count: int = 1, abi: Abi = "x86_64", nr: int | None = None) -> SyscallRow:
    number = abis.numbers(abi)[name] if nr is None else nr
    return SyscallRow(abi=abi, nr=number, name=name, count=count, errors=0, histogram_ns=())


def reading(*rows: SyscallRow, table: tuple[TableSlot, ...] = ()) -> Syscalls:
    return Syscalls(time=T + 12, rows=rows, table=table)


def seen(*records: Record) -> CallsSeen:
    calls = AllSeen()
    calls.feed(records)
    found = calls.seen("ls", T)
    assert found is not None
    return found


def written(of: CallsSeen) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(profile(of, HEADER, "1.2"))
    return made


def test_what_was_seen_is_allowed_and_the_rest_fails() -> None:
    made = written(seen(reading(row("ptrace", 3), row("getppid"), row("mount", 0))))
    assert (made["defaultAction"], made["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", EPERM)
    assert made["architectures"] == ["SCMP_ARCH_X86_64"]
    assert {group["action"] for group in made["syscalls"]} == {"SCMP_ACT_ALLOW"}
    names = [name for group in made["syscalls"] for name in group["names"]]
    assert len(names) == len(set(names)), "runtimes take a call once"
    assert set(names) == {"ptrace", "getppid"} | RUNTIME | MOMENTARY
    assert made["syscalls"][0]["names"] == ["getppid", "ptrace"]
    assert made["syscalls"][0]["comment"] == (
        "2 system calls of ls, seen by ebpftop 1.2 on web1, Linux 6.18, from 2026-11-22T13:00:00Z to "
        "2026-11-22T13:00:12Z (12.0s). Nothing was lost. What it does at other times, or elsewhere, may need others."
    )


def test_each_name_that_a_runtime_needs_is_a_call_of_this_machine() -> None:
    assert set(abis.numbers("x86_64")) >= RUNTIME | MOMENTARY


def test_another_abi_is_an_architecture_of_its_own() -> None:
    made = written(seen(reading(row("read"), row("waitpid", abi="i386"))))
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert "waitpid" in made["syscalls"][0]["names"]


def test_what_may_be_missing_is_said() -> None:
    ignored: Handler = "ignore"
    found = seen(
        Lost(time=T, probe="syscalls", where="recursion", count=54),
        Lost(time=T, probe="syscalls", where="rate", count=7),  # of lines, which are not what is counted
        Lost(time=T, probe="execs", where="recursion", count=9),
        Probe(
            time=T,
            probe="syscalls",
            state="on",
            via="x",
            reason=None,
            attempts=(Attempt(via="x", cost="", reason=None, blind=("32-bit calls",)),),
        ),
        reading(
            row("read"),
            row("syscall_9999", nr=9999),
            table=(TableSlot(slot=1, abi="x86_64", nr=1, name="write", handler=ignored),),
        ),
    )
    assert found.doubts == (
        "54 calls lost, of which the names are not known",
        "not seen: 32-bit calls",
        "ignored, and not counted: write",
        "1 number without a name: 9999",
    )
    comment = written(found)["syscalls"][0]["comment"]
    assert "May be missing: 54 calls lost" in comment
    assert "Nothing was lost" not in comment
    assert found.named == ("read",), "a runtime knows names alone"


def test_a_hostile_name_is_escaped() -> None:
    calls = AllSeen()
    calls.feed([reading(row("read"))])
    found = calls.seen("\x1b[31m", T)
    assert found is not None
    assert b"\\u001b" not in profile(found, HEADER, "1")
    assert "\\x1b[31m" in written(found)["syscalls"][0]["comment"]


def test_without_a_reading_nothing_is_known() -> None:
    calls = AllSeen()
    calls.feed([Probe(time=T, probe="syscalls", state="failed", via=None, reason="EPERM")])
    assert calls.seen("ls", T) is None
    assert calls.failed == "EPERM"


def of_one(count: int, listed: int, **more: object) -> CallsSeen | None:
    pair = {"pid": 7, "comm": "nginx", "start_ns": 5, "abi": "x86_64"}
    made = Syscalls(
        time=T + 9,
        rows=(),
        processes=(
            ProcessCalls(**pair, nr=0, name="read", count=listed),  # type: ignore[arg-type]
            ProcessCalls(**{**pair, "pid": 8}, nr=1, name="write", count=1),  # type: ignore[arg-type]
        ),
        process_totals=(ProcessTotal(pid=7, comm="nginx", start_ns=5, count=count, errors=0),),
        in_flight=(InFlight(pid=7, tid=9, comm="nginx", abi="x86_64", nr=232, name="epoll_wait", ns=1),),
        **more,  # type: ignore[arg-type]
    )
    return of_process(made, 7, 0, T, Losses())


def test_of_a_process_the_listed_calls_are_known_and_those_in_flight() -> None:
    found = of_one(4, 4)
    assert found is not None
    assert (found.named, found.doubts, found.of) == (("epoll_wait", "read"), (), "process 7 (nginx)")


def test_a_process_that_is_not_listed_whole_says_so() -> None:
    found = of_one(5, 4, evicted=2)
    assert found is not None
    assert [doubt.split(":")[0] for doubt in found.doubts] == [
        "only its most frequent calls are listed",
        "2 pairs of process and call evicted from the kernel's map",
    ]
    assert of_process(reading(), 7, 0, T, Losses()) is None
