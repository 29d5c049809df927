"""What is asked of the kernel about system calls: what an answer adds, replaces and takes away."""

from __future__ import annotations

import pytest

from ebpftop.core.syscall_records import Abi, SyscallRow, Syscalls, TableSlot
from ebpftop.models.asked import Asked, abis_of
from ebpftop.models.subject import Subject
from ebpftop.models.syscalls import Call
from ebpftop.models.trace_question import Choice, meaning, path_condition, problem, question
from ebpftop.syscalls.abi import UnknownSyscall
from ebpftop.syscalls.tracing import CONDITIONS_MAX, BadTrace

X86 = abis_of("x86_64")
OPENAT: tuple[Abi, int] = ("x86_64", 257)
READ: tuple[Abi, int] = ("x86_64", 0)


def asked(*texts: str) -> Asked:
    now = Asked()
    for text in texts:
        now = now.asking(text, X86)
    return now


@pytest.mark.parametrize(
    ("texts", "all_of_it"),
    [
        (("openat:failed",), "openat:failed"),
        (("openat:failed", "openat:>10ms"), "openat:>10ms"),
        (("openat:failed", "openat"), "openat"),
        (("openat:failed,openat:>10ms",), "openat:>10ms,openat:failed"),
        (("openat:failed", "all:pid=812"), "openat:failed,all:pid=812"),
        (("openat", "all:pid=812", "all:pid=900"), "openat,all:pid=812,all:pid=900"),
        (("all:pid=812", "all:pid=812:failed"), "all:failed:pid=812"),
        (("all", "read:failed"), "read:failed,all"),
        (("openat*:failed", "openat*:>1s"), "openat2:>1s,openat:>1s"),
        (("openat:failed", "%file"), "openat:failed,%file"),
        (("%file:failed", "read"), "read,%file:failed"),
        (("%net:ENOENT",), "%network:ENOENT"),
        (("i386:read",), "i386:read"),
    ],
)
def test_an_answer_replaces_what_was_asked_of_the_same_calls_but_not_of_processes(
    texts: tuple[str, ...], all_of_it: str
) -> None:
    now = asked(*texts)
    assert now.text(X86) == all_of_it
    assert asked(now.text(X86)).text(X86) == all_of_it


def test_a_call_that_is_always_traced_is_traced_for_a_process_too_when_that_ends() -> None:
    both = asked("openat", "all:pid=812")
    assert both.of(OPENAT) == ("trace", ())
    (always, process) = both.items_of(OPENAT, X86)
    assert (always.text, process.text) == ("openat", "all:pid=812")
    assert both.without([always]).text(X86) == "all:pid=812"
    assert both.without([always]).of(OPENAT) == ("trace", ("pid=812",))
    assert both.without([process]).text(X86) == "openat"
    assert both.without([always, process]) == Asked()


def test_what_is_ignored_stays_so_unless_it_is_named() -> None:
    ignoring = Asked().ignoring(READ, on=True)
    everything = ignoring.asking("all:failed", X86)
    assert everything.of(READ) == ("ignore", ())
    assert everything.text(X86) == "all:failed", "it is meant, and comes back when it is no longer ignored"
    assert everything.ignoring(READ, on=False).of(READ) == ("trace", ("failed",))
    assert ignoring.asking("read", X86).of(READ) == ("trace", ())


def test_what_becomes_free_is_freed_first_and_only_what_differs_is_asked() -> None:
    before, after = asked("openat:failed", "read"), asked("openat:failed", "write:>1s")
    changes = before.changes(after)
    assert [(change.handler, change.conditions, len(change.calls)) for change in changes] == [
        ("count", (), 3),
        ("trace", (">1s",), 3),
    ]
    assert not after.changes(after)


def test_the_kernel_says_what_is_asked() -> None:
    row = SyscallRow(abi="x86_64", nr=1, name="write", count=1, errors=0, histogram_ns=(), handler="ignore")
    slot = TableSlot(slot=257, abi="x86_64", nr=257, name="openat", handler="trace", conditions=("failed", "pid=8"))
    now = Asked.of_reading(Syscalls(time=1.0, rows=(row,), table=(slot,)))
    assert now.of(OPENAT) == ("trace", ("failed", "pid=8"))
    assert now.of(("x86_64", 1)) == ("ignore", ())
    assert now.noted({OPENAT: ("count", ()), READ: ("trace", ())}).text(X86) == "x86_64:read"


def test_nothing_is_asked_of_a_text_that_means_nothing() -> None:
    for text in ("", "openat:nonsense", "nosuchcall", "openat,nosuchcall", "openat:"):
        with pytest.raises((BadTrace, UnknownSyscall)):
            Asked().asking(text, X86)
        assert problem(text, Asked(), X86)
    full = asked(*(f"all:pid={pid}" for pid in range(1, CONDITIONS_MAX + 1)))
    assert "different conditions are in use" in problem("read:failed", full, X86)
    assert not problem("read", full, X86)
    with pytest.raises(BadTrace):
        full.asking("read:", X86)


def choice(subject: Subject | None, key: str, call: Call | None = None) -> Choice:
    return next(one for one in question(subject, call, Asked(), X86).choices if one.key == key)


def test_a_question_is_filled_from_the_row() -> None:
    row = SyscallRow(
        abi="x86_64",
        nr=257,
        name="openat",
        count=100,
        errors=9,
        histogram_ns=(0,) * 14 + (100,),
        max_ns=30_000,
        errnos={"ENOENT": 2, "EACCES": 7},
    )
    call = Call(row)
    subject = Subject("call", call="openat", abi="x86_64", nr=257)
    asks = question(subject, call, Asked(), X86)
    assert (asks.calls, asks.default, asks.stops) == ("openat", "a", ())
    assert choice(subject, "s", call).condition == ">30us"
    assert choice(subject, "e", call).condition == "EACCES"
    assert choice(subject, "p", call).condition == "/etc/*"
    assert question(subject, call, asked("openat:failed", "all:pid=8"), X86).stops[0].text == "openat:failed"
    assert question(Subject("error", call="openat", error="EPERM"), None, Asked(), X86).default == "e"
    assert choice(Subject("path", call="openat", text="/run/x"), "p").condition == "/run/x"
    process = Subject("exec", "php-fpm", 812, True)
    assert (question(process, None, Asked(), X86).calls, question(process, None, Asked(), X86).default) == ("all", "P")
    assert choice(process, "P").condition == "pid=812"
    assert choice(Subject("exec", "cc1", 900, False, ppid=812), "P").condition == "pid=812", "it has ended"
    assert question(process, None, asked("all:pid=812", "read"), X86).stops[0].text == "all:pid=812"
    assert question(None, None, Asked(), X86).default == "f"
    assert question(Subject("call", call="read", abi="i386", nr=3), None, Asked(), X86).calls == "i386:read"


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("./x", "./x"),
        ("x.c", "*x.c"),
        ("/a,b:c", "*c"),
        ("/run/*x", "*x"),
        ("\\xff/y", "*xff/y"),
        ("/very/long…", "/very/long*"),
        ("/" + "d" * 80, "*" + "d" * 63),
        ("", ""),
        (",", ""),
    ],
)
def test_a_path_of_a_list_becomes_a_condition_that_it_meets(path: str, condition: str) -> None:
    assert path_condition(path) == condition


def test_what_is_asked_is_said_in_words() -> None:
    assert meaning("openat:failed", X86) == "each openat that fails"
    assert meaning("all:pid=812", X86) == "each call of process 812 and all that it starts"
    assert (
        meaning("read:>10ms:EIO,i386:write", X86) == "each read that returns EIO and takes longer than 10ms; each write"
    )
    assert meaning("open*:/etc/*", X86).startswith("each of ")
